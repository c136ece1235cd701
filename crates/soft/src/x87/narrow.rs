//! The formats of memory that are narrower than a register's: 32 and 64 bits.
//!
//! Unlike a register, memory never gets the biased results of overflows and underflows that are not masked:
//! nothing is stored.

use crate::x87::number::{BIAS, Class, Extended, Number};
use crate::x87::rounding::{Context, carried, shift_right};
use crate::x87::status::{OE, PE, UE};

/// A format of memory, in terms of the exponents of registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// Bits of the significand, with the integer bit, which is not stored.
    precision: u32,
    /// Bits of the exponent.
    exponent_bits: u32,
}

impl Format {
    pub(super) const SINGLE: Self = Self { precision: 24, exponent_bits: 8 };
    pub(super) const DOUBLE: Self = Self { precision: 53, exponent_bits: 11 };

    const fn greatest(self) -> i32 {
        (1 << self.exponent_bits) - 1
    }

    /// What is added to the exponent of a register.
    const fn rebias(self) -> i32 {
        (self.greatest() >> 1) - BIAS
    }

    fn pack(self, sign: bool, exponent: i32, fraction: u64) -> u64 {
        let fraction_bits = self.precision - 1;
        let sign = u64::from(sign) << (fraction_bits + self.exponent_bits);
        sign | (exponent as u64) << fraction_bits | fraction & ((1 << fraction_bits) - 1)
    }
}

impl Context {
    /// A number in a format of memory. NaNs lose the end of their significands.
    pub(super) fn narrow(&mut self, number: &Number, format: Format) -> u64 {
        match number.class {
            Class::Zero => format.pack(number.sign, 0, 0),
            Class::Infinity => format.pack(number.sign, format.greatest(), 0),
            Class::Quiet | Class::Signaling | Class::Unsupported => {
                let nan = self.nan(number).unwrap_or(Extended::INDEFINITE);
                format.pack(nan.sign(), format.greatest(), nan.significand >> (64 - format.precision))
            }
            Class::Finite => self.narrow_finite(number, format),
        }
    }

    fn narrow_finite(&mut self, number: &Number, format: Format) -> u64 {
        let sign = number.sign;
        let significand = u128::from(number.significand) << 64;
        let exponent = number.exponent + format.rebias();
        let discard = 128 - format.precision;
        let cut = self.cut(sign, significand, discard);
        let (rounded, rounded_exponent) = carried(cut.kept, format.precision, exponent);
        let fraction = rounded >> (64 - format.precision);
        if rounded_exponent >= format.greatest() {
            return self.narrow_overflow(sign, format);
        }
        if exponent >= 1 {
            self.note_inexact(&cut);
            return format.pack(sign, rounded_exponent, fraction);
        }
        let is_tiny = rounded_exponent < 1;
        let cut = self.cut(sign, shift_right(significand, (1 - exponent) as u32), discard);
        if is_tiny && !self.masks(UE) {
            self.raise(UE);
            return 0;
        }
        self.note_inexact(&cut);
        if is_tiny && cut.is_inexact {
            self.raise(UE);
        }
        let is_normal = cut.kept >> (format.precision - 1) != 0;
        format.pack(sign, is_normal.into(), cut.kept as u64)
    }

    #[cold]
    fn narrow_overflow(&mut self, sign: bool, format: Format) -> u64 {
        self.raise(OE);
        if !self.masks(OE) {
            return 0;
        }
        self.raise(PE);
        self.c1 = self.goes_to_infinity(sign);
        let greatest = format.greatest();
        if self.c1 { format.pack(sign, greatest, 0) } else { format.pack(sign, greatest - 1, u64::MAX) }
    }
}
