//! Numbers: how registers and memory hold them, and how arithmetic sees them.
//!
//! [`Extended`] is what a register holds: 80 bits. [`Number`] is one taken apart, from whatever format, with a
//! normalised significand even if the format's was not: an exponent of 32 bits has room for that. Exponents
//! are biased by 16383 in both.
//!
//! A register can hold what is no number (Intel SDM volume 1, 8.2.2): an exponent that is not zero with a
//! significand whose highest bit, the integer bit, is. Those *unsupported* formats are invalid operands
//! everywhere. A zero exponent with the integer bit set, a *pseudo-denormal*, is a denormal that happens to
//! have the value of a normal number.

/// The bias of the exponent.
pub(super) const BIAS: i32 = 16383;
/// The exponent of infinities and NaNs.
pub(super) const EXPONENT_MAX: i32 = 0x7fff;
/// The highest bit of a significand, which is explicit.
pub(super) const INTEGER_BIT: u64 = 1 << 63;
/// The bit of a NaN's significand that makes it quiet.
const QUIET_BIT: u64 = 1 << 62;

/// What a register holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extended {
    /// Bit 15 is the sign, the others the exponent.
    pub(super) sign_exponent: u16,
    pub(super) significand: u64,
}

impl Extended {
    /// What masked invalid operations yield: a negative quiet NaN.
    pub(super) const INDEFINITE: Self = Self::new(true, EXPONENT_MAX, INTEGER_BIT | QUIET_BIT);
    /// 1.
    pub(super) const ONE: Self = Self::new(false, BIAS, INTEGER_BIT);

    pub(super) const fn new(sign: bool, exponent: i32, significand: u64) -> Self {
        Self { sign_exponent: (sign as u16) << 15 | exponent as u16, significand }
    }

    pub(super) const fn zero(sign: bool) -> Self {
        Self::new(sign, 0, 0)
    }

    pub(super) const fn infinity(sign: bool) -> Self {
        Self::new(sign, EXPONENT_MAX, INTEGER_BIT)
    }

    #[inline]
    pub(super) const fn from_bits(bits: u128) -> Self {
        Self { sign_exponent: (bits >> 64) as u16, significand: bits as u64 }
    }

    #[inline]
    pub(super) const fn bits(self) -> u128 {
        (self.sign_exponent as u128) << 64 | self.significand as u128
    }

    pub(super) const fn sign(self) -> bool {
        self.sign_exponent >> 15 != 0
    }

    pub(super) const fn exponent(self) -> i32 {
        (self.sign_exponent & 0x7fff) as i32
    }
}

/// What kind of a number an operand is. In order: from [`Class::Quiet`] on it is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Class {
    Zero,
    Finite,
    Infinity,
    Quiet,
    Signaling,
    Unsupported,
}

/// An operand, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    pub(super) class: Class,
    pub(super) sign: bool,
    /// Whether the format held it as a denormal.
    pub(super) is_denormal: bool,
    /// Biased; of finite numbers only.
    pub(super) exponent: i32,
    /// Bit 63 is set, except in zeros.
    pub(super) significand: u64,
}

impl Number {
    #[inline]
    pub(super) fn from_extended(value: Extended) -> Self {
        let (exponent, significand) = (value.exponent(), value.significand);
        let has_integer_bit = significand & INTEGER_BIT != 0;
        let (class, is_denormal) = match exponent {
            0 if significand == 0 => (Class::Zero, false),
            0 => (Class::Finite, true),
            _ if !has_integer_bit => (Class::Unsupported, false),
            EXPONENT_MAX if significand == INTEGER_BIT => (Class::Infinity, false),
            EXPONENT_MAX if significand & QUIET_BIT != 0 => (Class::Quiet, false),
            EXPONENT_MAX => (Class::Signaling, false),
            _ => (Class::Finite, false),
        };
        let number = Self { class, sign: value.sign(), is_denormal, exponent, significand };
        if is_denormal { number.normalised(1) } else { number }
    }

    /// A number of 32 bits.
    pub(super) fn from_single(bits: u64) -> Self {
        Self::from_interchange(
            bits >> 31 & 1 != 0,
            (bits >> 23 & 0xff) as i32,
            bits << 40 & !INTEGER_BIT,
            0xff,
        )
    }

    /// A number of 64 bits.
    pub(super) fn from_double(bits: u64) -> Self {
        Self::from_interchange(bits >> 63 != 0, (bits >> 52 & 0x7ff) as i32, bits << 11 & !INTEGER_BIT, 0x7ff)
    }

    /// A number of a format without an integer bit. `fraction` begins at bit 62.
    fn from_interchange(sign: bool, exponent: i32, fraction: u64, greatest: i32) -> Self {
        let bias = greatest >> 1;
        let (class, is_denormal) = match exponent {
            0 if fraction == 0 => (Class::Zero, false),
            0 => (Class::Finite, true),
            _ if exponent != greatest => (Class::Finite, false),
            _ if fraction == 0 => (Class::Infinity, false),
            _ if fraction & QUIET_BIT != 0 => (Class::Quiet, false),
            _ => (Class::Signaling, false),
        };
        let significand = if exponent == 0 { fraction } else { fraction | INTEGER_BIT };
        let number = Self { class, sign, is_denormal, exponent: exponent - bias + BIAS, significand };
        if is_denormal { number.normalised(1 - bias + BIAS) } else { number }
    }

    /// An integer.
    pub(super) fn from_integer(value: i64) -> Self {
        Self::from_magnitude(value < 0, value.unsigned_abs())
    }

    /// An integer with its sign apart.
    pub(super) fn from_magnitude(sign: bool, magnitude: u64) -> Self {
        let class = if magnitude == 0 { Class::Zero } else { Class::Finite };
        Self { class, sign, is_denormal: false, exponent: 0, significand: magnitude }.normalised(BIAS + 63)
    }

    /// The significand shifted until its highest bit is set, if `exponent` is that of the significand as it is.
    fn normalised(mut self, exponent: i32) -> Self {
        let shift = self.significand.leading_zeros();
        if shift < 64 {
            self.significand <<= shift;
            self.exponent = exponent - shift as i32;
        }
        self
    }

    /// In a register. Exact for everything but numbers whose exponent a register cannot hold, which no format
    /// has that is loaded. Signaling NaNs become quiet.
    pub(super) fn to_extended(self) -> Extended {
        match self.class {
            Class::Zero => Extended::zero(self.sign),
            Class::Infinity => Extended::infinity(self.sign),
            Class::Quiet | Class::Signaling => self.quiet(),
            Class::Unsupported => Extended::INDEFINITE,
            Class::Finite => Extended::new(self.sign, self.exponent, self.significand),
        }
    }

    /// A NaN, made quiet.
    pub(super) fn quiet(self) -> Extended {
        Extended::new(self.sign, EXPONENT_MAX, self.significand | QUIET_BIT)
    }

    /// Whether it is no number.
    #[inline]
    pub(super) fn is_nan(&self) -> bool {
        self.class >= Class::Quiet
    }

    #[inline]
    pub(super) fn is_zero(&self) -> bool {
        self.class == Class::Zero
    }

    #[inline]
    pub(super) fn is_infinite(&self) -> bool {
        self.class == Class::Infinity
    }

    /// With this sign.
    pub(super) fn with_sign(self, sign: bool) -> Self {
        Self { sign, ..self }
    }
}
