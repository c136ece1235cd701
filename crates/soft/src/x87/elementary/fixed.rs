//! Power series in fixed-point numbers: 126 bits behind the point.

use crate::x87::elementary::wide::{Wide, high_half};

/// 1.
pub(super) const ONE: u128 = 1 << 126;

/// A number below 4, without its sign.
pub(super) fn from_wide(value: Wide) -> u128 {
    let shift = 1 - value.exponent;
    if shift < 128 { value.significand >> shift } else { 0 }
}

/// A positive number.
pub(super) fn to_wide(value: u128) -> Wide {
    let shift = value.leading_zeros();
    Wide::new(1 - shift as i32, value << shift)
}

pub(super) fn multiply(a: u128, b: u128) -> u128 {
    high_half(a, b) << 2
}

/// A number below 1, if it is not: what a series yields whose terms are too small to be seen.
pub(super) fn below_one(value: u128) -> u128 {
    value.min(ONE - 1)
}

/// 1 - s/(2·3) + s²/(2·3·4·5) - …: sin(x)/x, where s = x² is less than 0.7.
pub(super) fn sine(square: u128) -> u128 {
    alternating(square, |term| 2 * term * (2 * term + 1))
}

/// 1 - s/(1·2) + s²/(1·2·3·4) - …: cos(x), where s = x² is less than 0.7.
pub(super) fn cosine(square: u128) -> u128 {
    alternating(square, |term| (2 * term - 1) * 2 * term)
}

/// 1 - s/d(1) + s²/(d(1)·d(2)) - …
fn alternating(square: u128, divisor: fn(u128) -> u128) -> u128 {
    // 0.7^18 / 36! is less than 2^-126.
    let sum = (1..=18).rev().fold(ONE, |sum, term| ONE - multiply(square, sum) / divisor(term));
    below_one(sum)
}

/// 1 - s/3 + s²/5 - …: atan(x)/x, where s = x² is at most 2^-9.
pub(super) fn arctangent(square: u128) -> u128 {
    let sum = (0..15).rev().fold(0, |sum, term| ONE / (2 * term + 1) - multiply(square, sum));
    below_one(sum)
}

/// 1 + s/3 + s²/5 + …: artanh(x)/x, where s = x² is at most 2^-9.
pub(super) fn area_tangent(square: u128) -> u128 {
    (0..15).rev().fold(0, |sum, term| ONE / (2 * term + 1) + multiply(square, sum))
}

/// 1 + x/2 + x²/(2·3) + …: (e^x - 1)/x, where the magnitude of x is less than 1/32.
pub(super) fn exponential(sign: bool, magnitude: u128) -> u128 {
    (2..=20).rev().fold(ONE, |sum, term| {
        let change = multiply(magnitude, sum) / term;
        if sign { ONE - change } else { ONE + change }
    })
}
