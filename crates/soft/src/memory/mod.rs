//! Guest memory as instructions see it: linear addresses, paging, faults, and what lies outside of RAM.
//!
//! * [`circumstances`]: how long what is remembered of code holds;
//! * [`tlb`]: the fast path of every access;
//! * [`walk`]: the page walk behind it;
//! * [`ram`]: guest RAM in host memory;
//! * [`mmio`]: accesses that no RAM answers;
//! * [`watch`]: data breakpoints;
//! * `translation`: what is remembered of all that, in [`fetches`] and elsewhere, and when it is forgotten.
//!
//! An access that cannot be carried out returns [`Abort`] and leaves the [`Reason`] in
//! [`Memory::reason`]. An instruction must do everything that can abort before it changes anything that
//! software can see, or restore what it changed; so it can be executed again from its beginning.

pub(crate) mod circumstances;
mod fetches;
mod large_pages;
pub(crate) mod mmio;
pub(crate) mod ram;
pub(crate) mod tlb;
mod translation;
pub(crate) mod walk;
pub(crate) mod watch;

use std::mem::offset_of;

use outlive_engine::{ControlRegisters, GuestPhysical, GuestRam};

use crate::fault::{Abort, Exception, Reason, vector};
use crate::op::Step;
use circumstances::{Circumstances, CodeSize};
use fetches::Fetches;
use large_pages::LargePages;
use mmio::Mmio;
use ram::Ram;
use tlb::{Mode, Tlb};
use walk::Paging;
use watch::{Point, Watch};

/// log2 of the size of a page.
pub(crate) const PAGE_BITS: u32 = 12;
/// The size of a page.
pub(crate) const PAGE_SIZE: u64 = 1 << PAGE_BITS;

/// What an access wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Read,
    Write,
    Fetch,
}

/// Memory, from linear addresses on.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) ram: Ram,
    tlb: Tlb,
    fetches: Fetches,
    large_pages: LargePages,
    pub(crate) paging: Paging,
    /// Who accesses, unless an instruction says otherwise.
    pub(crate) mode: Mode,
    pub(crate) mmio: Mmio,
    /// Data breakpoints.
    pub(crate) watch: Watch,
    /// Why the last access was aborted.
    pub(crate) reason: Option<Reason>,
    /// Something must be looked at before the next block: see [`run`](crate::run).
    pub(crate) attention: bool,
    /// Pages with decoded code that were written to since the decoder looked last.
    written_code: Vec<u64>,
    /// What is remembered of code holds as long as these do.
    pub(crate) circumstances: Circumstances,
}

/// Where an access leads.
#[derive(Clone, Copy, Debug)]
enum Place {
    Ram(*mut u8),
    Outside(GuestPhysical),
}

/// Whether an address has bits 47 to 63 all alike (Intel SDM volume 1, 3.3.7.1).
#[inline]
pub(crate) fn is_canonical(linear: u64) -> bool {
    ((linear << 16) as i64 >> 16) as u64 == linear
}

/// Whether an address is in the half that kernels keep for themselves, and have global pages in.
fn is_in_upper_half(linear: u64) -> bool {
    linear >> 63 != 0
}

impl Memory {
    /// Where the mode is in this structure, and the pointer to the tables of the translation buffer: for native
    /// code.
    pub(crate) const MODE: usize = offset_of!(Self, mode);
    pub(crate) const TABLES: usize = offset_of!(Self, tlb) + Tlb::TABLES;

    /// Memory with an empty translation buffer.
    pub(crate) fn new(ram: &GuestRam) -> Self {
        Self {
            ram: Ram::new(ram),
            tlb: Tlb::new(),
            fetches: Fetches::default(),
            large_pages: LargePages::default(),
            paging: Paging::from_registers(&ControlRegisters::default()),
            mode: Mode::Supervisor,
            mmio: Mmio::default(),
            watch: Watch::default(),
            reason: None,
            attention: false,
            written_code: Vec::new(),
            circumstances: Circumstances::new(Mode::Supervisor, CodeSize::Long),
        }
    }

    /// Reads `BYTES` bytes, 16 at most.
    #[inline]
    pub(crate) fn read<const BYTES: usize>(&mut self, linear: u64) -> Result<[u8; BYTES], Abort> {
        match self.tlb.lookup(self.mode, Kind::Read, linear, BYTES) {
            // SAFETY: the buffer only knows places within a page of RAM, and only for accesses that do not
            // leave the page.
            Some(host) => Ok(unsafe { host.cast::<[u8; BYTES]>().read_unaligned() }),
            None => self.read_watched(linear),
        }
    }

    /// Writes `BYTES` bytes, 16 at most. [`Step::Next`], unless the write went to decoded code or out of RAM,
    /// which must be looked at before the next instruction.
    #[inline]
    pub(crate) fn write<const BYTES: usize>(
        &mut self,
        linear: u64,
        value: [u8; BYTES],
    ) -> Result<Step, Abort> {
        match self.tlb.lookup(self.mode, Kind::Write, linear, BYTES) {
            Some(host) => {
                // SAFETY: as in `read`; pages in the tables for writing hold no decoded code.
                unsafe { host.cast::<[u8; BYTES]>().write_unaligned(value) };
                Ok(Step::Next)
            }
            None => self.write_watched(linear, &value),
        }
    }

    /// Reads as a supervisor, whoever runs: descriptor tables and the task state segment.
    pub(crate) fn read_system<const BYTES: usize>(&mut self, linear: u64) -> Result<[u8; BYTES], Abort> {
        match self.tlb.lookup(Mode::Supervisor, Kind::Read, linear, BYTES) {
            // SAFETY: as in `read`.
            Some(host) => Ok(unsafe { host.cast::<[u8; BYTES]>().read_unaligned() }),
            None => self.read_slowly(Mode::Supervisor, linear),
        }
    }

    /// Writes as a supervisor, whoever runs.
    pub(crate) fn write_system<const BYTES: usize>(
        &mut self,
        linear: u64,
        value: [u8; BYTES],
    ) -> Result<(), Abort> {
        self.write_slowly(Mode::Supervisor, linear, &value).map(|_| ())
    }

    /// Checks that `bytes` bytes can be written, without writing them: for instructions that write twice.
    pub(crate) fn check_write(&mut self, linear: u64, bytes: usize) -> Result<(), Abort> {
        if self.tlb.lookup(self.mode, Kind::Write, linear, bytes).is_none() {
            let last = linear.wrapping_add(bytes as u64 - 1);
            if !is_canonical(linear) || !is_canonical(last) {
                return self.abort(Reason::NotCanonical);
            }
            self.place(self.mode, Kind::Write, linear)?;
            if bytes_in_page(linear, bytes) < bytes {
                // A fault on the second page is one on its first byte.
                self.place(self.mode, Kind::Write, last & !(PAGE_SIZE - 1))?;
            }
        }
        Ok(())
    }

    /// Whether the instruction under way has written to decoded code or out of RAM. An instruction that writes
    /// several times asks this, and not [`attention`](Self::attention), which may be set for reasons that are not
    /// the guest's, such as a stop within the block.
    pub(crate) fn must_be_looked_at(&self) -> bool {
        !self.written_code.is_empty() || self.mmio.has_writes()
    }

    /// Checks that the byte at `linear` can be read, without reading it.
    pub(crate) fn check_read(&mut self, linear: u64) -> Result<(), Abort> {
        self.place(self.mode, Kind::Read, linear).map(|_| ())
    }

    /// Reads `BYTES` bytes, 16 at most, and writes what `change` makes of them. As on real processors the read
    /// asks for the right to write already, so that a page fault says that it was a write. `change` is called
    /// only when nothing can abort any more.
    #[inline]
    pub(crate) fn update<const BYTES: usize>(
        &mut self,
        linear: u64,
        change: impl FnOnce([u8; BYTES]) -> [u8; BYTES],
    ) -> Result<Step, Abort> {
        match self.tlb.lookup(self.mode, Kind::Write, linear, BYTES) {
            Some(host) => {
                let host = host.cast::<[u8; BYTES]>();
                // SAFETY: as in `write`.
                unsafe { host.write_unaligned(change(host.read_unaligned())) };
                Ok(Step::Next)
            }
            None => self.update_slowly(linear, change),
        }
    }

    /// Where the byte at `linear` is in host memory, and how many bytes its page has from there on, if the buffer
    /// knows: so many bytes can be accessed with nothing to be seen by anybody.
    #[inline]
    pub(crate) fn window(&self, kind: Kind, linear: u64) -> Option<(*mut u8, usize)> {
        let host = self.tlb.lookup(self.mode, kind, linear, 1)?;
        Some((host, (PAGE_SIZE - linear % PAGE_SIZE) as usize))
    }

    /// Forgets everything that is not the guest's state.
    pub(crate) fn forget(&mut self) {
        self.flush();
        self.mmio = Mmio::default();
        self.reason = None;
        self.written_code.clear();
        self.ram.forget_code();
    }

    /// Looks at what devices and loaders have written: from now on it counts as written by the guest.
    pub(crate) fn take_over_foreign_writes(&mut self) {
        self.ram.take_foreign_writes(&mut self.written_code);
        self.attention = true;
    }

    /// The pages with decoded code that were written to since the last call. They count as pages without
    /// code from now on.
    pub(crate) fn take_written_code(&mut self) -> Vec<u64> {
        let pages = std::mem::take(&mut self.written_code);
        pages.iter().for_each(|&page| self.ram.set_code(page, false));
        if !pages.is_empty() {
            self.forget_links();
        }
        pages
    }

    /// Instructions are being decoded from `page`: from now on writes to it are seen.
    pub(crate) fn watch_code(&mut self, page: u64) {
        if let Some(page_of_ram) = self.ram.page(page)
            && !page_of_ram.has_code
        {
            self.ram.set_code(page, true);
            self.tlb.flush_writes_to(page_of_ram.host);
        }
    }

    /// Gives the instruction up.
    #[cold]
    pub(crate) fn abort<T>(&mut self, reason: Reason) -> Result<T, Abort> {
        self.reason = Some(reason);
        Err(Abort)
    }

    /// Replaces the data breakpoints.
    pub(crate) fn set_watch(&mut self, points: Vec<Point>) {
        points.iter().for_each(|point| self.flush_page(point.address));
        self.watch.set(points);
    }

    /// All bytes must have canonical addresses: that is looked at before any page is.
    ///
    /// Data that is not aligned to its size raises #AC, if that is asked for. Only powers of two up to 8 are
    /// checked, as the instructions that access more have rules of their own (Intel SDM volume 3, 7.15).
    fn check_place(&mut self, mode: Mode, linear: u64, bytes: usize) -> Result<(), Abort> {
        if !is_canonical(linear) || !is_canonical(linear.wrapping_add(bytes as u64 - 1)) {
            return self.abort(Reason::NotCanonical);
        }
        let is_checked = mode == Mode::UserAligned && matches!(bytes, 2 | 4 | 8);
        if is_checked && !linear.is_multiple_of(bytes as u64) {
            return self.abort(Reason::Exception(Exception::with_code(vector::ALIGNMENT_CHECK, 0)));
        }
        Ok(())
    }

    /// Where one byte is, by the buffer or by a walk.
    fn place(&mut self, mode: Mode, kind: Kind, linear: u64) -> Result<Place, Abort> {
        if let Some(host) = self.tlb.lookup(mode, kind, linear, 1) {
            return Ok(Place::Ram(host));
        }
        let physical = self.translate(mode, kind, linear)?.physical;
        let Some(page) = self.ram.page(physical.0 >> PAGE_BITS) else { return Ok(Place::Outside(physical)) };
        if kind == Kind::Write && page.has_code {
            self.written_code.push(physical.0 >> PAGE_BITS);
            self.attention = true;
        }
        // SAFETY: the offset stays within the page.
        Ok(Place::Ram(unsafe { page.host.add((physical.0 % PAGE_SIZE) as usize) }))
    }

    #[cold]
    fn read_watched<const BYTES: usize>(&mut self, linear: u64) -> Result<[u8; BYTES], Abort> {
        let value = self.read_slowly(self.mode, linear)?;
        self.watch.note(Kind::Read, linear, BYTES);
        Ok(value)
    }

    #[cold]
    fn write_watched(&mut self, linear: u64, value: &[u8]) -> Result<Step, Abort> {
        let step = self.write_slowly(self.mode, linear, value)?;
        self.watch.note(Kind::Write, linear, value.len());
        Ok(step)
    }

    /// An access that the buffer does not know, or that crosses a page.
    #[cold]
    fn read_slowly<const BYTES: usize>(&mut self, mode: Mode, linear: u64) -> Result<[u8; BYTES], Abort> {
        self.check_place(mode, linear, BYTES)?;
        let mut value = [0; BYTES];
        let (low, high) = value.split_at_mut(bytes_in_page(linear, BYTES));
        self.read_part(mode, linear, low)?;
        if !high.is_empty() {
            self.read_part(mode, linear.wrapping_add(low.len() as u64), high)?;
        }
        Ok(value)
    }

    fn read_part(&mut self, mode: Mode, linear: u64, part: &mut [u8]) -> Result<(), Abort> {
        match self.place(mode, Kind::Read, linear)? {
            Place::Ram(host) => {
                // SAFETY: the part lies within one page of RAM.
                unsafe { host.copy_to_nonoverlapping(part.as_mut_ptr(), part.len()) };
                Ok(())
            }
            Place::Outside(physical) => match self.mmio.read(physical, part) {
                Ok(()) => Ok(()),
                Err(wanted) => self.abort(wanted),
            },
        }
    }

    #[cold]
    fn write_slowly(&mut self, mode: Mode, linear: u64, value: &[u8]) -> Result<Step, Abort> {
        self.check_place(mode, linear, value.len())?;
        let (low, high) = value.split_at(bytes_in_page(linear, value.len()));
        // Both pages are looked up before a byte is written: a fault on the second must leave the first.
        let first = self.place(mode, Kind::Write, linear)?;
        let second = match high {
            [] => None,
            _ => Some(self.place(mode, Kind::Write, linear.wrapping_add(low.len() as u64))?),
        };
        self.write_part(first, low);
        if let Some(second) = second {
            self.write_part(second, high);
        }
        Ok(if self.must_be_looked_at() { Step::Leave } else { Step::Next })
    }

    #[cold]
    fn update_slowly<const BYTES: usize>(
        &mut self,
        linear: u64,
        change: impl FnOnce([u8; BYTES]) -> [u8; BYTES],
    ) -> Result<Step, Abort> {
        self.check_place(self.mode, linear, BYTES)?;
        self.check_write(linear, BYTES)?;
        let value = self.read_slowly(self.mode, linear)?;
        self.write_watched(linear, &change(value))
    }

    fn write_part(&mut self, place: Place, part: &[u8]) {
        match place {
            // SAFETY: the part lies within one page of RAM.
            Place::Ram(host) => unsafe { host.copy_from_nonoverlapping(part.as_ptr(), part.len()) },
            Place::Outside(physical) => {
                self.mmio.write(physical, part);
                self.attention = true;
            }
        }
    }
}

/// Where the page behind that of a linear address begins.
pub(crate) fn next_page(linear: u64) -> u64 {
    (linear | (PAGE_SIZE - 1)).wrapping_add(1)
}

/// How many of `bytes` bytes at `linear` are in the first page.
fn bytes_in_page(linear: u64, bytes: usize) -> usize {
    bytes.min((PAGE_SIZE - linear % PAGE_SIZE) as usize)
}

#[cfg(test)]
mod tests;
