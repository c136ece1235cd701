//! Which large pages translations are remembered of.
//!
//! Translations are remembered in pieces of 4 KiB, in more than one place. When the guest makes the processor
//! forget the page of one address and that page is larger, all its pieces must go (Intel SDM volume 3, 5.10.4.1).

use rustc_hash::FxHashSet;

use super::PAGE_BITS;
use super::walk::PageKind;

/// How many large pages are noted at most.
const MOST: usize = 4096;

/// Pages of 2 MiB and 1 GiB, pieces of which were remembered since everything was forgotten: their numbers, and
/// log2 of their sizes.
#[derive(Debug, Default)]
pub(super) struct LargePages(FxHashSet<(u64, u32)>);

impl LargePages {
    /// Whether there is no room for another one: everything must be forgotten first.
    pub(super) fn are_full(&self) -> bool {
        self.0.len() == MOST
    }

    /// Notes that a piece of a page is about to be remembered.
    pub(super) fn note(&mut self, linear: u64, page: PageKind) {
        if page.bits > PAGE_BITS {
            self.0.insert((linear >> page.bits, page.bits));
        }
    }

    /// Whether an address is in a large page that was noted.
    pub(super) fn contain(&self, linear: u64) -> bool {
        [21, 30].into_iter().any(|bits| self.0.contains(&(linear >> bits, bits)))
    }

    /// Everything was forgotten.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
