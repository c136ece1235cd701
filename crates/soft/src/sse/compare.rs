//! Comparisons: by a predicate into a mask, or into RFLAGS.

use iced_x86::Code;

use super::access::{Aligned, Bytes, Form, Source, Xmm, by_source, check_xmm};
use super::exceptions::{control, execute, report};
use super::host::{self, Cmppd, Cmpps, Cmpsd, Cmpss};
use super::quick::{Scalar, is_plain};
use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::flags::bit;
use crate::op::{Execute, Op, Step};

/// What executes a comparison.
pub(super) fn selection(code: Code, form: Form) -> Option<Execute> {
    use Code::*;
    Some(match code {
        Cmpps_xmm_xmmm128_imm8 => by_source!(form, by_predicate[Singles], Xmm, Aligned),
        Cmppd_xmm_xmmm128_imm8 => by_source!(form, by_predicate[Doubles], Xmm, Aligned),
        Cmpss_xmm_xmmm32_imm8 => by_source!(form, by_predicate[Single], Xmm, Bytes<4>),
        Cmpsd_xmm_xmmm64_imm8 => by_source!(form, by_predicate[Double], Xmm, Bytes<8>),
        Comiss_xmm_xmmm32 => by_source!(form, to_flags[host::Comiss, f32], Xmm, Bytes<4>),
        Comisd_xmm_xmmm64 => by_source!(form, to_flags[host::Comisd, f64], Xmm, Bytes<8>),
        Ucomiss_xmm_xmmm32 => by_source!(form, to_flags[host::Ucomiss, f32], Xmm, Bytes<4>),
        Ucomisd_xmm_xmmm64 => by_source!(form, to_flags[host::Ucomisd, f64], Xmm, Bytes<8>),
        _ => return None,
    })
}

/// A comparison by a predicate. Of the immediate operand only three bits count.
trait Predicate {
    fn run(cpu: &mut Cpu, a: u128, b: u128, predicate: u8) -> Result<u128, Abort>;
}

extern "sysv64-unwind" fn by_predicate<P: Predicate, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let value = P::run(cpu, cpu.vectors.get(op.a), b, op.immediate as u8 & 7)?;
    cpu.vectors.set(op.a, value);
    Ok(Step::Next)
}

macro_rules! predicates {
    ($($name:ident $instruction:ident $text:literal $($quick:ident $scalar:ty)?;)*) => {
        $(
            #[doc = $text]
            struct $name;

            impl Predicate for $name {
                #[inline]
                fn run(cpu: &mut Cpu, a: u128, b: u128, predicate: u8) -> Result<u128, Abort> {
                    $(
                        if let Some(value) = $quick::<$scalar>(a, b, predicate) {
                            return Ok(value);
                        }
                    )?
                    match predicate {
                        0 => execute::<$instruction<0>>(cpu, a, b),
                        1 => execute::<$instruction<1>>(cpu, a, b),
                        2 => execute::<$instruction<2>>(cpu, a, b),
                        3 => execute::<$instruction<3>>(cpu, a, b),
                        4 => execute::<$instruction<4>>(cpu, a, b),
                        5 => execute::<$instruction<5>>(cpu, a, b),
                        6 => execute::<$instruction<6>>(cpu, a, b),
                        _ => execute::<$instruction<7>>(cpu, a, b),
                    }
                }
            }
        )*
    };
}

predicates! {
    Singles Cmpps "CMPPS";
    Doubles Cmppd "CMPPD";
    Single Cmpss "CMPSS" quick f32;
    Double Cmpsd "CMPSD" quick f64;
}

/// Whether the predicate holds for numbers that are no NaN.
#[inline]
fn holds<T: Scalar>(x: T, y: T, predicate: u8) -> bool {
    let positive = match predicate & 3 {
        0 => x == y,
        1 => x < y,
        2 => x <= y,
        _ => false,
    };
    positive != (predicate & 4 != 0)
}

/// The new destination, unless there may be exceptions.
#[inline]
fn quick<T: Scalar>(a: u128, b: u128, predicate: u8) -> Option<u128> {
    let (x, y) = (T::lowest(a), T::lowest(b));
    let mask = if holds(x, y, predicate) { T::ALL_ONES } else { T::ALL_ZEROS };
    (is_plain(x) && is_plain(y)).then(|| mask.replace(a))
}

/// COMISS and the like. OF, SF and AF become 0.
extern "sysv64-unwind" fn to_flags<C: host::Comparison, T: Scalar, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let a = cpu.vectors.get(op.a);
    let (x, y) = (T::lowest(a), T::lowest(b));
    let flags = if is_plain(x) && is_plain(y) {
        let carry = if x < y { bit::CF } else { 0 };
        let zero = if x == y { bit::ZF } else { 0 };
        carry | zero
    } else {
        let outcome = C::run(a, b, control(cpu.vectors.mxcsr));
        report(cpu, outcome.flags)?;
        outcome.value
    };
    cpu.flags.set_arithmetic(flags);
    Ok(Step::Next)
}
