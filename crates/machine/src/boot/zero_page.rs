//! `boot_params`: what the guest is told about its machine (Linux `Documentation/arch/x86/boot.rst` and
//! `zero-page.rst`).

use linux_loader::configurator::linux::LinuxBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::bootparam::{boot_params, setup_header};
use outlive_engine::GuestRam;
use vm_memory::{Bytes, GuestAddress};

use super::BootError;
use crate::memory::{RamSize, layout};

/// `boot_flag` and `header` of a setup header.
const BOOT_FLAG: u16 = 0xaa55;
const HEADER_MAGIC: u32 = u32::from_le_bytes(*b"HdrS");
/// A boot loader that has no number of its own.
const LOADER_UNDEFINED: u8 = 0xff;
/// The version of the protocol: 2.15.
const PROTOCOL_VERSION: u16 = 0x020f;
/// Linux kernels are aligned to this.
const KERNEL_ALIGNMENT: u32 = 0x100_0000;
/// Kinds of memory in an E820 table.
const E820_RAM: u32 = 1;
const E820_RESERVED: u32 = 2;
/// A `setup_data` entry that seeds the random pool.
const SETUP_RNG_SEED: u32 = 9;

/// A module in guest memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Module {
    /// Its first byte, below 4 GiB.
    pub start: u32,
    /// Its length.
    pub bytes: u32,
}

/// What the zero page is made from.
#[derive(Debug)]
pub struct ZeroPage<'a> {
    /// What the kernel says of itself.
    pub header: setup_header,
    /// The command line.
    pub command_line: &'a str,
    /// The initramfs, if there is one.
    pub initramfs: Option<Module>,
    /// The seed for the guest's random pool.
    pub random_seed: [u8; 32],
    /// The size of RAM.
    pub ram: RamSize,
}

impl ZeroPage<'_> {
    /// Writes `boot_params`, the command line and the random seed.
    ///
    /// # Errors
    /// When the command line is not acceptable.
    pub fn write(&self, ram: &GuestRam) -> Result<(), BootError> {
        self.write_command_line(ram)?;
        self.write_seed(ram)?;
        let params = self.params();
        let params = BootParams::new(&params, GuestAddress(layout::BOOT_PARAMS));
        LinuxBootConfigurator::write_bootparams(&params, ram).map_err(BootError::ZeroPage)
    }

    fn write_command_line(&self, ram: &GuestRam) -> Result<(), BootError> {
        let line = self.command_line.as_bytes();
        let most = (layout::COMMAND_LINE_CAPACITY - 1).min(self.header.cmdline_size as usize);
        if line.len() > most {
            return Err(BootError::CommandLineTooLong { length: line.len(), most });
        }
        if line.contains(&0) {
            return Err(BootError::CommandLineNul);
        }
        // Memory behind it is still zero, which ends it.
        ram.write_slice(line, GuestAddress(layout::COMMAND_LINE)).map_err(BootError::Memory)
    }

    /// `struct setup_data`: next, type, length, data.
    fn write_seed(&self, ram: &GuestRam) -> Result<(), BootError> {
        let mut entry = Vec::with_capacity(16 + self.random_seed.len());
        entry.extend_from_slice(&0u64.to_le_bytes());
        entry.extend_from_slice(&SETUP_RNG_SEED.to_le_bytes());
        entry.extend_from_slice(&(self.random_seed.len() as u32).to_le_bytes());
        entry.extend_from_slice(&self.random_seed);
        ram.write_slice(&entry, GuestAddress(layout::SETUP_DATA)).map_err(BootError::Memory)
    }

    fn params(&self) -> boot_params {
        let mut params =
            boot_params { acpi_rsdp_addr: layout::ACPI_TABLES, hdr: self.header, ..Default::default() };
        params.hdr.type_of_loader = LOADER_UNDEFINED;
        params.hdr.cmd_line_ptr = layout::COMMAND_LINE as u32;
        params.hdr.setup_data = layout::SETUP_DATA;
        if let Some(initramfs) = self.initramfs {
            params.hdr.ramdisk_image = initramfs.start;
            params.hdr.ramdisk_size = initramfs.bytes;
        }
        for (start, end, kind) in memory_map(self.ram) {
            let slot = usize::from(params.e820_entries);
            params.e820_table[slot].addr = start;
            params.e820_table[slot].size = end - start;
            params.e820_table[slot].r#type = kind;
            params.e820_entries += 1;
        }
        params
    }
}

/// What stands for the setup header of an ELF kernel, which has none.
pub fn header_of_elf() -> setup_header {
    setup_header {
        boot_flag: BOOT_FLAG,
        header: HEADER_MAGIC,
        version: PROTOCOL_VERSION,
        kernel_alignment: KERNEL_ALIGNMENT,
        initrd_addr_max: u32::MAX,
        cmdline_size: layout::COMMAND_LINE_CAPACITY as u32 - 1,
        ..Default::default()
    }
}

/// The E820 table: start, end, kind.
fn memory_map(ram: RamSize) -> Vec<(u64, u64, u32)> {
    let mut map = vec![
        (0, layout::LOW_RAM_END, E820_RAM),
        (layout::LOW_RAM_END, layout::HIGH_RAM_START, E820_RESERVED),
        (layout::HIGH_RAM_START, ram.below_hole(), E820_RAM),
    ];
    if ram.above_hole() > 0 {
        let end = layout::DEVICE_HOLE_END + ram.above_hole();
        map.push((layout::DEVICE_HOLE_END, end, E820_RAM));
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::create_ram;

    fn page(command_line: &str) -> ZeroPage<'_> {
        let ram = RamSize::from_bytes(8 << 20).unwrap();
        ZeroPage { header: header_of_elf(), command_line, initramfs: None, random_seed: [7; 32], ram }
    }

    #[test]
    fn the_guest_finds_command_line_memory_map_and_seed_where_the_protocol_says() {
        let page = page("console=ttyS0");
        let ram = create_ram(page.ram).unwrap();
        page.write(&ram).unwrap();
        let at = |offset: u64| GuestAddress(layout::BOOT_PARAMS + offset);
        let line: u32 = ram.read_obj(at(0x228)).unwrap();
        let mut text = [0u8; 14];
        ram.read_slice(&mut text, GuestAddress(line.into())).unwrap();
        assert_eq!(&text, b"console=ttyS0\0");
        assert_eq!(ram.read_obj::<u8>(at(0x1e8)).unwrap(), 3);
        assert_eq!(ram.read_obj::<u64>(at(0x2d0 + 40)).unwrap(), 1 << 20);
        assert_eq!(ram.read_obj::<u64>(at(0x2d0 + 48)).unwrap(), 7 << 20);
        let seed: u64 = ram.read_obj(at(0x250)).unwrap();
        assert_eq!(ram.read_obj::<u32>(GuestAddress(seed + 8)).unwrap(), SETUP_RNG_SEED);
        assert_eq!(ram.read_obj::<u8>(GuestAddress(seed + 16 + 31)).unwrap(), 7);
    }

    #[test]
    fn command_lines_that_the_guest_would_cut_are_refused() {
        let ram = create_ram(RamSize::from_bytes(8 << 20).unwrap()).unwrap();
        let long = "x".repeat(2048);
        assert!(matches!(page(&long).write(&ram), Err(BootError::CommandLineTooLong { .. })));
        assert!(matches!(page("a\0b").write(&ram), Err(BootError::CommandLineNul)));
        assert!(page(&long[..2047]).write(&ram).is_ok());
    }

    #[test]
    fn memory_beyond_the_hole_is_in_the_map() {
        let map = memory_map(RamSize::from_bytes(5 << 30).unwrap());
        assert_eq!(map[3], (1 << 32, (1 << 32) + (5 << 30) - layout::DEVICE_HOLE_START, E820_RAM));
    }
}
