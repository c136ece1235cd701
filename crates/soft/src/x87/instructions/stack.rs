//! Instructions that move registers about: FXCH, FFREE, FINCSTP, FDECSTP.

use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Op, Step};
use crate::x87::guard::{begin, note};
use crate::x87::status::C1;

/// FXCH. Empty registers become indefinite before they are exchanged.
pub(in crate::x87) extern "sysv64-unwind" fn exchange(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let x87 = &mut cpu.x87;
    let mut context = x87.context();
    let left = if x87.is_empty(0) { context.stack_underflow() } else { x87.st(0) };
    let right = if x87.is_empty(op.extra) { context.stack_underflow() } else { x87.st(op.extra) };
    if !context.withholds() {
        x87.set(0, right);
        x87.set(op.extra, left);
    }
    x87.settle(&context);
    Ok(Step::Next)
}

/// FFREE.
pub(in crate::x87) extern "sysv64-unwind" fn free(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    cpu.x87.free(op.extra);
    cpu.x87.status &= !C1;
    Ok(Step::Next)
}

/// FFREEP: FFREE and a pop.
pub(in crate::x87) extern "sysv64-unwind" fn free_and_pop(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    cpu.x87.free(op.extra);
    cpu.x87.pop();
    cpu.x87.status &= !C1;
    Ok(Step::Next)
}

/// FINCSTP.
pub(in crate::x87) extern "sysv64-unwind" fn increment_top(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    cpu.x87.top = (cpu.x87.top + 1) & 7;
    cpu.x87.status &= !C1;
    Ok(Step::Next)
}

/// FDECSTP.
pub(in crate::x87) extern "sysv64-unwind" fn decrement_top(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    cpu.x87.top = (cpu.x87.top + 7) & 7;
    cpu.x87.status &= !C1;
    Ok(Step::Next)
}
