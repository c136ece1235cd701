//! The translation look-aside buffer: linear pages to host pages.
//!
//! A hit costs one comparison. An entry holds the first address of its linear page; an access of `n` bytes
//! hits if `linear - page <= 4096 - n` without borrow, which says at once that the page is right and that
//! the access does not leave it, aligned or not.
//!
//! **Determinism.** What is in the buffer is a function of the accesses and flushes before, which are those
//! of the guest alone: nothing in here looks at the host. It may hold translations that the guest has since
//! changed in memory without a flush, as a processor may (Intel SDM volume 3, 5.10.4.3). A machine
//! that was restored from a saved state begins with an empty one; the machine that was saved is flushed at
//! that point too, so that both go on alike.

use std::mem::offset_of;

use super::walk::PageKind;
use super::{Kind, PAGE_BITS, PAGE_SIZE};

/// Entries of each table; there is one for each kind of access in each mode.
const ENTRIES: usize = 512;
/// Reads and writes. Fetches have a memory of their own: [`fetches`](super::fetches).
const KINDS: usize = 2;
const MODES: usize = 3;

#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Entry {
    /// The linear page's first address. In an empty entry, one that no access to this entry can match.
    page: u64,
    /// What to add to a linear address to get the host's.
    offset: u64,
}

/// Who accesses: ring 3, or the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Rings 0 to 2, and implicit accesses to descriptor tables.
    Supervisor,
    /// Ring 3.
    User,
    /// Ring 3 with alignment checks, which the slow path makes: no data is ever remembered for this mode.
    UserAligned,
}

type Table = [Entry; ENTRIES];

const _: () = assert!(size_of::<Entry>().is_power_of_two() && size_of::<[Table; KINDS]>().is_power_of_two());

/// The buffer.
#[derive(Debug)]
pub(crate) struct Tlb {
    tables: Box<[[Table; KINDS]; MODES]>,
    /// Which entries were filled since the last flush: with translations of one address space only, and with
    /// those of all (global pages, Intel SDM volume 3, 5.10.2.4). So a flush costs as much as was done since
    /// the last one.
    local: Vec<Slot>,
    global: Vec<Slot>,
}

/// The place of an entry.
#[derive(Clone, Copy, Debug)]
struct Slot {
    mode: Mode,
    kind: Kind,
    index: u16,
}

/// The entry that a linear address belongs to.
#[inline]
fn index(linear: u64) -> usize {
    (linear >> PAGE_BITS) as usize % ENTRIES
}

/// An entry at `index` that nothing matches: its page belongs to the entry's neighbour.
fn empty(index: usize) -> Entry {
    Entry { page: ((index ^ 1) as u64) << PAGE_BITS, offset: 0 }
}

/// How [`Tlb::lookup`] finds an entry of the tables for one kind of access, for native code that does the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The tables of a mode begin at its number, shifted by this.
    pub(crate) mode_bits: u32,
    /// The entry of a linear address is there where the address, shifted right by this and masked, says.
    pub(crate) index_shift: u32,
    pub(crate) index_mask: usize,
    /// Where an entry's fields are, from there on.
    pub(crate) page: usize,
    pub(crate) offset: usize,
}

impl Tlb {
    /// Where in this structure the pointer to the tables is.
    pub(crate) const TABLES: usize = offset_of!(Self, tables);

    /// Where entries for one kind of access are.
    pub(crate) fn layout(kind: Kind) -> Layout {
        let entry = size_of::<Entry>();
        let table = kind as usize * size_of::<Table>();
        Layout {
            mode_bits: size_of::<[Table; KINDS]>().ilog2(),
            index_shift: PAGE_BITS - entry.ilog2(),
            index_mask: (ENTRIES - 1) * entry,
            page: table + offset_of!(Entry, page),
            offset: table + offset_of!(Entry, offset),
        }
    }

    /// An empty buffer.
    pub(crate) fn new() -> Self {
        let table: Table = std::array::from_fn(empty);
        Self { tables: Box::new([[table; KINDS]; MODES]), local: Vec::new(), global: Vec::new() }
    }

    /// Where the `bytes` bytes of data at `linear` are in host memory, if the buffer knows and they are in one
    /// page.
    #[inline]
    pub(crate) fn lookup(&self, mode: Mode, kind: Kind, linear: u64, bytes: usize) -> Option<*mut u8> {
        debug_assert!(kind != Kind::Fetch, "fetches are looked up by their own function");
        self.find(mode, kind, linear, bytes).map(|host| host as usize as *mut u8)
    }

    #[inline]
    fn find(&self, mode: Mode, kind: Kind, linear: u64, bytes: usize) -> Option<u64> {
        let entry = &self.tables[mode as usize][kind as usize][index(linear)];
        let hit = linear.wrapping_sub(entry.page) <= PAGE_SIZE - bytes as u64;
        hit.then(|| entry.offset.wrapping_add(linear))
    }

    /// Remembers where the page of a linear address is in host memory.
    pub(crate) fn insert(&mut self, mode: Mode, kind: Kind, linear: u64, host_page: *mut u8, page: PageKind) {
        assert!(mode != Mode::UserAligned, "accesses in this mode must be seen by the slow path");
        self.fill(mode, kind, linear, host_page as usize as u64, page);
    }

    fn fill(&mut self, mode: Mode, kind: Kind, linear: u64, target: u64, of: PageKind) {
        let filled = if of.is_global { &self.global } else { &self.local };
        // An entry may be in a list more than once, but not without end.
        if filled.len() == ENTRIES * KINDS * MODES {
            self.flush();
        }
        let (page, index) = (linear & !(PAGE_SIZE - 1), index(linear));
        self.tables[mode as usize][kind as usize][index] = Entry { page, offset: target.wrapping_sub(page) };
        let filled = if of.is_global { &mut self.global } else { &mut self.local };
        filled.push(Slot { mode, kind, index: index as u16 });
    }

    /// Forgets everything.
    pub(crate) fn flush(&mut self) {
        self.flush_local();
        Self::drain(&mut self.tables, &mut self.global);
    }

    /// Forgets everything but global pages.
    pub(crate) fn flush_local(&mut self) {
        Self::drain(&mut self.tables, &mut self.local);
    }

    fn drain(tables: &mut [[Table; KINDS]; MODES], filled: &mut Vec<Slot>) {
        for slot in filled.drain(..) {
            let index = usize::from(slot.index);
            tables[slot.mode as usize][slot.kind as usize][index] = empty(index);
        }
    }

    /// Forgets the piece of 4 KiB that a linear address is in.
    pub(crate) fn flush_page(&mut self, linear: u64) {
        let (page, at) = (linear & !(PAGE_SIZE - 1), index(linear));
        for table in self.tables.iter_mut().flatten() {
            if table[at].page == page {
                table[at] = empty(at);
            }
        }
    }

    /// Forgets all translations for writing to a page of host memory.
    pub(crate) fn flush_writes_to(&mut self, host_page: *mut u8) {
        for mode in self.tables.iter_mut() {
            for (at, entry) in mode[Kind::Write as usize].iter_mut().enumerate() {
                if entry.page.wrapping_add(entry.offset) == host_page as usize as u64 {
                    *entry = empty(at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_buffer_knows_no_address() {
        let tlb = Tlb::new();
        for page in 0..2 * ENTRIES as u64 {
            for offset in [0, 1, 4095] {
                let linear = page << PAGE_BITS | offset;
                assert_eq!(tlb.lookup(Mode::User, Kind::Read, linear, 1), None, "{linear:#x}");
            }
        }
    }

    proptest! {
        #[test]
        fn an_access_hits_exactly_within_the_page(page: u64, linear: u64, near: bool, bytes in prop_oneof![Just(1usize), Just(2), Just(4), Just(8), Just(16)]) {
            let page = page & !0xfff;
            let linear = if near { page.wrapping_add(linear % 8192).wrapping_sub(2048) } else { linear };
            let mut tlb = Tlb::new();
            let mut memory = vec![0u8; 4096];
            tlb.insert(Mode::User, Kind::Write, page, memory.as_mut_ptr(), PageKind { is_global: false, bits: 12 });
            let within = linear & !0xfff == page && (linear & 0xfff) + bytes as u64 <= 4096;
            let found = tlb.lookup(Mode::User, Kind::Write, linear, bytes);
            prop_assert_eq!(found.is_some(), within);
            if let Some(found) = found {
                prop_assert_eq!(found as usize - memory.as_ptr() as usize, (linear & 0xfff) as usize);
            }
            prop_assert!(tlb.lookup(Mode::Supervisor, Kind::Write, linear, bytes).is_none());
            prop_assert!(tlb.lookup(Mode::User, Kind::Read, linear, bytes).is_none());
            tlb.flush_page(page);
            prop_assert!(tlb.lookup(Mode::User, Kind::Write, linear, bytes).is_none());
        }
    }

    #[test]
    fn global_pages_outlive_a_change_of_the_address_space() {
        let mut tlb = Tlb::new();
        let mut memory = vec![0u8; 4096];
        let host = memory.as_mut_ptr();
        tlb.insert(Mode::Supervisor, Kind::Read, 0x1000, host, PageKind { is_global: true, bits: 12 });
        tlb.insert(Mode::Supervisor, Kind::Read, 0x2000, host, PageKind { is_global: false, bits: 12 });
        let known =
            |tlb: &Tlb| [0x1000, 0x2000].map(|at| tlb.lookup(Mode::Supervisor, Kind::Read, at, 1).is_some());
        assert_eq!(known(&tlb), [true, true]);
        tlb.flush_local();
        assert_eq!(known(&tlb), [true, false]);
        tlb.flush();
        assert_eq!(known(&tlb), [false, false]);
    }

    #[test]
    fn writes_to_one_page_are_forgotten_under_all_its_addresses() {
        let mut tlb = Tlb::new();
        let mut memory = vec![0u8; 8192];
        let host = memory.as_mut_ptr();
        tlb.insert(Mode::User, Kind::Write, 0x1000, host, PageKind { is_global: false, bits: 12 });
        tlb.insert(Mode::Supervisor, Kind::Write, 0x7000, host, PageKind { is_global: true, bits: 12 });
        tlb.insert(Mode::User, Kind::Read, 0x1000, host, PageKind { is_global: false, bits: 12 });
        tlb.insert(
            Mode::User,
            Kind::Write,
            0x2000,
            host.wrapping_add(4096),
            PageKind { is_global: false, bits: 12 },
        );
        tlb.flush_writes_to(host);
        assert!(tlb.lookup(Mode::User, Kind::Write, 0x1000, 1).is_none());
        assert!(tlb.lookup(Mode::Supervisor, Kind::Write, 0x7000, 1).is_none());
        assert!(tlb.lookup(Mode::User, Kind::Read, 0x1000, 1).is_some());
        assert!(tlb.lookup(Mode::User, Kind::Write, 0x2000, 1).is_some());
    }

    #[test]
    fn a_flush_finds_every_entry_however_many_were_filled() {
        let mut tlb = Tlb::new();
        let mut memory = vec![0u8; 4096];
        let local = PageKind { is_global: false, bits: 12 };
        for page in 0..=(ENTRIES * KINDS * MODES) as u64 {
            tlb.insert(Mode::User, Kind::Read, page << PAGE_BITS, memory.as_mut_ptr(), local);
        }
        let last = ((ENTRIES * KINDS * MODES) as u64) << PAGE_BITS;
        assert!(tlb.lookup(Mode::User, Kind::Read, last, 1).is_some());
        tlb.flush_local();
        assert!(tlb.lookup(Mode::User, Kind::Read, last, 1).is_none());
    }
}
