//! What comes before an instruction, and what each one leaves behind.

use crate::cpu::Cpu;
use crate::fault::unhandled;
use crate::fault::{Abort, Exception, vector};
use crate::op::Op;

/// Bits of CR0 (Intel SDM volume 3, 2.5).
const MP: u64 = 1 << 1;
const EM: u64 = 1 << 2;
const TS: u64 = 1 << 3;
const NE: u64 = 1 << 5;

/// Begins an instruction that does not wait: #NM if there is no floating-point unit, or a task's state is in
/// it that is not the current one.
#[inline]
pub(super) fn begin_without_wait(cpu: &mut Cpu) -> Result<(), Abort> {
    match cpu.control.cr0 & (EM | TS) {
        0 => Ok(()),
        _ => cpu.raise(Exception::plain(vector::DEVICE_NOT_AVAILABLE)),
    }
}

/// Begins an instruction that waits: as [`begin_without_wait`], and raises the exception that is pending.
#[inline]
pub(super) fn begin(cpu: &mut Cpu) -> Result<(), Abort> {
    begin_without_wait(cpu)?;
    check_pending(cpu)
}

/// Begins FWAIT, for which CR0.MP decides whether CR0.TS counts (Intel SDM volume 3, table 2-2).
pub(super) fn begin_wait(cpu: &mut Cpu) -> Result<(), Abort> {
    if cpu.control.cr0 & (MP | TS) == MP | TS {
        return cpu.raise(Exception::plain(vector::DEVICE_NOT_AVAILABLE));
    }
    check_pending(cpu)
}

/// Raises #MF if an earlier instruction left an exception that is not masked: for every instruction of x87 and
/// MMX that waits.
#[inline]
pub(crate) fn check_pending(cpu: &mut Cpu) -> Result<(), Abort> {
    if cpu.x87.is_pending() { raise_pending(cpu) } else { Ok(()) }
}

#[cold]
fn raise_pending(cpu: &mut Cpu) -> Result<(), Abort> {
    if cpu.control.cr0 & NE != 0 {
        return cpu.raise(Exception::plain(vector::FLOATING_POINT));
    }
    let status = cpu.x87.status_word();
    let detail = format!("x87 exceptions by interrupt 13 (CR0.NE is 0), FSW {status:#06x}");
    cpu.memory.abort(unhandled("x87 exceptions outside of the processor", detail))
}

/// Notes the last instruction that is no control instruction.
#[inline]
pub(super) fn note(cpu: &mut Cpu, op: &Op) {
    cpu.x87.instruction = cpu.rip_of(op);
    cpu.x87.opcode = op.immediate as u16;
}

/// As [`note`], for an instruction with a memory operand. To be called before it changes anything.
#[inline]
pub(super) fn note_memory(cpu: &mut Cpu, op: &Op) {
    cpu.x87.operand = cpu.offset(op);
    note(cpu, op);
}

#[cfg(test)]
mod tests {
    use outlive_engine::Exit;

    use super::*;
    use crate::fault::Reason;
    use crate::op::Step;
    use crate::testing::{CODE, DATA, Trial};
    use crate::x87::status::SUMMARY;

    const FWAIT: &[u8] = &[0x9b];
    const FLD1: &[u8] = &[0xd9, 0xe8];
    const FNINIT: &[u8] = &[0xdb, 0xe3];
    const FNSTSW_AX: &[u8] = &[0xdf, 0xe0];
    const FNCLEX: &[u8] = &[0xdb, 0xe2];
    const FDIV_ST1: &[u8] = &[0xd8, 0xf1];
    const UNAVAILABLE: Exception = Exception::plain(vector::DEVICE_NOT_AVAILABLE);
    const ERROR: Exception = Exception::plain(vector::FLOATING_POINT);

    /// A processor that has divided by zero, which is not masked.
    fn divided() -> Trial {
        let mut trial = Trial::new();
        trial.cpu.x87.control &= !4;
        for instruction in [[0xd9, 0xee], [0xd9, 0xe8], [0xd8, 0xf1]] {
            assert_eq!(trial.execute(&instruction), Ok(Step::Next));
        }
        trial
    }

    #[test]
    fn all_but_fwait_are_unavailable_with_em_or_ts() {
        for bit in [EM, TS] {
            for instruction in [FLD1, FNINIT, FNSTSW_AX, FNCLEX] {
                let mut trial = Trial::new();
                trial.cpu.control.cr0 |= bit;
                assert_eq!(trial.fault(instruction), UNAVAILABLE);
            }
        }
    }

    #[test]
    fn fwait_is_unavailable_with_mp_and_ts() {
        for (cr0, is_available) in [(0, true), (MP, true), (TS, true), (EM, true), (MP | TS, false)] {
            let mut trial = Trial::new();
            trial.cpu.control.cr0 = trial.cpu.control.cr0 & !(MP | TS | EM) | cr0;
            if is_available {
                assert_eq!(trial.execute(FWAIT), Ok(Step::Next));
            } else {
                assert_eq!(trial.fault(FWAIT), UNAVAILABLE);
            }
        }
    }

    #[test]
    fn the_next_instruction_that_waits_raises_the_exception() {
        let mut trial = divided();
        assert_eq!(trial.cpu.x87.status & (SUMMARY | 4), SUMMARY | 4);
        assert_eq!(trial.execute(FNSTSW_AX), Ok(Step::Next));
        assert_eq!(trial.cpu.register(0) as u16, trial.cpu.x87.status_word());
        for instruction in [FWAIT, FLD1, FDIV_ST1, &[0xd9, 0x2c, 0x25, 0, 0, 2, 0], &[0xd9, 0xd0]] {
            assert_eq!(trial.fault(instruction), ERROR, "{instruction:02x?}");
        }
        assert_eq!(trial.execute(FNCLEX), Ok(Step::Next));
        assert_eq!(trial.execute(FWAIT), Ok(Step::Next));
        assert_eq!(trial.cpu.x87.status & SUMMARY, 0);
    }

    #[test]
    fn unmasking_an_exception_makes_it_pending() {
        let mut trial = Trial::new();
        trial.cpu.x87.set_status(1);
        assert_eq!(trial.execute(FWAIT), Ok(Step::Next));
        trial.write(DATA, &[0x7e, 3]);
        assert_eq!(trial.execute(&[0xd9, 0x2c, 0x25, 0, 0, 2, 0]), Ok(Step::Next));
        assert_eq!(trial.fault(FWAIT), ERROR);
    }

    #[test]
    fn without_ne_the_exception_is_not_handled() {
        let mut trial = divided();
        trial.cpu.control.cr0 &= !NE;
        assert!(matches!(trial.execute(FWAIT), Err(Reason::Exit(Exit::Unhandled(_)))));
    }

    #[test]
    fn pointers_are_those_of_the_last_instruction_that_is_no_control_instruction() {
        let mut trial = Trial::new();
        // FADD dword [DATA]; FNSTSW AX.
        assert_eq!(trial.execute(&[0xd8, 0x04, 0x25, 0, 0, 2, 0]), Ok(Step::Next));
        assert_eq!(trial.execute(FNSTSW_AX), Ok(Step::Next));
        let x87 = &trial.cpu.x87;
        assert_eq!((x87.instruction, x87.operand, x87.opcode), (CODE, DATA, 0x004));
        assert_eq!(trial.execute(FLD1), Ok(Step::Next));
        let x87 = &trial.cpu.x87;
        assert_eq!((x87.instruction, x87.operand, x87.opcode), (CODE, DATA, 0x1e8));
    }
}
