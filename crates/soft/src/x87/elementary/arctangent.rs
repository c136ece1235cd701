//! FPATAN: the angle of a point.
//!
//! With t = y/x between 0 and 1 close to i/16, atan(t) = atan(i/16) + atan(z), z = (16 y - i x) / (16 x + i y),
//! which is at most 1/32. The first summand is in a table. For i = 0 it is zero, so that small angles keep all
//! their bits. The other octants follow by reflection.

use crate::x87::elementary::wide::Wide;
use crate::x87::elementary::{fixed, inexact};
use crate::x87::number::{Extended, Number};
use crate::x87::rounding::Context;

/// π.
const PI: Wide = Wide::new(1, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1);
/// 3π/4.
const THREE_QUARTERS_OF_PI: Wide = Wide::new(1, 0x96cb_e3f9_990e_91a7_9394_c9e8_a0a5_159d);

/// atan(i/16) for i from 1 to 16.
const TABLE: [Wide; 16] = [
    Wide::new(-5, 0xffaa_ddb9_67ef_4e36_cb27_92dc_0e2e_0d51),
    Wide::new(-4, 0xfead_d4d5_617b_6e32_c897_989f_3e88_8ef8),
    Wide::new(-3, 0xbdcb_da5e_72d8_1134_7b0b_4f88_1c9c_7488),
    Wide::new(-3, 0xfadb_afc9_6406_eb15_6dc7_9ef5_f7a2_17e6),
    Wide::new(-2, 0x9b13_b9b8_3f5e_5e69_c5ab_b498_d27a_f328),
    Wide::new(-2, 0xb7b0_ca0f_26f7_8473_8aa3_2122_dcfe_4483),
    Wide::new(-2, 0xd327_761e_611f_e5b6_427c_95e9_001e_7136),
    Wide::new(-2, 0xed63_382b_0dda_7b45_6fe4_45ec_bc3a_8d03),
    Wide::new(-1, 0x832b_f4a6_d986_7e2a_4b6a_09cb_61a5_15c1),
    Wide::new(-1, 0x8f00_5d5e_f7f5_9f9b_5c83_5e16_65c4_3748),
    Wide::new(-1, 0x9a2f_80e6_71bd_da20_4226_f8e2_204f_f3bd),
    Wide::new(-1, 0xa4bc_7d19_34f7_0924_19a8_7f2a_457d_ac9f),
    Wide::new(-1, 0xaeac_4c38_b4d8_c080_1472_5e2f_3e52_070a),
    Wide::new(-1, 0xb805_3e2b_c231_9e73_cb2d_a552_10a4_443d),
    Wide::new(-1, 0xc0ce_85b8_ac52_6640_89dd_62c4_6e92_fa25),
    Wide::new(-1, 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1),
];

/// The angle between the positive x axis and the direction of (x, y) (Intel SDM volume 2, FPATAN).
pub(in crate::x87) fn angle(context: &mut Context, y: Number, x: Number) -> Extended {
    if let Some(nan) = context.nan_of(&y, &x) {
        return nan;
    }
    context.note_denormal(&y);
    context.note_denormal(&x);
    let angle = if y.is_infinite() {
        match (x.is_infinite(), x.sign) {
            (true, false) => PI.scaled(-2),
            (true, true) => THREE_QUARTERS_OF_PI,
            (false, _) => PI.scaled(-1),
        }
    } else if y.is_zero() || x.is_infinite() {
        if !x.sign {
            return Extended::zero(y.sign);
        }
        PI
    } else if x.is_zero() {
        PI.scaled(-1)
    } else {
        direction(Wide::from_number(&y).with_sign(false), Wide::from_number(&x))
    };
    inexact(context, angle.with_sign(y.sign))
}

/// The angle of a point with y above zero.
fn direction(y: Wide, x: Wide) -> Wide {
    let (is_left, x) = (x.sign, x.with_sign(false));
    let is_steep = (y.exponent, y.significand) > (x.exponent, x.significand);
    let angle = if is_steep { arctangent(x, y) } else { arctangent(y, x) };
    // What is subtracted is never as large.
    let less = |from: Wide| from.plus(angle.negated()).unwrap_or(from);
    match (is_steep, is_left) {
        (false, false) => angle,
        (false, true) => less(PI),
        (true, false) => less(PI.scaled(-1)),
        (true, true) => PI.scaled(-1).plus(angle).unwrap_or(angle),
    }
}

/// atan(y/x), y at most x, both positive.
fn arctangent(y: Wide, x: Wide) -> Wide {
    let quotient = y.over(x);
    let nearest = (fixed::from_wide(quotient) + fixed::ONE / 32) >> 122;
    let Some(part) = Wide::from_magnitude(false, -4, nearest) else { return series(quotient) };
    let table = TABLE[nearest as usize - 1];
    let numerator = y.plus(x.times(part).negated());
    let denominator = x.plus(y.times(part));
    table
        .plus_maybe(numerator.zip(denominator).map(|(above, below)| series(above.over(below))))
        .unwrap_or(table)
}

/// atan(z), |z| at most 1/32.
fn series(z: Wide) -> Wide {
    let square = fixed::from_wide(z.times(z));
    z.times(fixed::to_wide(fixed::arctangent(square)))
}
