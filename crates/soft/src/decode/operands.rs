//! The operands of an instruction, as an [`Op`] holds them.

use iced_x86::{Instruction, OpKind, Register};

use crate::cpu::number;
use crate::decode::undefined;
use crate::memory::circumstances::CodeSize;
use crate::op::{Op, address, property, segment};

/// An op without operands.
pub(super) const EMPTY: Op = Op {
    execute: undefined,
    immediate: 0,
    displacement: 0,
    a: 0,
    b: 0,
    base: number::ZERO,
    index: number::ZERO,
    scale: 0,
    segment: 0,
    start: 0,
    end: 0,
    flags: 0,
    extra: 0,
};

/// An op with all operands of an instruction that is `at` bytes behind its block's first one.
///
/// The first register operand becomes `a` and the second one `b`, whichever operands they are; operands that
/// the instruction implies but iced lists (such as CL) count. The memory operand fills the fields of the
/// address; that of a string instruction (RSI and RDI) does not. A 64-bit absolute address (MOV AL, moffs64)
/// is in `immediate`. A third register cannot occur with an immediate second one; SHLD and the like have their
/// CL or immediate in `immediate` only if it is one.
pub(super) fn op(instruction: &Instruction, block: u64, at: u16, size: CodeSize) -> Op {
    let mut op =
        Op { start: at, end: at + instruction.len() as u16, flags: flags(instruction, size), ..EMPTY };
    let mut registers = 0;
    for operand in 0..instruction.op_count() {
        match instruction.op_kind(operand) {
            OpKind::Register => {
                let register = register_number(instruction.op_register(operand));
                match registers {
                    0 => op.a = register,
                    1 => op.b = register,
                    _ => {}
                }
                registers += 1;
            }
            OpKind::Memory => memory(instruction, block, size, &mut op),
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                op.immediate = instruction.near_branch_target().wrapping_sub(block);
            }
            OpKind::FarBranch16 => {
                op.immediate = instruction.far_branch16().into();
                op.displacement = instruction.far_branch_selector().into();
            }
            OpKind::FarBranch32 => {
                op.immediate = instruction.far_branch32().into();
                op.displacement = instruction.far_branch_selector().into();
            }
            OpKind::Immediate8_2nd => op.extra = instruction.immediate8_2nd(),
            OpKind::MemorySegSI
            | OpKind::MemorySegESI
            | OpKind::MemorySegRSI
            | OpKind::MemorySegDI
            | OpKind::MemorySegEDI
            | OpKind::MemorySegRDI
            | OpKind::MemoryESDI
            | OpKind::MemoryESEDI
            | OpKind::MemoryESRDI => string(instruction, size, &mut op),
            _ => op.immediate = instruction.immediate(operand),
        }
    }
    op
}

fn flags(instruction: &Instruction, size: CodeSize) -> u8 {
    let mut flags = 0;
    // Elsewhere the prefixes choose another instruction, or nothing.
    if instruction.is_string_instruction() {
        if instruction.has_rep_prefix() {
            flags |= property::REP;
        } else if instruction.has_repne_prefix() {
            flags |= property::REPNE;
        }
    }
    if size == CodeSize::Compatibility {
        flags |= property::COMPATIBILITY;
    }
    flags
}

/// The number of a register: see [`Op::a`].
fn register_number(register: Register) -> u8 {
    match register {
        Register::AL | Register::CL | Register::DL | Register::BL => {
            (register as u8 - Register::AL as u8) * 2
        }
        Register::AH | Register::CH | Register::DH | Register::BH => {
            (register as u8 - Register::AH as u8) * 2 + 1
        }
        // SPL to R15L. iced counts them on from BH.
        _ if register.is_gpr8() => register.full_register().number() as u8 * 2,
        _ => register.number() as u8,
    }
}

/// Puts a memory operand into an op.
fn memory(instruction: &Instruction, block: u64, size: CodeSize, op: &mut Op) {
    let (base, index) = (instruction.memory_base(), instruction.memory_index());
    let displacement = instruction.memory_displacement64();
    if instruction.memory_displ_size() == 8
        && base == Register::None
        && index == Register::None
        && is_moffs(instruction)
    {
        op.immediate = displacement;
    }
    op.segment = segment_bits(instruction.memory_segment(), size);
    match base {
        Register::RIP | Register::EIP => {
            op.base = number::BLOCK;
            set_displacement(op, displacement.wrapping_sub(block) as i64);
        }
        _ => {
            op.base = general(base);
            op.displacement = displacement as i32;
        }
    }
    op.index = general(index);
    op.scale = instruction.memory_index_scale().trailing_zeros() as u8;
    let width = address_bits(instruction, size);
    op.segment |= match width {
        64 => 0,
        32 => address::DWORD,
        _ => address::WORD,
    };
    let through_stack = match size {
        // Of the segment prefixes only those of FS and GS count, so the base decides otherwise.
        CodeSize::Long => {
            !matches!(instruction.segment_prefix(), Register::FS | Register::GS)
                && matches!(base, Register::RSP | Register::RBP | Register::ESP | Register::EBP)
        }
        CodeSize::Compatibility => instruction.memory_segment() == Register::SS,
    };
    if through_stack {
        op.flags |= property::STACK;
    }
}

/// A displacement relative to the block instead of to the instruction's end may need 33 bits.
fn set_displacement(op: &mut Op, displacement: i64) {
    op.displacement = displacement as i32;
    if displacement > i32::MAX.into() {
        op.segment |= address::WRAPPED;
    }
}

fn is_moffs(instruction: &Instruction) -> bool {
    use iced_x86::Code;
    matches!(
        instruction.code(),
        Code::Mov_AL_moffs8
            | Code::Mov_AX_moffs16
            | Code::Mov_EAX_moffs32
            | Code::Mov_RAX_moffs64
            | Code::Mov_moffs8_AL
            | Code::Mov_moffs16_AX
            | Code::Mov_moffs32_EAX
            | Code::Mov_moffs64_RAX
    )
}

fn general(register: Register) -> u8 {
    if register == Register::None { number::ZERO } else { register.number() as u8 }
}

/// In 64-bit mode only FS and GS have bases, and nothing is checked (Intel SDM volume 3, 3.2.4).
fn segment_bits(register: Register, size: CodeSize) -> u8 {
    let number = match register {
        Register::ES => segment::ES,
        Register::CS => segment::CS,
        Register::SS => segment::SS,
        Register::FS => segment::FS,
        Register::GS => segment::GS,
        _ => segment::DS,
    };
    match size {
        CodeSize::Long if number < segment::FS => 0,
        CodeSize::Long => number + 1,
        CodeSize::Compatibility => (number + 1) | address::CHECKED,
    }
}

/// How many bits an address has.
fn address_bits(instruction: &Instruction, size: CodeSize) -> u32 {
    let by_register = |register: Register| (register.size() * 8) as u32;
    match (instruction.memory_base(), instruction.memory_index()) {
        (Register::None, Register::None) => match (instruction.memory_displ_size(), size) {
            (2, _) => 16,
            // A displacement of four bytes is sign-extended to 64 bits unless there is an address-size prefix,
            // and iced then says that it has eight.
            (4, _) => 32,
            (_, CodeSize::Long) => 64,
            (_, CodeSize::Compatibility) => 32,
        },
        (Register::None, index) => by_register(index),
        (base, _) => by_register(base),
    }
}

/// A string instruction: which segment the source is in, and how wide its addresses are. `segment` is used as
/// in a memory operand; the destination is always in ES.
fn string(instruction: &Instruction, size: CodeSize, op: &mut Op) {
    let mut wide = true;
    for operand in 0..instruction.op_count() {
        wide &= match instruction.op_kind(operand) {
            OpKind::MemorySegESI | OpKind::MemorySegEDI | OpKind::MemoryESEDI => {
                op.segment |= address::DWORD;
                false
            }
            OpKind::MemorySegSI | OpKind::MemorySegDI | OpKind::MemoryESDI => {
                op.segment |= address::WORD;
                false
            }
            _ => true,
        };
    }
    debug_assert!(!wide || size == CodeSize::Long, "addresses in compatibility mode have 32 bits at most");
    op.segment |= segment_bits(instruction.memory_segment(), size);
}
