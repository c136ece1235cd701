//! Integers and powers of two: FRNDINT, FSCALE, FXTRACT, FPREM, FPREM1.

use crate::x87::number::{BIAS, Extended, Number};
use crate::x87::rounding::Context;

/// Rounds to an integer, as the control word says.
pub(super) fn round_to_integer(context: &mut Context, a: Number) -> Extended {
    if let Some(nan) = context.nan(&a) {
        return nan;
    }
    context.note_denormal(&a);
    if a.is_zero() || a.is_infinite() || a.exponent >= BIAS + 63 {
        return a.to_extended();
    }
    // Below 2^63, rounding cannot need more than 64 bits.
    let magnitude = context.integer(&a, u64::MAX).unwrap_or(0);
    Number::from_magnitude(a.sign, magnitude).to_extended()
}

/// a * 2^b, b rounded toward zero (Intel SDM volume 2, FSCALE).
pub(super) fn scale(context: &mut Context, a: Number, b: Number) -> Extended {
    if let Some(nan) = context.nan_of(&a, &b) {
        return nan;
    }
    if b.is_infinite() && (if b.sign { a.is_infinite() } else { a.is_zero() }) {
        return context.invalid();
    }
    context.note_denormal(&a);
    context.note_denormal(&b);
    if a.is_infinite() || a.is_zero() {
        return a.to_extended();
    }
    if b.is_infinite() {
        return if b.sign { Extended::zero(a.sign) } else { Extended::infinity(a.sign) };
    }
    context.round_to(64, a.sign, a.exponent + power(&b), u128::from(a.significand) << 64)
}

/// A number rounded toward zero, but no further from zero than what scales everything to infinity or zero.
fn power(number: &Number) -> i32 {
    const ENOUGH: i32 = 1 << 17;
    let exponent = number.exponent - BIAS;
    let magnitude = match exponent {
        _ if number.is_zero() || exponent < 0 => 0,
        0..17 => (number.significand >> (63 - exponent)) as i32,
        _ => ENOUGH,
    };
    if number.sign { -magnitude } else { magnitude }
}

/// The significand and the exponent, as numbers (Intel SDM volume 2, FXTRACT).
pub(super) fn extract(context: &mut Context, a: Number) -> (Extended, Extended) {
    if let Some(nan) = context.nan(&a) {
        return (nan, nan);
    }
    if a.is_zero() {
        return (Extended::zero(a.sign), context.division_by_zero(true));
    }
    if a.is_infinite() {
        return (Extended::infinity(a.sign), Extended::infinity(false));
    }
    context.note_denormal(&a);
    let exponent = Number::from_integer((a.exponent - BIAS).into()).to_extended();
    (Extended::new(a.sign, BIAS, a.significand), exponent)
}

/// What is left of a division.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remainder {
    pub(super) value: Extended,
    pub(super) quotient: Quotient,
}

/// The other result of a division.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Quotient {
    /// Its lowest bits.
    Bits(u64),
    /// The remainder is to be divided again.
    Unfinished,
    /// The operands have none.
    None,
}

/// How a quotient becomes an integer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Integer {
    /// FPREM: it is rounded toward zero.
    Truncated,
    /// FPREM1: it is rounded to the nearest integer.
    Nearest,
}

/// The remainder of a / b (Intel SDM volume 2, FPREM and FPREM1).
///
/// If the exponents differ by 64 or more, one execution reduces the difference by 32 to 63, such that what is
/// left of it is a multiple of 32, as processors do.
pub(super) fn remainder(context: &mut Context, a: Number, b: Number, rounded: Integer) -> Remainder {
    let without_quotient = |value| Remainder { value, quotient: Quotient::None };
    let finished = |value| Remainder { value, quotient: Quotient::Bits(0) };
    if let Some(nan) = context.nan_of(&a, &b) {
        return without_quotient(nan);
    }
    if a.is_infinite() || b.is_zero() {
        return without_quotient(context.invalid());
    }
    context.note_denormal(&a);
    context.note_denormal(&b);
    if a.is_zero() {
        return finished(Extended::zero(a.sign));
    }
    if b.is_infinite() {
        return finished(exact(context, a.sign, a.exponent, a.significand));
    }
    let difference = a.exponent - b.exponent;
    let divisor = u128::from(b.significand);
    if difference >= 64 {
        let reduced = 32 + difference % 32;
        let rest = (u128::from(a.significand) << reduced) % divisor;
        let value = exact(context, a.sign, a.exponent - reduced, rest as u64);
        return Remainder { value, quotient: Quotient::Unfinished };
    }
    if difference == -1 && rounded == Integer::Nearest {
        return smaller(context, a, b);
    }
    if difference < 0 {
        return finished(exact(context, a.sign, a.exponent, a.significand));
    }
    let dividend = u128::from(a.significand) << difference;
    let quotient = dividend / divisor;
    let rest = dividend - quotient * divisor;
    let is_past_half = 2 * rest > divisor || 2 * rest == divisor && quotient & 1 != 0;
    if rounded == Integer::Nearest && is_past_half {
        let value = exact(context, !a.sign, b.exponent, (divisor - rest) as u64);
        return Remainder { value, quotient: Quotient::Bits(quotient as u64 + 1) };
    }
    Remainder {
        value: exact(context, a.sign, b.exponent, rest as u64),
        quotient: Quotient::Bits(quotient as u64),
    }
}

/// FPREM1 of a number whose exponent is one less than the divisor's.
fn smaller(context: &mut Context, a: Number, b: Number) -> Remainder {
    if a.significand <= b.significand {
        return Remainder {
            value: exact(context, a.sign, a.exponent, a.significand),
            quotient: Quotient::Bits(0),
        };
    }
    let rest = 2 * u128::from(b.significand) - u128::from(a.significand);
    Remainder { value: exact(context, !a.sign, a.exponent, rest as u64), quotient: Quotient::Bits(1) }
}

/// A number whose significand is not normalised. It fits, but for its exponent.
fn exact(context: &mut Context, sign: bool, exponent: i32, significand: u64) -> Extended {
    if significand == 0 {
        return Extended::zero(sign);
    }
    let shift = significand.leading_zeros();
    context.round_to(64, sign, exponent - shift as i32, u128::from(significand << shift) << 64)
}
