//! Instructions that are simple and frequent enough to be done by machine code, without a call.
//!
//! Each of them does exactly what its function does; [`inline`](super::inline) has the machine code, and the tests
//! there compare. Whatever is out of the ordinary (compatibility mode, a segment base, an address that the
//! translation buffer does not know) is left to the function.

use iced_x86::{Code, ConditionCode, Instruction, Mnemonic, OpKind, Register};

use crate::cpu::number;
use crate::op::{Op, property};

/// What computes a result and flags of two operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Add,
    Subtract,
    And,
    Or,
    Xor,
}

/// Where an operand is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operand {
    /// The register `a` of the op.
    First,
    /// Its register `b`.
    Second,
    Immediate,
    Memory,
}

/// How a narrow value becomes a wide one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extension {
    /// 1, 2, 4 or 8.
    pub(crate) bytes: usize,
    pub(crate) is_signed: bool,
    /// Whether to 64 bits, rather than to 32.
    pub(crate) is_wide: bool,
}

/// A simple instruction, with operands of 32 or 64 bits where nothing else is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Simple {
    /// Not simple.
    No,
    Nothing,
    /// Register `a` becomes a register or an immediate.
    Move {
        from: Operand,
        is_wide: bool,
    },
    /// Register `a` becomes an extended part of register `b`.
    Extend(Extension),
    /// Register `a` becomes the address.
    Address {
        is_wide: bool,
    },
    /// Register `a` becomes what is in memory.
    Load(Extension),
    /// Memory becomes register `a`, or the immediate.
    Store {
        from: Operand,
        bytes: usize,
    },
    /// Register `a` becomes the result if it `is_kept`; the flags are those of the result.
    Compute {
        operation: Operation,
        first: Operand,
        second: Operand,
        is_wide: bool,
        is_kept: bool,
    },
    Push,
    Pop,
    Jump,
    JumpIf(ConditionCode),
    Call,
    Return,
}

impl Simple {
    /// Whether it completes in any case, and goes on to the next op.
    pub(crate) fn always_goes_on(self) -> bool {
        match self {
            Self::Nothing | Self::Move { .. } | Self::Extend(_) | Self::Address { .. } => true,
            Self::Compute { first, second, .. } => first != Operand::Memory && second != Operand::Memory,
            _ => false,
        }
    }

    /// Whether it replaces all arithmetic flags, and looks at none.
    pub(crate) fn replaces_flags(self) -> bool {
        matches!(self, Self::Compute { .. })
    }

    /// What kind of instruction this is.
    pub(crate) fn of(instruction: &Instruction, op: &Op) -> Self {
        let is_usual = !op.is(property::COMPATIBILITY) && !instruction.has_lock_prefix();
        let has_memory = (0..instruction.op_count()).any(|at| instruction.op_kind(at) == OpKind::Memory);
        if !is_usual || has_memory && op.segment != 0 {
            return Self::No;
        }
        match instruction.mnemonic() {
            Mnemonic::Nop | Mnemonic::Endbr64 => Self::Nothing,
            Mnemonic::Mov => Self::of_move(instruction),
            Mnemonic::Movzx => Self::of_extension(instruction, false),
            Mnemonic::Movsx | Mnemonic::Movsxd => Self::of_extension(instruction, true),
            Mnemonic::Lea => match width(instruction.op0_register()) {
                Some(is_wide) => Self::Address { is_wide },
                None => Self::No,
            },
            Mnemonic::Add => Self::of_computation(instruction, Operation::Add, true),
            Mnemonic::Sub => Self::of_computation(instruction, Operation::Subtract, true),
            Mnemonic::Cmp => Self::of_computation(instruction, Operation::Subtract, false),
            Mnemonic::And => Self::of_computation(instruction, Operation::And, true),
            Mnemonic::Test => Self::of_computation(instruction, Operation::And, false),
            Mnemonic::Or => Self::of_computation(instruction, Operation::Or, true),
            Mnemonic::Xor => Self::of_computation(instruction, Operation::Xor, true),
            _ => Self::of_stack_or_branch(instruction, op),
        }
    }

    fn of_move(instruction: &Instruction) -> Self {
        let (to, from) = (instruction.op0_register(), instruction.op1_register());
        let bytes = instruction.memory_size().size();
        match (instruction.op0_kind(), instruction.op1_kind()) {
            (OpKind::Register, OpKind::Register) => match (width(to), width(from)) {
                (Some(is_wide), Some(_)) => Self::Move { from: Operand::Second, is_wide },
                _ => Self::No,
            },
            (OpKind::Register, OpKind::Memory) if !is_absolute(instruction) => match width(to) {
                Some(is_wide) => Self::Load(Extension { bytes, is_signed: false, is_wide }),
                None => Self::No,
            },
            (OpKind::Memory, OpKind::Register) if !is_absolute(instruction) && width(from).is_some() => {
                Self::Store { from: Operand::First, bytes }
            }
            (OpKind::Memory, OpKind::Register | OpKind::Memory) | (OpKind::Register, OpKind::Memory) => {
                Self::No
            }
            (OpKind::Memory, _) => Self::Store { from: Operand::Immediate, bytes },
            (_, _) => match width(to) {
                Some(is_wide) => Self::Move { from: Operand::Immediate, is_wide },
                None => Self::No,
            },
        }
    }

    fn of_extension(instruction: &Instruction, is_signed: bool) -> Self {
        let Some(is_wide) = width(instruction.op0_register()) else { return Self::No };
        match instruction.op1_kind() {
            OpKind::Memory => {
                Self::Load(Extension { bytes: instruction.memory_size().size(), is_signed, is_wide })
            }
            _ => Self::Extend(Extension { bytes: instruction.op1_register().size(), is_signed, is_wide }),
        }
    }

    fn of_computation(instruction: &Instruction, operation: Operation, is_kept: bool) -> Self {
        let operand = |at, register| match instruction.op_kind(at) {
            OpKind::Register => register,
            OpKind::Memory => Operand::Memory,
            _ => Operand::Immediate,
        };
        let first = operand(0, Operand::First);
        let is_register = first == Operand::First;
        let second = operand(1, if is_register { Operand::Second } else { Operand::First });
        let is_wide = match (first, instruction.memory_size().size()) {
            (Operand::First, _) => width(instruction.op0_register()),
            (_, 4) => Some(false),
            (_, 8) => Some(true),
            _ => None,
        };
        match is_wide {
            Some(is_wide) if is_register || !is_kept => {
                Self::Compute { operation, first, second, is_wide, is_kept }
            }
            _ => Self::No,
        }
    }

    fn of_stack_or_branch(instruction: &Instruction, op: &Op) -> Self {
        match instruction.code() {
            Code::Push_r64 if op.a != number::RSP => Self::Push,
            Code::Pop_r64 if op.a != number::RSP => Self::Pop,
            Code::Jmp_rel8_64 | Code::Jmp_rel32_64 => Self::Jump,
            Code::Call_rel32_64 => Self::Call,
            Code::Retnq => Self::Return,
            _ if instruction.is_jcc_short_or_near() => match instruction.condition_code() {
                ConditionCode::o | ConditionCode::no | ConditionCode::p | ConditionCode::np => Self::No,
                condition => Self::JumpIf(condition),
            },
            _ => Self::No,
        }
    }
}

/// Whether a general register has 64 bits; `None` unless it has 32 or 64.
fn width(register: Register) -> Option<bool> {
    match (register.is_gpr32(), register.is_gpr64()) {
        (true, _) => Some(false),
        (_, true) => Some(true),
        _ => None,
    }
}

/// MOV with an address of 64 bits, which an op keeps elsewhere.
fn is_absolute(instruction: &Instruction) -> bool {
    matches!(
        instruction.code(),
        Code::Mov_EAX_moffs32 | Code::Mov_RAX_moffs64 | Code::Mov_moffs32_EAX | Code::Mov_moffs64_RAX
    )
}
