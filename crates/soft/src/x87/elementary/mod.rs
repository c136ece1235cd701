//! The transcendental functions: F2XM1, FYL2X, FYL2XP1, FPATAN, FSIN, FCOS, FSINCOS, FPTAN.
//!
//! Processors differ in the last bit of these, so the host's are of no use. Here they are computed with
//! [`Wide`] numbers of 128 bits, each result with an error of less than 2^-118 of itself, and then rounded as
//! the control word says: to the nearest number but for about one argument in 2^53, which is better than any
//! processor is known to do. Intel promises errors below one unit in the last place (SDM volume 1, 8.3.10).
//!
//! All go the same way: the argument is reduced, exactly, to a small one and one of few others whose function
//! value stands in a table; a power series of fixed-point numbers does the small one; an addition theorem puts
//! the two together, such that nothing is lost where results are near zero.
//!
//! Results are inexact unless the argument is one of those that Intel's tables list (SDM volume 2): no other
//! number of the format has a transcendental function value that is one. What processors do with arguments
//! outside of a function's range is undefined; each function says what it does here.

pub(super) mod arctangent;
pub(super) mod exponential;
mod fixed;
pub(super) mod logarithm;
#[cfg(test)]
mod tests;
pub(super) mod trigonometric;
mod wide;

use crate::x87::number::{BIAS, Extended};
use crate::x87::rounding::Context;
use wide::Wide;

/// Rounds what is not exact, and knows it.
fn inexact(context: &mut Context, value: Wide) -> Extended {
    context.round_to(64, value.sign, value.exponent + BIAS, value.significand | 1)
}
