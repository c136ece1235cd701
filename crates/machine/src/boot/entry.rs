//! The processor at the guest's first instruction: long mode, flat segments, the first 4 GiB mapped one
//! to one, interrupts off, RSI pointing to `boot_params` (the Linux 64-bit boot protocol).

use outlive_engine::{
    ControlRegisters, DebugRegisters, DescriptorTable, GeneralRegisters, GuestRam, Segment, Segments,
    VcpuState,
};
use vm_memory::{Bytes, GuestAddress};

use super::BootError;
use crate::memory::layout;

/// Selectors of the boot protocol: `__BOOT_CS` and `__BOOT_DS`; TR gets the entry behind them.
const CODE_SELECTOR: u16 = 0x10;
const DATA_SELECTOR: u16 = 0x18;
const TASK_SELECTOR: u16 = 0x20;

/// Descriptor attributes in the layout of [`Segment::attributes`] (Intel SDM volume 3, 3.4.5): present,
/// execute/read, accessed, 64-bit, 4 KiB granularity.
const CODE: u16 = 0xa09b;
/// Present, read/write, accessed, 32-bit, 4 KiB granularity.
const DATA: u16 = 0xc093;
/// Present, busy 64-bit task state segment.
const TASK: u16 = 0x008b;

/// CR0: protected mode, numeric errors by exception, extension type (fixed to 1), paging.
const CR0: u64 = 1 | 1 << 4 | 1 << 5 | 1 << 31;
/// CR4: physical address extension.
const CR4: u64 = 1 << 5;
/// EFER: long mode enabled and active.
const EFER: u64 = 1 << 8 | 1 << 10;

/// Present and writable.
const TABLE: u64 = 0b11;
/// Present, writable and a page of 2 MiB.
const LARGE_PAGE: u64 = 0b1000_0011;

/// The state of the processor at the first instruction.
pub fn state(entry: u64) -> VcpuState {
    let flat =
        |selector, attributes| Segment { selector, base: 0, limit: u32::MAX, attributes, unusable: false };
    let data = flat(DATA_SELECTOR, DATA);
    VcpuState {
        general: GeneralRegisters {
            rsi: layout::BOOT_PARAMS,
            rsp: layout::STACK_TOP,
            rbp: layout::STACK_TOP,
            ..Default::default()
        },
        rip: entry,
        rflags: 2,
        segments: Segments {
            cs: flat(CODE_SELECTOR, CODE),
            ds: data,
            es: data,
            fs: data,
            gs: data,
            ss: data,
            tr: Segment { selector: TASK_SELECTOR, base: 0, limit: 0x67, attributes: TASK, unusable: false },
            ldt: Segment { unusable: true, ..Default::default() },
        },
        gdt: DescriptorTable { base: layout::GDT, limit: 6 * 8 - 1 },
        // With an empty IDT any exception before the guest has set up its own is a triple fault.
        idt: DescriptorTable { base: 0, limit: 0 },
        control: ControlRegisters {
            cr0: CR0,
            cr3: layout::PAGE_TABLES,
            cr4: CR4,
            efer: EFER,
            ..Default::default()
        },
        // DR6 and DR7 have bits that read as one (Intel SDM volume 3, 18.2).
        debug: DebugRegisters { address: [0; 4], status: 0xffff_0ff0, control: 0x400 },
        ..Default::default()
    }
}

/// Writes the descriptor table and the page tables that [`state`] points to.
///
/// # Errors
/// When guest memory is smaller than a machine's.
pub fn write_tables(ram: &GuestRam) -> Result<(), BootError> {
    let descriptors = [0, 0, descriptor(CODE), descriptor(DATA), descriptor(TASK), 0];
    write_table(ram, layout::GDT, descriptors.into_iter())?;
    let level3 = layout::PAGE_TABLES + 0x1000;
    let level2 = level3 + 0x1000;
    write_table(ram, layout::PAGE_TABLES, std::iter::once(level3 | TABLE))?;
    write_table(ram, level3, (0..4).map(|gib| (level2 + gib * 0x1000) | TABLE))?;
    write_table(ram, level2, (0..4 * 512).map(|page| page << 21 | LARGE_PAGE))
}

/// A segment descriptor with base 0 and the largest limit.
fn descriptor(attributes: u16) -> u64 {
    0x000f_0000_0000_ffff | u64::from(attributes) << 40
}

fn write_table(ram: &GuestRam, at: u64, entries: impl Iterator<Item = u64>) -> Result<(), BootError> {
    let bytes: Vec<u8> = entries.flat_map(u64::to_le_bytes).collect();
    ram.write_slice(&bytes, GuestAddress(at)).map_err(BootError::Memory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{RamSize, create_ram};

    #[test]
    fn the_first_four_gibibytes_are_mapped_one_to_one() {
        let ram = create_ram(RamSize::from_bytes(2 << 20).unwrap()).unwrap();
        write_tables(&ram).unwrap();
        let entry = |table: u64, index: u64| -> u64 {
            ram.read_obj(GuestAddress((table & !0xfff) + index * 8)).unwrap()
        };
        for linear in [0u64, 0x20_0000, 0xd000_0000, 0xffff_ffff] {
            let level3 = entry(state(0).control.cr3, linear >> 39 & 511);
            let level2 = entry(level3, linear >> 30 & 511);
            let page = entry(level2, linear >> 21 & 511);
            assert_eq!(page & !0x1f_ffff, linear & !0x1f_ffff, "{linear:#x}");
            assert_eq!(page & 0b1000_0011, 0b1000_0011);
        }
    }

    #[test]
    fn descriptors_in_memory_agree_with_the_hidden_parts() {
        let ram = create_ram(RamSize::from_bytes(2 << 20).unwrap()).unwrap();
        write_tables(&ram).unwrap();
        let segments = state(0).segments;
        for segment in [segments.cs, segments.ss] {
            let raw: u64 = ram.read_obj(GuestAddress(layout::GDT + u64::from(segment.selector))).unwrap();
            assert_eq!((raw >> 40) as u16 & 0xf0ff, segment.attributes);
        }
    }
}
