//! The guest-physical address space.
//!
//! | from | to | what |
//! | --- | --- | --- |
//! | 0 | 640 KiB | RAM; boot data lives here, see [`layout`] |
//! | 640 KiB | 1 MiB | RAM that the guest is told not to use, as on any PC |
//! | 1 MiB | 3.25 GiB at most | RAM; the kernel low, the initramfs at the end |
//! | 3.25 GiB | 4 GiB | devices; whatever does not answer is open bus |
//! | 4 GiB | | the rest of RAM, if there is more than 3.25 GiB |

use std::fs::File;
use std::ops::Range;

use outlive_engine::GuestRam;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vm_memory::{
    Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryRegion, MemoryRegionAddress,
};

use crate::host::sparse;

/// The size of a page.
pub const PAGE_SIZE: usize = 4096;

/// Where boot data lies in low memory. None of it is wider than the gap to the next one.
pub mod layout {
    /// The global descriptor table that the guest starts with.
    pub const GDT: u64 = 0x500;
    /// `boot_params`, the zero page of the Linux boot protocol.
    pub const BOOT_PARAMS: u64 = 0x7000;
    /// The stack pointer that the guest starts with.
    pub const STACK_TOP: u64 = 0x8ff0;
    /// Page tables: a PML4, a page-directory-pointer table, four page directories.
    pub const PAGE_TABLES: u64 = 0x9000;
    /// The `setup_data` entry with the random seed.
    pub const SETUP_DATA: u64 = 0x1_0000;
    /// The command line.
    pub const COMMAND_LINE: u64 = 0x2_0000;
    /// Most bytes of the command line, its NUL included: what Linux accepts (`COMMAND_LINE_SIZE`).
    pub const COMMAND_LINE_CAPACITY: usize = 2048;
    /// The end of usable low memory, where firmware would keep its own data.
    pub const LOW_RAM_END: u64 = 0x9_fc00;
    /// The ACPI tables, where kernels look for them on any PC.
    pub const ACPI_TABLES: u64 = 0xe_0000;
    /// Where memory begins that the guest may use freely.
    pub const HIGH_RAM_START: u64 = 0x10_0000;
    /// Where the hole for devices begins.
    pub const DEVICE_HOLE_START: u64 = 0xd000_0000;
    /// Where the hole for devices ends.
    pub const DEVICE_HOLE_END: u64 = 0x1_0000_0000;
}

/// The size of guest RAM in bytes: a multiple of 1 MiB, from 2 MiB to 512 GiB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RamSize(u64);

impl RamSize {
    const MEBIBYTE: u64 = 1 << 20;
    const MINIMUM: u64 = 2 * Self::MEBIBYTE;
    const MAXIMUM: u64 = 512 << 30;

    /// Checks a size in bytes.
    ///
    /// # Errors
    /// When it is not one that a machine can have.
    pub fn from_bytes(bytes: u64) -> Result<Self, MemoryError> {
        let fits = (Self::MINIMUM..=Self::MAXIMUM).contains(&bytes) && bytes.is_multiple_of(Self::MEBIBYTE);
        if fits { Ok(Self(bytes)) } else { Err(MemoryError::Size(bytes)) }
    }

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Bytes of RAM below the device hole.
    pub fn below_hole(self) -> u64 {
        self.0.min(layout::DEVICE_HOLE_START)
    }

    /// Bytes of RAM above the device hole.
    pub fn above_hole(self) -> u64 {
        self.0 - self.below_hole()
    }
}

/// Creates guest RAM of zeros, backed by an anonymous file, so that a helper process can map it too.
///
/// # Errors
/// When the host has not that much to give.
pub fn create_ram(size: RamSize) -> Result<GuestRam, MemoryError> {
    let allocate = |source| MemoryError::Allocate { bytes: size.bytes(), source };
    let descriptor =
        memfd_create("outlive-guest-ram", MemfdFlags::CLOEXEC).map_err(|e| allocate(e.into()))?;
    ftruncate(&descriptor, size.bytes()).map_err(|e| allocate(e.into()))?;
    let file = File::from(descriptor);
    let mut ranges = Vec::with_capacity(2);
    let mut offset = 0;
    for (start, bytes) in [(0, size.below_hole()), (layout::DEVICE_HOLE_END, size.above_hole())] {
        if bytes > 0 {
            let backing = file.try_clone().map_err(allocate)?;
            ranges.push((GuestAddress(start), bytes as usize, Some(FileOffset::new(backing, offset))));
            offset += bytes;
        }
    }
    GuestRam::from_ranges_with_files(ranges)
        .map_err(|source| MemoryError::Map { bytes: size.bytes(), source: Box::new(source) })
}

/// Calls `visit` with the number and the contents of each page that is not all zeros, lowest address first.
/// Memory that the host has never given to the guest is not even looked at, which would claim it.
pub fn visit_pages(ram: &GuestRam, mut visit: impl FnMut(u64, &[u8])) {
    let mut page = [0; PAGE_SIZE];
    for region in ram.iter() {
        let first = region.start_addr().0 / PAGE_SIZE as u64;
        let mut from = 0;
        while let Some(data) = next_data(region, from) {
            for number in data.start / PAGE_SIZE as u64..data.end.div_ceil(PAGE_SIZE as u64) {
                let start = MemoryRegionAddress(number * PAGE_SIZE as u64);
                region.read_slice(&mut page, start).expect("regions are made of whole pages");
                if page != [0; PAGE_SIZE] {
                    visit(first + number, &page);
                }
            }
            from = data.end;
        }
    }
}

/// The next part of a region, from offset `from` on, that may hold other than zeros: the bytes that the backing
/// file has there.
fn next_data(region: &impl GuestMemoryRegion, from: u64) -> Option<Range<u64>> {
    let end = region.len();
    let Some(backing) = region.file_offset() else { return (from < end).then_some(from..end) };
    let start = backing.start();
    let data = sparse::next_data(backing.file(), start + from..start + end)?;
    Some(data.start - start..data.end - start)
}

/// What can go wrong with guest RAM.
#[derive(thiserror::Error, Debug)]
pub enum MemoryError {
    /// No machine has this much.
    #[error("{0} bytes is not a size for guest memory: give a multiple of 1 MiB from 2 MiB to 512 GiB")]
    Size(u64),
    /// The host refused to create the backing file.
    #[error("the host did not provide {bytes} bytes for guest memory")]
    Allocate {
        /// How much was asked for.
        bytes: u64,
        /// What the host said.
        source: std::io::Error,
    },
    /// The host refused to map it.
    #[error("the host did not map {bytes} bytes of guest memory")]
    Map {
        /// How much was asked for.
        bytes: u64,
        /// What the host said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_leaves_the_device_hole_free() {
        let size = RamSize::from_bytes(4 << 30).unwrap();
        let ram = create_ram(size).unwrap();
        let regions: Vec<_> = ram.iter().map(|r| (r.start_addr().0, r.len())).collect();
        let above = (4 << 30) - layout::DEVICE_HOLE_START;
        assert_eq!(regions, [(0, layout::DEVICE_HOLE_START), (layout::DEVICE_HOLE_END, above)]);
    }

    #[test]
    fn sizes_that_no_machine_has_are_refused() {
        for bytes in [0, 1 << 20, (2 << 20) + 1, 1 << 40] {
            assert!(RamSize::from_bytes(bytes).is_err(), "{bytes}");
        }
    }

    #[test]
    fn pages_that_hold_something_are_visited_in_order_on_both_sides_of_the_hole() {
        let ram = create_ram(RamSize::from_bytes(layout::DEVICE_HOLE_START + (4 << 20)).unwrap()).unwrap();
        let last = layout::DEVICE_HOLE_END + (4 << 20) - 1;
        for address in
            [0x5000, 0x4fff, 0x9_0000, layout::DEVICE_HOLE_START - 1, layout::DEVICE_HOLE_END, last]
        {
            ram.write_obj(7u8, GuestAddress(address)).unwrap();
        }
        // Written, but not with anything else than there was.
        ram.write_obj(0u8, GuestAddress(0x7000)).unwrap();
        let mut seen = Vec::new();
        visit_pages(&ram, |page, contents| {
            assert_eq!(contents.iter().filter(|&&byte| byte != 0).count(), 1);
            seen.push(page);
        });
        assert_eq!(seen, [4, 5, 0x90, 0xc_ffff, 0x10_0000, 0x10_03ff]);
    }

    #[test]
    fn memory_without_a_backing_file_is_visited_too() {
        let ram = GuestRam::from_ranges(&[(GuestAddress(0), 1 << 20)]).unwrap();
        ram.write_obj(7u8, GuestAddress(0xf_ffff)).unwrap();
        let mut seen = Vec::new();
        visit_pages(&ram, |page, _| seen.push(page));
        assert_eq!(seen, [0xff]);
    }

    #[test]
    fn looking_at_memory_claims_none_of_the_host() {
        let ram = create_ram(RamSize::from_bytes(64 << 20).unwrap()).unwrap();
        visit_pages(&ram, |_, _| panic!("there is nothing"));
        let blocks = |ram: &GuestRam| {
            let region = ram.iter().next().unwrap();
            rustix::fs::fstat(region.file_offset().unwrap().file()).unwrap().st_blocks
        };
        assert_eq!(blocks(&ram), 0);
    }
}
