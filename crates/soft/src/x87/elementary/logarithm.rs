//! FYL2X and FYL2XP1: y log2(x), y log2(x + 1).
//!
//! x = m 2^k with m between 0.7 and 1.42, and m is close to j/32 for an integer j. With
//! z = (m - j/32) / (m + j/32), which is at most 1/90, log2(m) = log2(j/32) + 2 artanh(z) / ln(2). The
//! first summand is in a table. For j = 32 it is zero, so that logarithms of numbers near 1 keep all their
//! bits.

use crate::x87::elementary::wide::Wide;
use crate::x87::elementary::{fixed, inexact};
use crate::x87::number::{BIAS, Extended, INTEGER_BIT, Number};
use crate::x87::rounding::Context;
use crate::x87::status::{PE, UE};

/// 2 / ln(2).
const TWO_OVER_LN_2: Wide = Wide::new(1, 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e89);

/// The least j.
const FIRST: u32 = 22;
/// The j whose logarithm is zero.
const MIDDLE: u32 = 32;

/// log2(32/j) for j from [`FIRST`] to 31.
const BELOW: [Wide; 10] = [
    Wide::new(-1, 0x8a62_b07f_3457_c407_0507_99be_aaab_2941),
    Wide::new(-2, 0xf3ef_aff2_9c55_9a77_da8a_d649_da21_eab0),
    Wide::new(-2, 0xd47f_cb8c_0852_f0c0_bfe9_dbeb_f2e8_a45e),
    Wide::new(-2, 0xb658_7b43_2e47_501b_6d40_900b_2502_4b32),
    Wide::new(-2, 0x995f_f71b_8773_432d_124b_c6f1_acf9_5dc4),
    Wide::new(-3, 0xfafe_c548_31f1_a484_7f7b_2787_b173_da32),
    Wide::new(-3, 0xc544_c055_fde9_9333_54db_f16f_b069_5ee3),
    Wide::new(-3, 0x916d_6e15_59a4_b696_91d7_9938_e722_6384),
    Wide::new(-4, 0xbeb0_24b6_7dda_6339_da28_8fc6_15a7_27dc),
    Wide::new(-5, 0xbb9c_a64e_cac6_aaef_2e1c_07f0_438e_bac0),
];

/// log2(j/32) for j from 33 to 46.
const ABOVE: [Wide; 14] = [
    Wide::new(-5, 0xb5d6_9bac_77ec_3989_b037_84b5_be08_4906),
    Wide::new(-4, 0xb31f_b7d6_4898_b3e6_629c_130a_22ba_d61e),
    Wide::new(-3, 0x8462_c466_d3cf_1cb1_3de3_7e85_2a94_55ea),
    Wide::new(-3, 0xae00_d1cf_deb4_3cfd_0058_9050_345d_6e89),
    Wide::new(-3, 0xd67a_f16d_a764_9f7f_08f6_5e00_c1b1_a5a9),
    Wide::new(-3, 0xfde0_b5c8_1340_511d_46cc_c53c_2779_af92),
    Wide::new(-2, 0x9220_3d58_7039_cc12_2dca_5d22_601d_fddf),
    Wide::new(-2, 0xa4d3_c25e_68dc_57f2_495f_b7fa_6d7e_da67),
    Wide::new(-2, 0xb711_0e6c_e866_f2bc_6a90_5a27_b81e_2219),
    Wide::new(-2, 0xc8dd_d448_f8b8_45a5_95a8_2b5c_34e2_ac31),
    Wide::new(-2, 0xda3f_5fb9_c415_0520_a377_c7ec_513c_756e),
    Wide::new(-2, 0xeb3a_9f01_9750_77f1_f5f0_cc82_aaa9_ad7e),
    Wide::new(-2, 0xfbd4_2b46_5836_7670_c98c_0022_87ad_91ab),
    Wide::new(-1, 0x8608_2806_b1d5_32c4_12ba_94db_12ef_0aa8),
];

/// y log2(x) (Intel SDM volume 2, FYL2X).
pub(in crate::x87) fn logarithm(context: &mut Context, y: Number, x: Number) -> Extended {
    if let Some(nan) = context.nan_of(&y, &x) {
        return nan;
    }
    let is_one = !x.is_infinite() && x.exponent == BIAS && x.significand == INTEGER_BIT;
    let is_invalid = x.sign && !x.is_zero()
        || y.is_zero() && (x.is_zero() || x.is_infinite())
        || y.is_infinite() && is_one;
    if is_invalid {
        return context.invalid();
    }
    // Numbers below 1 have negative logarithms.
    let sign = y.sign != (x.is_zero() || !x.is_infinite() && x.exponent < BIAS);
    if x.is_zero() && !y.is_infinite() {
        return context.division_by_zero(sign);
    }
    context.note_denormal(&y);
    context.note_denormal(&x);
    if x.is_infinite() || y.is_infinite() {
        return Extended::infinity(sign);
    }
    if y.is_zero() || is_one {
        return Extended::zero(sign);
    }
    let (y, x) = (Wide::from_number(&y), Wide::from_number(&x));
    if x.significand == Wide::ONE.significand {
        return times_integer(context, y, x.exponent);
    }
    let log = logarithm_of(x, x.plus(Wide::ONE.negated()));
    inexact(context, log.map_or(y, |log| log.times(y)))
}

/// y log2(x + 1) (Intel SDM volume 2, FYL2XP1). Arguments beyond the range of 1 - √½ are as good as others, but
/// those of -1 and less become the result, with PE, as on hardware.
pub(in crate::x87) fn logarithm_of_one_more(context: &mut Context, y: Number, x: Number) -> Extended {
    if let Some(nan) = context.nan_of(&y, &x) {
        return nan;
    }
    let is_invalid =
        x.sign && x.is_infinite() || y.is_zero() && x.is_infinite() || y.is_infinite() && x.is_zero();
    if is_invalid {
        return context.invalid();
    }
    context.note_denormal(&y);
    context.note_denormal(&x);
    let sign = y.sign != x.sign;
    if x.is_infinite() || y.is_infinite() {
        return Extended::infinity(sign);
    }
    if y.is_zero() || x.is_zero() {
        return Extended::zero(sign);
    }
    if x.sign && x.exponent >= BIAS {
        context.raise(PE);
        return x.to_extended();
    }
    let (y, x) = (Wide::from_number(&y), Wide::from_number(&x));
    let log = x.plus(Wide::ONE).and_then(|sum| match sum.significand == Wide::ONE.significand {
        true => None,
        false => logarithm_of(sum, Some(x)),
    });
    match log {
        Some(log) => inexact(context, log.times(y)),
        // A power of two: x is one less, not zero.
        None => times_integer(context, y, x.plus(Wide::ONE).map_or(0, |sum| sum.exponent)),
    }
}

/// y k, for the logarithms of powers of two. Processors take these for inexact too, although they are not.
fn times_integer(context: &mut Context, y: Wide, k: i32) -> Extended {
    let Some(k) = Wide::from_integer(k, 0) else { return Extended::zero(y.sign) };
    let product = y.times(k);
    let result = context.round_to(64, product.sign, product.exponent + BIAS, product.significand);
    context.raise(if result.exponent() == 0 { PE | UE } else { PE });
    result
}

/// log2(x), where `less_one` is x - 1, not rounded, and neither is zero. `None` is zero, which it is not.
fn logarithm_of(x: Wide, less_one: Option<Wide>) -> Option<Wide> {
    // Significands of 1.4375 and more are halved.
    let halves = x.significand >= 0xb8 << 120;
    let k = x.exponent + i32::from(halves);
    let m = x.scaled(-k);
    let nearest = ((fixed::from_wide(m) + fixed::ONE / 64) >> 121) as u32;
    if nearest == MIDDLE && k == 0 {
        let z = less_one?.over(m.plus(Wide::ONE)?);
        return Some(series(z));
    }
    let part = Wide::from_integer(nearest as i32, -5)?;
    let small =
        m.plus(part.negated()).zip(m.plus(part)).map(|(difference, sum)| series(difference.over(sum)));
    let table = match nearest {
        MIDDLE => None,
        FIRST..MIDDLE => Some(BELOW[(nearest - FIRST) as usize].negated()),
        _ => Some(ABOVE[(nearest - MIDDLE - 1) as usize]),
    };
    let of_m = match (table, small) {
        (Some(table), small) => table.plus_maybe(small),
        (None, small) => small,
    };
    match Wide::from_integer(k, 0) {
        Some(k) => k.plus_maybe(of_m),
        None => of_m,
    }
}

/// 2 artanh(z) / ln(2).
fn series(z: Wide) -> Wide {
    let square = fixed::from_wide(z.times(z));
    z.times(fixed::to_wide(fixed::area_tangent(square))).times(TWO_OVER_LN_2)
}
