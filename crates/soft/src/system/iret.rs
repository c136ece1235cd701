//! IRET (Intel SDM volume 2).
//!
//! In 64-bit mode it always restores SS and RSP, in compatibility mode only on the way to an outer ring.
//! There are no tasks and no virtual-8086 mode in long mode: NT raises #GP, VM is ignored.

use iced_x86::{Code as Instr, Instruction};

use super::descriptor::Selector;
use crate::cpu::Cpu;
use crate::decode::Selection;
use crate::fault::{Abort, Exception};
use crate::flags::bit;
use crate::op::{Op, Step};
use crate::width::{Dword, Qword, Width, Word};

pub(super) fn select(instruction: &Instruction) -> Option<Selection> {
    Some(Selection::last(match instruction.code() {
        Instr::Iretw => iret::<Word>,
        Instr::Iretd => iret::<Dword>,
        Instr::Iretq => iret::<Qword>,
        _ => return None,
    }))
}

extern "sysv64-unwind" fn iret<W: Width>(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    if cpu.flags.has(bit::NT) {
        return cpu.raise(Exception::PROTECTION);
    }
    let rip = at::<W>(cpu, 0)?;
    let selector = Selector(at::<W>(cpu, 1)? as u16);
    let flags = at::<W>(cpu, 2)?;
    let settable = settable::<W>(cpu);
    if cpu.is_long() || selector.privilege() > cpu.privilege() {
        let pointer = at::<W>(cpu, 3)?;
        let stack_selector = Selector(at::<W>(cpu, 4)? as u16);
        let code = cpu.check_return(selector)?;
        let stack = cpu.check_stack(stack_selector, &code)?;
        let rip = cpu.check_rip(&code, rip)?;
        let (code, stack) = (cpu.accessed_code(&code)?, cpu.accessed_stack(&stack)?);
        cpu.enter_code_and_stack(code, rip, stack, pointer);
    } else {
        let code = cpu.check_return(selector)?;
        let rip = cpu.check_rip(&code, rip)?;
        let code = cpu.accessed_code(&code)?;
        let pointer = cpu.stack_offset::<W>(3 * W::BYTES as u64);
        cpu.set_stack_pointer::<W>(pointer);
        cpu.enter_code(code, rip);
    }
    cpu.replace_flags(flags, settable);
    Ok(Step::Jump)
}

/// A value of the frame.
fn at<W: Width>(cpu: &mut Cpu, slot: u64) -> Result<u64, Abort> {
    let offset = cpu.stack_offset::<W>(slot * W::BYTES as u64);
    cpu.stack_load::<W>(offset)
}

/// The flags that IRET sets: by the privilege level that it comes from.
fn settable<W: Width>(cpu: &Cpu) -> u64 {
    let wide = if W::BITS == 16 { 0 } else { bit::RF };
    cpu.settable_flags::<W>() | wide
}

#[cfg(test)]
mod tests {
    use outlive_engine::Exit;

    use crate::cpu::number;
    use crate::fault::{Exception, vector};
    use crate::flags::bit;
    use crate::system::stage::{Stage, USER_STACK, flat, selector};
    use crate::testing::{CODE, DATA, RAM, STACK};

    const IRETQ: [u8; 2] = [0x48, 0xcf];
    const IRETD: [u8; 1] = [0xcf];
    const TARGET: u64 = DATA;

    fn push(stage: &mut Stage, words: &[u64]) {
        let at = STACK - 8 * words.len() as u64;
        for (slot, word) in words.iter().enumerate() {
            stage.trial.write(at + 8 * slot as u64, &word.to_le_bytes());
        }
        *stage.trial.cpu.register_mut(number::RSP) = at;
    }

    /// A stage with a frame on its stack, the target first.
    fn with_frame(rip: u64, cs: u16, flags: u64, rsp: u64, ss: u16) -> Stage {
        let mut stage = Stage::new();
        push(&mut stage, &[rip, cs.into(), flags, rsp, ss.into()]);
        stage
    }

    fn fault(stage: &mut Stage) -> Exception {
        let before = stage.trial.cpu.register(number::RSP);
        let exception = stage.trial.fault(&IRETQ);
        assert_eq!(stage.trial.cpu.register(number::RSP), before);
        exception
    }

    #[test]
    fn it_returns_within_the_ring_and_restores_stack_and_flags() {
        let flags = bit::CF | bit::IF | bit::IOPL | bit::AC | bit::ID | bit::NT;
        let mut stage = with_frame(TARGET, selector::CODE, flags, 0x1234, selector::DATA);
        assert!(stage.trial.execute(&IRETQ).is_ok());
        let cpu = &stage.trial.cpu;
        assert_eq!(
            (cpu.rip, cpu.register(number::RSP), cpu.flags.bits()),
            (TARGET, 0x1234, flags | bit::FIXED)
        );
    }

    #[test]
    fn it_returns_to_ring_3_and_drops_segments_of_inner_rings() {
        let mut stage = with_frame(TARGET, selector::USER_CODE, bit::IF, USER_STACK, selector::USER_DATA);
        stage.trial.cpu.segments.es = flat(selector::USER_DATA, 0xc0f3);
        stage.trial.cpu.segments.fs = outlive_engine::Segment { base: 0x77, ..flat(selector::DATA, 0xc093) };
        assert!(stage.trial.execute(&IRETQ).is_ok());
        let cpu = &stage.trial.cpu;
        assert_eq!((cpu.privilege(), cpu.rip, cpu.register(number::RSP)), (3, TARGET, USER_STACK));
        assert_eq!((cpu.segments.es.selector, cpu.segments.es.unusable), (selector::USER_DATA, false));
        assert_eq!((cpu.segments.ds.selector, cpu.segments.ds.unusable), (0, true));
        assert_eq!((cpu.segments.fs.selector, cpu.segments.fs.base), (0, 0x77));
        assert_eq!(cpu.segments.ss.attributes, 0xc0f3, "accessed");
    }

    #[test]
    fn it_returns_to_compatibility_mode() {
        let cs = selector::USER_COMPATIBILITY;
        let mut stage = with_frame(TARGET, cs, 2, 0x1_0000_0000 | USER_STACK, selector::USER_DATA);
        assert!(stage.trial.execute(&IRETQ).is_ok());
        let cpu = &stage.trial.cpu;
        assert!(!cpu.is_long());
        assert_eq!(cpu.register(number::RSP), USER_STACK, "ESP");
    }

    #[test]
    fn in_compatibility_mode_the_stack_is_restored_only_for_an_outer_ring() {
        let mut stage = Stage::compatibility(0);
        let words = [TARGET as u32, u32::from(selector::CODE), 2, 0, 0];
        for (slot, word) in words.into_iter().enumerate() {
            stage.trial.write(STACK - 20 + 4 * slot as u64, &word.to_le_bytes());
        }
        *stage.trial.cpu.register_mut(number::RSP) = STACK - 20;
        assert!(stage.trial.execute(&IRETD).is_ok());
        let cpu = &stage.trial.cpu;
        assert_eq!((cpu.rip, cpu.register(number::RSP), cpu.is_long()), (TARGET, STACK - 8, true));
    }

    #[test]
    fn ring_3_changes_neither_iopl_nor_interrupts() {
        let mut stage = Stage::user();
        let words = [TARGET, selector::USER_CODE.into(), !bit::TF, 0x1000, selector::USER_DATA.into()];
        push(&mut stage, &words);
        assert!(stage.trial.execute(&IRETQ).is_ok());
        let settable = bit::ARITHMETIC | bit::DF | bit::NT | bit::AC | bit::ID | bit::RF;
        assert_eq!(stage.trial.cpu.flags.bits(), settable | bit::FIXED);
    }

    #[test]
    fn a_null_stack_segment_is_for_64_bit_code_of_inner_rings() {
        let mut stage = with_frame(TARGET, selector::CODE, 2, 0x1000, 0);
        assert!(stage.trial.execute(&IRETQ).is_ok());
        assert!(stage.trial.cpu.segments.ss.unusable);
        let mut stage = with_frame(TARGET, selector::CODE, 2, 0x1000, 1);
        assert_eq!(fault(&mut stage), Exception::PROTECTION, "RPL");
        let mut stage = with_frame(TARGET, selector::USER_CODE, 2, 0x1000, 3);
        assert_eq!(fault(&mut stage), Exception::PROTECTION);
        let mut stage = with_frame(TARGET, selector::COMPATIBILITY, 2, 0x1000, 0);
        assert_eq!(fault(&mut stage), Exception::PROTECTION);
    }

    #[test]
    fn what_is_wrong_with_a_frame_tells_the_error_code() {
        let protection = |code: u16| Exception::with_code(vector::GENERAL_PROTECTION, code.into());
        let (code, data) = (selector::CODE, selector::DATA);
        let absent_code = Exception::with_code(vector::SEGMENT_NOT_PRESENT, 0x78);
        let cases = [
            (TARGET, 0, data, Exception::PROTECTION),
            (TARGET, selector::BEYOND, data, protection(0x100)),
            (TARGET, selector::DATA, data, protection(0x10)),
            (TARGET, selector::USER_CODE & !3, data, protection(0x30)),
            (TARGET, selector::ABSENT_CODE, data, absent_code),
            (TARGET, code, selector::READ_ONLY, protection(0x48)),
            (TARGET, code, selector::USER_DATA, protection(0x28)),
            (TARGET, code, selector::ABSENT_DATA, Exception::with_code(vector::STACK_FAULT, 0x40)),
            (1 << 47, code, data, Exception::PROTECTION),
        ];
        for (rip, cs, ss, expected) in cases {
            let mut stage = with_frame(rip, cs, 2, 0x1000, ss);
            assert_eq!(fault(&mut stage), expected, "{cs:#x} {ss:#x}");
        }
        let mut stage = Stage::user();
        push(&mut stage, &[TARGET, code.into(), 2, 0x1000, data.into()]);
        assert_eq!(fault(&mut stage), protection(8), "an inner ring");
        let mut stage = with_frame(TARGET, code, 2, 0x1000, data);
        stage.trial.cpu.flags.set_control(bit::NT, true);
        assert_eq!(fault(&mut stage), Exception::PROTECTION, "a nested task");
    }

    #[test]
    fn a_frame_outside_of_ram_is_read_by_exits() {
        let mut stage = Stage::new();
        *stage.trial.cpu.register_mut(number::RSP) = RAM;
        stage.answers = [TARGET, selector::CODE.into(), 2, STACK, selector::DATA.into()]
            .map(outlive_engine::Answer::Value)
            .to_vec();
        stage.trial.write(TARGET, &[0xf4]);
        assert_eq!(stage.run(&IRETQ), Exit::Halt);
        assert_eq!((stage.trial.cpu.rip, stage.trial.cpu.retired), (TARGET + 1, 2));
    }

    #[test]
    fn the_resume_flag_lasts_for_one_instruction() {
        // IRETQ to NOP; UD2: had RF not been cleared behind the NOP, it would be in the interrupt's frame.
        let mut stage = with_frame(CODE + 2, selector::CODE, bit::RF | 2, STACK, selector::DATA);
        stage.trial.write(CODE + 2, &[0x90, 0x90]);
        assert_eq!(stage.trial.cpu.flags.bits() & bit::RF, 0);
        stage.trial.write(CODE, &IRETQ);
        stage.trial.cpu.rip = CODE;
        assert_eq!(stage.go(1), Exit::LimitReached);
        assert!(stage.trial.cpu.flags.has(bit::RF));
        assert_eq!(stage.go(1), Exit::LimitReached);
        assert!(!stage.trial.cpu.flags.has(bit::RF));
    }
}
