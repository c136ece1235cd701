//! Integer instructions: all that work on general registers, memory and the arithmetic flags, at any privilege.
//!
//! Each instruction is a generic function whose parameters are what decoding finds out: the operation, the
//! width, and where the operands are ([`operand`]). So what is left to execute is straight-line code, and the
//! selection below is all that knows how instructions are encoded.
//!
//! * [`arithmetic`], [`shift`], [`multiply`], [`bits`], [`decimal`]: what computes;
//! * [`transfer`], [`exchange`], [`stack`], [`string`]: what moves data;
//! * [`branch`]: what moves RIP;
//! * [`flag`]: what works on flags alone, and what does nothing.

#[macro_use]
mod choose;

mod arithmetic;
mod bits;
mod branch;
mod decimal;
mod exchange;
mod flag;
mod frame;
mod multiply;
mod operand;
mod shift;
mod stack;
mod string;
mod transfer;

use iced_x86::Instruction;

use crate::decode::Selection;
use crate::op::Op;

/// What executes an integer instruction.
pub(crate) fn select(instruction: &Instruction, op: &mut Op) -> Option<Selection> {
    // Their names are those of SSE instructions, too.
    if instruction.is_string_instruction() {
        return string::select(instruction, op).map(Selection::plain);
    }
    let execute = transfer::select(instruction)
        .or_else(|| arithmetic::select(instruction))
        .or_else(|| branch::select(instruction, op))
        .or_else(|| frame::select(instruction, op))
        .or_else(|| shift::select(instruction, op))
        .or_else(|| bits::select(instruction))
        .or_else(|| exchange::select(instruction))
        .or_else(|| multiply::select(instruction))
        .or_else(|| flag::select(instruction, op))
        .or_else(|| decimal::select(instruction));
    execute.map(Selection::plain)
}
