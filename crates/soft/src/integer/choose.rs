//! Choosing among the versions of a generic function.
//!
//! The parameters of the functions that execute instructions come in this order: the width (or two), the
//! condition, what else tells operations apart, where the operands are.

use iced_x86::{Instruction, OpKind};

/// The version of `function` for operands of so many bits: 8, 16, 32 or 64.
macro_rules! sized {
    ($bits:expr, $function:ident $(, $argument:ty)*) => {
        match $bits {
            8 => $function::<$crate::width::Byte $(, $argument)*> as $crate::op::Execute,
            16 => $function::<$crate::width::Word $(, $argument)*>,
            32 => $function::<$crate::width::Dword $(, $argument)*>,
            _ => $function::<$crate::width::Qword $(, $argument)*>,
        }
    };
}

/// As [`sized`], for instructions that have no form for bytes: 16, 32 or 64.
macro_rules! sized_from_word {
    ($bits:expr, $function:ident $(, $argument:ty)*) => {
        match $bits {
            16 => $function::<$crate::width::Word $(, $argument)*> as $crate::op::Execute,
            32 => $function::<$crate::width::Dword $(, $argument)*>,
            _ => $function::<$crate::width::Qword $(, $argument)*>,
        }
    };
}

/// The version of a function whose first parameter is the condition, for one condition: see
/// [`Flags::condition`](crate::flags::Flags::condition).
macro_rules! conditional {
    (@ $code:expr, $function:ident, $arguments:tt, $($number:literal)*) => {
        match $code {
            $($number => conditional!(# $function, $number, $arguments),)*
            _ => conditional!(# $function, 15, $arguments),
        }
    };
    (# $function:ident, $number:literal, [$($argument:ty),*]) => {
        $function::<$number $(, $argument)*> as $crate::op::Execute
    };
    ($code:expr, $function:ident $(, $argument:ty)*) => {
        conditional!(@ $code, $function, [$($argument),*], 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    };
}

/// How many bits an operand has: a register or memory.
pub(super) fn operand_bits(instruction: &Instruction, operand: u32) -> usize {
    8 * match instruction.op_kind(operand) {
        OpKind::Register => instruction.op_register(operand).size(),
        _ => instruction.memory_size().size(),
    }
}

/// Whether an operand is in memory.
pub(super) fn is_memory(instruction: &Instruction, operand: u32) -> bool {
    instruction.op_kind(operand) == OpKind::Memory
}

/// The number of an instruction's condition.
pub(super) fn condition(instruction: &Instruction) -> u8 {
    (instruction.condition_code() as u8).saturating_sub(1)
}
