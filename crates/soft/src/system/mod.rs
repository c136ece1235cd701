//! System instructions: privilege, events, and the state that only kernels see.
//!
//! | | |
//! | --- | --- |
//! | [`interrupt`], [`gate`] | exceptions and interrupts on their way to a handler |
//! | [`debug`] | traps and breakpoints |
//! | [`descriptor`], [`transfer`] | what loads of segment registers and far transfers share |
//! | [`iret`], [`far`], [`software`], [`syscall`] | transfers between rings and code segments |
//! | [`segments`], [`tables`], [`inspect`] | segment registers and descriptor tables |
//! | [`flags`], [`control`], [`debug_registers`], [`model_specific`] | other registers |
//! | [`ports`], [`processor`] | what is asked of the monitor, or told to it |

mod control;
pub(crate) mod debug;
mod debug_registers;
mod descriptor;
mod far;
mod flags;
mod gate;
mod inspect;
pub(crate) mod interrupt;
mod iret;
mod model_specific;
mod ports;
mod processor;
mod segments;
mod software;
#[cfg(test)]
pub(crate) mod stage;
mod syscall;
mod tables;
mod transfer;

use iced_x86::Instruction;

use crate::decode::Selection;
use crate::op::Op;

/// What executes a system instruction. What is known but not offered (SYSENTER, RSM, MONITOR) is #UD, and so
/// are UD0, UD1 and UD2: nobody selects them.
pub(crate) fn select(instruction: &Instruction, op: &mut Op) -> Option<Selection> {
    segments::select(instruction, op)
        .or_else(|| control::select(instruction, op))
        .or_else(|| debug_registers::select(instruction, op))
        .or_else(|| flags::select(instruction))
        .or_else(|| iret::select(instruction))
        .or_else(|| syscall::select(instruction))
        .or_else(|| software::select(instruction))
        .or_else(|| far::select(instruction))
        .or_else(|| ports::select(instruction))
        .or_else(|| processor::select(instruction))
        .or_else(|| model_specific::select(instruction))
        .or_else(|| tables::select(instruction, op))
        .or_else(|| inspect::select(instruction, op))
}
