//! RFLAGS, with the arithmetic flags computed when somebody asks for them.
//!
//! Nearly every instruction sets flags and hardly any flag is looked at. So an instruction leaves behind
//! only what its flags can be computed from, in a form that needs no memory of which instruction it was:
//!
//! * the result, from which ZF, SF and PF follow;
//! * the *carries*: for each bit whether a carry (or a borrow) went out of it, shifted so that the carry out
//!   of the operand's highest bit is bit 63. CF is bit 63; OF is bit 63 xor bit 62, because a sum overflows
//!   when the carry into the sign differs from the carry out of it;
//! * the exclusive or of operands and result, whose bit 4 is AF.
//!
//! ZF, SF and PF are kept in three fields, because POPF can set combinations that no result has.

use std::mem::offset_of;

use crate::width::Width;

/// Bits of RFLAGS (Intel SDM volume 1, 3.4.3).
pub(crate) mod bit {
    pub(crate) const CF: u64 = 1 << 0;
    pub(crate) const FIXED: u64 = 1 << 1;
    pub(crate) const PF: u64 = 1 << 2;
    pub(crate) const AF: u64 = 1 << 4;
    pub(crate) const ZF: u64 = 1 << 6;
    pub(crate) const SF: u64 = 1 << 7;
    pub(crate) const TF: u64 = 1 << 8;
    pub(crate) const IF: u64 = 1 << 9;
    pub(crate) const DF: u64 = 1 << 10;
    pub(crate) const OF: u64 = 1 << 11;
    pub(crate) const IOPL: u64 = 3 << 12;
    pub(crate) const NT: u64 = 1 << 14;
    pub(crate) const RF: u64 = 1 << 16;
    pub(crate) const AC: u64 = 1 << 18;
    pub(crate) const ID: u64 = 1 << 21;
    /// Those that arithmetic sets.
    pub(crate) const ARITHMETIC: u64 = CF | PF | AF | ZF | SF | OF;
    /// All that this processor has. VM, VIF and VIP are not among them: there is no virtual-8086 mode.
    pub(crate) const ALL: u64 = ARITHMETIC | TF | IF | DF | IOPL | NT | RF | AC | ID;
}

/// What [`Flags`] keeps arithmetic flags in, for native code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Field {
    /// 8 bytes: ZF is set if and only if this is zero.
    Zero,
    /// 8 bytes: SF is bit 63.
    Sign,
    /// 8 bytes: CF is bit 63, OF is bit 63 xor bit 62.
    Carries,
    /// 1 byte: PF is set if and only if this has an even number of ones.
    Parity,
    /// 1 byte: AF is bit 4.
    Adjust,
}

impl Field {
    /// Where it is in [`Flags`], in bytes.
    pub(crate) fn offset(self) -> usize {
        match self {
            Self::Zero => offset_of!(Flags, zero),
            Self::Sign => offset_of!(Flags, sign),
            Self::Carries => offset_of!(Flags, carries),
            Self::Parity => offset_of!(Flags, parity),
            Self::Adjust => offset_of!(Flags, adjust),
        }
    }
}

/// RFLAGS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flags {
    /// ZF is set if and only if this is zero.
    zero: u64,
    /// SF is bit 63.
    sign: u64,
    /// CF is bit 63, OF is bit 63 xor bit 62.
    carries: u64,
    /// PF is set if and only if this has an even number of ones.
    parity: u8,
    /// AF is bit 4.
    adjust: u8,
    /// All others, in their places.
    control: u64,
}

impl Flags {
    /// Takes flags from a register.
    pub(crate) fn from_bits(bits: u64) -> Self {
        let mut flags = Self { zero: 0, sign: 0, carries: 0, parity: 0, adjust: 0, control: 0 };
        flags.set_bits(bits);
        flags
    }

    /// RFLAGS as software sees it.
    pub(crate) fn bits(&self) -> u64 {
        let arithmetic = [
            (self.carry(), bit::CF),
            (self.parity(), bit::PF),
            (self.adjust(), bit::AF),
            (self.zero(), bit::ZF),
            (self.sign(), bit::SF),
            (self.overflow(), bit::OF),
        ];
        let set = arithmetic.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit);
        self.control | bit::FIXED | set.fold(0, |bits, bit| bits | bit)
    }

    /// Replaces all flags.
    pub(crate) fn set_bits(&mut self, bits: u64) {
        self.control = bits & bit::ALL & !bit::ARITHMETIC;
        self.set_arithmetic(bits);
    }

    /// Replaces the arithmetic flags.
    pub(crate) fn set_arithmetic(&mut self, bits: u64) {
        self.zero = u64::from(bits & bit::ZF == 0);
        self.sign = (bits & bit::SF) << 56;
        self.parity = u8::from(bits & bit::PF == 0);
        self.adjust = (bits & bit::AF) as u8;
        self.set_carry_and_overflow(bits & bit::CF != 0, bits & bit::OF != 0);
    }

    /// The flags that arithmetic does not touch, in their places.
    pub(crate) fn control(&self) -> u64 {
        self.control
    }

    /// Sets or clears a flag that arithmetic does not touch.
    pub(crate) fn set_control(&mut self, flag: u64, set: bool) {
        debug_assert_eq!(flag & bit::ARITHMETIC, 0);
        self.control = if set { self.control | flag } else { self.control & !flag };
    }

    /// Whether a flag that arithmetic does not touch is set.
    #[inline]
    pub(crate) fn has(&self, flag: u64) -> bool {
        self.control & flag != 0
    }

    #[inline]
    pub(crate) fn carry(&self) -> bool {
        self.carries >> 63 != 0
    }

    #[inline]
    pub(crate) fn overflow(&self) -> bool {
        (self.carries ^ self.carries << 1) >> 63 != 0
    }

    #[inline]
    pub(crate) fn zero(&self) -> bool {
        self.zero == 0
    }

    #[inline]
    pub(crate) fn sign(&self) -> bool {
        self.sign >> 63 != 0
    }

    #[inline]
    pub(crate) fn parity(&self) -> bool {
        self.parity.count_ones().is_multiple_of(2)
    }

    #[inline]
    pub(crate) fn adjust(&self) -> bool {
        self.adjust & 0x10 != 0
    }

    #[inline]
    pub(crate) fn set_carry_and_overflow(&mut self, carry: bool, overflow: bool) {
        self.carries = u64::from(carry) << 63 | u64::from(carry ^ overflow) << 62;
    }

    #[inline]
    pub(crate) fn set_carry(&mut self, carry: bool) {
        // Both bits are turned over or none, so that OF stays.
        let turned = (self.carries ^ u64::from(carry) << 63) & 1 << 63;
        self.carries ^= turned | turned >> 1;
    }

    /// Whether a condition holds, by the number that Jcc, SETcc and CMOVcc encode (Intel SDM volume 1, appendix
    /// B).
    #[inline]
    pub(crate) fn condition<const CODE: u8>(&self) -> bool {
        let holds = match CODE >> 1 {
            0 => self.overflow(),
            1 => self.carry(),
            2 => self.zero(),
            3 => self.carry() || self.zero(),
            4 => self.sign(),
            5 => self.parity(),
            6 => self.sign() != self.overflow(),
            _ => self.zero() || self.sign() != self.overflow(),
        };
        holds != (CODE & 1 != 0)
    }

    #[inline]
    pub(crate) fn set_zero(&mut self, zero: bool) {
        self.zero = u64::from(!zero);
    }

    #[inline]
    pub(crate) fn set_adjust(&mut self, adjust: bool) {
        self.adjust = u8::from(adjust) << 4;
    }

    /// ZF, SF and PF by a result, and nothing else.
    #[inline]
    pub(crate) fn set_result<W: Width>(&mut self, result: u64) {
        self.zero = result;
        self.sign = result << (64 - W::BITS);
        self.parity = result as u8;
    }

    /// After `a + b`, or `a + b + CF`.
    #[inline]
    pub(crate) fn after_addition<W: Width>(&mut self, a: u64, b: u64, result: u64) {
        self.set_result::<W>(result);
        self.carries = ((a & b) | ((a | b) & !result)) << (64 - W::BITS);
        self.adjust = (a ^ b ^ result) as u8;
    }

    /// After `a - b`, or `a - b - CF`.
    #[inline]
    pub(crate) fn after_subtraction<W: Width>(&mut self, a: u64, b: u64, result: u64) {
        self.set_result::<W>(result);
        self.carries = ((!a & b) | ((!a | b) & result)) << (64 - W::BITS);
        self.adjust = (a ^ b ^ result) as u8;
    }

    /// After AND, OR, XOR, TEST. AF is undefined; processors clear it.
    #[inline]
    pub(crate) fn after_logic<W: Width>(&mut self, result: u64) {
        self.set_result::<W>(result);
        self.carries = 0;
        self.adjust = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::width::{Byte, Dword, Qword, Word};
    use proptest::prelude::*;

    /// The flags of an addition as the manual defines them.
    fn expected<W: Width>(a: u64, b: u64, subtract: bool) -> u64 {
        let mask = W::MASK;
        let wide =
            if subtract { u128::from(a).wrapping_sub(b.into()) } else { u128::from(a) + u128::from(b) };
        let result = wide as u64 & mask;
        let sign = |value: u64| value >> (W::BITS - 1) & 1 != 0;
        let overflow = if subtract {
            sign(a) != sign(b) && sign(result) != sign(a)
        } else {
            sign(a) == sign(b) && sign(result) != sign(a)
        };
        let carry = if subtract { a < b } else { wide > mask.into() };
        let low = |value: u64| value & 0xf;
        let adjust = if subtract { low(a) < low(b) } else { low(a) + low(b) > 0xf };
        let parity = (result as u8).count_ones().is_multiple_of(2);
        [
            (carry, bit::CF),
            (parity, bit::PF),
            (adjust, bit::AF),
            (result == 0, bit::ZF),
            (sign(result), bit::SF),
            (overflow, bit::OF),
        ]
        .into_iter()
        .fold(bit::FIXED, |bits, (set, bit)| if set { bits | bit } else { bits })
    }

    fn check<W: Width>(a: u64, b: u64) {
        let (a, b) = (a & W::MASK, b & W::MASK);
        let mut flags = Flags::from_bits(0);
        flags.after_addition::<W>(a, b, a.wrapping_add(b) & W::MASK);
        assert_eq!(flags.bits(), expected::<W>(a, b, false), "{a:#x} + {b:#x}");
        flags.after_subtraction::<W>(a, b, a.wrapping_sub(b) & W::MASK);
        assert_eq!(flags.bits(), expected::<W>(a, b, true), "{a:#x} - {b:#x}");
    }

    #[test]
    fn byte_sums_and_differences_set_the_flags_of_the_manual() {
        for a in 0..=0xff {
            for b in 0..=0xff {
                check::<Byte>(a, b);
            }
        }
    }

    proptest! {
        #[test]
        fn wider_sums_and_differences_set_the_flags_of_the_manual(a: u64, b: u64) {
            check::<Word>(a, b);
            check::<Dword>(a, b);
            check::<Qword>(a, b);
        }

        #[test]
        fn every_combination_of_flags_is_kept(bits: u64) {
            let flags = Flags::from_bits(bits);
            prop_assert_eq!(flags.bits(), bits & bit::ALL | bit::FIXED);
        }

        #[test]
        fn setting_carry_leaves_the_other_flags(bits: u64, carry: bool) {
            let mut flags = Flags::from_bits(bits);
            let before = flags.bits();
            flags.set_carry(carry);
            prop_assert_eq!(flags.bits(), before & !bit::CF | u64::from(carry));
        }
    }
}
