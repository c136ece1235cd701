//! How numbers compare, and what kind they are.

use std::cmp::Ordering;

use crate::x87::number::{Class, Extended, Number};
use crate::x87::rounding::Context;
use crate::x87::status::{C0, C1, C2, C3, DE, IE};

/// Which operands of a comparison are invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Strictness {
    /// FCOM: all NaNs.
    Ordered,
    /// FUCOM: signaling NaNs. Unsupported formats are invalid for both.
    Quiet,
}

/// Compares. `None` is unordered: one is no number.
pub(super) fn compare(
    context: &mut Context,
    a: &Number,
    b: &Number,
    strictness: Strictness,
) -> Option<Ordering> {
    if a.is_nan() || b.is_nan() {
        if strictness == Strictness::Ordered || a.class > Class::Quiet || b.class > Class::Quiet {
            context.raise(IE);
        }
        return None;
    }
    if a.is_denormal || b.is_denormal {
        context.raise(DE);
    }
    Some(rank(a).cmp(&rank(b)))
}

/// A key whose order is that of numbers.
fn rank(number: &Number) -> i128 {
    let magnitude = match number.class {
        Class::Zero => 0,
        Class::Infinity => i128::MAX,
        // Positive, whatever the exponent: no denormal has one below -2^16.
        _ => i128::from(number.exponent + (1 << 16)) << 64 | i128::from(number.significand),
    };
    if number.sign { -magnitude } else { magnitude }
}

/// C0, C2 and C3 as FCOM sets them.
pub(super) fn condition(order: Option<Ordering>) -> u16 {
    match order {
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => C0,
        Some(Ordering::Equal) => C3,
        None => C0 | C2 | C3,
    }
}

/// C0 to C3 as FXAM sets them (Intel SDM volume 2, FXAM).
pub(super) fn examine(value: Extended, is_empty: bool) -> u16 {
    let number = Number::from_extended(value);
    let class = match number.class {
        _ if is_empty => C3 | C0,
        Class::Unsupported => 0,
        Class::Quiet | Class::Signaling => C0,
        Class::Infinity => C2 | C0,
        Class::Zero => C3,
        Class::Finite if number.is_denormal => C3 | C2,
        Class::Finite => C2,
    };
    class | if value.sign() { C1 } else { 0 }
}
