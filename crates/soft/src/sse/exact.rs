//! Whether a sum, product or quotient can be told exactly in so many bits, if the exponent does not matter.

/// A finite number without its sign: an integer below 2^53, times a power of two.
#[derive(Clone, Copy, Debug)]
struct Parts {
    integer: u64,
    exponent: i32,
}

fn parts(number: f64) -> Parts {
    let bits = number.to_bits();
    let (field, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    match field {
        0 => Parts { integer: fraction, exponent: 1 },
        _ => Parts { integer: fraction | 1 << 52, exponent: field },
    }
}

/// How many bits there are between the first one and the last one, both included.
fn significant_bits(value: u128) -> u32 {
    if value == 0 { 0 } else { u128::BITS - value.leading_zeros() - value.trailing_zeros() }
}

pub(super) fn sum(a: f64, b: f64, precision: u32) -> bool {
    let (large, small) = if a.abs() < b.abs() { (b, a) } else { (a, b) };
    let (high, low) = (parts(large), parts(small));
    let distance = high.exponent - low.exponent;
    if low.integer == 0 {
        return significant_bits(high.integer.into()) <= precision;
    }
    // The larger number's last bit is so far above the smaller one that there are more than 53 bits between.
    if distance > 70 {
        return false;
    }
    let high = u128::from(high.integer) << distance;
    let low = u128::from(low.integer);
    let sum = if large.is_sign_negative() == small.is_sign_negative() { high + low } else { high - low };
    significant_bits(sum) <= precision
}

pub(super) fn difference(a: f64, b: f64, precision: u32) -> bool {
    sum(a, -b, precision)
}

pub(super) fn product(a: f64, b: f64, precision: u32) -> bool {
    significant_bits(u128::from(parts(a).integer) * u128::from(parts(b).integer)) <= precision
}

/// A quotient has an end if the divisor, without its factors of two, divides the dividend.
pub(super) fn quotient(a: f64, b: f64, precision: u32) -> bool {
    let (dividend, divisor) = (parts(a).integer, parts(b).integer);
    let divisor = divisor >> divisor.trailing_zeros();
    dividend.is_multiple_of(divisor) && significant_bits((dividend / divisor).into()) <= precision
}

/// The second number itself.
pub(super) fn conversion(_: f64, b: f64, precision: u32) -> bool {
    significant_bits(parts(b).integer.into()) <= precision
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_third_is_not_exact_and_a_half_is() {
        assert!(!quotient(1.0, 3.0, 53));
        assert!(quotient(9.0, 3.0, 53));
        assert!(quotient(1.0, 1024.0, 53));
        assert!(!product(1.0 + f64::EPSILON, 1.0 + f64::EPSILON, 53));
        assert!(sum(f64::MAX, f64::MAX, 53));
        assert!(!sum(f64::MAX, 1.0, 53));
        assert!(!conversion(0.0, 0.1, 24));
        assert!(conversion(0.0, f64::MAX * 0.5 - f64::MAX * 0.5 + 0.75, 24));
    }

    proptest! {
        /// The error of a rounded sum or product of numbers in the middle of the range is a number itself.
        #[test]
        fn sums_and_products_are_exact_if_rounding_leaves_no_error(
            a in prop_oneof![(-1e30..1e30f64), (-1000i32..1000).prop_map(f64::from)],
            b in prop_oneof![(-1e30..1e30f64), (-1000i32..1000).prop_map(f64::from)],
        ) {
            let rounded = a + b;
            let from_b = rounded - a;
            let error = (a - (rounded - from_b)) + (b - from_b);
            prop_assert_eq!(sum(a, b, 53), error == 0.0);
            prop_assert_eq!(difference(a, -b, 53), error == 0.0);
            prop_assert_eq!(product(a, b, 53), a.mul_add(b, -(a * b)) == 0.0);
            if b != 0.0 {
                prop_assert_eq!(quotient(a, b, 53), (a / b).mul_add(b, -a) == 0.0);
            }
        }
    }
}
