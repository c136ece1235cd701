//! Software interrupts: INT n, INT3, INTO, INT1 (Intel SDM volume 2, INT n).

use iced_x86::{Code, Instruction};

use super::gate;
use super::interrupt::{Event, Source};
use crate::cpu::Cpu;
use crate::decode::Selection;
use crate::fault::{Abort, vector};
use crate::op::{Op, Step};

pub(super) fn select(instruction: &Instruction) -> Option<Selection> {
    Some(Selection::last(match instruction.code() {
        Code::Int_imm8 => int,
        Code::Int3 => int3,
        Code::Int1 => int1,
        Code::Into => into,
        _ => return None,
    }))
}

extern "sysv64-unwind" fn int(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    enter(cpu, op, op.immediate as u8, Source::Software)
}

extern "sysv64-unwind" fn int3(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    enter(cpu, op, vector::BREAKPOINT, Source::Software)
}

/// #DB, whatever the gate's DPL. DR6 does not tell of it.
extern "sysv64-unwind" fn int1(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    enter(cpu, op, vector::DEBUG, Source::Privileged)
}

/// Exists in compatibility mode only.
extern "sysv64-unwind" fn into(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    if cpu.flags.overflow() { enter(cpu, op, vector::OVERFLOW, Source::Software) } else { Ok(Step::Next) }
}

fn enter(cpu: &mut Cpu, op: &Op, vector: u8, source: Source) -> Result<Step, Abort> {
    let event = Event { vector, error_code: None, source, resumes: false };
    let rip = cpu.rip_after(op);
    gate::enter(cpu, &event, rip)?;
    cpu.trap_is_decided = true;
    Ok(Step::Jump)
}
