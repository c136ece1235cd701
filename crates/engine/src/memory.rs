//! The guest's RAM as engines and devices share it.
//!
//! An engine that keeps something derived from guest memory, such as decoded instructions, must learn of
//! writes that are not its own: those of devices and of the loader. They all go through [`GuestRam`], which
//! notes the pages that they touch ([`WrittenPages`]). What an engine itself writes, by pointers of its own,
//! is not noted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use vm_memory::GuestMemoryMmap;
use vm_memory::bitmap::{Bitmap, BitmapSlice, NewBitmap, WithBitmapSlice};

/// Guest RAM: regions of host memory, each mapped at a guest-physical address.
///
/// Cloning is cheap and yields another handle to the same bytes. Only the vCPU thread may touch them
/// (rule 1 of the design); the type does not enforce that, the one vCPU loop does.
pub type GuestRam = GuestMemoryMmap<WrittenPages>;

/// log2 of the size of a page: 4 KiB.
const PAGE_BITS: u32 = 12;

/// The pages of one region of guest RAM that somebody other than the engine wrote to.
#[derive(Clone, Default, Debug)]
pub struct WrittenPages {
    shared: Arc<Shared>,
    /// Where this slice of the region begins, in bytes.
    start: usize,
}

#[derive(Default, Debug)]
struct Shared {
    /// One bit a page.
    pages: Box<[AtomicU64]>,
    /// Whether any of them is set. Atomics are for the type's sake: one thread touches guest memory.
    any: AtomicBool,
}

impl WrittenPages {
    /// Calls `visit` with the number, within the region, of each page that was written to since the last
    /// call.
    pub fn take(&self, mut visit: impl FnMut(u64)) {
        if !self.shared.any.swap(false, Ordering::Relaxed) {
            return;
        }
        for (at, word) in self.shared.pages.iter().enumerate() {
            let mut bits =
                if word.load(Ordering::Relaxed) == 0 { 0 } else { word.swap(0, Ordering::Relaxed) };
            while bits != 0 {
                visit(at as u64 * 64 + u64::from(bits.trailing_zeros()));
                bits &= bits - 1;
            }
        }
    }
}

impl NewBitmap for WrittenPages {
    fn with_len(bytes: usize) -> Self {
        let words = bytes.div_ceil(64 << PAGE_BITS);
        let pages = std::iter::repeat_with(AtomicU64::default).take(words).collect();
        Self { shared: Arc::new(Shared { pages, any: AtomicBool::new(false) }), start: 0 }
    }
}

impl WithBitmapSlice<'_> for WrittenPages {
    type S = Self;
}

impl BitmapSlice for WrittenPages {}

impl Bitmap for WrittenPages {
    fn mark_dirty(&self, offset: usize, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let first = (self.start + offset) >> PAGE_BITS;
        let last = (self.start + offset + bytes - 1) >> PAGE_BITS;
        for page in first..=last {
            self.shared.pages[page / 64].fetch_or(1 << (page % 64), Ordering::Relaxed);
        }
        self.shared.any.store(true, Ordering::Relaxed);
    }

    fn dirty_at(&self, offset: usize) -> bool {
        let page = (self.start + offset) >> PAGE_BITS;
        self.shared.pages[page / 64].load(Ordering::Relaxed) >> (page % 64) & 1 != 0
    }

    fn slice_at(&self, offset: usize) -> Self {
        Self { shared: Arc::clone(&self.shared), start: self.start + offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

    fn written(ram: &GuestRam) -> Vec<u64> {
        let mut pages = Vec::new();
        ram.iter()
            .for_each(|region| vm_memory::GuestMemoryRegion::bitmap(region).take(|page| pages.push(page)));
        pages
    }

    #[test]
    fn every_page_that_a_write_touches_is_told_once() {
        let ram = GuestRam::from_ranges(&[(GuestAddress(0x10_0000), 0x10_0000)]).unwrap();
        assert!(written(&ram).is_empty());
        ram.write_slice(&[1; 0x2001], GuestAddress(0x10_0fff)).unwrap();
        ram.write_obj(7u8, GuestAddress(0x1f_ffff)).unwrap();
        assert_eq!(written(&ram), [0, 1, 2, 255]);
        assert!(written(&ram).is_empty());
    }

    #[test]
    fn reads_are_not_told() {
        let ram = GuestRam::from_ranges(&[(GuestAddress(0), 0x1000)]).unwrap();
        let _: u64 = ram.read_obj(GuestAddress(8)).unwrap();
        assert!(written(&ram).is_empty());
    }
}
