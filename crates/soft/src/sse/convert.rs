//! Conversions between formats: within XMM registers, with general registers, with MMX registers.

use iced_x86::Code;

use super::access::{Aligned, Bytes, Form, Mmx, Source, Xmm, by_source, check_both, check_xmm};
use super::exact;
use super::exceptions::{Range, control, execute, execute_ranged, mxcsr, report};
use super::host::{self, FromInteger, Instruction, ToInteger};
use super::quick::{self, Scalar};
use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Execute, Op, Step};
use crate::width::{Dword, Qword, Width};

const LOW_QWORD: u128 = 0xffff_ffff_ffff_ffff;

/// What executes a conversion.
pub(super) fn selection(code: Code, form: Form) -> Option<Execute> {
    within_xmm(code, form).or_else(|| general(code, form)).or_else(|| mmx(code, form))
}

fn within_xmm(code: Code, form: Form) -> Option<Execute> {
    use Code::*;
    Some(match code {
        Cvtps2pd_xmm_xmmm64 => by_source!(form, convert[host::Cvtps2pd], Xmm, Bytes<8>),
        Cvtdq2pd_xmm_xmmm64 => by_source!(form, convert[host::Cvtdq2pd], Xmm, Bytes<8>),
        Cvtdq2ps_xmm_xmmm128 => by_source!(form, convert[host::Cvtdq2ps], Xmm, Aligned),
        Cvtps2dq_xmm_xmmm128 => by_source!(form, convert[host::Cvtps2dq], Xmm, Aligned),
        Cvttps2dq_xmm_xmmm128 => by_source!(form, convert[host::Cvttps2dq], Xmm, Aligned),
        Cvtpd2dq_xmm_xmmm128 => by_source!(form, convert[host::Cvtpd2dq], Xmm, Aligned),
        Cvttpd2dq_xmm_xmmm128 => by_source!(form, convert[host::Cvttpd2dq], Xmm, Aligned),
        Cvtpd2ps_xmm_xmmm128 => by_source!(form, narrow_both[], Xmm, Aligned),
        Cvtsd2ss_xmm_xmmm64 => by_source!(form, narrow[], Xmm, Bytes<8>),
        Cvtss2sd_xmm_xmmm32 => by_source!(form, widen[], Xmm, Bytes<4>),
        _ => return None,
    })
}

fn general(code: Code, form: Form) -> Option<Execute> {
    use Code::*;
    use host::*;
    Some(match code {
        Cvtsi2ss_xmm_rm32 => by_source!(form, from_integer[Cvtsi2ssDword, Dword, f32], General, Bytes<4>),
        Cvtsi2ss_xmm_rm64 => by_source!(form, from_integer[Cvtsi2ssQword, Qword, f32], General, Bytes<8>),
        Cvtsi2sd_xmm_rm32 => by_source!(form, from_integer[Cvtsi2sdDword, Dword, f64], General, Bytes<4>),
        Cvtsi2sd_xmm_rm64 => by_source!(form, from_integer[Cvtsi2sdQword, Qword, f64], General, Bytes<8>),
        Cvtss2si_r32_xmmm32 => by_source!(form, to_integer[Cvtss2siDword, Dword, f32], Xmm, Bytes<4>),
        Cvtss2si_r64_xmmm32 => by_source!(form, to_integer[Cvtss2siQword, Qword, f32], Xmm, Bytes<4>),
        Cvtsd2si_r32_xmmm64 => by_source!(form, to_integer[Cvtsd2siDword, Dword, f64], Xmm, Bytes<8>),
        Cvtsd2si_r64_xmmm64 => by_source!(form, to_integer[Cvtsd2siQword, Qword, f64], Xmm, Bytes<8>),
        Cvttss2si_r32_xmmm32 => by_source!(form, truncate[Cvttss2siDword, Dword, f32], Xmm, Bytes<4>),
        Cvttss2si_r64_xmmm32 => by_source!(form, truncate[Cvttss2siQword, Qword, f32], Xmm, Bytes<4>),
        Cvttsd2si_r32_xmmm64 => by_source!(form, truncate[Cvttsd2siDword, Dword, f64], Xmm, Bytes<8>),
        Cvttsd2si_r64_xmmm64 => by_source!(form, truncate[Cvttsd2siQword, Qword, f64], Xmm, Bytes<8>),
        _ => return None,
    })
}

/// Those with MMX registers. CVTPI2PD with a memory operand does not touch them: it neither raises #MF nor changes
/// the x87's tags (Intel SDM volume 2, CVTPI2PD). So does CVTPI2PS: the manual says otherwise, but Intel's and AMD's
/// processors agree.
fn mmx(code: Code, form: Form) -> Option<Execute> {
    use Code::*;
    Some(match (code, form) {
        (Cvtpi2ps_xmm_mmm64, Form::Register) => singles_from_mmx,
        (Cvtpi2ps_xmm_mmm64, Form::Memory) => singles_from_memory,
        (Cvtpi2pd_xmm_mmm64, Form::Register) => doubles_from_mmx,
        (Cvtpi2pd_xmm_mmm64, Form::Memory) => convert::<host::Cvtdq2pd, Bytes<8>>,
        (Cvtps2pi_mm_xmmm64, _) => by_source!(form, to_mmx[host::Cvtps2dq], LowHalf, Bytes<8>),
        (Cvttps2pi_mm_xmmm64, _) => by_source!(form, to_mmx[host::Cvttps2dq], LowHalf, Bytes<8>),
        (Cvtpd2pi_mm_xmmm128, _) => by_source!(form, to_mmx[host::Cvtpd2dq], Xmm, Aligned),
        (Cvttpd2pi_mm_xmmm128, _) => by_source!(form, to_mmx[host::Cvttpd2dq], Xmm, Aligned),
        _ => return None,
    })
}

extern "sysv64-unwind" fn convert<I: Instruction, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let value = execute::<I>(cpu, cpu.vectors.get(op.a), b)?;
    cpu.vectors.set(op.a, value);
    Ok(Step::Next)
}

/// Conversion from double to single precision, which can be out of range.
const fn narrowing(lanes: u32) -> Range {
    Range { lanes, operand: 64, result: 32, is_exact: exact::conversion }
}

/// CVTPD2PS.
extern "sysv64-unwind" fn narrow_both<S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let value = execute_ranged::<host::Cvtpd2ps>(cpu, cpu.vectors.get(op.a), b, &narrowing(2))?;
    cpu.vectors.set(op.a, value);
    Ok(Step::Next)
}

/// CVTSD2SS.
extern "sysv64-unwind" fn narrow<S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let (a, number) = (cpu.vectors.get(op.a), f64::lowest(b));
    let single = number as f32;
    let is_simple = number.is_ordinary() && single.is_safe() || number.is_zero();
    let value = match quick::is_usual(cpu.vectors.mxcsr) && is_simple {
        true => single.replace(a),
        false => execute_ranged::<host::Cvtsd2ss>(cpu, a, b, &narrowing(1))?,
    };
    cpu.vectors.set(op.a, value);
    Ok(Step::Next)
}

/// CVTSS2SD, which is exact.
extern "sysv64-unwind" fn widen<S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let (a, number) = (cpu.vectors.get(op.a), f32::lowest(b));
    let value = match quick::is_plain(number) {
        true => f64::from(number).replace(a),
        false => execute::<host::Cvtss2sd>(cpu, a, b)?,
    };
    cpu.vectors.set(op.a, value);
    Ok(Step::Next)
}

/// The second register, a general one.
struct General;

impl Source for General {
    #[inline]
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u128, Abort> {
        Ok(cpu.get::<Qword>(op.b).into())
    }
}

/// A format that integers are converted to and from.
trait Integers: Scalar {
    /// Integers up to this magnitude are exact.
    const EXACT: u64;
    /// The nearest number to an integer.
    fn from_integer(integer: i64) -> Self;
    /// The integer in the direction of zero. Where there is none, one of the bounds, or 0.
    fn truncated(self) -> i64;
}

impl Integers for f32 {
    const EXACT: u64 = 1 << 24;

    #[inline]
    fn from_integer(integer: i64) -> Self {
        integer as f32
    }

    #[inline]
    fn truncated(self) -> i64 {
        self as i64
    }
}

impl Integers for f64 {
    const EXACT: u64 = 1 << 53;

    #[inline]
    fn from_integer(integer: i64) -> Self {
        integer as f64
    }

    #[inline]
    fn truncated(self) -> i64 {
        self as i64
    }
}

/// CVTSI2SS and CVTSI2SD. Small integers are exact, whatever MXCSR says.
extern "sysv64-unwind" fn from_integer<I: FromInteger, W: Width, T: Integers, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let integer = W::sign_extend(S::load(cpu, op)? as u64) as i64;
    let a = cpu.vectors.get(op.a);
    let value = if integer.unsigned_abs() <= T::EXACT {
        T::from_integer(integer).replace(a)
    } else {
        let outcome = I::run(a, integer as u64, control(cpu.vectors.mxcsr));
        report(cpu, outcome.flags)?;
        outcome.value
    };
    cpu.vectors.set(op.a, value);
    Ok(Step::Next)
}

/// An integer that a number is equal to, within the bounds of the destination.
#[inline]
fn exact_integer<W: Width, T: Integers>(number: T) -> Option<i64> {
    let integer = number.truncated();
    let is_within = W::sign_extend(integer as u64) as i64 == integer && integer != i64::MAX;
    (is_within && T::from_integer(integer) == number).then_some(integer)
}

/// CVTSS2SI and CVTSD2SI.
extern "sysv64-unwind" fn to_integer<I: ToInteger, W: Width, T: Integers, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let value = match exact_integer::<W, T>(T::lowest(b)) {
        Some(integer) => integer as u64,
        None => integer_by_host::<I>(cpu, b)?,
    };
    cpu.set::<W>(op.a, value);
    Ok(Step::Next)
}

/// CVTTSS2SI and CVTTSD2SI: as [`to_integer`], and inexact results too need nothing else while P is masked and
/// its flag is set.
extern "sysv64-unwind" fn truncate<I: ToInteger, W: Width, T: Integers, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    const USUAL: u32 = mxcsr::PRECISION | mxcsr::PRECISION << mxcsr::TO_MASK;
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let number = T::lowest(b);
    let integer = number.truncated();
    let is_small = integer.unsigned_abs() < W::SIGN / 2 && number.is_ordinary();
    let value = if is_small && cpu.vectors.mxcsr & USUAL == USUAL {
        integer as u64
    } else {
        match exact_integer::<W, T>(number) {
            Some(integer) => integer as u64,
            None => integer_by_host::<I>(cpu, b)?,
        }
    };
    cpu.set::<W>(op.a, value);
    Ok(Step::Next)
}

fn integer_by_host<I: ToInteger>(cpu: &mut Cpu, b: u128) -> Result<u64, Abort> {
    let outcome = I::run(b, control(cpu.vectors.mxcsr));
    report(cpu, outcome.flags)?;
    Ok(outcome.value)
}

/// CVTPI2PS from a register. This and those below enter MMX mode even if they raise #XM, as processors do.
extern "sysv64-unwind" fn singles_from_mmx(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_both(cpu)?;
    let b = Mmx::load(cpu, op)?;
    cpu.x87.enter_mmx();
    set_singles(cpu, op, b)
}

/// CVTPI2PS from memory.
extern "sysv64-unwind" fn singles_from_memory(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = Bytes::<8>::load(cpu, op)?;
    set_singles(cpu, op, b)
}

/// Puts what two integers become into the lower half of a register.
fn set_singles(cpu: &mut Cpu, op: &Op, integers: u128) -> Result<Step, Abort> {
    let a = cpu.vectors.get(op.a);
    let value = execute::<host::Cvtdq2ps>(cpu, a, integers)?;
    cpu.vectors.set(op.a, a & !LOW_QWORD | value & LOW_QWORD);
    Ok(Step::Next)
}

/// CVTPI2PD from a register, which is exact.
extern "sysv64-unwind" fn doubles_from_mmx(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_both(cpu)?;
    let b = Mmx::load(cpu, op)?;
    let value = execute::<host::Cvtdq2pd>(cpu, 0, b)?;
    cpu.vectors.set(op.a, value);
    cpu.x87.enter_mmx();
    Ok(Step::Next)
}

/// The lower half of the second register.
struct LowHalf;

impl Source for LowHalf {
    #[inline]
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u128, Abort> {
        Ok(cpu.vectors.get(op.b) & LOW_QWORD)
    }
}

/// CVTPS2PI, CVTPD2PI and those that truncate. Lanes that do not count are zero and raise nothing.
extern "sysv64-unwind" fn to_mmx<I: Instruction, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_both(cpu)?;
    let b = S::load(cpu, op)?;
    cpu.x87.enter_mmx();
    let value = execute::<I>(cpu, 0, b)?;
    cpu.x87.set_mmx(op.a, value as u64);
    Ok(Step::Next)
}

#[cfg(test)]
mod tests {
    use crate::cpu::number;
    use crate::testing::{DATA, Trial};

    #[test]
    fn integers_that_come_from_memory_do_not_enter_mmx_mode() {
        // CVTPI2PS xmm1, [rsi]; CVTPI2PD xmm1, [rsi]; CVTPI2PS xmm1, mm2.
        let conversions: [(&[u8], u8); 3] =
            [(&[0x0f, 0x2a, 0x0e], 3), (&[0x66, 0x0f, 0x2a, 0x0e], 3), (&[0x0f, 0x2a, 0xca], 0)];
        for (code, top) in conversions {
            let mut trial = Trial::new();
            *trial.cpu.register_mut(number::RSI) = DATA;
            trial.write(DATA, &[5, 0, 0, 0, 7, 0, 0, 0]);
            trial.cpu.x87.set_mmx(2, 7 << 32 | 5);
            (trial.cpu.x87.top, trial.cpu.x87.valid) = (3, 0x18);
            trial.completes(code, "a conversion");
            let tags = if top == 0 { 0xff } else { 0x18 };
            assert_eq!((trial.cpu.x87.top, trial.cpu.x87.valid), (top, tags), "{code:02x?}");
            let singles = u128::from(7f32.to_bits()) << 32 | u128::from(5f32.to_bits());
            let doubles = u128::from(7f64.to_bits()) << 64 | u128::from(5f64.to_bits());
            let expected = if code[0] == 0x66 { doubles } else { singles };
            assert_eq!(trial.cpu.vectors.get(1), expected, "{code:02x?}");
        }
    }
}
