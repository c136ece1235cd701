//! Results that were computed with 700 bits, in another language.

use crate::x87::elementary::trigonometric::Argument;
use crate::x87::elementary::{arctangent, exponential, logarithm};
use crate::x87::number::{Extended, Number};
use crate::x87::rounding::Context;
use crate::x87::status::{CONTROL_RESET, PE};
use crate::x87::tests::distance;

/// The second byte of an instruction; y and x; the result, rounded to the nearest number. The arguments of FSIN
/// (fe), FCOS (ff) and FPTAN (f2) are reduced by π of 66 bits, and some are near multiples of π/2.
const RESULTS: &[(u8, u128, u128, u128)] = &[
    (0xf0, 0x3fff_8000_0000_0000_0000, 0x3fe2_d351_d228_6513_270e, 0x3fe2_9279_c089_0d5c_82d1),
    (0xf0, 0x3fff_8000_0000_0000_0000, 0xbffb_8c0c_7408_892f_902b, 0xbffa_bd9e_84b3_bc83_4ce9),
    (0xf0, 0x3fff_8000_0000_0000_0000, 0x3ffd_c0f3_a77a_e8e2_5d94, 0x3ffd_98d6_8426_d0d9_126b),
    (0xf0, 0x3fff_8000_0000_0000_0000, 0xbfd4_b586_aa4d_6f03_675a, 0xbfd3_fba6_056c_666c_c7c8),
    (0xf0, 0x3fff_8000_0000_0000_0000, 0xbffb_b656_a513_8d11_6ece, 0xbffa_f522_11a9_6990_ef99),
    (0xf1, 0x3fee_f946_082e_1fb1_7c23, 0x3ac0_d04f_bb5a_a170_b338, 0xbff9_a360_e828_fa12_da97),
    (0xf1, 0x4010_caf3_057a_93bd_04cf, 0x3fff_8000_0000_0000_05f6, 0x3fdc_da2a_7244_4152_a4dc),
    (0xf1, 0x400e_b5a6_5921_4a23_d596, 0x3ffe_8f13_d0e0_8a6a_63ec, 0xc00e_9877_a678_ad4a_bd5f),
    (0xf1, 0xc00f_d74b_dd4a_d0ed_a82f, 0x3808_ca71_dfc8_1a61_dbe2, 0x401a_d647_db58_33ee_07a5),
    (0xf1, 0x400f_8c78_9ae9_5f55_7203, 0x3ffe_ffff_ff80_cb46_4a20, 0xbff6_c966_59f7_1b04_acb9),
    (0xf9, 0xc00d_bb98_d788_506b_f2ef, 0xbffc_e5ae_3a13_3f98_e277, 0x400c_897a_f5a8_2ec2_46fd),
    (0xf9, 0x3ff6_8a7a_399f_3e7d_1bfb, 0x3fdf_abf7_02e6_e009_02c7, 0x3fd7_8633_44d5_2df6_ff9e),
    (0xf9, 0xc007_895e_a567_faec_bd38, 0x3ff9_e0e9_fe7f_2a3a_f4d4, 0xc002_abc5_2049_d09f_e33f),
    (0xf9, 0xc000_b5fa_3634_7d2c_af82, 0x3fbe_e1dd_754f_13de_ef86, 0xbfc0_e7a2_22eb_f5ce_4fcf),
    (0xf9, 0x400e_e8bf_cd65_e01f_5057, 0xbffb_cc14_4fe6_59a5_4a7b, 0xc00c_8cfd_4750_1404_ab6f),
    (0xf3, 0x4000_88cd_3968_74c9_df6a, 0x3ffd_d938_aca2_795e_8229, 0x3fff_affb_6ffc_51af_9453),
    (0xf3, 0xbfdf_a7a1_36e5_b394_fb36, 0x4001_b90a_c1b8_d269_a9a5, 0xbfdc_e7e9_203d_3ddf_283f),
    (0xf3, 0x3fff_d596_698f_e315_1288, 0xbfff_ad7f_d914_7631_a992, 0x4000_9031_218a_a760_0ccf),
    (0xf3, 0x3fec_878b_d180_7e62_aa0a, 0x3ffe_de82_b0f3_211c_70cf, 0x3fec_9bf2_6630_3fcb_427c),
    (0xf3, 0xbffe_ef8a_c158_eab4_77d2, 0xc000_b369_143b_72fd_f202, 0xc000_b471_8d9a_c815_2e6a),
    (0xfe, 0x3fff_8000_0000_0000_0000, 0xbff2_e8de_296c_230d_977e, 0xbff2_e8de_294c_05d0_b35c),
    (0xff, 0x3fff_8000_0000_0000_0000, 0xbff2_e8de_296c_230d_977e, 0x3ffe_ffff_ff96_164a_175f),
    (0xf2, 0x3fff_8000_0000_0000_0000, 0xbff2_e8de_296c_230d_977e, 0xbff2_e8de_29ac_5d87_77ac),
    (0xfe, 0x3fff_8000_0000_0000_0000, 0x4004_da6b_351d_4746_9a4d, 0xbffe_ee61_6a0b_14bf_7b1c),
    (0xff, 0x3fff_8000_0000_0000_0000, 0x4004_da6b_351d_4746_9a4d, 0xbffd_baa9_9bfa_97bc_e7cd),
    (0xf2, 0x3fff_8000_0000_0000_0000, 0x4004_da6b_351d_4746_9a4d, 0x4000_a376_ec9d_5860_bec5),
    (0xfe, 0x3fff_8000_0000_0000_0000, 0x4023_f12d_3b02_aec6_f024, 0x3ffe_fe5c_d701_41fb_0510),
    (0xff, 0x3fff_8000_0000_0000_0000, 0x4023_f12d_3b02_aec6_f024, 0xbffb_e742_6977_e149_64fb),
    (0xf2, 0x3fff_8000_0000_0000_0000, 0x4023_f12d_3b02_aec6_f024, 0xc002_8cc9_9516_cfa2_ab86),
    (0xfe, 0x3fff_8000_0000_0000_0000, 0x3fed_8a9f_3e15_26a2_c0bd, 0x3fed_8a9f_3e15_24f1_3249),
    (0xff, 0x3fff_8000_0000_0000_0000, 0x3fed_8a9f_3e15_26a2_c0bd, 0x3ffe_ffff_ffff_f69d_fdc0),
    (0xf2, 0x3fff_8000_0000_0000_0000, 0x3fed_8a9f_3e15_26a2_c0bd, 0x3fed_8a9f_3e15_2a05_dda5),
    (0xfe, 0x3fff_8000_0000_0000_0000, 0x4000_c90f_daa2_2168_c235, 0xbfbf_8000_0000_0000_0000),
    (0xff, 0x3fff_8000_0000_0000_0000, 0x4000_c90f_daa2_2168_c235, 0xbfff_8000_0000_0000_0000),
    (0xf2, 0x3fff_8000_0000_0000_0000, 0x4000_c90f_daa2_2168_c235, 0x3fbf_8000_0000_0000_0000),
];

/// The result of an instruction.
fn result(context: &mut Context, operation: u8, y: u128, x: u128) -> Extended {
    let [y, x] = [y, x].map(|bits| Number::from_extended(Extended::from_bits(bits)));
    let argument = |context: &mut Context| Argument::new(context, &x);
    match operation {
        0xf0 => exponential::power_less_one(context, x),
        0xf1 => logarithm::logarithm(context, y, x),
        0xf9 => logarithm::logarithm_of_one_more(context, y, x),
        0xf3 => arctangent::angle(context, y, x),
        0xfe => argument(context).sine(context),
        0xff => argument(context).cosine(context),
        0xf2 => argument(context).tangent(context),
        _ => panic!("{operation:#x} is not transcendental"),
    }
}

#[test]
fn results_are_rounded_correctly() {
    for &(operation, y, x, expected) in RESULTS {
        let mut context = Context::new(CONTROL_RESET);
        let found = result(&mut context, operation, y, x);
        assert_eq!(found, Extended::from_bits(expected), "{operation:#x} of {y:#x} and {x:#x}");
        assert_eq!(context.raised, PE, "{operation:#x} of {y:#x} and {x:#x}");
    }
}

#[test]
fn directed_rounding_encloses_results() {
    for &(operation, y, x, expected) in RESULTS {
        let rounded = |control| result(&mut Context::new(control), operation, y, x);
        let (down, up, chopped) = (rounded(0x77f), rounded(0xb7f), rounded(0xf7f));
        let nearest = Extended::from_bits(expected);
        assert!(down == nearest || up == nearest, "{operation:#x} of {y:#x} and {x:#x}");
        assert_eq!(distance(up, down), 1, "{operation:#x} of {y:#x} and {x:#x}");
        assert_eq!(chopped, if up.sign() { up } else { down }, "{operation:#x} of {y:#x} and {x:#x}");
    }
}
