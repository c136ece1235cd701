//! Approximate reciprocals: RCPPS, RCPSS, RSQRTPS, RSQRTSS.
//!
//! The manual bounds their relative error by 1.5 * 2^-12 and leaves the rest to the processor. Results of the
//! host's instructions would make the guest depend on the host. So they are computed, in integers, as Intel's
//! processors do, which look them up in tables with 2048 entries:
//!
//! * the reciprocal depends on the first 11 bits of the fraction. It is that of the middle of the interval that
//!   these leave, rounded to 12 bits of fraction;
//! * the reciprocal of the square root depends on the first 10 bits of the fraction and the lowest bit of the
//!   exponent, and is rounded likewise.
//!
//! So not even 1/1 is exact: it is 1 - 2^-12. Denormal operands count as zeros; results that are denormal become
//! zeros; MXCSR does not matter, and there are no exceptions (Intel SDM volume 2, RCPPS and RSQRTPS).

use iced_x86::Code;

use super::access::{Aligned, Bytes, Form, Source, Xmm, by_source, check_xmm};
use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Execute, Op, Step};

const SIGN: u32 = 1 << 31;
const INFINITY: u32 = 0x7f80_0000;
/// What an invalid operation results in.
const INDEFINITE: u32 = 0xffc0_0000;
/// What makes a NaN quiet.
const QUIET: u32 = 1 << 22;
/// Bits of a fraction.
const FRACTION: u32 = 23;
/// The bits of a result's fraction that are not zero.
const PRECISION: u32 = 12;

/// What executes an instruction of this kind.
pub(super) fn selection(code: Code, form: Form) -> Option<Execute> {
    use Code::*;
    Some(match code {
        Rcpps_xmm_xmmm128 => by_source!(form, packed[Reciprocal], Xmm, Aligned),
        Rcpss_xmm_xmmm32 => by_source!(form, scalar[Reciprocal], Xmm, Bytes<4>),
        Rsqrtps_xmm_xmmm128 => by_source!(form, packed[ReciprocalRoot], Xmm, Aligned),
        Rsqrtss_xmm_xmmm32 => by_source!(form, scalar[ReciprocalRoot], Xmm, Bytes<4>),
        _ => return None,
    })
}

/// A function of a number in single precision.
trait Approximation {
    fn of(number: u32) -> u32;
}

extern "sysv64-unwind" fn packed<A: Approximation, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let lane = |at: u32| u128::from(A::of((b >> at) as u32)) << at;
    cpu.vectors.set(op.a, lane(0) | lane(32) | lane(64) | lane(96));
    Ok(Step::Next)
}

extern "sysv64-unwind" fn scalar<A: Approximation, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = A::of(S::load(cpu, op)? as u32);
    let a = cpu.vectors.get(op.a);
    cpu.vectors.set(op.a, a & !u128::from(u32::MAX) | u128::from(value));
    Ok(Step::Next)
}

/// A number without its sign.
enum Class {
    Nan,
    Infinite,
    /// Zero or denormal.
    Zero,
    /// The exponent's field and the fraction.
    Normal(u32, u32),
}

fn classify(number: u32) -> Class {
    let (exponent, fraction) = (number >> FRACTION & 0xff, number & ((1 << FRACTION) - 1));
    match (exponent, fraction) {
        (0, _) => Class::Zero,
        (0xff, 0) => Class::Infinite,
        (0xff, _) => Class::Nan,
        _ => Class::Normal(exponent, fraction),
    }
}

/// A number of which the first bits are known, the first one of them being a one.
fn assemble(exponent: u32, leading: u64) -> u32 {
    let fraction = leading as u32 & ((1 << PRECISION) - 1);
    exponent << FRACTION | fraction << (FRACTION - PRECISION)
}

/// RCPPS.
struct Reciprocal;

impl Approximation for Reciprocal {
    fn of(number: u32) -> u32 {
        let sign = number & SIGN;
        match classify(number) {
            Class::Nan => number | QUIET,
            Class::Infinite => sign,
            Class::Zero => sign | INFINITY,
            // Denormal results become zeros.
            Class::Normal(253.., _) => sign,
            Class::Normal(exponent, fraction) => {
                // The middle of the interval is middle / 2^12, so that the reciprocal is between a half and one,
                // and has 13 bits behind the point.
                let middle = u64::from(1 << 12 | fraction >> 12 << 1 | 1);
                let leading = ((1 << 25) + middle / 2) / middle;
                sign | assemble(253 - exponent, leading)
            }
        }
    }
}

/// RSQRTPS.
struct ReciprocalRoot;

impl Approximation for ReciprocalRoot {
    fn of(number: u32) -> u32 {
        let sign = number & SIGN;
        match classify(number) {
            Class::Nan => number | QUIET,
            Class::Zero => sign | INFINITY,
            _ if sign != 0 => INDEFINITE,
            Class::Infinite => 0,
            Class::Normal(exponent, fraction) => {
                // With an odd field the number is middle / 2^11 times a power of four; with an even one, it is twice
                // that. The reciprocal root has 13 bits behind the point; here are 14, so that it can be rounded.
                let middle = u64::from(1 << 11 | fraction >> 13 << 1 | 1);
                let square = (1 << if exponent % 2 != 0 { 39 } else { 38 }) / middle;
                let leading = square.isqrt().div_ceil(2);
                assemble((126 - ((exponent as i32 - 127) >> 1)) as u32, leading)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest relative error that the manual allows.
    const BOUND: f64 = 1.5 / 4096.0;

    /// All numbers that differ in what counts, with the neighbours that do not.
    fn numbers() -> impl Iterator<Item = u32> {
        (1..255).flat_map(|exponent| {
            (0..4096).flat_map(move |leading| [0, 0x7ff].map(|rest| exponent << 23 | leading << 11 | rest))
        })
    }

    #[test]
    fn reciprocals_are_within_the_manuals_bound() {
        for bits in numbers() {
            let (exact, found) =
                (1.0 / f64::from(f32::from_bits(bits)), f32::from_bits(Reciprocal::of(bits)));
            if found == 0.0 {
                // 2^126 itself may go either way.
                assert!(bits >= 0x7e80_0000, "{bits:#x} has a normal reciprocal");
            } else {
                assert!((f64::from(found) - exact).abs() <= exact * BOUND, "{bits:#x}: {found}");
                assert!(found.is_normal());
            }
        }
    }

    #[test]
    fn reciprocals_of_roots_are_within_the_manuals_bound() {
        for bits in numbers() {
            let exact = 1.0 / f64::from(f32::from_bits(bits)).sqrt();
            let found = f32::from_bits(ReciprocalRoot::of(bits));
            assert!((f64::from(found) - exact).abs() <= exact * BOUND, "{bits:#x}: {found}");
        }
    }

    #[test]
    fn powers_of_two_have_the_reciprocals_of_intels_processors() {
        assert_eq!(Reciprocal::of(1.0f32.to_bits()), 0x3f7f_f000);
        assert_eq!(Reciprocal::of(2.0f32.to_bits()), 0x3eff_f000);
        assert_eq!(Reciprocal::of((-0.5f32).to_bits()), 0xbfff_f000);
        assert_eq!(ReciprocalRoot::of(1.0f32.to_bits()), 0x3f7f_f000);
        assert_eq!(ReciprocalRoot::of(4.0f32.to_bits()), 0x3eff_f000);
        assert_eq!(ReciprocalRoot::of(2.0f32.to_bits()), 0x3f34_f800);
    }

    #[test]
    fn special_numbers_have_special_reciprocals() {
        for (number, reciprocal, root) in [
            (0, INFINITY, INFINITY),
            (SIGN, SIGN | INFINITY, SIGN | INFINITY),
            (1, INFINITY, INFINITY),
            (SIGN | 0x7f_ffff, SIGN | INFINITY, SIGN | INFINITY),
            (INFINITY, 0, 0),
            (SIGN | INFINITY, SIGN, INDEFINITE),
            (0x7f80_0001, 0x7fc0_0001, 0x7fc0_0001),
            (0xffc1_2345, 0xffc1_2345, 0xffc1_2345),
        ] {
            assert_eq!(Reciprocal::of(number), reciprocal, "{number:#x}");
            assert_eq!(ReciprocalRoot::of(number), root, "{number:#x}");
        }
        assert_eq!(ReciprocalRoot::of((-1.0f32).to_bits()), INDEFINITE);
        assert_eq!(Reciprocal::of(f32::MAX.to_bits()), 0);
        assert_eq!(Reciprocal::of(f32::MIN.to_bits()), SIGN);
    }
}
