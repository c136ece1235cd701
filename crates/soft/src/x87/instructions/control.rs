//! The control and status words: FINIT, FCLEX, FLDCW, FSTCW, FSTSW, FNOP, FWAIT.

use crate::cpu::{Cpu, number};
use crate::fault::Abort;
use crate::op::{Op, Step};
use crate::width::Word;
use crate::x87::guard::{begin, begin_wait, begin_without_wait};
use crate::x87::status::{EXCEPTIONS, SF, SUMMARY};

/// FNINIT.
pub(in crate::x87) extern "sysv64-unwind" fn initialise(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    begin_without_wait(cpu)?;
    cpu.x87.initialise();
    Ok(Step::Next)
}

/// FNCLEX.
pub(in crate::x87) extern "sysv64-unwind" fn clear_exceptions(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    begin_without_wait(cpu)?;
    cpu.x87.status &= !(EXCEPTIONS | SF | SUMMARY);
    Ok(Step::Next)
}

/// FLDCW. An exception that it unmasks is raised by the next instruction that waits.
pub(in crate::x87) extern "sysv64-unwind" fn load_control(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    let word = cpu.load_operand::<Word>(op)?;
    cpu.x87.set_control(word as u16);
    Ok(Step::Next)
}

/// FNSTCW.
pub(in crate::x87) extern "sysv64-unwind" fn store_control(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin_without_wait(cpu)?;
    cpu.store_operand::<Word>(op, cpu.x87.control.into())
}

/// FNSTSW m16.
pub(in crate::x87) extern "sysv64-unwind" fn store_status(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin_without_wait(cpu)?;
    cpu.store_operand::<Word>(op, cpu.x87.status_word().into())
}

/// FNSTSW AX.
pub(in crate::x87) extern "sysv64-unwind" fn store_status_in_ax(
    cpu: &mut Cpu,
    _: &Op,
) -> Result<Step, Abort> {
    begin_without_wait(cpu)?;
    cpu.set::<Word>(number::RAX, cpu.x87.status_word().into());
    Ok(Step::Next)
}

/// FNOP.
pub(in crate::x87) extern "sysv64-unwind" fn nothing(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    Ok(Step::Next)
}

/// FNENI, FNDISI and FNSETPM, which did something on the 8087 and the 287.
pub(in crate::x87) extern "sysv64-unwind" fn nothing_without_wait(
    cpu: &mut Cpu,
    _: &Op,
) -> Result<Step, Abort> {
    begin_without_wait(cpu)?;
    Ok(Step::Next)
}

/// FWAIT.
pub(in crate::x87) extern "sysv64-unwind" fn wait(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    begin_wait(cpu)?;
    Ok(Step::Next)
}
