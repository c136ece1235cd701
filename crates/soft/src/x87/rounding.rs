//! From exact results to those that fit, and the exceptions that this raises.
//!
//! A [`Context`] is what one instruction computes in: the rounding and precision that the control word asks
//! for, and the exceptions found so far. Arithmetic hands it each result exactly, or with enough bits and one
//! that tells that more follow; it makes the register's 80 bits of it, as Intel SDM volume 1, 4.8.4 and 8.5
//! say:
//!
//! * Tiny results are found after rounding, as if exponents had no limit. Masked, a tiny result becomes a
//!   denormal, and is an underflow if that is inexact. Unmasked, every tiny result is an underflow, and its
//!   exponent is delivered 24576 too large.
//! * A masked overflow yields an infinity or the largest number, whichever way the rounding goes. Unmasked, the
//!   exponent is delivered 24576 too small.
//! * C1 tells that the magnitude was rounded up.

use crate::x87::number::{BIAS, Class, EXPONENT_MAX, Extended, INTEGER_BIT, Number};
use crate::x87::status::{C1, DE, EARLY, EXCEPTIONS, IE, OE, PE, SF, UE, ZE};

/// By how much unmasked overflows and underflows are off.
const WRAP: i32 = 24576;

/// Where inexact results go (Intel SDM volume 1, 4.8.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rounding {
    Nearest,
    Down,
    Up,
    Zero,
}

/// What an instruction computes in, and what it found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) rounding: Rounding,
    /// How many bits the significands of sums, products, quotients and square roots have.
    pub(super) precision: u32,
    /// The control word.
    control: u16,
    /// Exceptions found, and SF.
    pub(super) raised: u16,
    /// C1: the magnitude was rounded up, or the stack fault is an overflow.
    pub(super) c1: bool,
}

/// A significand cut to fewer bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) kept: u128,
    pub(super) is_inexact: bool,
    is_up: bool,
}

impl Context {
    #[inline]
    pub(super) fn new(control: u16) -> Self {
        let rounding = match control >> 10 & 3 {
            0 => Rounding::Nearest,
            1 => Rounding::Down,
            2 => Rounding::Up,
            _ => Rounding::Zero,
        };
        // The reserved value 1 means 64 bits.
        let precision = match control >> 8 & 3 {
            0 => 24,
            2 => 53,
            _ => 64,
        };
        Self { rounding, precision, control, raised: 0, c1: false }
    }

    #[inline]
    pub(super) fn raise(&mut self, exceptions: u16) {
        self.raised |= exceptions;
    }

    /// Whether an exception is masked.
    #[inline]
    pub(super) fn masks(&self, exception: u16) -> bool {
        self.control & exception != 0
    }

    /// Exceptions found that are not masked.
    #[inline]
    pub(super) fn unmasked(&self) -> u16 {
        self.raised & !self.control & EXCEPTIONS
    }

    /// What the status word gets: exceptions, SF and C1. Operands that withhold the result keep from being found
    /// what would follow from them.
    #[inline]
    pub(super) fn found(&self) -> u16 {
        let (exceptions, rounded_up) = match self.withholds() {
            true => (self.raised & (EARLY | SF), self.raised & SF != 0),
            false => (self.raised, true),
        };
        if self.c1 && rounded_up { exceptions | C1 } else { exceptions }
    }

    /// Whether the result must not be delivered to a register.
    #[inline]
    pub(super) fn withholds(&self) -> bool {
        self.unmasked() & EARLY != 0
    }

    /// Whether the result must not be stored in memory, where overflow and underflow have no other result. They
    /// are all that is found then.
    #[inline]
    pub(super) fn withholds_store(&self) -> bool {
        self.unmasked() & (EARLY | OE | UE) != 0
    }

    /// An invalid operation: its masked result.
    #[cold]
    pub(super) fn invalid(&mut self) -> Extended {
        self.raise(IE);
        Extended::INDEFINITE
    }

    /// An operand is an empty register: its masked result.
    #[cold]
    pub(super) fn stack_underflow(&mut self) -> Extended {
        self.raise(IE | SF);
        Extended::INDEFINITE
    }

    /// The place for the result is not empty: its masked result.
    #[cold]
    pub(super) fn stack_overflow(&mut self) -> Extended {
        self.raise(IE | SF);
        self.c1 = true;
        Extended::INDEFINITE
    }

    /// A division of something finite by zero: its masked result.
    #[cold]
    pub(super) fn division_by_zero(&mut self, sign: bool) -> Extended {
        self.raise(ZE);
        Extended::infinity(sign)
    }

    /// Raises DE if an operand asks for it. To be called when nothing else can be found before computing.
    #[inline]
    pub(super) fn note_denormal(&mut self, number: &Number) {
        if number.is_denormal {
            self.raise(DE);
        }
    }

    /// The result for an operand that is a NaN or unsupported, if it is.
    #[inline]
    pub(super) fn nan(&mut self, a: &Number) -> Option<Extended> {
        a.is_nan().then(|| self.nan_result(a, None))
    }

    /// The result for two operands of which one is a NaN or unsupported, if one is.
    #[inline]
    pub(super) fn nan_of(&mut self, a: &Number, b: &Number) -> Option<Extended> {
        (a.is_nan() || b.is_nan()).then(|| self.nan_result(a, Some(b)))
    }

    /// Intel SDM volume 1, table 4-7: a quiet NaN before a signaling one, and of two alike the one with the
    /// larger significand; of two equal ones the positive one.
    #[cold]
    fn nan_result(&mut self, a: &Number, b: Option<&Number>) -> Extended {
        let b_class = b.map_or(Class::Zero, |b| b.class);
        if a.class == Class::Unsupported || b_class == Class::Unsupported {
            return self.invalid();
        }
        if a.class == Class::Signaling || b_class == Class::Signaling {
            self.raise(IE);
        }
        let Some(b) = b.filter(|b| b.is_nan()) else { return a.quiet() };
        if !a.is_nan() {
            return b.quiet();
        }
        match (a.class, b.class) {
            (Class::Quiet, Class::Signaling) => return a.quiet(),
            (Class::Signaling, Class::Quiet) => return b.quiet(),
            _ => {}
        }
        let is_a = (a.quiet().significand, !a.sign) >= (b.quiet().significand, !b.sign);
        if is_a { a.quiet() } else { b.quiet() }
    }

    /// Rounds to the precision that the control word asks for. `significand` has its highest bit set; its
    /// lowest one may stand for all that follow.
    #[inline]
    pub(super) fn round(&mut self, sign: bool, exponent: i32, significand: u128) -> Extended {
        self.round_to(self.precision, sign, exponent, significand)
    }

    /// Rounds to a precision.
    pub(super) fn round_to(
        &mut self,
        precision: u32,
        sign: bool,
        exponent: i32,
        significand: u128,
    ) -> Extended {
        debug_assert!(significand >> 127 == 1);
        let cut = self.cut(sign, significand, 128 - precision);
        let (rounded, rounded_exponent) = carried(cut.kept, precision, exponent);
        if exponent < 1 {
            return self.round_tiny(precision, sign, exponent, significand);
        }
        if rounded_exponent >= EXPONENT_MAX {
            return self.overflow(precision, sign, cut, rounded, rounded_exponent);
        }
        self.note_inexact(&cut);
        Extended::new(sign, rounded_exponent, rounded)
    }

    /// The result is too large.
    #[cold]
    fn overflow(&mut self, precision: u32, sign: bool, cut: Cut, rounded: u64, exponent: i32) -> Extended {
        self.raise(OE);
        if !self.masks(OE) {
            self.note_inexact(&cut);
            let exponent = exponent - WRAP;
            if exponent < EXPONENT_MAX {
                return Extended::new(sign, exponent, rounded);
            }
            // FSCALE alone can be off by more.
            self.raise(PE);
            self.c1 = true;
            return Extended::infinity(sign);
        }
        self.raise(PE);
        self.c1 = self.goes_to_infinity(sign);
        if self.c1 {
            Extended::infinity(sign)
        } else {
            Extended::new(sign, EXPONENT_MAX - 1, u64::MAX << (64 - precision))
        }
    }

    /// The result is less than the least normal number, before rounding.
    #[cold]
    fn round_tiny(&mut self, precision: u32, sign: bool, exponent: i32, significand: u128) -> Extended {
        let unlimited = self.cut(sign, significand, 128 - precision);
        let (rounded, rounded_exponent) = carried(unlimited.kept, precision, exponent);
        let is_tiny = rounded_exponent < 1;
        if is_tiny && !self.masks(UE) {
            self.raise(UE);
            self.note_inexact(&unlimited);
            let exponent = rounded_exponent + WRAP;
            if exponent > 0 {
                return Extended::new(sign, exponent, rounded);
            }
            // FSCALE alone can be off by more.
            self.raise(PE);
            self.c1 = false;
            return Extended::zero(sign);
        }
        let cut = self.cut(sign, shift_right(significand, (1 - exponent) as u32), 128 - precision);
        self.note_inexact(&cut);
        if is_tiny && cut.is_inexact {
            self.raise(UE);
        }
        let denormal = (cut.kept as u64) << (64 - precision);
        Extended::new(sign, i32::from(denormal & INTEGER_BIT != 0), denormal)
    }

    pub(super) fn note_inexact(&mut self, cut: &Cut) {
        if cut.is_inexact {
            self.raise(PE);
        }
        self.c1 = cut.is_up;
    }

    /// Whether results too large become infinite.
    pub(super) fn goes_to_infinity(&self, sign: bool) -> bool {
        match self.rounding {
            Rounding::Nearest => true,
            Rounding::Down => sign,
            Rounding::Up => !sign,
            Rounding::Zero => false,
        }
    }

    /// Rounds away the lowest `discard` bits, 1 to 127 of them.
    #[inline]
    pub(super) fn cut(&self, sign: bool, significand: u128, discard: u32) -> Cut {
        let rest = significand & ((1 << discard) - 1);
        let kept = significand >> discard;
        let half = 1 << (discard - 1);
        let is_up = match self.rounding {
            Rounding::Nearest => rest > half || rest == half && kept & 1 != 0,
            Rounding::Down => sign && rest != 0,
            Rounding::Up => !sign && rest != 0,
            Rounding::Zero => false,
        };
        Cut { kept: kept + u128::from(is_up), is_inexact: rest != 0, is_up }
    }

    /// A number as an integer: its magnitude, or `None` if that is more than `greatest` or the number is none.
    /// Raises PE if it was no integer.
    pub(super) fn integer(&mut self, number: &Number, greatest: u64) -> Option<u64> {
        if number.is_zero() {
            return Some(0);
        }
        if number.class != Class::Finite {
            return None;
        }
        let exponent = number.exponent - BIAS;
        if exponent > 63 {
            return None;
        }
        let fixed = shift_right(u128::from(number.significand) << 64, (63 - exponent) as u32);
        let cut = self.cut(number.sign, fixed, 64);
        let magnitude = u64::try_from(cut.kept).ok().filter(|&magnitude| magnitude <= greatest)?;
        self.note_inexact(&cut);
        Some(magnitude)
    }
}

/// A significand of `precision` bits, or one more if rounding carried, with its exponent.
#[inline]
pub(super) fn carried(kept: u128, precision: u32, exponent: i32) -> (u64, i32) {
    if kept >> precision != 0 {
        (INTEGER_BIT, exponent + 1)
    } else {
        ((kept as u64) << (64 - precision), exponent)
    }
}

/// Shifts right; the lowest bit becomes 1 if ones are lost.
#[inline]
pub(super) fn shift_right(value: u128, count: u32) -> u128 {
    match count {
        0 => value,
        1..=127 => value >> count | u128::from(value << (128 - count) != 0),
        _ => u128::from(value != 0),
    }
}
