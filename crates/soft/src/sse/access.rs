//! Whether MMX and SSE may be used, and where their operands come from.
//!
//! An instruction first looks whether it may run at all: #UD, then #NM, then (with MMX registers) #MF. Then it
//! accesses memory. Then it computes, which may raise #XM. Then it writes (Intel SDM volume 3, 7.9 and 14.1.1;
//! volume 2, 2.4 gives the exceptions by classes of instructions).

use crate::cpu::Cpu;
use crate::fault::{Abort, Exception, vector};
use crate::memory::Kind;
use crate::op::{Op, Step};
use crate::x87::check_pending;

/// CR0.EM: there is no FPU, nor what shares its switches.
pub(super) const EM: u64 = 1 << 2;
/// CR0.TS: the registers belong to another task.
pub(super) const TS: u64 = 1 << 3;
/// CR4.OSFXSR: the operating system saves the registers of SSE.
pub(super) const OSFXSR: u64 = 1 << 9;

/// #NM.
pub(super) const NOT_AVAILABLE: Exception = Exception::plain(vector::DEVICE_NOT_AVAILABLE);

/// Checks that the registers of SSE may be used: #UD if CR0.EM is set or CR4.OSFXSR is clear, #NM if CR0.TS is
/// set.
#[inline]
pub(super) fn check_xmm(cpu: &mut Cpu) -> Result<(), Abort> {
    let refusals = cpu.control.cr0 & (EM | TS) | !cpu.control.cr4 & OSFXSR;
    if refusals == 0 { Ok(()) } else { refuse(cpu, refusals) }
}

/// Checks that the registers of MMX may be used: #UD if CR0.EM is set, #NM if CR0.TS is set, #MF if an x87
/// exception is pending. CR4.OSFXSR is of no concern, not even to those that came with SSE.
#[inline]
pub(super) fn check_mmx(cpu: &mut Cpu) -> Result<(), Abort> {
    let refusals = cpu.control.cr0 & (EM | TS);
    if refusals == 0 { check_pending(cpu) } else { refuse(cpu, refusals) }
}

/// Checks that both may be used.
#[inline]
pub(super) fn check_both(cpu: &mut Cpu) -> Result<(), Abort> {
    check_xmm(cpu)?;
    check_mmx(cpu)
}

/// `refusals` is what is in the way, of CR0.EM, CR0.TS and (inverted) CR4.OSFXSR.
#[cold]
fn refuse(cpu: &mut Cpu, refusals: u64) -> Result<(), Abort> {
    cpu.raise(if refusals & (EM | OSFXSR) != 0 { Exception::UNDEFINED } else { NOT_AVAILABLE })
}

/// The linear address of a memory operand that must be aligned to 16 bytes: else #GP(0), even if the address is
/// not canonical and in the stack segment.
#[inline]
pub(super) fn aligned_address(cpu: &mut Cpu, op: &Op, bytes: usize, kind: Kind) -> Result<u64, Abort> {
    let linear = cpu.address(op, bytes, kind)?;
    if linear.is_multiple_of(16) { Ok(linear) } else { cpu.raise(Exception::PROTECTION) }
}

/// Reads `BYTES` bytes of memory, zero-extended. Only widths of up to 8 bytes are subject to #AC.
#[inline]
pub(super) fn load<const BYTES: usize>(cpu: &mut Cpu, op: &Op) -> Result<u128, Abort> {
    let linear = cpu.address(op, BYTES, Kind::Read)?;
    let bytes = cpu.memory.read::<BYTES>(linear)?;
    Ok(extend(bytes))
}

/// Reads 16 aligned bytes of memory.
#[inline]
pub(super) fn load_aligned(cpu: &mut Cpu, op: &Op) -> Result<u128, Abort> {
    let linear = aligned_address(cpu, op, 16, Kind::Read)?;
    Ok(u128::from_le_bytes(cpu.memory.read(linear)?))
}

#[inline]
fn extend<const BYTES: usize>(bytes: [u8; BYTES]) -> u128 {
    let mut all = [0; 16];
    all[..BYTES].copy_from_slice(&bytes);
    u128::from_le_bytes(all)
}

/// Writes the low `BYTES` bytes of a value to memory.
#[inline]
pub(super) fn store<const BYTES: usize>(cpu: &mut Cpu, op: &Op, value: u128) -> Result<Step, Abort> {
    let linear = cpu.address(op, BYTES, Kind::Write)?;
    let mut bytes = [0; BYTES];
    bytes.copy_from_slice(&value.to_le_bytes()[..BYTES]);
    cpu.memory.write(linear, bytes)
}

/// Writes 16 aligned bytes to memory.
#[inline]
pub(super) fn store_aligned(cpu: &mut Cpu, op: &Op, value: u128) -> Result<Step, Abort> {
    let linear = aligned_address(cpu, op, 16, Kind::Write)?;
    cpu.memory.write(linear, value.to_le_bytes())
}

/// Whether an instruction has a memory operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Register,
    Memory,
}

/// Where the source operand of an instruction comes from.
pub(super) trait Source {
    /// Reads it. The checks have been made.
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u128, Abort>;
}

/// The second register, an XMM one.
pub(super) struct Xmm;
/// The second register, an MMX one.
pub(super) struct Mmx;
/// 16 bytes of memory, aligned.
pub(super) struct Aligned;
/// Bytes of memory, 4 or 8, or 16 that need no alignment.
pub(super) struct Bytes<const BYTES: usize>;

impl Source for Xmm {
    #[inline]
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u128, Abort> {
        Ok(cpu.vectors.get(op.b))
    }
}

impl Source for Mmx {
    #[inline]
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u128, Abort> {
        Ok(cpu.x87.mmx(op.b).into())
    }
}

impl Source for Aligned {
    #[inline]
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u128, Abort> {
        load_aligned(cpu, op)
    }
}

impl<const BYTES: usize> Source for Bytes<BYTES> {
    #[inline]
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u128, Abort> {
        load::<BYTES>(cpu, op)
    }
}

/// Chooses a function by the form of its source: `by_source!(form, function::<.., _>, Xmm, Aligned)` names the
/// types of the source for a register and for memory, which follow other parameters.
macro_rules! by_source {
    ($form:expr, $function:ident [$($parameter:ty),*], $register:ty, $memory:ty) => {
        match $form {
            $crate::sse::access::Form::Register => $function::<$($parameter,)* $register> as $crate::op::Execute,
            $crate::sse::access::Form::Memory => $function::<$($parameter,)* $memory> as $crate::op::Execute,
        }
    };
}
pub(super) use by_source;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::number;
    use crate::fault::Reason;
    use crate::testing::{DATA, Trial};

    const ADDPS: [u8; 3] = [0x0f, 0x58, 0xca];
    const PADDB_MMX: [u8; 3] = [0x0f, 0xfc, 0xca];
    /// PADDQ of MMX registers came with SSE2.
    const PADDQ_MMX: [u8; 3] = [0x0f, 0xd4, 0xca];
    const CVTPI2PS: [u8; 3] = [0x0f, 0x2a, 0xca];
    const MOVDQ2Q: [u8; 4] = [0xf2, 0x0f, 0xd6, 0xca];
    const MF: Exception = Exception::plain(vector::FLOATING_POINT);

    /// A processor with a pending x87 exception.
    fn pending() -> Trial {
        let mut trial = Trial::new();
        trial.cpu.x87.control &= !1;
        trial.cpu.x87.status |= 0x8081;
        trial
    }

    #[test]
    fn without_an_fpu_there_is_no_mmx_or_sse() {
        let mut trial = pending();
        trial.cpu.control.cr0 |= EM | TS;
        for code in [&ADDPS[..], &PADDB_MMX, &PADDQ_MMX, &CVTPI2PS, &[0x0f, 0x77]] {
            assert_eq!(trial.fault(code), Exception::UNDEFINED, "{code:02x?}");
        }
    }

    #[test]
    fn without_osfxsr_there_are_no_xmm_registers_but_mmx_ones() {
        let mut trial = Trial::new();
        trial.cpu.control.cr4 &= !OSFXSR;
        for code in [&ADDPS[..], &CVTPI2PS, &MOVDQ2Q] {
            assert_eq!(trial.fault(code), Exception::UNDEFINED, "{code:02x?}");
        }
        trial.cpu.control.cr0 |= TS;
        assert_eq!(trial.fault(&ADDPS), Exception::UNDEFINED);
        trial.cpu.control.cr0 &= !TS;
        for code in [&PADDB_MMX, &PADDQ_MMX] {
            assert_eq!(trial.execute(code), Ok(Step::Next), "{code:02x?}");
        }
    }

    #[test]
    fn registers_of_another_task_are_not_available() {
        let mut trial = pending();
        trial.cpu.control.cr0 |= TS;
        for code in [&ADDPS[..], &PADDB_MMX, &CVTPI2PS, &[0x0f, 0x77]] {
            assert_eq!(trial.fault(code), NOT_AVAILABLE, "{code:02x?}");
        }
    }

    #[test]
    fn pending_x87_exceptions_are_raised_by_mmx_alone() {
        let mut trial = pending();
        for code in [&PADDB_MMX[..], &CVTPI2PS, &MOVDQ2Q, &[0x0f, 0x77]] {
            assert_eq!(trial.fault(code), MF, "{code:02x?}");
        }
        assert_eq!(trial.execute(&ADDPS), Ok(Step::Next));
        // CVTPI2PD xmm1, [rsi] and CVTPI2PS xmm1, [rsi] are no MMX instructions.
        *trial.cpu.register_mut(number::RSI) = DATA;
        assert_eq!(trial.execute(&[0x66, 0x0f, 0x2a, 0x0e]), Ok(Step::Next));
        assert_eq!(trial.execute(&[0x0f, 0x2a, 0x0e]), Ok(Step::Next));
    }

    #[test]
    fn an_exception_comes_before_a_bad_address() {
        let mut trial = pending();
        *trial.cpu.register_mut(number::RSI) = 1 << 63;
        assert_eq!(trial.fault(&[0x0f, 0x6f, 0x0e]), MF);
        trial.cpu.x87.status = 0;
        assert_eq!(trial.execute(&[0x0f, 0x6f, 0x0e]), Err(Reason::NotCanonical));
    }

    #[test]
    fn operands_of_16_bytes_are_aligned_unless_the_instruction_says_otherwise() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RSI) = DATA + 8;
        // ADDPS, MOVAPS, MOVDQA, PXOR, UNPCKLPS, MOVNTPS, MOVNTDQ, MOVAPS to memory.
        let aligned: [&[u8]; 8] = [
            &[0x0f, 0x58, 0x0e],
            &[0x0f, 0x28, 0x0e],
            &[0x66, 0x0f, 0x6f, 0x0e],
            &[0x66, 0x0f, 0xef, 0x0e],
            &[0x0f, 0x14, 0x0e],
            &[0x0f, 0x2b, 0x0e],
            &[0x66, 0x0f, 0xe7, 0x0e],
            &[0x0f, 0x29, 0x0e],
        ];
        for code in aligned {
            assert_eq!(trial.fault(code), Exception::PROTECTION, "{code:02x?}");
        }
        // MOVUPS, MOVUPD, MOVDQU, both ways; ADDSD; PADDB of MMX.
        let others: [&[u8]; 8] = [
            &[0x0f, 0x10, 0x0e],
            &[0x66, 0x0f, 0x10, 0x0e],
            &[0xf3, 0x0f, 0x6f, 0x0e],
            &[0x0f, 0x11, 0x0e],
            &[0x66, 0x0f, 0x11, 0x0e],
            &[0xf3, 0x0f, 0x7f, 0x0e],
            &[0xf2, 0x0f, 0x58, 0x0e],
            &[0x0f, 0xfc, 0x0e],
        ];
        for code in others {
            assert_eq!(trial.execute(code), Ok(Step::Next), "{code:02x?}");
        }
    }

    #[test]
    fn a_bad_address_that_is_not_aligned_is_a_protection_fault_even_in_the_stack_segment() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RBP) = 1 << 63 | 1;
        assert_eq!(trial.fault(&[0x0f, 0x28, 0x4d, 0x00]), Exception::PROTECTION);
    }
}
