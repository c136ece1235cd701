//! Near control flow: JMP, CALL, RET, Jcc, LOOP and JRCXZ.
//!
//! An instruction whose target cannot be fetched from faults itself, and changes nothing: in 64-bit mode an
//! address that is not canonical, in compatibility mode an offset beyond the code segment's limit (Intel SDM
//! volume 2, CALL, JMP, RET). The width parameter is that of the instruction pointer: 64 bits in 64-bit mode
//! always, else 32, or 16 with an operand-size prefix, which cuts the target.

use iced_x86::{Code, Instruction, Mnemonic, OpKind};

use super::choose::{condition, is_memory, operand_bits};
use super::operand::{First, InMemory, Source};
use crate::cpu::{Cpu, number};
use crate::fault::{Abort, Exception};
use crate::memory::is_canonical;
use crate::op::{Execute, Op, Step};
use crate::width::{Dword, Qword, Width, Word};

/// Checks a target: what RIP becomes.
#[inline]
fn target<W: Width>(cpu: &mut Cpu, target: u64) -> Result<u64, Abort> {
    let target = target & W::MASK;
    let is_allowed = match W::BITS {
        64 => is_canonical(target),
        _ => target <= cpu.segments.cs.limit.into(),
    };
    if is_allowed { Ok(target) } else { cpu.raise(Exception::PROTECTION) }
}

/// The target of a relative branch.
#[inline]
fn relative<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<u64, Abort> {
    let block = cpu.register(number::BLOCK);
    target::<W>(cpu, block.wrapping_add(op.immediate))
}

extern "sysv64-unwind" fn jump<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    cpu.rip = relative::<W>(cpu, op)?;
    Ok(Step::Jump)
}

extern "sysv64-unwind" fn jump_if<const CONDITION: u8, W: Width>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    if !cpu.flags.condition::<CONDITION>() {
        return Ok(Step::Next);
    }
    jump::<W>(cpu, op)
}

extern "sysv64-unwind" fn jump_indirect<W: Width, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let value = S::get::<W>(cpu, op)?;
    cpu.rip = target::<W>(cpu, value)?;
    Ok(Step::Jump)
}

#[inline]
fn call_to<W: Width>(cpu: &mut Cpu, op: &Op, target: u64) -> Result<Step, Abort> {
    let step = cpu.push::<W>(cpu.rip_after(op))?;
    cpu.rip = target;
    // Whatever must be looked at is looked at between blocks, and a jump ends this one.
    debug_assert!(step == Step::Next || cpu.memory.attention);
    Ok(Step::Jump)
}

extern "sysv64-unwind" fn call<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let target = relative::<W>(cpu, op)?;
    call_to::<W>(cpu, op, target)
}

extern "sysv64-unwind" fn call_indirect<W: Width, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let value = S::get::<W>(cpu, op)?;
    let target = target::<W>(cpu, value)?;
    call_to::<W>(cpu, op, target)
}

/// RET. The operand that says how much more to pop is 0 if there is none.
extern "sysv64-unwind" fn ret<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let value = cpu.stack_load::<W>(cpu.stack_offset::<W>(0))?;
    cpu.rip = target::<W>(cpu, value)?;
    let pointer = cpu.stack_offset::<W>(W::BYTES as u64 + op.immediate);
    cpu.set_stack_pointer::<W>(pointer);
    Ok(Step::Jump)
}

/// What LOOP looks at, besides the count.
mod also {
    pub(super) const NOTHING: u8 = 0;
    pub(super) const ZERO: u8 = 1;
    pub(super) const NOT_ZERO: u8 = 2;
}

/// LOOP, LOOPE, LOOPNE, with a count of width `C`.
extern "sysv64-unwind" fn count_down<const ALSO: u8, W: Width, C: Width>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let count = cpu.get::<C>(number::RCX).wrapping_sub(1) & C::MASK;
    let also = match ALSO {
        also::ZERO => cpu.flags.zero(),
        also::NOT_ZERO => !cpu.flags.zero(),
        _ => true,
    };
    let mut step = Step::Next;
    if count != 0 && also {
        cpu.rip = relative::<W>(cpu, op)?;
        step = Step::Jump;
    }
    cpu.set::<C>(number::RCX, count);
    Ok(step)
}

/// JCXZ, JECXZ, JRCXZ, with a count of width `C`.
extern "sysv64-unwind" fn jump_if_count_is_zero<W: Width, C: Width>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    if cpu.get::<C>(number::RCX) != 0 {
        return Ok(Step::Next);
    }
    jump::<W>(cpu, op)
}

/// What executes an instruction of this module.
pub(super) fn select(instruction: &Instruction, op: &mut Op) -> Option<Execute> {
    Some(match instruction.mnemonic() {
        Mnemonic::Jmp => return choose_jump(instruction),
        Mnemonic::Call => return choose_call(instruction),
        Mnemonic::Ret => choose_ret(instruction, op),
        Mnemonic::Loop => choose_loop::<{ also::NOTHING }>(instruction),
        Mnemonic::Loope => choose_loop::<{ also::ZERO }>(instruction),
        Mnemonic::Loopne => choose_loop::<{ also::NOT_ZERO }>(instruction),
        Mnemonic::Jcxz | Mnemonic::Jecxz | Mnemonic::Jrcxz => choose_jump_if_count_is_zero(instruction),
        _ if instruction.is_jcc_short_or_near() => choose_jump_if(instruction),
        _ => return None,
    })
}

/// The width of the instruction pointer in a relative branch.
fn pointer_bits(instruction: &Instruction) -> usize {
    match instruction.op0_kind() {
        OpKind::NearBranch16 => 16,
        OpKind::NearBranch32 => 32,
        _ => 64,
    }
}

fn choose_jump(instruction: &Instruction) -> Option<Execute> {
    let is_indirect = instruction.is_jmp_near_indirect();
    if !is_indirect && !instruction.is_jmp_short_or_near() {
        return None;
    }
    Some(match (is_indirect, is_memory(instruction, 0)) {
        (false, _) => sized_from_word!(pointer_bits(instruction), jump),
        (true, false) => sized_from_word!(operand_bits(instruction, 0), jump_indirect, First),
        (true, true) => sized_from_word!(operand_bits(instruction, 0), jump_indirect, InMemory),
    })
}

fn choose_call(instruction: &Instruction) -> Option<Execute> {
    let is_indirect = instruction.is_call_near_indirect();
    if !is_indirect && !instruction.is_call_near() {
        return None;
    }
    Some(match (is_indirect, is_memory(instruction, 0)) {
        (false, _) => sized_from_word!(pointer_bits(instruction), call),
        (true, false) => sized_from_word!(operand_bits(instruction, 0), call_indirect, First),
        (true, true) => sized_from_word!(operand_bits(instruction, 0), call_indirect, InMemory),
    })
}

fn choose_ret(instruction: &Instruction, op: &mut Op) -> Execute {
    op.immediate &= 0xffff;
    match instruction.code() {
        Code::Retnw | Code::Retnw_imm16 => ret::<Word>,
        Code::Retnd | Code::Retnd_imm16 => ret::<Dword>,
        _ => ret::<Qword>,
    }
}

fn choose_jump_if(instruction: &Instruction) -> Execute {
    let code = condition(instruction);
    match pointer_bits(instruction) {
        16 => conditional!(code, jump_if, Word),
        32 => conditional!(code, jump_if, Dword),
        _ => conditional!(code, jump_if, Qword),
    }
}

/// The width of the count in LOOP and JRCXZ: that of addresses.
fn count_bits(instruction: &Instruction) -> usize {
    use Code::*;
    match instruction.code() {
        Loop_rel8_16_CX | Loop_rel8_32_CX | Loope_rel8_16_CX | Loope_rel8_32_CX | Loopne_rel8_16_CX
        | Loopne_rel8_32_CX | Jcxz_rel8_16 | Jcxz_rel8_32 => 16,
        Loop_rel8_64_RCX | Loop_rel8_16_RCX | Loope_rel8_64_RCX | Loope_rel8_16_RCX | Loopne_rel8_64_RCX
        | Loopne_rel8_16_RCX | Jrcxz_rel8_64 | Jrcxz_rel8_16 => 64,
        _ => 32,
    }
}

fn choose_loop<const ALSO: u8>(instruction: &Instruction) -> Execute {
    match (pointer_bits(instruction), count_bits(instruction)) {
        (64, 64) => count_down::<ALSO, Qword, Qword>,
        (64, _) => count_down::<ALSO, Qword, Dword>,
        (32, 32) => count_down::<ALSO, Dword, Dword>,
        (32, _) => count_down::<ALSO, Dword, Word>,
        (_, 32) => count_down::<ALSO, Word, Dword>,
        _ => count_down::<ALSO, Word, Word>,
    }
}

fn choose_jump_if_count_is_zero(instruction: &Instruction) -> Execute {
    match (pointer_bits(instruction), count_bits(instruction)) {
        (64, 64) => jump_if_count_is_zero::<Qword, Qword>,
        (64, _) => jump_if_count_is_zero::<Qword, Dword>,
        (32, 32) => jump_if_count_is_zero::<Dword, Dword>,
        (32, _) => jump_if_count_is_zero::<Dword, Word>,
        (_, 32) => jump_if_count_is_zero::<Word, Dword>,
        _ => jump_if_count_is_zero::<Word, Word>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Flags, bit};
    use crate::testing::{CODE, DATA, STACK, Trial, state};

    #[test]
    fn a_call_returns() {
        let mut trial = Trial::new();
        assert_eq!(trial.execute(&[0xe8, 0x00, 0x01, 0x00, 0x00]), Ok(Step::Jump));
        assert_eq!(trial.cpu.rip, CODE + 5 + 0x100);
        assert_eq!(trial.read(STACK - 8), (CODE + 5).to_le_bytes());
        assert_eq!(trial.execute(&[0xc2, 0x10, 0x00]), Ok(Step::Jump));
        assert_eq!(trial.cpu.rip, CODE + 5);
        assert_eq!(trial.cpu.register(number::RSP), STACK + 0x10);
    }

    #[test]
    fn a_target_that_is_not_canonical_faults_and_changes_nothing() {
        let mut trial = Trial::new();
        trial.write(STACK, &(1u64 << 47).to_le_bytes());
        *trial.cpu.register_mut(number::RBX) = 1 << 47;
        for code in [
            &[0xff, 0xe3][..],
            &[0xff, 0xd3],
            &[0xc3],
            &[0xc2, 8, 0],
            &[0xff, 0x24, 0x24],
            &[0xff, 0x14, 0x24],
        ] {
            assert_eq!(trial.fault(code), Exception::PROTECTION, "{code:02x?}");
            assert_eq!(trial.cpu.register(number::RSP), STACK);
            assert_eq!(trial.read(STACK - 8), [0; 8]);
        }
    }

    #[test]
    fn the_operand_size_prefix_does_not_cut_targets_in_64_bit_mode() {
        let mut trial = Trial::new();
        assert_eq!(trial.execute(&[0x66, 0xeb, 0x10]), Ok(Step::Jump));
        assert_eq!(trial.cpu.rip, CODE + 0x13);
    }

    #[test]
    fn in_compatibility_mode_targets_are_cut_and_checked() {
        let mut state = state();
        state.segments.cs.attributes = 0x409b;
        state.segments.cs.limit = 0x1_ffff;
        let mut trial = Trial::with(&state);
        assert_eq!(trial.execute(&[0x66, 0xe9, 0x00, 0x40]), Ok(Step::Jump));
        assert_eq!(trial.cpu.rip, 0x4004, "16 bits of the sum");
        assert_eq!(trial.execute(&[0xeb, 0xfe]), Ok(Step::Jump));
        assert_eq!(trial.cpu.rip, CODE);
        assert_eq!(trial.fault(&[0xe9, 0x00, 0x00, 0x01, 0x00]), Exception::PROTECTION);
        assert_eq!(trial.fault(&[0xe8, 0x00, 0x00, 0x01, 0x00]), Exception::PROTECTION);
        assert_eq!(trial.cpu.register(number::RSP), STACK);
        trial.completes(&[0x66, 0xe8, 0x00, 0x40], "CALL with 16 bits");
        assert_eq!((trial.cpu.rip, trial.cpu.register(number::RSP)), (0x4004, STACK - 2));
        assert_eq!(trial.read(STACK - 2), [0x04, 0x00]);
    }

    #[test]
    fn conditional_jumps_agree_with_the_manual_for_all_flags() {
        let all = [bit::CF, bit::PF, bit::ZF, bit::SF, bit::OF];
        let mut trial = Trial::new();
        for chosen in 0..32usize {
            let bits = (0..5).filter(|at| chosen >> at & 1 != 0).fold(0, |bits, at| bits | all[at]);
            let has = |flag| bits & flag != 0;
            let (c, z, s, o) = (has(bit::CF), has(bit::ZF), has(bit::SF), has(bit::OF));
            let holds = [o, c, z, c || z, s, has(bit::PF), s != o, z || s != o];
            for code in 0..16u8 {
                trial.cpu.flags = Flags::from_bits(bits);
                let expected = holds[usize::from(code / 2)] != (code % 2 == 1);
                let step = trial.execute(&[0x70 + code, 0x20]);
                assert_eq!(step, Ok(if expected { Step::Jump } else { Step::Next }));
                trial.completes(&[0x0f, 0x90 + code, 0xc0], "SETcc AL");
                assert_eq!(trial.cpu.register(number::RAX), u64::from(expected));
            }
        }
    }

    #[test]
    fn loops_count_in_the_width_of_addresses() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RCX) = 0xffff_ffff_0000_0001;
        assert_eq!(trial.execute(&[0xe2, 0x10]), Ok(Step::Jump));
        assert_eq!(trial.cpu.register(number::RCX), 0xffff_ffff_0000_0000);
        assert_eq!(trial.execute(&[0x67, 0xe3, 0x10]), Ok(Step::Jump), "JECXZ");
        assert_eq!(trial.execute(&[0xe3, 0x10]), Ok(Step::Next), "JRCXZ");
        assert_eq!(trial.execute(&[0x67, 0xe2, 0x10]), Ok(Step::Jump), "LOOP with ECX");
        assert_eq!(trial.cpu.register(number::RCX), 0xffff_ffff);
    }

    #[test]
    fn loops_look_at_zero_without_changing_it() {
        let mut trial = Trial::new();
        for (opcode, zero, jumps) in
            [(0xe0, true, false), (0xe0, false, true), (0xe1, true, true), (0xe1, false, false)]
        {
            *trial.cpu.register_mut(number::RCX) = 5;
            trial.cpu.flags = Flags::from_bits(if zero { bit::ZF } else { 0 });
            let step = trial.execute(&[opcode, 0x10]);
            assert_eq!(step, Ok(if jumps { Step::Jump } else { Step::Next }));
            assert_eq!(trial.cpu.register(number::RCX), 4);
            assert_eq!(trial.cpu.flags.zero(), zero);
        }
    }

    #[test]
    fn an_indirect_call_through_memory_reads_its_target_before_it_pushes() {
        let mut trial = Trial::new();
        trial.write(STACK - 8, &DATA.to_le_bytes());
        trial.completes(&[0xff, 0x54, 0x24, 0xf8], "CALL [RSP-8]");
        assert_eq!(trial.cpu.rip, DATA);
        assert_eq!(trial.read(STACK - 8), (CODE + 4).to_le_bytes());
    }
}
