//! The page walk: four levels of tables, from a linear to a physical address (Intel SDM volume 3, 5.5 and
//! 5.6).

use outlive_engine::{ControlRegisters, GuestPhysical};

use super::ram::Ram;
use super::tlb::Mode;
use super::{Kind, PAGE_BITS, PAGE_SIZE};

/// Bits of an entry in a paging structure.
mod entry {
    pub(super) const PRESENT: u64 = 1 << 0;
    pub(super) const WRITABLE: u64 = 1 << 1;
    pub(super) const USER: u64 = 1 << 2;
    pub(super) const ACCESSED: u64 = 1 << 5;
    pub(super) const DIRTY: u64 = 1 << 6;
    pub(super) const LARGE: u64 = 1 << 7;
    pub(super) const GLOBAL: u64 = 1 << 8;
    pub(super) const NO_EXECUTE: u64 = 1 << 63;
    /// Bits 12 to 39: this processor has 40 physical address bits.
    pub(super) const ADDRESS: u64 = 0x00ff_ffff_f000;
    /// Address bits that this processor does not have.
    pub(super) const RESERVED_ADDRESS: u64 = 0x000f_ff00_0000_0000;
}

/// Bits of a page fault's error code (Intel SDM volume 3, 5.7).
pub(crate) mod code {
    pub(crate) const PRESENT: u32 = 1 << 0;
    pub(crate) const WRITE: u32 = 1 << 1;
    pub(crate) const USER: u32 = 1 << 2;
    pub(crate) const RESERVED: u32 = 1 << 3;
    pub(crate) const FETCH: u32 = 1 << 4;
}

/// What governs translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Paging {
    /// CR3: where the top table is.
    pub(crate) root: u64,
    /// CR0.WP: supervisors heed read-only pages.
    pub(crate) write_protect: bool,
    /// EFER.NXE: entries may forbid execution.
    pub(crate) no_execute: bool,
    /// CR4.PGE: entries may say that they are the same in all address spaces.
    pub(crate) global_pages: bool,
}

impl Paging {
    /// What control registers say.
    pub(crate) fn from_registers(control: &ControlRegisters) -> Self {
        Self {
            root: control.cr3,
            write_protect: control.cr0 & 1 << 16 != 0,
            no_execute: control.efer & 1 << 11 != 0,
            global_pages: control.cr4 & 1 << 7 != 0,
        }
    }
}

/// What flushes have to know of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PageKind {
    /// Whether it is the same in all address spaces (Intel SDM volume 3, 5.10.2.4).
    pub(crate) is_global: bool,
    /// log2 of its size.
    pub(crate) bits: u32,
}

/// A translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Translation {
    /// Where the address is.
    pub(crate) physical: GuestPhysical,
    /// What is known of the page.
    pub(crate) page: PageKind,
}

/// Why there is no translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// The access raises a page fault with this error code.
    PageFault(u32),
    /// An entry that is to be marked lies in a page with decoded code. The block that is executed could be of that
    /// very page, and nothing tells what it becomes within an instruction. No guest has a reason to execute its page
    /// tables, so this one is stopped.
    CodeAmongTables,
}

/// The rights that all levels together grant.
#[derive(Clone, Copy)]
struct Rights {
    writable: bool,
    user: bool,
    executable: bool,
}

impl Rights {
    fn and(self, entry: u64) -> Self {
        Self {
            writable: self.writable && entry & entry::WRITABLE != 0,
            user: self.user && entry & entry::USER != 0,
            executable: self.executable && entry & entry::NO_EXECUTE == 0,
        }
    }

    fn allow(self, mode: Mode, kind: Kind, paging: &Paging) -> bool {
        let by_mode = mode == Mode::Supervisor || self.user;
        let by_kind = match kind {
            Kind::Read => true,
            Kind::Write => self.writable || mode == Mode::Supervisor && !paging.write_protect,
            Kind::Fetch => self.executable,
        };
        by_mode && by_kind
    }
}

/// Translates a canonical linear address for an access, and marks the entries on the way as the processor
/// does (Intel SDM volume 3, 5.8): an entry that leads to another table is accessed as soon as it has led there,
/// even if the access faults further on, as paging-structure caches need it (5.10.3.1); the entry of the page is
/// accessed, and dirty if it is a write, only if the access is allowed.
pub(crate) fn walk(
    ram: &Ram,
    paging: &Paging,
    mode: Mode,
    kind: Kind,
    linear: u64,
) -> Result<Translation, Failure> {
    let mut fault = match kind {
        Kind::Read => 0,
        Kind::Write => code::WRITE,
        Kind::Fetch if paging.no_execute => code::FETCH,
        Kind::Fetch => 0,
    };
    if mode != Mode::Supervisor {
        fault |= code::USER;
    }
    let mut rights = Rights { writable: true, user: true, executable: true };
    let mut table = paging.root & entry::ADDRESS;
    for level in (0..4u32).rev() {
        let shift = PAGE_BITS + 9 * level;
        let at = table + (linear >> shift & 511) * 8;
        // Where there is no RAM, an entry reads as all ones, which has reserved bits set.
        let value = read(ram, at).unwrap_or(u64::MAX);
        if value & entry::PRESENT == 0 {
            return Err(Failure::PageFault(fault));
        }
        let is_page = level == 0 || value & entry::LARGE != 0;
        if value & reserved(level, is_page, paging) != 0 {
            return Err(Failure::PageFault(fault | code::PRESENT | code::RESERVED));
        }
        rights = rights.and(value);
        if is_page {
            if !rights.allow(mode, kind, paging) {
                return Err(Failure::PageFault(fault | code::PRESENT));
            }
            let dirty = if kind == Kind::Write { entry::DIRTY } else { 0 };
            mark(ram, at, value, entry::ACCESSED | dirty)?;
            let is_global = paging.global_pages && value & entry::GLOBAL != 0;
            let page = PageKind { is_global, bits: shift };
            let offset = (1u64 << shift) - 1;
            let physical = GuestPhysical(value & entry::ADDRESS & !offset | linear & offset);
            return Ok(Translation { physical, page });
        }
        mark(ram, at, value, entry::ACCESSED)?;
        table = value & entry::ADDRESS;
    }
    unreachable!("level 0 is always a page")
}

/// Translates a canonical linear address whoever asks, and marks nothing.
pub(crate) fn peek(ram: &Ram, paging: &Paging, linear: u64) -> Option<GuestPhysical> {
    let mut table = paging.root & entry::ADDRESS;
    for level in (0..4u32).rev() {
        let shift = PAGE_BITS + 9 * level;
        let value = read(ram, table + (linear >> shift & 511) * 8)?;
        if value & entry::PRESENT == 0 {
            return None;
        }
        let offset = (1u64 << shift) - 1;
        if level == 0 || value & entry::LARGE != 0 {
            return Some(GuestPhysical(value & entry::ADDRESS & !offset | linear & offset));
        }
        table = value & entry::ADDRESS;
    }
    None
}

/// Bits that must be clear in an entry. Bit 12 of a large page's entry selects its memory type (PAT), which
/// does not matter here.
fn reserved(level: u32, is_page: bool, paging: &Paging) -> u64 {
    let no_execute = if paging.no_execute { 0 } else { entry::NO_EXECUTE };
    let by_level = match (level, is_page) {
        // There are no pages of 512 GiB.
        (3, _) => entry::LARGE,
        (2, true) => 0x3fff_ffff & !0x1fff,
        (1, true) => 0x1f_ffff & !0x1fff,
        _ => 0,
    };
    entry::RESERVED_ADDRESS | no_execute | by_level
}

/// Sets bits in an entry, unless they are set.
fn mark(ram: &Ram, at: u64, value: u64, bits: u64) -> Result<(), Failure> {
    if value & bits == bits {
        return Ok(());
    }
    if ram.page(at >> PAGE_BITS).is_some_and(|page| page.has_code) {
        return Err(Failure::CodeAmongTables);
    }
    store(ram, at, value | bits);
    Ok(())
}

fn host(ram: &Ram, physical: u64) -> Option<*mut u64> {
    let page = ram.page(physical >> PAGE_BITS)?;
    // SAFETY: the offset stays within the page.
    Some(unsafe { page.host.add((physical & (PAGE_SIZE - 1)) as usize) }.cast())
}

fn read(ram: &Ram, physical: u64) -> Option<u64> {
    // SAFETY: entries are aligned to their size, so all eight bytes are within one page of the mapping. The
    // guest's memory is plain bytes, which Rust code refers to by such raw accesses only.
    host(ram, physical).map(|entry| unsafe { entry.read_volatile() })
}

fn store(ram: &Ram, physical: u64, value: u64) {
    if let Some(entry) = host(ram, physical) {
        // SAFETY: as in `read`.
        unsafe { entry.write_volatile(value) };
    }
}
