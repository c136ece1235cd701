//! Packed decimal numbers: eighteen digits, two to a byte, and a byte for the sign (Intel SDM volume 1, 4.7).

use crate::x87::number::Number;
use crate::x87::rounding::Context;
use crate::x87::status::IE;

/// What masked invalid operations store.
const INDEFINITE: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];
/// The last integer with eighteen digits.
const GREATEST: u64 = 999_999_999_999_999_999;

/// The number that ten bytes stand for. Digits above nine count as what they are, as hardware does; of the last
/// byte only the sign counts.
pub(super) fn load(bytes: [u8; 10]) -> Number {
    let digits = bytes[..9].iter().rev();
    let value = digits.fold(0, |value, byte| value * 100 + u64::from(byte >> 4) * 10 + u64::from(byte & 15));
    Number::from_magnitude(bytes[9] & 0x80 != 0, value)
}

/// A number rounded to an integer, in ten bytes.
pub(super) fn store(context: &mut Context, number: &Number) -> [u8; 10] {
    let Some(mut rest) = context.integer(number, GREATEST) else {
        context.raise(IE);
        return INDEFINITE;
    };
    let mut bytes = [0; 10];
    for byte in &mut bytes[..9] {
        *byte = (rest % 10) as u8 | ((rest / 10 % 10) as u8) << 4;
        rest /= 100;
    }
    bytes[9] = u8::from(number.sign) << 7;
    bytes
}
