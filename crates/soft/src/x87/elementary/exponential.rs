//! F2XM1: 2^x - 1.
//!
//! x = i/16 + f with |f| at most 1/32, and 2^x - 1 = 2^(i/16) (2^f - 1) + (2^(i/16) - 1). The second summand
//! is in a table. For i = 0 it is zero, and small results keep all their bits.

use crate::x87::elementary::wide::Wide;
use crate::x87::elementary::{fixed, inexact};
use crate::x87::number::{BIAS, Extended, INTEGER_BIT, Number};
use crate::x87::rounding::Context;
use crate::x87::status::PE;

/// ln(2).
const LN_2: Wide = Wide::new(-1, 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af);

/// 2^(i/16) - 1 for i from 1 to 16.
const ABOVE: [Wide; 16] = [
    Wide::new(-5, 0xb558_6cf9_890f_6298_b92b_7184_2a98_3643),
    Wide::new(-4, 0xb95c_1e3e_a8bd_6e6f_be46_2875_8a53_c902),
    Wide::new(-3, 0x8e1e_9b9d_588e_19b0_7eb6_c705_72d6_4ec1),
    Wide::new(-3, 0xc1bf_828c_6dc5_4b7a_3569_18c1_7217_b7b3),
    Wide::new(-3, 0xf7a9_9304_8d08_8d6d_0488_f84f_5dcf_ee8b),
    Wide::new(-2, 0x97fb_5aa6_c544_e3a8_72f5_fd88_5c41_c06c),
    Wide::new(-2, 0xb560_fba9_0a85_2b19_2602_a323_d668_bb12),
    Wide::new(-2, 0xd413_cccf_e779_9211_65f6_26cd_d52a_fa7c),
    Wide::new(-2, 0xf422_8e7d_6030_dafa_a204_7ed9_b43e_bde8),
    Wide::new(-1, 0x8ace_5422_aa0d_b5ba_7c55_a192_c9bb_3e6f),
    Wide::new(-1, 0x9c49_182a_3f09_01c7_c46b_071f_2be5_8ddb),
    Wide::new(-1, 0xae89_f995_ad3a_d5e8_734d_1773_205a_7fbc),
    Wide::new(-1, 0xc199_bdd8_5529_c222_0cb1_2a09_1ba6_6794),
    Wide::new(-1, 0xd581_8dcf_ba48_725d_a05a_eb66_e0dc_a9f6),
    Wide::new(-1, 0xea4a_fa2a_490d_9858_f73a_18f5_db30_1f87),
    Wide::new(0, 0x8000_0000_0000_0000_0000_0000_0000_0000),
];

/// 1 - 2^(-i/16) for i from 1 to 16.
const BELOW: [Wide; 16] = [
    Wide::new(-5, 0xada8_2ead_b793_3d38_462f_3851_267f_03c9),
    Wide::new(-4, 0xa9f9_c8c1_16de_3689_7e94_5264_7c8d_582a),
    Wide::new(-4, 0xf999_089e_ab58_f777_cd3b_57db_9166_61af),
    Wide::new(-3, 0xa2ec_0cd4_a58a_542f_1965_d119_bf4b_0088),
    Wide::new(-3, 0xc76d_cfab_81ed_fc70_7729_f1c1_a834_e44a),
    Wide::new(-3, 0xea63_57ba_abe4_948b_0754_bcda_6c89_8322),
    Wide::new(-2, 0x85ee_b8c1_4fe7_9282_aefd_c093_25e0_a10c),
    Wide::new(-2, 0x95f6_1998_0c43_36f7_4d04_ec99_156a_82c2),
    Wide::new(-2, 0xa54f_822b_7abd_6a73_6cfe_ae6e_14cb_a277),
    Wide::new(-2, 0xb402_52ac_9d5d_8e2b_c685_013b_d1df_1fca),
    Wide::new(-2, 0xc215_9b3e_dcbd_dca4_bedd_c1ec_288c_045d),
    Wide::new(-2, 0xcf90_1f5c_e48e_ad21_72a5_b9cf_a37a_1213),
    Wide::new(-2, 0xdc78_5918_a9dc_7993_e052_4e3e_a34a_6c50),
    Wide::new(-2, 0xe8d4_7c38_2ae8_5232_0837_3af1_4eb5_86e0),
    Wide::new(-2, 0xf4aa_7930_676f_09d6_746d_48e7_bd56_7c9c),
    Wide::new(-1, 0x8000_0000_0000_0000_0000_0000_0000_0000),
];

/// 2^a - 1 (Intel SDM volume 2, F2XM1). Arguments beyond 1 and -1 become the result, as on hardware, which raises
/// PE for these, and even for 1 and -1.
pub(in crate::x87) fn power_less_one(context: &mut Context, a: Number) -> Extended {
    if let Some(nan) = context.nan(&a) {
        return nan;
    }
    context.note_denormal(&a);
    if a.is_infinite() && a.sign {
        return Extended::new(true, BIAS, INTEGER_BIT);
    }
    if a.is_zero() || a.is_infinite() {
        return a.to_extended();
    }
    if a.exponent >= BIAS {
        context.raise(PE);
        let is_minus_one = a.sign && a.exponent == BIAS && a.significand == INTEGER_BIT;
        return if is_minus_one { Extended::new(true, BIAS - 1, INTEGER_BIT) } else { a.to_extended() };
    }
    inexact(context, power(Wide::from_number(&a)))
}

/// 2^x - 1 for x between -1 and 1.
fn power(x: Wide) -> Wide {
    let nearest = (fixed::from_wide(x) + fixed::ONE / 32) >> 122;
    let Some(part) = Wide::from_magnitude(!x.sign, -4, nearest) else { return small_power(x) };
    let table = if x.sign { BELOW } else { ABOVE };
    let others = table[nearest as usize - 1].with_sign(x.sign);
    let Some(rest) = x.plus(part) else { return others };
    let factor = Wide::ONE.plus(others).unwrap_or(Wide::ONE);
    // The two differ in size, so the sum is not zero.
    small_power(rest).times(factor).plus(others).unwrap_or(others)
}

/// 2^x - 1 for |x| of at most 1/32.
fn small_power(x: Wide) -> Wide {
    let x = x.times(LN_2);
    x.times(fixed::to_wide(fixed::exponential(x.sign, fixed::from_wide(x))))
}
