//! Addition, subtraction, multiplication, division, square roots, minimum and maximum.

use iced_x86::Code;

use super::access::{Aligned, Bytes, Form, Source, Xmm, by_source, check_xmm};
use super::exceptions::{Range, execute, execute_ranged};
use super::{exact, host, quick};
use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Execute, Op, Step};

/// An operation on floating-point numbers.
trait Arithmetic: host::Instruction {
    /// How its results can be too large or too small, if they can.
    const RANGE: Option<Range> = None;

    /// The new destination if the case is simple.
    #[inline]
    fn quick(_a: u128, _b: u128, _mxcsr: u32) -> Option<u128> {
        None
    }
}

extern "sysv64-unwind" fn run<A: Arithmetic, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let a = cpu.vectors.get(op.a);
    let value = match (A::quick(a, b, cpu.vectors.mxcsr), &A::RANGE) {
        (Some(value), _) => value,
        (None, Some(range)) => execute_ranged::<A>(cpu, a, b, range)?,
        (None, None) => execute::<A>(cpu, a, b)?,
    };
    cpu.vectors.set(op.a, value);
    Ok(Step::Next)
}

const fn range(lanes: u32, bits: u32, is_exact: fn(f64, f64, u32) -> bool) -> Option<Range> {
    Some(Range { lanes, operand: bits, result: bits, is_exact })
}

/// Defines operations whose results can be out of range.
macro_rules! ranged {
    ($($name:ident: $lanes:literal x $bits:literal, $is_exact:ident $(, |$a:ident, $b:ident, $mxcsr:ident| $quick:expr)?;)*) => {
        $(impl Arithmetic for host::$name {
            const RANGE: Option<Range> = range($lanes, $bits, exact::$is_exact);
            $(
                #[inline]
                fn quick($a: u128, $b: u128, $mxcsr: u32) -> Option<u128> {
                    $quick
                }
            )?
        })*
    };
}

ranged! {
    Addps: 4 x 32, sum;
    Addpd: 2 x 64, sum;
    Addss: 1 x 32, sum, |a, b, mxcsr| quick::sum::<f32>(a, b, mxcsr);
    Addsd: 1 x 64, sum, |a, b, mxcsr| quick::sum::<f64>(a, b, mxcsr);
    Subps: 4 x 32, difference;
    Subpd: 2 x 64, difference;
    Subss: 1 x 32, difference, |a, b, mxcsr| quick::difference::<f32>(a, b, mxcsr);
    Subsd: 1 x 64, difference, |a, b, mxcsr| quick::difference::<f64>(a, b, mxcsr);
    Mulps: 4 x 32, product;
    Mulpd: 2 x 64, product;
    Mulss: 1 x 32, product, |a, b, mxcsr| quick::product::<f32>(a, b, mxcsr);
    Mulsd: 1 x 64, product, |a, b, mxcsr| quick::product::<f64>(a, b, mxcsr);
    Divps: 4 x 32, quotient;
    Divpd: 2 x 64, quotient;
    Divss: 1 x 32, quotient, |a, b, mxcsr| quick::quotient::<f32>(a, b, mxcsr);
    Divsd: 1 x 64, quotient, |a, b, mxcsr| quick::quotient::<f64>(a, b, mxcsr);
}

/// Defines operations whose results are always in range.
macro_rules! unranged {
    ($($name:ident $(, |$a:ident, $b:ident, $mxcsr:ident| $quick:expr)?;)*) => {
        $(impl Arithmetic for host::$name {
            $(
                #[inline]
                fn quick($a: u128, $b: u128, $mxcsr: u32) -> Option<u128> {
                    $quick
                }
            )?
        })*
    };
}

unranged! {
    Sqrtps;
    Sqrtpd;
    Sqrtss, |a, b, mxcsr| quick::root::<f32>(a, b, mxcsr);
    Sqrtsd, |a, b, mxcsr| quick::root::<f64>(a, b, mxcsr);
    Minps;
    Minpd;
    Minss, |a, b, _mxcsr| quick::minimum::<f32>(a, b);
    Minsd, |a, b, _mxcsr| quick::minimum::<f64>(a, b);
    Maxps;
    Maxpd;
    Maxss, |a, b, _mxcsr| quick::maximum::<f32>(a, b);
    Maxsd, |a, b, _mxcsr| quick::maximum::<f64>(a, b);
}

/// Defines which instruction is which operation, with which memory operand.
macro_rules! selection {
    ($($code:ident => $name:ident, $memory:ty;)*) => {
        /// What executes an instruction of this kind.
        pub(super) fn selection(code: Code, form: Form) -> Option<Execute> {
            Some(match code {
                $(Code::$code => by_source!(form, run[host::$name], Xmm, $memory),)*
                _ => return None,
            })
        }
    };
}

selection! {
    Addps_xmm_xmmm128 => Addps, Aligned;
    Addpd_xmm_xmmm128 => Addpd, Aligned;
    Addss_xmm_xmmm32 => Addss, Bytes<4>;
    Addsd_xmm_xmmm64 => Addsd, Bytes<8>;
    Subps_xmm_xmmm128 => Subps, Aligned;
    Subpd_xmm_xmmm128 => Subpd, Aligned;
    Subss_xmm_xmmm32 => Subss, Bytes<4>;
    Subsd_xmm_xmmm64 => Subsd, Bytes<8>;
    Mulps_xmm_xmmm128 => Mulps, Aligned;
    Mulpd_xmm_xmmm128 => Mulpd, Aligned;
    Mulss_xmm_xmmm32 => Mulss, Bytes<4>;
    Mulsd_xmm_xmmm64 => Mulsd, Bytes<8>;
    Divps_xmm_xmmm128 => Divps, Aligned;
    Divpd_xmm_xmmm128 => Divpd, Aligned;
    Divss_xmm_xmmm32 => Divss, Bytes<4>;
    Divsd_xmm_xmmm64 => Divsd, Bytes<8>;
    Sqrtps_xmm_xmmm128 => Sqrtps, Aligned;
    Sqrtpd_xmm_xmmm128 => Sqrtpd, Aligned;
    Sqrtss_xmm_xmmm32 => Sqrtss, Bytes<4>;
    Sqrtsd_xmm_xmmm64 => Sqrtsd, Bytes<8>;
    Minps_xmm_xmmm128 => Minps, Aligned;
    Minpd_xmm_xmmm128 => Minpd, Aligned;
    Minss_xmm_xmmm32 => Minss, Bytes<4>;
    Minsd_xmm_xmmm64 => Minsd, Bytes<8>;
    Maxps_xmm_xmmm128 => Maxps, Aligned;
    Maxpd_xmm_xmmm128 => Maxpd, Aligned;
    Maxss_xmm_xmmm32 => Maxss, Bytes<4>;
    Maxsd_xmm_xmmm64 => Maxsd, Bytes<8>;
}
