//! FSIN, FCOS, FSINCOS, FPTAN.
//!
//! Arguments are reduced by multiples of π/2, where π has 66 bits, as in Intel's processors (SDM volume 1,
//! 8.3.8): so sin(π) is not what mathematics says, but what those say. The reduction is exact: an argument is an
//! integer multiple of 2^-67 if it is large enough to be reduced at all, and so is that π/2. What is left, at
//! most π/4, goes into the power series.

use crate::x87::elementary::wide::Wide;
use crate::x87::elementary::{fixed, inexact};
use crate::x87::number::{BIAS, Extended, Number};
use crate::x87::rounding::Context;

/// π/2 in units of 2^-67: the 66 bits, of which the last two are followed by two zeros.
const HALF_PI: u128 = 0xc_90fd_aa22_168c_234c;
/// The exponent of those units.
const UNIT: i32 = -67;

/// An angle, reduced: `quarters` * π/2 + `rest`.
#[derive(Clone, Copy, Debug)]
pub(in crate::x87) struct Angle {
    quarters: u8,
    rest: Wide,
}

/// Whether an argument is too large: C2 is set, and nothing happens.
pub(in crate::x87) fn is_out_of_range(a: &Number) -> bool {
    !a.is_nan() && !a.is_infinite() && !a.is_zero() && a.exponent >= BIAS + 63
}

/// What can be said of an argument without computing. Raises what it asks for.
#[derive(Clone, Copy, Debug)]
pub(in crate::x87) enum Argument {
    /// The functions of a NaN or of infinity.
    Nan(Extended),
    Zero {
        sign: bool,
    },
    Angle(Angle),
}

impl Argument {
    /// An argument that is not out of range.
    pub(in crate::x87) fn new(context: &mut Context, a: &Number) -> Self {
        if let Some(nan) = context.nan(a) {
            return Self::Nan(nan);
        }
        if a.is_infinite() {
            return Self::Nan(context.invalid());
        }
        context.note_denormal(a);
        if a.is_zero() {
            return Self::Zero { sign: a.sign };
        }
        Self::Angle(Angle::new(a))
    }

    pub(in crate::x87) fn sine(&self, context: &mut Context) -> Extended {
        match *self {
            Self::Nan(nan) => nan,
            Self::Zero { sign } => Extended::zero(sign),
            Self::Angle(angle) => inexact(context, angle.sine()),
        }
    }

    pub(in crate::x87) fn cosine(&self, context: &mut Context) -> Extended {
        match *self {
            Self::Nan(nan) => nan,
            Self::Zero { .. } => Extended::ONE,
            Self::Angle(angle) => inexact(context, angle.cosine()),
        }
    }

    pub(in crate::x87) fn tangent(&self, context: &mut Context) -> Extended {
        match *self {
            Self::Nan(nan) => nan,
            Self::Zero { sign } => Extended::zero(sign),
            Self::Angle(angle) => inexact(context, angle.tangent()),
        }
    }
}

impl Angle {
    fn new(a: &Number) -> Self {
        let exponent = a.exponent - BIAS;
        // Below 1/2.
        if exponent < -1 {
            return Self { quarters: 0, rest: Wide::from_number(a) };
        }
        let (quarters, rest) = divide(a.significand, (exponent - 63 - UNIT) as u32);
        let is_past_half = rest > HALF_PI / 2;
        let rest = if is_past_half { HALF_PI - rest } else { rest };
        let quarters = quarters.wrapping_add(u8::from(is_past_half));
        let rest =
            Wide::from_magnitude(a.sign != is_past_half, UNIT, rest).expect("66 bits of π divide no 64");
        Self { quarters: if a.sign { quarters.wrapping_neg() } else { quarters } & 3, rest }
    }

    fn sine(&self) -> Wide {
        let sine = if self.quarters & 1 == 0 { sine_of(self.rest) } else { cosine_of(self.rest) };
        if self.quarters & 2 == 0 { sine } else { sine.negated() }
    }

    fn cosine(&self) -> Wide {
        Self { quarters: (self.quarters + 1) & 3, ..*self }.sine()
    }

    fn tangent(&self) -> Wide {
        let is_tiny = self.rest.exponent < -62;
        match self.quarters & 1 {
            // A little more than the angle itself: what `inexact` makes of it.
            0 if is_tiny => self.rest,
            0 => sine_of(self.rest).over(cosine_of(self.rest)),
            _ => cosine_of(self.rest).over(sine_of(self.rest)).negated(),
        }
    }
}

/// Divides `significand` * 2^`shift` by [`HALF_PI`]: the lowest bits of the quotient, and the remainder.
fn divide(significand: u64, shift: u32) -> (u8, u128) {
    let mut rest = u128::from(significand);
    let (mut quotient, mut left) = (0, shift);
    loop {
        quotient = u8::wrapping_add(quotient, (rest / HALF_PI) as u8);
        rest %= HALF_PI;
        if left == 0 {
            return (quotient, rest);
        }
        // The remainder has 68 bits.
        let step = left.min(60);
        rest <<= step;
        quotient = if step < 8 { quotient << step } else { 0 };
        left -= step;
    }
}

fn sine_of(angle: Wide) -> Wide {
    let square = fixed::from_wide(angle.times(angle));
    angle.times(fixed::to_wide(fixed::sine(square)))
}

fn cosine_of(angle: Wide) -> Wide {
    fixed::to_wide(fixed::cosine(fixed::from_wide(angle.times(angle))))
}
