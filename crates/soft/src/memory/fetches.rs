//! Where code pages are, for as long as their translations hold.
//!
//! Everything that remembers where code is (the jump cache, links between native blocks) may forget it at any
//! time, for reasons of its own. So that nobody can see when, the translations themselves are kept here, all of
//! them, until the guest makes the processor forget them. A page is walked to for its first instruction, and not
//! again.

use rustc_hash::FxHashMap;

use super::PAGE_BITS;
use super::circumstances::Flush;
use super::tlb::Mode;
use super::walk::PageKind;

/// How many pages of either kind are remembered at most.
const MOST: usize = 1 << 16;

/// Physical addresses of code pages, by who fetches and by page number.
type Pages = FxHashMap<(bool, u64), u64>;

/// The translations of code pages.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    local: Pages,
    global: Pages,
}

/// Alignment checks make no difference to fetches.
fn key(mode: Mode, linear: u64) -> (bool, u64) {
    (mode == Mode::Supervisor, linear >> PAGE_BITS)
}

impl Fetches {
    /// The physical address of the instruction byte at `linear`, and whether its page is global.
    pub(super) fn lookup(&self, mode: Mode, linear: u64) -> Option<(u64, bool)> {
        let key = key(mode, linear);
        let local = self.local.get(&key).map(|page| (page, false));
        let (page, is_global) = local.or_else(|| self.global.get(&key).map(|page| (page, true)))?;
        Some((page | linear & ((1 << PAGE_BITS) - 1), is_global))
    }

    /// Whether there is no room for another page: everything must be forgotten first.
    pub(super) fn are_full(&self) -> bool {
        self.local.len().max(self.global.len()) == MOST
    }

    /// Remembers where a page is.
    pub(super) fn insert(&mut self, mode: Mode, linear: u64, physical: u64, kind: PageKind) {
        let pages = if kind.is_global { &mut self.global } else { &mut self.local };
        pages.insert(key(mode, linear), physical >> PAGE_BITS << PAGE_BITS);
    }

    /// Forgets all, or all but global pages.
    pub(super) fn flush(&mut self, flush: Flush) {
        self.local.clear();
        if flush == Flush::All {
            self.global.clear();
        }
    }

    /// Forgets the piece of 4 KiB that a linear address is in.
    pub(super) fn flush_page(&mut self, linear: u64) {
        for mode in [Mode::Supervisor, Mode::User] {
            self.local.remove(&key(mode, linear));
            self.global.remove(&key(mode, linear));
        }
    }
}
