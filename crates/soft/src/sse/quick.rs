//! The common case of scalar arithmetic, without a look at the host's MXCSR.
//!
//! Loading MXCSR costs more than an addition. Nearly all additions are of ordinary numbers, with ordinary
//! results: neither NaN nor infinite nor denormal nor close to it. The only exception that such an operation can
//! find is P. Programs that compute with fractions have its flag set and masked nearly all the time; where they
//! compute with integers, P is not found, which sums and products tell easily. So with rounding to nearest,
//! ordinary Rust arithmetic does it all; flush-to-zero, denormals-are-zeros and the other masks do not matter.
//!
//! The functions return nothing if the case is not so simple.

use super::exceptions::mxcsr::{PRECISION, ROUNDING, TO_MASK};

/// Whether results are rounded to nearest.
#[inline]
fn is_nearest(mxcsr: u32) -> bool {
    mxcsr & ROUNDING == 0
}

/// Whether results are rounded to nearest, and inexact ones change nothing: the flag P is set, and masked.
#[inline]
pub(super) fn is_usual(mxcsr: u32) -> bool {
    const MASKED: u32 = PRECISION | PRECISION << TO_MASK;
    mxcsr & (ROUNDING | MASKED) == MASKED
}

/// A scalar format.
pub(super) trait Scalar: Copy + PartialOrd {
    /// The mask of a comparison that holds.
    const ALL_ONES: Self;
    /// The mask of one that does not.
    const ALL_ZEROS: Self;
    /// The number in the lowest lane.
    fn lowest(value: u128) -> Self;
    /// A register with another number in its lowest lane.
    fn replace(self, register: u128) -> u128;
    /// Neither zero, denormal, infinite nor NaN.
    fn is_ordinary(self) -> bool;
    /// Ordinary, and not next to the denormal numbers either: it was not rounded up from one.
    fn is_safe(self) -> bool;
    fn is_zero(self) -> bool;
    fn add(self, other: Self) -> Self;
    fn subtract(self, other: Self) -> Self;
    fn opposite(self) -> Self;
    fn multiply(self, other: Self) -> Self;
    fn divide(self, other: Self) -> Self;
    fn root(self) -> Self;
    fn is_positive(self) -> bool;
    /// Whether so many bits at the ends are zero that the product needs no rounding. Both numbers are ordinary.
    fn has_exact_product(self, other: Self) -> bool;
}

macro_rules! scalar {
    ($float:ty, $bits:ty, $fraction:literal, $maximum:literal) => {
        impl Scalar for $float {
            const ALL_ONES: Self = Self::from_bits(<$bits>::MAX);
            const ALL_ZEROS: Self = Self::from_bits(0);

            #[inline]
            fn lowest(value: u128) -> Self {
                Self::from_bits(value as $bits)
            }

            #[inline]
            fn replace(self, register: u128) -> u128 {
                register & !u128::from(<$bits>::MAX) | u128::from(self.to_bits())
            }

            #[inline]
            fn is_ordinary(self) -> bool {
                // Without the sign, the exponent's field is on top.
                const ONE: $bits = 1 << ($fraction + 1);
                (self.to_bits() << 1).wrapping_sub(ONE) < ($maximum - 1) * ONE
            }

            #[inline]
            fn is_safe(self) -> bool {
                const ONE: $bits = 1 << ($fraction + 1);
                (self.to_bits() << 1).wrapping_sub(2 * ONE) < ($maximum - 2) * ONE
            }

            #[inline]
            fn is_zero(self) -> bool {
                self.to_bits() << 1 == 0
            }

            #[inline]
            fn add(self, other: Self) -> Self {
                self + other
            }

            #[inline]
            fn subtract(self, other: Self) -> Self {
                self - other
            }

            #[inline]
            fn opposite(self) -> Self {
                -self
            }

            #[inline]
            fn multiply(self, other: Self) -> Self {
                self * other
            }

            #[inline]
            fn divide(self, other: Self) -> Self {
                self / other
            }

            #[inline]
            fn root(self) -> Self {
                self.sqrt()
            }

            #[inline]
            fn is_positive(self) -> bool {
                self.is_sign_positive()
            }

            #[inline]
            fn has_exact_product(self, other: Self) -> bool {
                // Zeros at the end of a fraction. The implied one in front of it stops the count.
                let zeros = |number: Self| (number.to_bits() | 1 << $fraction).trailing_zeros();
                zeros(self) + zeros(other) > $fraction
            }
        }
    };
}

scalar!(f32, u32, 23, 0xff);
scalar!(f64, u64, 52, 0x7ff);

/// Ordinary or zero.
#[inline]
pub(super) fn is_plain<T: Scalar>(number: T) -> bool {
    number.is_ordinary() || number.is_zero()
}

/// A sum.
#[inline]
pub(super) fn sum<T: Scalar>(a: u128, b: u128, mxcsr: u32) -> Option<u128> {
    let (x, y) = (T::lowest(a), T::lowest(b));
    let result = x.add(y);
    // The error of a sum that is rounded to nearest can be computed exactly.
    let from_y = result.subtract(x);
    let error = || x.subtract(result.subtract(from_y)).add(y.subtract(from_y));
    let is_simple = is_plain(x) && is_plain(y) && (result.is_safe() || result.is_zero());
    (is_simple && (is_usual(mxcsr) || is_nearest(mxcsr) && error().is_zero())).then(|| result.replace(a))
}

/// A difference: the sum with the opposite, but for the sign of NaNs, which are not simple.
#[inline]
pub(super) fn difference<T: Scalar>(a: u128, b: u128, mxcsr: u32) -> Option<u128> {
    sum::<T>(a, T::lowest(b).opposite().replace(b), mxcsr)
}

/// A product: exact if a factor is zero.
#[inline]
pub(super) fn product<T: Scalar>(a: u128, b: u128, mxcsr: u32) -> Option<u128> {
    let (x, y) = (T::lowest(a), T::lowest(b));
    let result = x.multiply(y);
    let is_ordinary = x.is_ordinary() && y.is_ordinary() && result.is_safe();
    let is_simple = if is_ordinary {
        is_usual(mxcsr) || is_nearest(mxcsr) && x.has_exact_product(y)
    } else {
        is_plain(x) && is_plain(y) && (x.is_zero() || y.is_zero())
    };
    is_simple.then(|| result.replace(a))
}

/// A quotient: exact if the dividend is zero.
#[inline]
pub(super) fn quotient<T: Scalar>(a: u128, b: u128, mxcsr: u32) -> Option<u128> {
    let (x, y) = (T::lowest(a), T::lowest(b));
    let result = x.divide(y);
    let is_simple = y.is_ordinary() && (x.is_ordinary() && result.is_safe() || x.is_zero());
    (is_usual(mxcsr) && is_simple).then(|| result.replace(a))
}

/// A square root, which is never too large or too small.
#[inline]
pub(super) fn root<T: Scalar>(a: u128, b: u128, mxcsr: u32) -> Option<u128> {
    let number = T::lowest(b);
    let is_simple = number.is_ordinary() && number.is_positive() || number.is_zero();
    (is_usual(mxcsr) && is_simple).then(|| number.root().replace(a))
}

/// MINSS and MINSD: the second operand unless the first one is less. No exceptions, whatever MXCSR says.
#[inline]
pub(super) fn minimum<T: Scalar>(a: u128, b: u128) -> Option<u128> {
    let (x, y) = (T::lowest(a), T::lowest(b));
    (is_plain(x) && is_plain(y)).then(|| if x < y { a } else { y.replace(a) })
}

/// MAXSS and MAXSD: the second operand unless the first one is greater.
#[inline]
pub(super) fn maximum<T: Scalar>(a: u128, b: u128) -> Option<u128> {
    let (x, y) = (T::lowest(a), T::lowest(b));
    (is_plain(x) && is_plain(y)).then(|| if x > y { a } else { y.replace(a) })
}
