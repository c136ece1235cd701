//! ACPI tables: what a distribution's kernel learns its virtio devices from.
//!
//! Linux finds virtio devices behind MMIO by words on its command line only if it was built to
//! (`CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES`). Distributions' kernels were not; they look for devices called
//! `LNRO0005` in the DSDT, so there is one such device for every slot that is taken. A kernel that looks at
//! both meets each device twice, but its driver takes the same registers only once. One with `acpi=off`
//! reads nothing of this.
//!
//! What else the tables say is as little as ACPI allows (ACPI 6.5, section 5.2.9). The hardware-reduced
//! kind of machine would fit, but Linux takes it for one without 8259 and 8254. So this one has ACPI's
//! fixed hardware by name: the power management timer is there, event and control registers are open
//! bus. All ones mean to a kernel that ACPI is switched on, and no interrupt ever asks it to look further.
//! There are no sleep states and hence no power-off; reset is the keyboard controller's.

use acpi_tables::Aml;
use acpi_tables::aml::{Device, Interrupt, Memory32Fixed, Name, Path, ResourceTemplate, Scope};
use acpi_tables::facs::FACS;
use acpi_tables::fadt::{FADT, FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use outlive_engine::GuestRam;
use outlive_engine::ports::PM_TIMER_PORT;
use vm_memory::{Bytes, GuestAddress};

use super::BootError;
use crate::memory::layout;
use crate::virtio::{SLOT_BASE, SLOT_BYTES, SLOT_IRQS};

/// Who made the tables.
const OEM: [u8; 6] = *b"OUTLIV";
const TABLE: [u8; 8] = *b"OUTLIVE ";
const REVISION: u32 = 1;
/// The revision of a DSDT whose integers have 64 bits.
const DSDT_REVISION: u8 = 2;
const HEADER_BYTES: u32 = 36;

/// Fixed hardware, in the layout that PIIX4 made customary: the timer is 8 ports behind the event block.
const EVENT_PORT: u16 = PM_TIMER_PORT - 8;
const CONTROL_PORT: u16 = PM_TIMER_PORT - 4;
/// No device has this line, which belonged to the coprocessor.
const SCI: u16 = 13;
/// The keyboard controller's reset line.
const RESET_PORT: u64 = 0x64;
const RESET_VALUE: u8 = 0xfe;

/// What IAPC_BOOT_ARCH says: devices on the ISA bus, no VGA, no MSI.
const BOOT_ARCHITECTURE: u16 = 1 | 1 << 2 | 1 << 3;
/// More than these microseconds mean that there is no such processor state.
const NO_C2: u16 = 101;
const NO_C3: u16 = 1001;

/// Where each table is. All are smaller than the gaps, and the FACS is aligned to 64.
const RSDP: u64 = layout::ACPI_TABLES;
const XSDT_AT: u64 = RSDP + 0x40;
const FACS_AT: u64 = RSDP + 0x80;
const FADT_AT: u64 = RSDP + 0x100;
const DSDT_AT: u64 = RSDP + 0x400;

/// Writes the tables for a machine with this many virtio devices.
///
/// # Errors
/// When guest memory is smaller than a machine's.
pub fn write(ram: &GuestRam, devices: usize) -> Result<(), BootError> {
    let mut xsdt = XSDT::new(OEM, TABLE, REVISION);
    xsdt.add_entry(FADT_AT);
    write_table(ram, RSDP, &Rsdp::new(OEM, XSDT_AT))?;
    write_table(ram, XSDT_AT, &xsdt)?;
    write_table(ram, FACS_AT, &FACS::new())?;
    write_table(ram, FADT_AT, &fadt())?;
    write_table(ram, DSDT_AT, &dsdt(devices))
}

fn write_table(ram: &GuestRam, at: u64, table: &dyn Aml) -> Result<(), BootError> {
    ram.write_slice(&encode(table), GuestAddress(at)).map_err(BootError::Memory)
}

fn encode(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

/// The machine's fixed hardware.
fn fadt() -> FADT {
    let reset = GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::ByteAccess, RESET_PORT);
    let mut table = FADTBuilder::new(OEM, TABLE, REVISION)
        .dsdt_32(DSDT_AT as u32)
        .firmware_ctrl_32(FACS_AT as u32)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        // No button and no alarm clock among the fixed hardware.
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton)
        .flag(Flags::FixRtc)
        .flag(Flags::ResetRegSup)
        .flag(Flags::Headless);
    table.sci_int = SCI.into();
    table.pm1a_evt_blk = u32::from(EVENT_PORT).into();
    table.pm1_evt_len = 4;
    table.pm1a_cnt_blk = u32::from(CONTROL_PORT).into();
    table.pm1_cnt_len = 2;
    table.pm_tmr_blk = u32::from(PM_TIMER_PORT).into();
    table.pm_tmr_len = 4;
    table.p_lvl2_lat = NO_C2.into();
    table.p_lvl3_lat = NO_C3.into();
    table.iapc_boot_arch = BOOT_ARCHITECTURE.into();
    table.reset_reg = reset;
    table.reset_value = RESET_VALUE;
    table.finalize()
}

/// The devices that a kernel could not find otherwise.
fn dsdt(devices: usize) -> Sdt {
    let slots = SLOT_IRQS.iter().take(devices).enumerate();
    let code = slots.flat_map(|(slot, &irq)| device(slot, irq)).collect();
    let mut table = Sdt::new(*b"DSDT", HEADER_BYTES, DSDT_REVISION, OEM, TABLE, REVISION);
    table.append_slice(&Scope::raw(Path::new("\\_SB_"), code));
    table
}

/// The virtio device in `slot`.
fn device(slot: usize, irq: u8) -> Vec<u8> {
    let address = SLOT_BASE + slot as u64 * SLOT_BYTES;
    let registers = Memory32Fixed::new(true, address as u32, SLOT_BYTES as u32);
    // A consumer of a level-triggered line, active high, its own.
    let interrupt = Interrupt::new(true, false, false, false, irq.into());
    let resources = ResourceTemplate::new(vec![&registers, &interrupt]);
    let name = format!("VIO{slot}");
    encode(&Device::new(
        name.as_str().into(),
        vec![
            &Name::new("_HID".into(), &"LNRO0005"),
            &Name::new("_UID".into(), &slot),
            &Name::new("_CRS".into(), &resources),
        ],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{RamSize, create_ram};

    /// A table as a kernel reads it: by the length in its header, with a checksum that is right.
    fn table(ram: &GuestRam, at: u64) -> Vec<u8> {
        let length: u32 = ram.read_obj(GuestAddress(at + 4)).unwrap();
        let mut bytes = vec![0; length as usize];
        ram.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        assert_eq!(bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0, "checksum at {at:#x}");
        bytes
    }

    fn written(devices: usize) -> GuestRam {
        let ram = create_ram(RamSize::from_bytes(2 << 20).unwrap()).unwrap();
        write(&ram, devices).unwrap();
        ram
    }

    #[test]
    fn every_table_is_found_from_the_root_and_none_overlaps_the_next() {
        let ram = written(SLOT_IRQS.len());
        let xsdt_at: u64 = ram.read_obj(GuestAddress(layout::ACPI_TABLES + 24)).unwrap();
        let xsdt = table(&ram, xsdt_at);
        assert_eq!((&xsdt[..4], xsdt.len()), (&b"XSDT"[..], 44));
        let fadt_at = u64::from_le_bytes(xsdt[36..44].try_into().unwrap());
        let fadt = table(&ram, fadt_at);
        assert_eq!(&fadt[..4], b"FACP");
        let pointer =
            |offset: usize| u64::from(u32::from_le_bytes(fadt[offset..offset + 4].try_into().unwrap()));
        assert_eq!(pointer(76), u64::from(PM_TIMER_PORT), "PM_TMR_BLK");
        let (facs_at, dsdt_at) = (pointer(36), pointer(40));
        assert_eq!(facs_at % 64, 0);
        let dsdt = table(&ram, dsdt_at);
        assert_eq!(&dsdt[..4], b"DSDT");
        assert!(xsdt_at + xsdt.len() as u64 <= facs_at && facs_at + 64 <= fadt_at);
        assert!(fadt_at + fadt.len() as u64 <= dsdt_at);
        assert!(dsdt_at + dsdt.len() as u64 <= layout::HIGH_RAM_START);
    }

    #[test]
    fn a_kernel_is_told_of_the_devices_that_there_are_and_of_no_other() {
        for devices in [0, 1, 8] {
            let dsdt = table(&written(devices), DSDT_AT);
            let count = |what: &[u8]| dsdt.windows(what.len()).filter(|window| window == &what).count();
            assert_eq!(count(b"LNRO0005"), devices);
            assert_eq!(count(b"VIO0"), devices.min(1));
            let last = (SLOT_BASE + 7 * SLOT_BYTES) as u32;
            assert_eq!(count(&last.to_le_bytes()), devices / 8);
        }
    }

    #[test]
    fn a_device_is_its_registers_and_a_level_triggered_line() {
        let code = device(2, 10);
        let registers = [0x86, 9, 0, 1, 0, 0x20, 0, 0xd0, 0, 0x10, 0, 0];
        let interrupt = [0x89, 6, 0, 1, 1, 10, 0, 0, 0];
        assert!(code.windows(registers.len()).any(|window| window == registers), "{code:x?}");
        assert!(code.windows(interrupt.len()).any(|window| window == interrupt), "{code:x?}");
    }
}
