//! SSE and MMX instructions: all of MMX, SSE and SSE2, FXSAVE and FXRSTOR.
//!
//! * [`access`]: whether they may run, and where operands come from;
//! * [`moves`], [`packed`], [`shuffle`], [`memory`]: what only moves bits or computes with integers;
//! * [`state`]: MXCSR, EMMS, FXSAVE and FXRSTOR.
//!
//! Floating-point numbers:
//!
//! * [`host`]: executes an instruction on the host under the guest's MXCSR;
//! * [`exceptions`]: what becomes of the exceptions that it reports; [`exact`] helps;
//! * [`quick`]: the common case, without all that;
//! * [`arithmetic`], [`compare`], [`convert`]: the instructions;
//! * [`approximate`]: reciprocals, whose results the manual leaves to the processor.

mod access;
mod approximate;
mod arithmetic;
mod compare;
mod convert;
mod exact;
mod exceptions;
#[cfg(test)]
mod hardware;
mod host;
mod memory;
mod moves;
mod packed;
mod quick;
mod shuffle;
mod state;
#[cfg(test)]
mod tests;

use iced_x86::{Code, Instruction, OpKind};

use crate::decode::Selection;
use crate::op::{Execute, Op};
use access::Form;

/// What executes an instruction of this group.
pub(crate) fn select(instruction: &Instruction, op: &mut Op) -> Option<Selection> {
    let in_memory = (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory);
    let form = if in_memory { Form::Memory } else { Form::Register };
    let execute = selection(instruction.code(), form)?;
    memory::complete(instruction.code(), op);
    Some(Selection::plain(execute))
}

fn selection(code: Code, form: Form) -> Option<Execute> {
    moves::selection(code, form)
        .or_else(|| packed::selection(code, form))
        .or_else(|| shuffle::selection(code, form))
        .or_else(|| arithmetic::selection(code, form))
        .or_else(|| compare::selection(code, form))
        .or_else(|| convert::selection(code, form))
        .or_else(|| memory::selection(code))
        .or_else(|| state::selection(code))
        .or_else(|| approximate::selection(code, form))
}
