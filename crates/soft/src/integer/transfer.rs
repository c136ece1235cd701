//! Moves and conversions: MOV in all forms but those of system registers, MOVZX MOVSX MOVSXD, LEA, CMOVcc, SETcc,
//! BSWAP, CBW and its kin, MOVNTI, XLAT.

use iced_x86::{Code, Instruction, Mnemonic, OpKind};

use super::choose::{condition, is_memory, operand_bits};
use super::operand::{First, Immediate, InMemory, Place, Second, Source};
use crate::cpu::{Cpu, number};
use crate::fault::Abort;
use crate::memory::Kind;
use crate::op::{Execute, Op, Step};
use crate::width::{Byte, Dword, Qword, Width, Word};

extern "sysv64-unwind" fn mov<W: Width, D: Place, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let value = S::get::<W>(cpu, op)?;
    D::put::<W>(cpu, op, value)
}

/// MOV of the accumulator from a 64-bit absolute address.
extern "sysv64-unwind" fn load_absolute<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let linear = cpu.linear_at(op, op.immediate, W::BYTES, Kind::Read)?;
    let value = cpu.load::<W>(linear)?;
    cpu.set::<W>(number::RAX, value);
    Ok(Step::Next)
}

/// MOV of the accumulator to a 64-bit absolute address.
extern "sysv64-unwind" fn store_absolute<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let linear = cpu.linear_at(op, op.immediate, W::BYTES, Kind::Write)?;
    cpu.store::<W>(linear, cpu.get::<W>(number::RAX))
}

extern "sysv64-unwind" fn zero_extend<W: Width, N: Width, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let value = S::get::<N>(cpu, op)?;
    First::put::<W>(cpu, op, value)
}

extern "sysv64-unwind" fn sign_extend<W: Width, N: Width, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let value = S::get::<N>(cpu, op)?;
    First::put::<W>(cpu, op, N::sign_extend(value))
}

extern "sysv64-unwind" fn lea<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let offset = cpu.offset(op);
    First::put::<W>(cpu, op, offset)
}

/// Reads its source in any case, and clears the upper half of a 32-bit destination in any case (Intel SDM
/// volume 2, CMOVcc).
extern "sysv64-unwind" fn move_if<const CONDITION: u8, W: Width, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let new = S::get::<W>(cpu, op)?;
    let old = cpu.get::<W>(op.a);
    let value = if cpu.flags.condition::<CONDITION>() { new } else { old };
    First::put::<W>(cpu, op, value)
}

extern "sysv64-unwind" fn set_if<const CONDITION: u8, D: Place>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let value = cpu.flags.condition::<CONDITION>();
    D::put::<Byte>(cpu, op, value.into())
}

/// BSWAP. With 16 bits its result is undefined; processors clear them.
extern "sysv64-unwind" fn swap_bytes<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let value = match W::BITS {
        16 => 0,
        bits => cpu.get::<W>(op.a).swap_bytes() >> (64 - bits),
    };
    First::put::<W>(cpu, op, value)
}

/// CBW, CWDE, CDQE: the accumulator's lower half, extended to the whole.
extern "sysv64-unwind" fn widen<W: Width, N: Width>(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    // AL has the same number as AX.
    let value = cpu.get::<N>(number::RAX);
    cpu.set::<W>(number::RAX, N::sign_extend(value));
    Ok(Step::Next)
}

/// CWD, CDQ, CQO: the accumulator's sign, in all bits of the data register.
extern "sysv64-unwind" fn spread_sign<W: Width>(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let is_negative = cpu.get::<W>(number::RAX) & W::SIGN != 0;
    cpu.set::<W>(number::RDX, if is_negative { u64::MAX } else { 0 });
    Ok(Step::Next)
}

/// XLAT: AL indexes the table at RBX.
extern "sysv64-unwind" fn translate(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let offset = cpu.register(number::RBX).wrapping_add(cpu.get::<Byte>(number::RAX));
    let linear = cpu.linear_at(op, offset, 1, Kind::Read)?;
    let value = cpu.load::<Byte>(linear)?;
    cpu.set::<Byte>(number::RAX, value);
    Ok(Step::Next)
}

/// What executes an instruction of this module.
pub(super) fn select(instruction: &Instruction) -> Option<Execute> {
    Some(match instruction.mnemonic() {
        Mnemonic::Mov => return choose_mov(instruction),
        Mnemonic::Movnti => sized_from_word!(operand_bits(instruction, 0), mov, InMemory, First),
        Mnemonic::Lea => sized_from_word!(operand_bits(instruction, 0), lea),
        Mnemonic::Movzx => choose_zero_extend(instruction),
        Mnemonic::Movsx | Mnemonic::Movsxd => choose_sign_extend(instruction),
        Mnemonic::Bswap => sized_from_word!(operand_bits(instruction, 0), swap_bytes),
        Mnemonic::Cbw => widen::<Word, Byte>,
        Mnemonic::Cwde => widen::<Dword, Word>,
        Mnemonic::Cdqe => widen::<Qword, Dword>,
        Mnemonic::Cwd => spread_sign::<Word>,
        Mnemonic::Cdq => spread_sign::<Dword>,
        Mnemonic::Cqo => spread_sign::<Qword>,
        Mnemonic::Xlatb => translate,
        mnemonic if is_cmov(mnemonic) => choose_move_if(instruction),
        mnemonic if is_set(mnemonic) => choose_set_if(instruction),
        _ => return None,
    })
}

fn choose_mov(instruction: &Instruction) -> Option<Execute> {
    let is_general = |operand| {
        let register = instruction.op_register(operand);
        instruction.op_kind(operand) != OpKind::Register || register.is_gpr()
    };
    if !is_general(0) || !is_general(1) {
        return None;
    }
    let bits = operand_bits(instruction, 0);
    // Only with eight bytes does the address not fit into where addresses usually are.
    if instruction.memory_displ_size() == 8 {
        match instruction.code() {
            Code::Mov_AL_moffs8 | Code::Mov_AX_moffs16 | Code::Mov_EAX_moffs32 | Code::Mov_RAX_moffs64 => {
                return Some(sized!(bits, load_absolute));
            }
            Code::Mov_moffs8_AL | Code::Mov_moffs16_AX | Code::Mov_moffs32_EAX | Code::Mov_moffs64_RAX => {
                return Some(sized!(bits, store_absolute));
            }
            _ => {}
        }
    }
    Some(match (instruction.op0_kind(), instruction.op1_kind()) {
        (OpKind::Register, OpKind::Register) => sized!(bits, mov, First, Second),
        (OpKind::Register, OpKind::Memory) => sized!(bits, mov, First, InMemory),
        (OpKind::Register, _) => sized!(bits, mov, First, Immediate),
        (_, OpKind::Register) => sized!(bits, mov, InMemory, First),
        _ => sized!(bits, mov, InMemory, Immediate),
    })
}

fn choose_zero_extend(instruction: &Instruction) -> Execute {
    let bits = operand_bits(instruction, 0);
    match (operand_bits(instruction, 1), is_memory(instruction, 1)) {
        (8, false) => sized_from_word!(bits, zero_extend, Byte, Second),
        (8, true) => sized_from_word!(bits, zero_extend, Byte, InMemory),
        (_, false) => sized_from_word!(bits, zero_extend, Word, Second),
        (_, true) => sized_from_word!(bits, zero_extend, Word, InMemory),
    }
}

fn choose_sign_extend(instruction: &Instruction) -> Execute {
    let bits = operand_bits(instruction, 0);
    match (operand_bits(instruction, 1), is_memory(instruction, 1)) {
        (8, false) => sized_from_word!(bits, sign_extend, Byte, Second),
        (8, true) => sized_from_word!(bits, sign_extend, Byte, InMemory),
        (16, false) => sized_from_word!(bits, sign_extend, Word, Second),
        (16, true) => sized_from_word!(bits, sign_extend, Word, InMemory),
        (_, false) => sized_from_word!(bits, sign_extend, Dword, Second),
        (_, true) => sized_from_word!(bits, sign_extend, Dword, InMemory),
    }
}

fn is_cmov(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Cmovo
            | Cmovno
            | Cmovb
            | Cmovae
            | Cmove
            | Cmovne
            | Cmovbe
            | Cmova
            | Cmovs
            | Cmovns
            | Cmovp
            | Cmovnp
            | Cmovl
            | Cmovge
            | Cmovle
            | Cmovg
    )
}

fn is_set(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Seto | Setno
            | Setb
            | Setae
            | Sete
            | Setne
            | Setbe
            | Seta
            | Sets
            | Setns
            | Setp
            | Setnp
            | Setl
            | Setge
            | Setle
            | Setg
    )
}

fn choose_move_if(instruction: &Instruction) -> Execute {
    let code = condition(instruction);
    match (operand_bits(instruction, 0), is_memory(instruction, 1)) {
        (16, false) => conditional!(code, move_if, Word, Second),
        (16, true) => conditional!(code, move_if, Word, InMemory),
        (32, false) => conditional!(code, move_if, Dword, Second),
        (32, true) => conditional!(code, move_if, Dword, InMemory),
        (_, false) => conditional!(code, move_if, Qword, Second),
        (_, true) => conditional!(code, move_if, Qword, InMemory),
    }
}

fn choose_set_if(instruction: &Instruction) -> Execute {
    let code = condition(instruction);
    if is_memory(instruction, 0) {
        conditional!(code, set_if, InMemory)
    } else {
        conditional!(code, set_if, First)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::vector;
    use crate::flags::{Flags, bit};
    use crate::testing::{DATA, Trial};

    #[test]
    fn a_conditional_move_that_is_not_made_reads_and_clears_all_the_same() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RAX) = u64::MAX;
        trial.completes(&[0x0f, 0x44, 0xc3], "CMOVE EAX, EBX");
        assert_eq!(trial.cpu.register(number::RAX), 0xffff_ffff);
        *trial.cpu.register_mut(number::RBX) = 1 << 40;
        assert_eq!(trial.fault(&[0x0f, 0x44, 0x03]).vector, vector::PAGE_FAULT);
        trial.cpu.flags = Flags::from_bits(bit::ZF);
        trial.completes(&[0x48, 0x0f, 0x44, 0xc3], "CMOVE RAX, RBX");
        assert_eq!(trial.cpu.register(number::RAX), 1 << 40);
    }

    #[test]
    fn absolute_addresses_have_64_bits_and_segments() {
        let mut trial = Trial::new();
        trial.cpu.segments.gs.base = DATA.wrapping_sub(1 << 40);
        *trial.cpu.register_mut(number::RAX) = 0x1122_3344_5566_7788;
        let address = (1u64 << 40).to_le_bytes();
        trial.completes(&[&[0x65, 0x48, 0xa3][..], &address].concat(), "MOV GS:[moffs64], RAX");
        assert_eq!(trial.read(DATA), 0x1122_3344_5566_7788u64.to_le_bytes());
        trial.cpu.registers[0] = 0;
        trial.completes(&[&[0x65, 0xa0][..], &address].concat(), "MOV AL, GS:[moffs64]");
        assert_eq!(trial.cpu.register(number::RAX), 0x88);
    }

    #[test]
    fn a_table_is_indexed_by_al_alone() {
        let mut trial = Trial::new();
        trial.write(DATA + 0xfe, &[42]);
        *trial.cpu.register_mut(number::RBX) = DATA;
        *trial.cpu.register_mut(number::RAX) = 0x1234_56fe;
        trial.completes(&[0xd7], "XLAT");
        assert_eq!(trial.cpu.register(number::RAX), 0x1234_562a);
    }

    #[test]
    fn byte_registers_are_told_apart_by_their_prefix() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RAX) = 0xab00;
        trial.completes(&[0x0f, 0xb6, 0xcc], "MOVZX ECX, AH");
        assert_eq!(trial.cpu.register(number::RCX), 0xab);
        trial.completes(&[0x40, 0x0f, 0xbe, 0xcc], "MOVSX ECX, SPL");
        assert_eq!(trial.cpu.register(number::RCX), 0);
        trial.completes(&[0x40, 0xb7, 0x99], "MOV DIL, imm8");
        assert_eq!(trial.cpu.register(number::RDI), 0x99);
    }

    #[test]
    fn words_lose_their_bytes_when_swapped() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RAX) = 0x1122_3344_5566_7788;
        trial.completes(&[0x66, 0x0f, 0xc8], "BSWAP AX");
        assert_eq!(trial.cpu.register(number::RAX), 0x1122_3344_5566_0000);
        trial.completes(&[0x0f, 0xc8], "BSWAP EAX");
        assert_eq!(trial.cpu.register(number::RAX), 0x0000_6655);
    }
}
