//! The registers of descriptor tables and of the task: LGDT, LIDT, LLDT, LTR, and their stores (Intel SDM
//! volume 2).

use iced_x86::{Code, Instruction, Mnemonic, OpKind};
use outlive_engine::{DescriptorTable, Segment};

use super::descriptor::{Descriptor, Selector, kind, null_segment};
use super::segments::behind;
use crate::cpu::Cpu;
use crate::decode::Selection;
use crate::fault::{Abort, Exception, vector};
use crate::memory::{Kind, is_canonical};
use crate::op::{Op, Step};
use crate::width::{Dword, Qword, Width, Word};

/// [`Op::extra`] of LGDT and its like: the table, and whether LGDT and LIDT take 24 bits of the base only.
const IDT: u8 = 1;
const SHORT: u8 = 2;

/// [`Op::extra`] of SLDT and STR.
const TASK: u8 = 1;

/// The bit of a TSS's type that tells that it is busy.
const BUSY: u8 = 2;

pub(super) fn select(instruction: &Instruction, op: &mut Op) -> Option<Selection> {
    let is_memory = instruction.op0_kind() == OpKind::Memory;
    op.extra = match instruction.mnemonic() {
        Mnemonic::Lidt | Mnemonic::Sidt => IDT,
        Mnemonic::Str => TASK,
        _ => 0,
    };
    if matches!(instruction.code(), Code::Lgdt_m1632_16 | Code::Lidt_m1632_16) {
        op.extra |= SHORT;
    }
    let is_long = matches!(
        instruction.code(),
        Code::Lgdt_m1664 | Code::Lidt_m1664 | Code::Sgdt_m1664 | Code::Sidt_m1664
    );
    Some(match instruction.mnemonic() {
        Mnemonic::Lgdt | Mnemonic::Lidt if is_long => Selection::last(load_table::<Qword>),
        Mnemonic::Lgdt | Mnemonic::Lidt => Selection::last(load_table::<Dword>),
        Mnemonic::Sgdt | Mnemonic::Sidt if is_long => Selection::plain(store_table::<Qword>),
        Mnemonic::Sgdt | Mnemonic::Sidt => Selection::plain(store_table::<Dword>),
        Mnemonic::Lldt if is_memory => Selection::last(lldt::<true>),
        Mnemonic::Lldt => Selection::last(lldt::<false>),
        Mnemonic::Ltr if is_memory => Selection::last(ltr::<true>),
        Mnemonic::Ltr => Selection::last(ltr::<false>),
        Mnemonic::Sldt | Mnemonic::Str if is_memory => Selection::plain(store_selector),
        Mnemonic::Sldt | Mnemonic::Str => Selection::plain(match instruction.op0_register().size() {
            2 => move_selector::<Word>,
            4 => move_selector::<Dword>,
            _ => move_selector::<Qword>,
        }),
        _ => return None,
    })
}

extern "sysv64-unwind" fn load_table<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    if cpu.privilege() != 0 {
        return cpu.raise(Exception::PROTECTION);
    }
    let linear = cpu.address(op, 2 + W::BYTES, Kind::Read)?;
    let limit = cpu.load::<Word>(linear)? as u16;
    let base = cpu.load::<W>(behind(op, linear, 2))?;
    let base = if op.extra & SHORT != 0 { base & 0xff_ffff } else { base };
    if !is_canonical(base) {
        return cpu.raise(Exception::PROTECTION);
    }
    let table = DescriptorTable { base, limit };
    *(if op.extra & IDT != 0 { &mut cpu.idt } else { &mut cpu.gdt }) = table;
    Ok(Step::Leave)
}

extern "sysv64-unwind" fn store_table<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let table = if op.extra & IDT != 0 { cpu.idt } else { cpu.gdt };
    let linear = cpu.address(op, 2 + W::BYTES, Kind::Write)?;
    let base = behind(op, linear, 2);
    cpu.memory.check_write(linear, 2)?;
    cpu.memory.check_write(base, W::BYTES)?;
    let _same = cpu.store::<Word>(linear, table.limit.into())?;
    let _same = cpu.store::<W>(base, table.base)?;
    Ok(if cpu.memory.must_be_looked_at() { Step::Leave } else { Step::Next })
}

fn source<const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Result<Selector, Abort> {
    if cpu.privilege() != 0 {
        return cpu.raise(Exception::PROTECTION);
    }
    let value = if MEMORY { cpu.load_operand::<Word>(op)? } else { cpu.get::<Word>(op.a) };
    Ok(Selector(value as u16))
}

extern "sysv64-unwind" fn lldt<const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let selector = source::<MEMORY>(cpu, op)?;
    if selector.is_null() {
        cpu.segments.ldt = null_segment(selector, 0);
        return Ok(Step::Leave);
    }
    let (_, table) = system_segment(cpu, selector, kind::LDT)?;
    cpu.segments.ldt = table;
    Ok(Step::Leave)
}

extern "sysv64-unwind" fn ltr<const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let selector = source::<MEMORY>(cpu, op)?;
    if selector.is_null() {
        return cpu.raise(Exception::PROTECTION);
    }
    let (descriptor, task) = system_segment(cpu, selector, kind::TSS_AVAILABLE)?;
    cpu.mark_descriptor(selector, descriptor, BUSY)?;
    cpu.segments.tr = Segment { attributes: task.attributes | u16::from(BUSY), ..task };
    Ok(Step::Leave)
}

/// Reads and checks a descriptor of 16 bytes in the global table (Intel SDM volume 3, 8.2.3).
fn system_segment(cpu: &mut Cpu, selector: Selector, wanted: u8) -> Result<(Descriptor, Segment), Abort> {
    let protection = selector.fault(vector::GENERAL_PROTECTION);
    if selector.is_local() {
        return cpu.raise(protection);
    }
    let (descriptor, high) = cpu.wide_descriptor(selector)?;
    let base = descriptor.base() | high << 32;
    let is_wanted = !descriptor.is_segment() && descriptor.kind() == wanted;
    if !is_wanted || high >> 40 & 0x1f != 0 || !is_canonical(base) {
        return cpu.raise(protection);
    }
    if !descriptor.is_present() {
        return cpu.raise(selector.fault(vector::SEGMENT_NOT_PRESENT));
    }
    let attributes = descriptor.attributes();
    let limit = descriptor.limit();
    Ok((descriptor, Segment { selector: selector.0, base, limit, attributes, unusable: false }))
}

fn table_selector(cpu: &Cpu, op: &Op) -> u64 {
    let register = if op.extra == TASK { &cpu.segments.tr } else { &cpu.segments.ldt };
    register.selector.into()
}

extern "sysv64-unwind" fn store_selector(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    cpu.store_operand::<Word>(op, table_selector(cpu, op))
}

extern "sysv64-unwind" fn move_selector<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    cpu.set::<W>(op.a, table_selector(cpu, op));
    Ok(Step::Next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::number;
    use crate::system::stage::{Stage, selector};
    use crate::testing::DATA;

    fn protection(code: u16) -> Exception {
        Exception::with_code(vector::GENERAL_PROTECTION, code.into())
    }

    fn with_registers(mut stage: Stage, rax: u64) -> Stage {
        *stage.trial.cpu.register_mut(number::RAX) = rax;
        *stage.trial.cpu.register_mut(number::RBX) = DATA;
        stage
    }

    #[test]
    fn table_registers_are_loaded_and_stored() {
        let mut stage = with_registers(Stage::new(), 0);
        stage.trial.write(DATA, &[0x34, 0x12, 1, 2, 3, 4, 5, 6, 0xff, 0xff]);
        assert_eq!(stage.trial.fault(&[0x0f, 0x01, 0x13]), Exception::PROTECTION, "LGDT: not canonical");
        stage.trial.write(DATA, &[0x34, 0x12, 1, 2, 3, 4, 5, 0x86, 0xff, 0xff]);
        assert!(stage.trial.execute(&[0x0f, 0x01, 0x13]).is_ok());
        assert_eq!(stage.trial.cpu.gdt, DescriptorTable { base: 0xffff_8605_0403_0201, limit: 0x1234 });
        assert!(stage.trial.execute(&[0x0f, 0x01, 0x0b]).is_ok(), "SIDT");
        assert_eq!(stage.trial.read::<10>(DATA), [0xff, 0x0f, 0, 0x70, 0, 0, 0, 0, 0, 0]);
        assert!(stage.trial.execute(&[0x0f, 0x01, 0x1b]).is_ok(), "LIDT");
        assert_eq!(stage.trial.cpu.idt, DescriptorTable { base: 0x7000, limit: 0xfff });
    }

    #[test]
    fn in_compatibility_mode_bases_have_four_bytes_or_three() {
        let mut stage = with_registers(Stage::compatibility(0), 0);
        stage.trial.write(DATA, &[0x34, 0x12, 1, 2, 3, 4, 0xaa]);
        assert!(stage.trial.execute(&[0x0f, 0x01, 0x13]).is_ok());
        assert_eq!(stage.trial.cpu.gdt, DescriptorTable { base: 0x0403_0201, limit: 0x1234 });
        assert!(stage.trial.execute(&[0x66, 0x0f, 0x01, 0x13]).is_ok());
        assert_eq!(stage.trial.cpu.gdt.base, 0x0003_0201);
        assert!(stage.trial.execute(&[0x0f, 0x01, 0x03]).is_ok(), "SGDT");
        assert_eq!(stage.trial.read::<7>(DATA), [0x34, 0x12, 1, 2, 3, 0, 0xaa]);
    }

    #[test]
    fn ring_3_stores_but_does_not_load() {
        let mut stage = with_registers(Stage::user(), u64::from(selector::TASK));
        for code in [&[0x0f, 0x01, 0x13][..], &[0x0f, 0x01, 0x1b], &[0x0f, 0x00, 0xd0], &[0x0f, 0x00, 0xd8]] {
            assert_eq!(stage.trial.fault(code), Exception::PROTECTION, "{code:x?}");
        }
        assert!(stage.trial.execute(&[0x0f, 0x01, 0x03]).is_ok());
        assert!(stage.trial.execute(&[0x0f, 0x00, 0xc8]).is_ok(), "STR EAX");
        assert_eq!(stage.trial.cpu.register(number::RAX), u64::from(selector::TASK));
    }

    #[test]
    fn a_task_becomes_busy_and_cannot_be_loaded_twice() {
        let mut stage = with_registers(Stage::new(), selector::TASK.into());
        assert!(stage.trial.execute(&[0x0f, 0x00, 0xd8]).is_ok());
        let expected = Segment {
            selector: selector::TASK,
            base: 0x8000,
            limit: 0x2067,
            attributes: 0x8b,
            unusable: false,
        };
        assert_eq!(stage.trial.cpu.segments.tr, expected);
        assert_eq!(stage.descriptor(selector::TASK), 0x0000_8b00_8000_2067);
        assert_eq!(stage.trial.fault(&[0x0f, 0x00, 0xd8]), protection(0x50));
    }

    #[test]
    fn system_descriptors_have_sixteen_bytes() {
        const LTR: [u8; 3] = [0x0f, 0x00, 0xd8];
        let load = |high: u64, low: u64| {
            let mut stage = with_registers(Stage::new(), selector::FREE.into());
            stage.set_descriptor(selector::FREE, low);
            stage.set_descriptor(selector::FREE + 8, high);
            stage.trial.execute(&LTR).map(|_| stage.trial.cpu.segments.tr.base)
        };
        let fault = |exception| Err(crate::fault::Reason::Exception(exception));
        let tss = 0x1200_8934_5678_0067;
        assert_eq!(load(0xffff_8000, tss), Ok(0xffff_8000_1234_5678));
        assert_eq!(load(0x0000_8000, tss), fault(protection(0x60)), "not canonical");
        assert_eq!(load(0x1f << 40, tss), fault(protection(0x60)), "a type in the upper half");
        let absent = Exception::with_code(vector::SEGMENT_NOT_PRESENT, 0x60);
        assert_eq!(load(0, tss & !(0x80 << 40)), fault(absent));
        let mut stage = with_registers(Stage::new(), 0xf8);
        stage.set_descriptor(0xf8, tss);
        assert_eq!(stage.trial.fault(&LTR), protection(0xf8), "half of it is beyond the table");
        let mut stage = with_registers(Stage::new(), 0);
        assert_eq!(stage.trial.fault(&LTR), Exception::PROTECTION);
        let mut stage = with_registers(Stage::new(), 0x54);
        assert_eq!(stage.trial.fault(&LTR), protection(0x54), "the local table");
    }

    #[test]
    fn a_null_selector_does_away_with_the_local_table() {
        let mut stage = with_registers(Stage::new(), selector::LOCAL.into());
        assert!(stage.trial.execute(&[0x0f, 0x00, 0xd0]).is_ok());
        let ldt = stage.trial.cpu.segments.ldt;
        assert_eq!((ldt.base, ldt.limit, ldt.attributes, ldt.unusable), (0x6800, 0x7f, 0x82, false));
        let mut stage = with_registers(stage, 0);
        assert!(stage.trial.execute(&[0x0f, 0x00, 0xd0]).is_ok());
        assert!(stage.trial.cpu.segments.ldt.unusable);
    }
}
