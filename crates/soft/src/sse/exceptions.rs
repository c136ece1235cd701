//! SIMD floating-point exceptions (Intel SDM volume 1, 11.5).
//!
//! An instruction finds exceptions in all its lanes. If none of them is unmasked, the flags are set and the
//! result is written. Otherwise the flags are set, #XM is raised, and nothing is written. Three rules make the
//! flags of the second case differ from those of an instruction with everything masked:
//!
//! * if one of the exceptions that come before computing (I, D, Z) is unmasked, in any lane, nothing is
//!   computed, so that those of computing (O, U, P) are not reported, from no lane;
//! * an unmasked U is reported for every tiny result, a masked one for tiny results that are inexact, too.
//!   Flush-to-zero does nothing while U is unmasked;
//! * if O or U is unmasked, P tells whether the result would be inexact if exponents had no bounds. With a mask,
//!   it tells of the result that is delivered.
//!
//! The host always computes with everything masked. So when O or U is unmasked, each lane is looked at again:
//! [`Range`].

use super::host::{Instruction, Outcome};
use crate::cpu::Cpu;
use crate::fault::{Abort, Exception, vector};

/// Bits of MXCSR.
pub(super) mod mxcsr {
    pub(in crate::sse) const OVERFLOW: u32 = 1 << 3;
    pub(in crate::sse) const UNDERFLOW: u32 = 1 << 4;
    pub(in crate::sse) const PRECISION: u32 = 1 << 5;
    /// All exceptions.
    pub(in crate::sse) const FLAGS: u32 = 0x3f;
    /// Invalid, denormal, divide-by-zero: found before computing.
    pub(in crate::sse) const BEFORE: u32 = 0x7;
    /// From an exception to its mask.
    pub(in crate::sse) const TO_MASK: u32 = 7;
    /// All masks.
    pub(in crate::sse) const MASKS: u32 = FLAGS << TO_MASK;
    pub(in crate::sse) const ROUNDING: u32 = 3 << 13;
    pub(in crate::sse) const DENORMALS_ARE_ZEROS: u32 = 1 << 6;
    pub(in crate::sse) const FLUSH_TO_ZERO: u32 = 1 << 15;
}
use mxcsr::{BEFORE, MASKS, OVERFLOW, PRECISION, TO_MASK, UNDERFLOW};

/// CR4.OSXMMEXCPT: the operating system handles #XM.
const OSXMMEXCPT: u64 = 1 << 10;

/// The MXCSR under which the host computes what the guest wants.
#[inline]
pub(super) fn control(guest: u32) -> u32 {
    let flush = guest & UNDERFLOW << TO_MASK != 0;
    let kept = mxcsr::ROUNDING | mxcsr::DENORMALS_ARE_ZEROS | if flush { mxcsr::FLUSH_TO_ZERO } else { 0 };
    guest & kept | MASKS
}

/// Takes note of the exceptions that an instruction found: aborts if one of them is unmasked.
#[inline]
pub(super) fn report(cpu: &mut Cpu, flags: u32) -> Result<(), Abort> {
    if cpu.vectors.mxcsr & MASKS != MASKS {
        return report_unmasked(cpu, flags);
    }
    cpu.vectors.mxcsr |= flags;
    Ok(())
}

#[cold]
fn report_unmasked(cpu: &mut Cpu, flags: u32) -> Result<(), Abort> {
    let unmasked = flags & !(cpu.vectors.mxcsr >> TO_MASK);
    cpu.vectors.mxcsr |= if unmasked & BEFORE == 0 { flags } else { flags & BEFORE };
    match unmasked {
        0 => Ok(()),
        _ if cpu.control.cr4 & OSXMMEXCPT == 0 => cpu.raise(Exception::UNDEFINED),
        _ => cpu.raise(Exception::plain(vector::SIMD)),
    }
}

/// Executes an instruction and takes note of its exceptions. Returns the new destination.
#[inline]
pub(super) fn execute<I: Instruction>(cpu: &mut Cpu, a: u128, b: u128) -> Result<u128, Abort> {
    let outcome = I::run(a, b, control(cpu.vectors.mxcsr));
    report(cpu, outcome.flags)?;
    Ok(outcome.value)
}

/// As [`execute`], for an instruction whose results can be too large or too small.
#[inline]
pub(super) fn execute_ranged<I: Instruction>(
    cpu: &mut Cpu,
    a: u128,
    b: u128,
    range: &Range,
) -> Result<u128, Abort> {
    const RANGE: u32 = (OVERFLOW | UNDERFLOW) << TO_MASK;
    let guest = cpu.vectors.mxcsr;
    let mut outcome = I::run(a, b, control(guest));
    if guest & RANGE != RANGE {
        outcome.flags = range.flags::<I>(a, b, guest);
    }
    report(cpu, outcome.flags)?;
    Ok(outcome.value)
}

/// What there is to know of an instruction in order to tell the exceptions of its lanes apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// How many lanes it computes, from the lowest one on.
    pub(super) lanes: u32,
    /// Bits in a lane of its operands.
    pub(super) operand: u32,
    /// Bits in a lane of its result.
    pub(super) result: u32,
    /// Whether the result would be exact with unbounded exponents, in a significand of that many bits. It is asked
    /// of finite operands only.
    pub(super) is_exact: fn(f64, f64, u32) -> bool,
}

impl Range {
    /// The exceptions of all lanes, for a guest that has O or U unmasked.
    #[cold]
    fn flags<I: Instruction>(&self, a: u128, b: u128, guest: u32) -> u32 {
        (0..self.lanes).fold(0, |flags, lane| {
            // With the same numbers in all lanes, the exceptions are those of one.
            let (a, b) = (self.spread(a, lane), self.spread(b, lane));
            flags | self.lane_flags(a, b, I::run(a, b, control(guest)), guest)
        })
    }

    fn lane_flags(&self, a: u128, b: u128, masked: Outcome<u128>, guest: u32) -> u32 {
        let unmasked = |exception: u32| guest & exception << TO_MASK == 0;
        let tiny = masked.flags & UNDERFLOW != 0 || self.is_denormal(masked.value);
        let found = if tiny && unmasked(UNDERFLOW) {
            UNDERFLOW
        } else if masked.flags & OVERFLOW != 0 && unmasked(OVERFLOW) {
            OVERFLOW
        } else {
            return masked.flags;
        };
        let precision = if self.result == 32 { 24 } else { 53 };
        let is_exact = (self.is_exact)(self.number(a), self.number(b), precision);
        masked.flags & BEFORE | found | if is_exact { 0 } else { PRECISION }
    }

    /// The number in a lane, in all lanes.
    fn spread(&self, value: u128, lane: u32) -> u128 {
        let value = value >> (lane * self.operand);
        match self.operand {
            32 => u128::from(value as u32) * 0x1_0000_0001_0000_0001_0000_0001,
            _ => u128::from(value as u64) * 0x1_0000_0000_0000_0001,
        }
    }

    /// The operand in the lowest lane.
    fn number(&self, value: u128) -> f64 {
        if self.operand == 32 { f32::from_bits(value as u32).into() } else { f64::from_bits(value as u64) }
    }

    /// Whether the result in the lowest lane is denormal.
    fn is_denormal(&self, value: u128) -> bool {
        match self.result {
            32 => f32::from_bits(value as u32).is_subnormal(),
            _ => f64::from_bits(value as u64).is_subnormal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Step;
    use crate::testing::Trial;

    const ADDPS: [u8; 3] = [0x0f, 0x58, 0xca];
    const MULSS: [u8; 4] = [0xf3, 0x0f, 0x59, 0xca];
    const XM: Exception = Exception::plain(vector::SIMD);
    const DENORMAL: u32 = 1 << 1;

    fn lanes(lanes: [u32; 4]) -> u128 {
        lanes.iter().rev().fold(0, |all, &lane| all << 32 | u128::from(lane))
    }

    /// A processor on which some exceptions are unmasked, and with two operands.
    fn trial(unmasked: u32, a: [u32; 4], b: [u32; 4]) -> Trial {
        let mut trial = Trial::new();
        trial.cpu.vectors.mxcsr = MASKS & !(unmasked << TO_MASK);
        trial.cpu.vectors.xmm[1] = lanes(a);
        trial.cpu.vectors.xmm[2] = lanes(b);
        trial
    }

    const ONE: u32 = 0x3f80_0000;
    const HALF: u32 = 0x3f00_0000;
    const THIRD: u32 = 0x3eaa_aaab;
    const LEAST_NORMAL: u32 = 0x0080_0000;

    #[test]
    fn an_unmasked_exception_before_computing_hides_those_of_computing_in_all_lanes() {
        let mut trial = trial(DENORMAL, [1, ONE, 0, 0], [ONE, THIRD, 0, 0]);
        let before = trial.cpu.vectors.clone();
        assert_eq!(trial.fault(&ADDPS), XM);
        assert_eq!(trial.cpu.vectors.xmm, before.xmm);
        assert_eq!(trial.cpu.vectors.mxcsr, before.mxcsr | DENORMAL);
    }

    #[test]
    fn an_exact_tiny_result_is_an_underflow_only_if_that_is_unmasked() {
        let mut masked = trial(0, [LEAST_NORMAL, 0, 0, 0], [HALF, 0, 0, 0]);
        assert_eq!(masked.execute(&MULSS), Ok(Step::Next));
        assert_eq!(masked.cpu.vectors.mxcsr, MASKS);
        let mut unmasked = trial(UNDERFLOW, [LEAST_NORMAL, 0, 0, 0], [HALF, 0, 0, 0]);
        unmasked.cpu.vectors.mxcsr |= mxcsr::FLUSH_TO_ZERO;
        assert_eq!(unmasked.fault(&MULSS), XM);
        assert_eq!(unmasked.cpu.vectors.mxcsr & mxcsr::FLAGS, UNDERFLOW);
    }

    #[test]
    fn a_result_that_only_the_lack_of_range_makes_inexact_is_precise_if_it_is_not_delivered() {
        let mut trial = trial(UNDERFLOW, [LEAST_NORMAL + 1, 0, 0, 0], [HALF, 0, 0, 0]);
        assert_eq!(trial.fault(&MULSS), XM);
        assert_eq!(trial.cpu.vectors.mxcsr & mxcsr::FLAGS, UNDERFLOW);
    }

    #[test]
    fn a_flag_that_is_set_already_raises_nothing() {
        let mut trial = trial(PRECISION, [ONE, 0, 0, 0], [ONE, 0, 0, 0]);
        trial.cpu.vectors.mxcsr |= PRECISION;
        assert_eq!(trial.execute(&ADDPS), Ok(Step::Next));
    }

    #[test]
    fn an_operating_system_that_does_not_handle_them_gets_undefined_instructions() {
        let mut trial = trial(PRECISION, [ONE, 0, 0, 0], [THIRD, 0, 0, 0]);
        trial.cpu.control.cr4 &= !OSXMMEXCPT;
        assert_eq!(trial.fault(&ADDPS), Exception::UNDEFINED);
    }
}
