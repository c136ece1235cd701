//! Guest RAM as host memory, and which of its pages hold decoded code.

use outlive_engine::GuestRam;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion, MemoryRegionAddress};

use super::{PAGE_BITS, PAGE_SIZE};

/// RAM, page by page.
#[derive(Debug)]
pub(crate) struct Ram {
    /// Keeps the mappings alive that the regions point into, and knows what others write.
    ram: GuestRam,
    regions: Vec<Region>,
}

/// Contiguous pages.
#[derive(Debug)]
struct Region {
    first_page: u64,
    pages: u64,
    host: *mut u8,
    /// One bit a page: whether instructions were decoded from it.
    code: Vec<u64>,
}

impl Region {
    /// Whether instructions were decoded from the page with this number within the region.
    #[inline]
    fn has_code(&self, page: u64) -> bool {
        self.code[(page / 64) as usize] >> (page % 64) & 1 != 0
    }
}

// SAFETY: the pointer is into a mapping that lives as long as the region's owner; a `Ram` is used by one
// thread at a time, and moving it to another one does not move the mapping.
unsafe impl Send for Region {}

/// A page of RAM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    /// Its first byte in host memory.
    pub(crate) host: *mut u8,
    /// Whether instructions were decoded from it: a write must be told to the decoder.
    pub(crate) has_code: bool,
}

impl Ram {
    /// Takes the regions of guest memory; they must begin and end at page boundaries.
    pub(crate) fn new(ram: &GuestRam) -> Self {
        let regions = ram.iter().map(|region| {
            let (start, bytes) = (region.start_addr().raw_value(), region.len());
            assert!((start | bytes).is_multiple_of(PAGE_SIZE), "RAM is made of whole pages");
            let host = region.get_host_address(MemoryRegionAddress(0)).expect("a region has a first byte");
            let pages = bytes >> PAGE_BITS;
            let code = vec![0; pages.div_ceil(64) as usize];
            Region { first_page: start >> PAGE_BITS, pages, host, code }
        });
        Self { regions: regions.collect(), ram: ram.clone() }
    }

    /// The page with number `page`; `None` if there is no RAM.
    #[inline]
    pub(crate) fn page(&self, page: u64) -> Option<Page> {
        let (region, offset) = self.locate(page)?;
        // SAFETY: `locate` keeps the offset within the region's mapping.
        let host = unsafe { region.host.add((offset << PAGE_BITS) as usize) };
        Some(Page { host, has_code: region.has_code(offset) })
    }

    /// Notes that instructions are decoded from `page`, or are no more.
    pub(crate) fn set_code(&mut self, page: u64, has_code: bool) {
        let place = self.locate(page).map(|(region, offset)| (region.first_page, offset));
        let Some((first, offset)) = place else { return };
        let region = self.regions.iter_mut().find(|region| region.first_page == first);
        let region = region.expect("it was found a moment ago");
        let (word, bit) = ((offset / 64) as usize, 1 << (offset % 64));
        region.code[word] = if has_code { region.code[word] | bit } else { region.code[word] & !bit };
    }

    /// No page holds decoded code any more.
    pub(crate) fn forget_code(&mut self) {
        self.regions.iter_mut().for_each(|region| region.code.fill(0));
    }

    /// Adds the numbers of the pages with decoded code that somebody else wrote to since the last call.
    pub(crate) fn take_foreign_writes(&self, written_code: &mut Vec<u64>) {
        for (region, handle) in self.regions.iter().zip(self.ram.iter()) {
            handle.bitmap().take(|page| {
                if region.has_code(page) {
                    written_code.push(region.first_page + page);
                }
            });
        }
    }

    /// The bytes from a physical address on, at most `bytes` and not beyond its page.
    pub(crate) fn copy(&self, physical: u64, bytes: usize) -> Vec<u8> {
        let Some(page) = self.page(physical >> PAGE_BITS) else { return Vec::new() };
        let offset = (physical % PAGE_SIZE) as usize;
        let mut copy = vec![0; bytes.min(PAGE_SIZE as usize - offset)];
        // SAFETY: the bytes lie within one page of the mapping.
        unsafe { page.host.add(offset).copy_to_nonoverlapping(copy.as_mut_ptr(), copy.len()) };
        copy
    }

    #[inline]
    fn locate(&self, page: u64) -> Option<(&Region, u64)> {
        self.regions.iter().find_map(|region| {
            let offset = page.wrapping_sub(region.first_page);
            (offset < region.pages).then_some((region, offset))
        })
    }
}
