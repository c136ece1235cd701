//! Loads and stores of segment registers: MOV, PUSH, POP, LDS and its like (Intel SDM volume 2; volume 3, 6.5
//! to 6.7).

use iced_x86::{Instruction, Mnemonic, OpKind};
use outlive_engine::InterruptShadow;

use super::descriptor::{Selector, null_segment};
use crate::cpu::{Cpu, number};
use crate::decode::Selection;
use crate::fault::{Abort, Exception, vector};
use crate::memory::Kind;
use crate::op::{Execute, Op, Step, property, segment};
use crate::width::{Dword, Qword, Width, Word};

/// The number of the segment register goes into [`Op::extra`], that of the general register into [`Op::a`].
pub(super) fn select(instruction: &Instruction, op: &mut Op) -> Option<Selection> {
    let first = instruction.op0_register();
    match instruction.mnemonic() {
        Mnemonic::Mov if first.is_segment_register() => {
            (op.extra, op.a) = (op.a, op.b);
            let from_register = instruction.op1_kind() == OpKind::Register;
            (op.extra != segment::CS).then_some(match from_register {
                true => Selection::last(load_from_register),
                false => Selection::last(load_from_memory),
            })
        }
        Mnemonic::Mov if instruction.op1_register().is_segment_register() => {
            if instruction.op0_kind() == OpKind::Memory {
                op.extra = op.a;
                return Some(Selection::plain(store_to_memory));
            }
            op.extra = op.b;
            Some(Selection::plain(match first.size() {
                2 => store_to_register::<Word>,
                4 => store_to_register::<Dword>,
                _ => store_to_register::<Qword>,
            }))
        }
        Mnemonic::Push if first.is_segment_register() => {
            op.extra = op.a;
            Some(Selection::plain(match instruction.stack_pointer_increment() {
                -2 => push::<Word>,
                -4 => push::<Dword>,
                _ => push::<Qword>,
            }))
        }
        Mnemonic::Pop if first.is_segment_register() => {
            op.extra = op.a;
            Some(Selection::last(match instruction.stack_pointer_increment() {
                2 => pop::<Word>,
                4 => pop::<Dword>,
                _ => pop::<Qword>,
            }))
        }
        mnemonic => {
            op.extra = match mnemonic {
                Mnemonic::Les => segment::ES,
                Mnemonic::Lss => segment::SS,
                Mnemonic::Lds => segment::DS,
                Mnemonic::Lfs => segment::FS,
                Mnemonic::Lgs => segment::GS,
                _ => return None,
            };
            let execute: Execute = match first.size() {
                2 => load_far::<Word>,
                4 => load_far::<Dword>,
                _ => load_far::<Qword>,
            };
            Some(Selection::last(execute))
        }
    }
}

extern "sysv64-unwind" fn load_from_register(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    load(cpu, op, cpu.get::<Word>(op.a))
}

extern "sysv64-unwind" fn load_from_memory(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let selector = cpu.load_operand::<Word>(op)?;
    load(cpu, op, selector)
}

fn load(cpu: &mut Cpu, op: &Op, selector: u64) -> Result<Step, Abort> {
    cpu.load_segment(op.extra, Selector(selector as u16))?;
    hold_events_back(cpu, op);
    Ok(Step::Leave)
}

/// Behind a load of SS nothing comes in before the next instruction, which loads RSP (Intel SDM volume 3,
/// 7.8.3). LSS loads both.
fn hold_events_back(cpu: &mut Cpu, op: &Op) {
    if op.extra == segment::SS {
        cpu.shadow = InterruptShadow::MovSs;
        cpu.attend();
    }
}

/// To memory always 16 bits.
extern "sysv64-unwind" fn store_to_memory(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let selector = cpu.segment(op.extra).selector;
    cpu.store_operand::<Word>(op, selector.into())
}

extern "sysv64-unwind" fn store_to_register<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let selector = cpu.segment(op.extra).selector;
    cpu.set::<W>(op.a, selector.into());
    Ok(Step::Next)
}

/// With operands of 32 bits, processors write 16 and leave the upper half of the place as it is (Intel SDM
/// volume 2, PUSH).
extern "sysv64-unwind" fn push<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let selector = u64::from(cpu.segment(op.extra).selector);
    if W::BITS != 32 {
        return cpu.push::<W>(selector);
    }
    let pointer = cpu.stack_offset::<W>((W::BYTES as u64).wrapping_neg());
    let step = cpu.stack_store::<Word>(pointer, selector)?;
    cpu.set_stack_pointer::<W>(pointer);
    Ok(step)
}

extern "sysv64-unwind" fn pop<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let before = cpu.register(number::RSP);
    let selector = cpu.pop::<W>()?;
    if let Err(abort) = cpu.load_segment(op.extra, Selector(selector as u16)) {
        *cpu.register_mut(number::RSP) = before;
        return Err(abort);
    }
    hold_events_back(cpu, op);
    Ok(Step::Leave)
}

extern "sysv64-unwind" fn load_far<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let (offset, selector) = cpu.load_far_pointer::<W>(op)?;
    cpu.load_segment(op.extra, selector)?;
    cpu.set::<W>(op.a, offset);
    Ok(Step::Leave)
}

impl Cpu {
    /// Reads a far pointer: an offset, and behind it a selector.
    pub(super) fn load_far_pointer<W: Width>(&mut self, op: &Op) -> Result<(u64, Selector), Abort> {
        let linear = self.address(op, W::BYTES + 2, Kind::Read)?;
        let offset = self.load::<W>(linear)?;
        let selector = self.load::<Word>(behind(op, linear, W::BYTES))?;
        Ok((offset, Selector(selector as u16)))
    }

    /// Loads any segment register but CS.
    pub(super) fn load_segment(&mut self, number: u8, selector: Selector) -> Result<(), Abort> {
        if selector.is_null() {
            return self.load_null(number, selector);
        }
        let descriptor = self.descriptor_or_fault(selector)?;
        let current = self.privilege();
        let (wanted, privilege) = (selector.privilege(), descriptor.privilege());
        let is_allowed = if number == segment::SS {
            descriptor.is_writable_data() && wanted == current && privilege == current
        } else {
            descriptor.is_readable()
                && (descriptor.is_conforming_code() || wanted <= privilege && current <= privilege)
        };
        if !is_allowed {
            return self.raise(selector.fault(vector::GENERAL_PROTECTION));
        }
        if !descriptor.is_present() {
            let absent =
                if number == segment::SS { vector::STACK_FAULT } else { vector::SEGMENT_NOT_PRESENT };
            return self.raise(selector.fault(absent));
        }
        self.mark_accessed(selector, descriptor)?;
        *self.segment_mut(number) = descriptor.segment(selector);
        Ok(())
    }

    /// SS may be null in 64-bit mode outside of ring 3, with the right RPL; the others always.
    fn load_null(&mut self, number: u8, selector: Selector) -> Result<(), Abort> {
        let current = self.privilege();
        if number == segment::SS && (!self.is_long() || current == 3 || selector.privilege() != current) {
            return self.raise(Exception::PROTECTION);
        }
        let privilege = if number == segment::SS { current } else { 0 };
        *self.segment_mut(number) = null_segment(selector, privilege);
        Ok(())
    }
}

/// The linear address `bytes` bytes behind another one.
pub(super) fn behind(op: &Op, linear: u64, bytes: usize) -> u64 {
    let linear = linear.wrapping_add(bytes as u64);
    if op.is(property::COMPATIBILITY) { linear & 0xffff_ffff } else { linear }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::walk;
    use crate::system::stage::{Stage, selector};
    use crate::testing::{DATA, RAM, STACK};

    const MOV_ES_EAX: [u8; 2] = [0x8e, 0xc0];
    const MOV_SS_EAX: [u8; 2] = [0x8e, 0xd0];
    const MOV_FS_EAX: [u8; 2] = [0x8e, 0xe0];

    fn with_rax(mut stage: Stage, selector: u16) -> Stage {
        *stage.trial.cpu.register_mut(number::RAX) = selector.into();
        stage
    }

    #[test]
    fn a_load_takes_over_the_descriptor_and_marks_it() {
        let mut stage = with_rax(Stage::new(), selector::FREE);
        stage.set_descriptor(selector::FREE, 0x12cf_f234_5678_9abc);
        assert_eq!(stage.trial.execute(&MOV_FS_EAX), Ok(Step::Leave));
        let fs = stage.trial.cpu.segments.fs;
        assert_eq!((fs.selector, fs.base, fs.limit), (selector::FREE, 0x1234_5678, 0xf9ab_cfff));
        assert_eq!((fs.attributes, fs.unusable), (0xc0f3, false));
        assert_eq!(stage.descriptor(selector::FREE), 0x12cf_f334_5678_9abc);
    }

    #[test]
    fn null_selectors_make_data_segments_unusable() {
        let mut stage = with_rax(Stage::user(), 3);
        stage.trial.cpu.segments.fs.base = 0x1000;
        assert!(stage.trial.execute(&MOV_FS_EAX).is_ok());
        assert_eq!(stage.trial.cpu.segments.fs, null_segment(Selector(3), 0));
        assert_eq!(stage.trial.fault(&MOV_SS_EAX), Exception::PROTECTION, "SS in ring 3");
        let mut stage = with_rax(Stage::new(), 0);
        assert!(stage.trial.execute(&MOV_SS_EAX).is_ok());
        assert!(stage.trial.cpu.segments.ss.unusable);
        *stage.trial.cpu.register_mut(number::RAX) = 1;
        assert_eq!(stage.trial.fault(&MOV_SS_EAX), Exception::PROTECTION, "RPL");
        let mut stage = with_rax(Stage::compatibility(0), 0);
        assert_eq!(stage.trial.fault(&MOV_SS_EAX), Exception::PROTECTION, "compatibility mode");
    }

    #[test]
    fn bad_selectors_fault_with_their_number() {
        let protection = |code: u16| Exception::with_code(vector::GENERAL_PROTECTION, code.into());
        let absent = Exception::with_code(vector::SEGMENT_NOT_PRESENT, 0x40);
        let absent_stack = Exception::with_code(vector::STACK_FAULT, 0x40);
        let cases = [
            (MOV_ES_EAX, selector::BEYOND, protection(0x100)),
            (MOV_ES_EAX, selector::TASK, protection(0x50)),
            (MOV_ES_EAX, selector::EXECUTE_ONLY, protection(0x70)),
            (MOV_ES_EAX, selector::DATA | 3, protection(0x10)),
            (MOV_ES_EAX, selector::ABSENT_DATA, absent),
            (MOV_ES_EAX, 0x14, protection(0x14)),
            (MOV_SS_EAX, selector::READ_ONLY, protection(0x48)),
            (MOV_SS_EAX, selector::CODE, protection(0x08)),
            (MOV_SS_EAX, selector::USER_DATA, protection(0x28)),
            (MOV_SS_EAX, selector::DATA | 1, protection(0x10)),
            (MOV_SS_EAX, selector::ABSENT_DATA, absent_stack),
        ];
        for (code, selector, expected) in cases {
            let mut stage = with_rax(Stage::new(), selector);
            assert_eq!(stage.trial.fault(&code), expected, "{selector:#x}");
        }
        let mut stage = with_rax(Stage::user(), selector::DATA);
        assert_eq!(stage.trial.fault(&MOV_ES_EAX), protection(0x10), "an inner ring's data");
        let mut stage = with_rax(Stage::user(), selector::CONFORMING);
        assert!(stage.trial.execute(&MOV_ES_EAX).is_ok(), "conforming code is for everybody");
    }

    #[test]
    fn cs_cannot_be_loaded_by_mov() {
        assert_eq!(Stage::new().event(&[0x8e, 0xc8]).vector, vector::INVALID_OPCODE);
    }

    #[test]
    fn a_local_table_is_looked_into_if_there_is_one() {
        let mut stage = with_rax(Stage::new(), selector::LOCAL);
        assert!(stage.trial.execute(&[0x0f, 0x00, 0xd0]).is_ok(), "LLDT");
        stage.set_descriptor(0x14, 0x00cf_9200_0000_ffff);
        let mut stage = with_rax(stage, 0x14);
        assert!(stage.trial.execute(&MOV_ES_EAX).is_ok());
        assert_eq!(stage.descriptor(0x14) >> 40 & 1, 1);
    }

    #[test]
    fn only_mov_and_pop_to_ss_hold_events_back() {
        let mut stage = with_rax(Stage::new(), selector::DATA);
        assert!(stage.trial.execute(&MOV_ES_EAX).is_ok());
        assert_eq!(stage.trial.cpu.shadow, InterruptShadow::None);
        assert!(stage.trial.execute(&MOV_SS_EAX).is_ok());
        assert_eq!(stage.trial.cpu.shadow, InterruptShadow::MovSs);
        let mut stage = Stage::new();
        stage.trial.write(DATA, &[0x78, 0x56, 0x34, 0x12, 0x10, 0]);
        *stage.trial.cpu.register_mut(number::RBX) = DATA;
        // LSS ESP, [RBX]
        assert!(stage.trial.execute(&[0x0f, 0xb2, 0x23]).is_ok());
        assert_eq!(stage.trial.cpu.register(number::RSP), 0x1234_5678);
        assert_eq!(stage.trial.cpu.shadow, InterruptShadow::None);
    }

    #[test]
    fn selectors_are_stored_with_the_width_of_the_register() {
        let store = |code: &[u8]| {
            let mut stage = with_rax(Stage::new(), 0);
            *stage.trial.cpu.register_mut(number::RAX) = u64::MAX;
            assert!(stage.trial.execute(code).is_ok());
            stage.trial.cpu.register(number::RAX)
        };
        assert_eq!(store(&[0x66, 0x8c, 0xd8]), 0xffff_ffff_ffff_0010);
        assert_eq!(store(&[0x8c, 0xd8]), 0x10);
        assert_eq!(store(&[0x48, 0x8c, 0xd8]), 0x10);
        let mut stage = Stage::new();
        stage.trial.write(DATA, &[0xff; 8]);
        *stage.trial.cpu.register_mut(number::RBX) = DATA;
        assert!(stage.trial.execute(&[0x48, 0x8c, 0x1b]).is_ok());
        assert_eq!(stage.trial.read(DATA), 0xffff_ffff_ffff_0010_u64.to_le_bytes());
    }

    #[test]
    fn pushes_are_zero_extended_but_those_of_32_bits_write_16() {
        let mut stage = Stage::new();
        stage.trial.cpu.segments.fs.selector = 0x1234;
        stage.trial.write(STACK - 8, &[0xff; 8]);
        assert!(stage.trial.execute(&[0x0f, 0xa0]).is_ok());
        assert_eq!(stage.trial.read(STACK - 8), 0x1234_u64.to_le_bytes());
        let mut stage = Stage::compatibility(0);
        stage.trial.write(STACK - 8, &[0xff; 8]);
        assert!(stage.trial.execute(&[0x1e]).is_ok(), "PUSH DS");
        assert_eq!(stage.trial.read(STACK - 8), 0xffff_0010_ffff_ffff_u64.to_le_bytes());
        assert_eq!(stage.trial.cpu.register(number::RSP), STACK - 4);
    }

    #[test]
    fn a_pop_that_faults_leaves_the_stack_pointer() {
        let mut stage = Stage::new();
        stage.trial.write(STACK, &u64::from(selector::BEYOND).to_le_bytes());
        let expected = Exception::with_code(vector::GENERAL_PROTECTION, 0x100);
        assert_eq!(stage.trial.fault(&[0x0f, 0xa1]), expected);
        assert_eq!(stage.trial.cpu.register(number::RSP), STACK);
        stage.trial.write(STACK, &0x10u64.to_le_bytes());
        assert!(stage.trial.execute(&[0x0f, 0xa1]).is_ok());
        assert_eq!(stage.trial.cpu.register(number::RSP), STACK + 8);
    }

    #[test]
    fn tables_are_read_as_a_supervisor() {
        let mut stage = with_rax(Stage::user(), selector::USER_DATA);
        // The page of the tables belongs to supervisors only.
        stage.trial.write(0x4000 + 8 * 6, &(0x6000u64 | 3).to_le_bytes());
        assert!(stage.trial.execute(&MOV_ES_EAX).is_ok());
        stage.trial.write(0x4000 + 8 * 6, &0u64.to_le_bytes());
        stage.trial.cpu.memory.flush();
        let expected = Exception::page_fault(0x6028, 0);
        assert_eq!(stage.trial.fault(&MOV_ES_EAX), expected, "no bit {}", walk::code::USER);
    }

    #[test]
    fn a_table_outside_of_ram_is_read_by_exits() {
        let mut stage = with_rax(Stage::new(), 8);
        stage.trial.cpu.gdt.base = RAM;
        stage.answers = vec![outlive_engine::Answer::Value(0x00cf_9300_0000_ffff)];
        let mut code = MOV_ES_EAX.to_vec();
        code.push(0xf4);
        assert_eq!(stage.run(&code), outlive_engine::Exit::Halt);
        assert_eq!(stage.trial.cpu.segments.es.selector, 8);
    }
}
