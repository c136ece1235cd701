//! Sums, products, quotients and square roots.
//!
//! Each function deals with what is special, finds the exact result (or its first 64 bits and what rounding has
//! to know of the rest), and rounds it.

use std::cmp::Ordering;

use crate::x87::number::{BIAS, Extended, Number};
use crate::x87::rounding::{Context, Rounding, shift_right};

/// a + b, or a - b with `b` negated in `b_sign`.
fn sum(context: &mut Context, a: Number, b: Number, b_sign: bool) -> Extended {
    if let Some(nan) = context.nan_of(&a, &b) {
        return nan;
    }
    let b = b.with_sign(b_sign);
    if a.is_infinite() && b.is_infinite() && a.sign != b.sign {
        return context.invalid();
    }
    context.note_denormal(&a);
    context.note_denormal(&b);
    if a.is_infinite() || b.is_infinite() {
        return Extended::infinity(if a.is_infinite() { a.sign } else { b.sign });
    }
    match (a.is_zero(), b.is_zero()) {
        (false, false) => finite_sum(context, a, b),
        (true, true) if a.sign == b.sign => Extended::zero(a.sign),
        (true, true) => exact_zero(context),
        (true, false) => rounded(context, b),
        (false, true) => rounded(context, a),
    }
}

/// The zero that differences of equal numbers are.
fn exact_zero(context: &Context) -> Extended {
    Extended::zero(context.rounding == Rounding::Down)
}

/// A finite number, rounded to the precision in force.
fn rounded(context: &mut Context, number: Number) -> Extended {
    context.round(number.sign, number.exponent, u128::from(number.significand) << 64)
}

#[inline]
fn finite_sum(context: &mut Context, a: Number, b: Number) -> Extended {
    let (large, small) =
        if (a.exponent, a.significand) >= (b.exponent, b.significand) { (a, b) } else { (b, a) };
    // One bit above for the carry.
    let left = u128::from(large.significand) << 63;
    let right = shift_right(u128::from(small.significand) << 63, (large.exponent - small.exponent) as u32);
    let magnitude = if a.sign == b.sign { left + right } else { left - right };
    if magnitude == 0 {
        return exact_zero(context);
    }
    let shift = magnitude.leading_zeros();
    context.round(large.sign, large.exponent + 1 - shift as i32, magnitude << shift)
}

/// a + b.
pub(super) fn add(context: &mut Context, a: Number, b: Number) -> Extended {
    sum(context, a, b, b.sign)
}

/// a - b.
pub(super) fn subtract(context: &mut Context, a: Number, b: Number) -> Extended {
    sum(context, a, b, !b.sign)
}

/// a * b.
pub(super) fn multiply(context: &mut Context, a: Number, b: Number) -> Extended {
    if let Some(nan) = context.nan_of(&a, &b) {
        return nan;
    }
    let sign = a.sign != b.sign;
    let is_infinite = a.is_infinite() || b.is_infinite();
    if is_infinite && (a.is_zero() || b.is_zero()) {
        return context.invalid();
    }
    context.note_denormal(&a);
    context.note_denormal(&b);
    if is_infinite {
        return Extended::infinity(sign);
    }
    if a.is_zero() || b.is_zero() {
        return Extended::zero(sign);
    }
    let product = u128::from(a.significand) * u128::from(b.significand);
    let shift = product.leading_zeros();
    context.round(sign, a.exponent + b.exponent - BIAS + 1 - shift as i32, product << shift)
}

/// a / b.
pub(super) fn divide(context: &mut Context, a: Number, b: Number) -> Extended {
    if let Some(nan) = context.nan_of(&a, &b) {
        return nan;
    }
    let sign = a.sign != b.sign;
    if a.is_infinite() && b.is_infinite() || a.is_zero() && b.is_zero() {
        return context.invalid();
    }
    if b.is_zero() && !a.is_infinite() {
        return context.division_by_zero(sign);
    }
    context.note_denormal(&a);
    context.note_denormal(&b);
    if a.is_infinite() {
        return Extended::infinity(sign);
    }
    if a.is_zero() || b.is_infinite() {
        return Extended::zero(sign);
    }
    let is_less = a.significand < b.significand;
    let dividend = u128::from(a.significand) << if is_less { 64 } else { 63 };
    let divisor = u128::from(b.significand);
    let quotient = dividend / divisor;
    let remainder = dividend - quotient * divisor;
    let rest = rest(remainder != 0, (2 * remainder).cmp(&divisor));
    context.round(sign, a.exponent - b.exponent + BIAS - i32::from(is_less), quotient << 64 | rest)
}

/// The square root.
pub(super) fn square_root(context: &mut Context, a: Number) -> Extended {
    if let Some(nan) = context.nan(&a) {
        return nan;
    }
    if a.is_zero() {
        return Extended::zero(a.sign);
    }
    if a.sign {
        return context.invalid();
    }
    context.note_denormal(&a);
    if a.is_infinite() {
        return Extended::infinity(false);
    }
    let exponent = a.exponent - BIAS;
    let square = u128::from(a.significand) << (63 + (exponent & 1));
    let root = square.isqrt();
    let remainder = square - root * root;
    // Half a unit more would have the square root² + root + 1/4.
    let half = if remainder > root { Ordering::Greater } else { Ordering::Less };
    context.round(false, (exponent >> 1) + BIAS, root << 64 | rest(remainder != 0, half))
}

/// 64 bits that stand for the rest of a result, by how it compares to a half.
fn rest(is_inexact: bool, half: Ordering) -> u128 {
    match half {
        _ if !is_inexact => 0,
        Ordering::Less => 1,
        Ordering::Equal => 1 << 63,
        Ordering::Greater => 1 << 63 | 1,
    }
}
