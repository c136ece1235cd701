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

use outlive_engine::GuestRam;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vm_memory::{FileOffset, GuestAddress};

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
    use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};

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
}
