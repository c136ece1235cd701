//! Floating-point numbers of 128 bits, with exponents that do not overflow.

use crate::x87::number::{BIAS, Number};
use crate::x87::rounding::shift_right;

/// A number that is not zero: `significand` * 2^(`exponent` - 127). The highest bit of the significand is set.
/// Results of operations may be too small by less than two units of the lowest bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wide {
    pub(super) sign: bool,
    pub(super) exponent: i32,
    pub(super) significand: u128,
}

impl Wide {
    pub(super) const ONE: Self = Self::new(0, 1 << 127);

    /// A positive number.
    pub(super) const fn new(exponent: i32, significand: u128) -> Self {
        Self { sign: false, exponent, significand }
    }

    /// A finite number that is not zero.
    pub(super) fn from_number(number: &Number) -> Self {
        let significand = u128::from(number.significand) << 64;
        Self { sign: number.sign, exponent: number.exponent - BIAS, significand }
    }

    /// `magnitude` * 2^`exponent`, normalised. `None` is zero.
    pub(super) fn from_magnitude(sign: bool, exponent: i32, magnitude: u128) -> Option<Self> {
        let shift = magnitude.leading_zeros();
        (magnitude != 0).then(|| Self {
            sign,
            exponent: exponent + 127 - shift as i32,
            significand: magnitude << shift,
        })
    }

    /// An integer that is not zero, times 2^`exponent`.
    pub(super) fn from_integer(value: i32, exponent: i32) -> Option<Self> {
        Self::from_magnitude(value < 0, exponent, value.unsigned_abs().into())
    }

    pub(super) fn negated(self) -> Self {
        Self { sign: !self.sign, ..self }
    }

    pub(super) fn with_sign(self, sign: bool) -> Self {
        Self { sign, ..self }
    }

    /// Times 2^`power`.
    pub(super) fn scaled(self, power: i32) -> Self {
        Self { exponent: self.exponent + power, ..self }
    }

    pub(super) fn times(self, other: Self) -> Self {
        let product = high_half(self.significand, other.significand);
        let is_small = product >> 127 == 0;
        Self {
            sign: self.sign != other.sign,
            exponent: self.exponent + other.exponent + i32::from(!is_small),
            significand: if is_small { product << 1 } else { product },
        }
    }

    /// Long division, bit by bit.
    pub(super) fn over(self, divisor: Self) -> Self {
        let is_less = self.significand < divisor.significand;
        let mut rest = if is_less { self.significand } else { self.significand - divisor.significand };
        let mut quotient = u128::from(!is_less);
        for _ in 0..127 + u32::from(is_less) {
            let carries = rest >> 127 != 0;
            rest <<= 1;
            quotient <<= 1;
            if carries || rest >= divisor.significand {
                rest = rest.wrapping_sub(divisor.significand);
                quotient |= 1;
            }
        }
        Self {
            sign: self.sign != divisor.sign,
            exponent: self.exponent - divisor.exponent - i32::from(is_less),
            significand: quotient,
        }
    }

    /// The sum. `None` is zero. Exact if the bits of both fit in 127.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let swaps = (self.exponent, self.significand) < (other.exponent, other.significand);
        let (large, small) = if swaps { (other, self) } else { (self, other) };
        let left = large.significand >> 1 | large.significand & 1;
        let distance = (large.exponent - small.exponent) as u32;
        let right = shift_right(small.significand, distance.saturating_add(1));
        let magnitude = if large.sign == small.sign { left + right } else { left - right };
        Self::from_magnitude(large.sign, large.exponent - 126, magnitude)
    }

    /// The sum of numbers, of which one may be missing because it is zero.
    pub(super) fn plus_maybe(self, other: Option<Self>) -> Option<Self> {
        match other {
            Some(other) => self.plus(other),
            None => Some(self),
        }
    }
}

/// The upper 128 bits of a product of 256.
pub(super) fn high_half(a: u128, b: u128) -> u128 {
    let halves = |value: u128| (value >> 64, value & u128::from(u64::MAX));
    let ((a_high, a_low), (b_high, b_low)) = (halves(a), halves(b));
    let (low_high, _) = halves(a_low * b_low);
    let (middle_high, middle_low) = halves(a_high * b_low + low_high);
    let (other_high, _) = halves(a_low * b_high + middle_low);
    a_high * b_high + middle_high + other_high
}
