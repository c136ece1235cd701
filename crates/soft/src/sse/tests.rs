//! Every form of every instruction against the host's, with random operands of which many are special; and that
//! there is something for each of them.

use std::collections::BTreeMap;

use iced_x86::{Code, CpuidFeature, Decoder, DecoderOptions};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::access;
use super::hardware::{Machine, Native, execute};
use super::selection;
use crate::testing::Trial;

/// An encoding of an instruction.
struct Form {
    code: Code,
    bytes: Vec<u8>,
    /// Where its immediate operand is, if it has one.
    has_immediate: bool,
}

/// All encodings in the map 0F with registers 1 and 2 or memory at RSI, by trying them.
fn forms() -> Vec<Form> {
    let mut forms = BTreeMap::new();
    for (opcode, prefix, wide, register) in candidates() {
        for modrm in [0xc2 | register << 3, 0x06 | register << 3] {
            let mut bytes: Vec<u8> = Vec::from(prefix);
            if wide {
                bytes.push(0x48);
            }
            bytes.extend([0x0f, opcode, modrm, 0]);
            let mut decoder = Decoder::new(64, &bytes, DecoderOptions::NONE);
            let instruction = decoder.decode();
            let (code, in_memory) = (instruction.code(), modrm < 0xc0);
            if is_compared(code) {
                let has_immediate = instruction.len() == bytes.len();
                bytes.truncate(instruction.len());
                forms.entry((code, in_memory)).or_insert(Form { code, bytes, has_immediate });
            }
        }
    }
    forms.into_values().collect()
}

fn candidates() -> impl Iterator<Item = (u8, &'static [u8], bool, u8)> {
    let prefixes: [&[u8]; 4] = [&[], &[0x66], &[0xf3], &[0xf2]];
    (0..=0xff).flat_map(move |opcode: u8| {
        // Groups have their operation where others have a register.
        let registers = if matches!(opcode, 0x71..=0x73 | 0xae) { 0..8 } else { 1..2 };
        prefixes.into_iter().flat_map(move |prefix| {
            let registers = registers.clone();
            [false, true]
                .into_iter()
                .flat_map(move |wide| registers.clone().map(move |register| (opcode, prefix, wide, register)))
        })
    })
}

/// Whether an instruction is of MMX, SSE or SSE2 and its result is the same on all processors.
fn is_compared(code: Code) -> bool {
    use Code::*;
    let features = [CpuidFeature::MMX, CpuidFeature::SSE, CpuidFeature::SSE2];
    let varies = matches!(
        code,
        Rcpps_xmm_xmmm128 | Rcpss_xmm_xmmm32 | Rsqrtps_xmm_xmmm128 | Rsqrtss_xmm_xmmm32 | Ldmxcsr_m32
    );
    !varies && code.cpuid_features().iter().any(|feature| features.contains(feature))
}

fn single() -> BoxedStrategy<u32> {
    let special = [
        0,
        1,
        2,
        0x0000_1234,
        0x007f_ffff,
        0x0080_0000,
        0x0080_0001,
        0x00ff_ffff,
        0x0100_0000,
        0x3f00_0000,
        0x3f7f_ffff,
        0x3f80_0000,
        0x3f80_0001,
        0x4000_0000,
        0x4b00_0000,
        0x4eff_ffff,
        0x4f00_0000,
        0x4f00_0001,
        0x5eff_ffff,
        0x5f00_0000,
        0x7f00_0000,
        0x7f7f_ffff,
        0x7f80_0000,
        0x7f80_0001,
        0x7fa0_0000,
        0x7fc0_0000,
        0x7fff_ffff,
        0x1fff_ffff,
        0x2000_0000,
        0x5f7f_ffff,
    ];
    let signed = (proptest::sample::select(special.to_vec()), any::<bool>());
    prop_oneof![
        3 => signed.prop_map(|(bits, negative)| bits | u32::from(negative) << 31),
        1 => any::<u32>(),
        1 => (-300i16..300).prop_map(|number| (f32::from(number) / 4.0).to_bits()),
    ]
    .boxed()
}

fn double() -> BoxedStrategy<u64> {
    let special = [
        0,
        1,
        2,
        0x000f_ffff_ffff_ffff,
        0x0010_0000_0000_0000,
        0x0010_0000_0000_0001,
        0x0020_0000_0000_0000,
        0x3fe0_0000_0000_0000,
        0x3ff0_0000_0000_0000,
        0x3ff0_0000_0000_0001,
        0x4000_0000_0000_0000,
        0x41df_ffff_ffc0_0000,
        0x41df_ffff_ffe0_0000,
        0x41e0_0000_0000_0000,
        0x41e0_0000_0010_0000,
        0x4330_0000_0000_0000,
        0x43df_ffff_ffff_ffff,
        0x43e0_0000_0000_0000,
        0x43e0_0000_0000_0001,
        0x7fe0_0000_0000_0000,
        0x7fef_ffff_ffff_ffff,
        0x7ff0_0000_0000_0000,
        0x7ff0_0000_0000_0001,
        0x7ff4_0000_0000_0000,
        0x7ff8_0000_0000_0000,
        0x7fff_ffff_ffff_ffff,
        // The bounds of single precision.
        0x380f_ffff_e000_0000,
        0x380f_ffff_f000_0000,
        0x3810_0000_0000_0000,
        0x3800_0000_0000_0000,
        0x3690_0000_0000_0000,
        0x3680_0000_0000_0000,
        0x36a0_0000_0000_0000,
        0x47ef_ffff_e000_0000,
        0x47ef_ffff_f000_0000,
        0x47f0_0000_0000_0000,
        0x47ef_ffff_efff_ffff,
        0x1ff0_0000_0000_0001,
    ];
    let signed = (proptest::sample::select(special.to_vec()), any::<bool>());
    prop_oneof![
        3 => signed.prop_map(|(bits, negative)| bits | u64::from(negative) << 63),
        1 => any::<u64>(),
        1 => (-300i16..300).prop_map(|number| (f64::from(number) / 4.0).to_bits()),
    ]
    .boxed()
}

fn register() -> BoxedStrategy<u128> {
    let count = (0u64..70, any::<u64>()).prop_map(|(low, high)| u128::from(low) | u128::from(high) << 64);
    prop_oneof![
        4 => proptest::array::uniform4(single())
            .prop_map(|lanes| lanes.iter().fold(0, |all, &lane| all << 32 | u128::from(lane))),
        4 => proptest::array::uniform2(double()).prop_map(|[low, high]| u128::from(low) | u128::from(high) << 64),
        2 => any::<u128>(),
        1 => count,
    ]
    .boxed()
}

/// MXCSR: rounding, flushes, flags; masks as well if `unmasked`.
fn mxcsr(unmasked: bool) -> BoxedStrategy<u32> {
    let any_control = any::<u16>().prop_map(move |bits| u32::from(bits) | if unmasked { 0 } else { 0x1f80 });
    if unmasked { any_control.boxed() } else { prop_oneof![Just(0x1f80), Just(0x1fa0), any_control].boxed() }
}

fn machine(unmasked: bool) -> impl Strategy<Value = Machine> {
    let general = || prop_oneof![any::<u64>(), any::<i8>().prop_map(|number| number as u64), double()];
    let stack = proptest::array::uniform8(register());
    let others = (any::<u8>(), 0u16..8, any::<u8>(), general(), general());
    let vectors = (register(), register(), register());
    (mxcsr(unmasked), vectors, stack, others).prop_map(
        |(mxcsr, (a, b, c), stack, (tags, top, flags, rcx, rdx))| {
            let mut xmm = [0x1111_2222_3333_4444_5555_6666_7777_8888; 16];
            (xmm[1], xmm[2]) = (a, b);
            Machine {
                mxcsr,
                trapped: 0,
                flags: 2 | u64::from(flags & 0xd5),
                rcx,
                rdx,
                memory: [c, a, b, 0],
                xmm,
                stack: stack.map(|register| register & ((1 << 80) - 1)),
                tags,
                status: top << 11,
            }
        },
    )
}

/// Compares all forms, with `count` machines each.
fn compare(count: usize, unmasked: bool) {
    let mut native = Native::new();
    let mut runner = TestRunner::deterministic();
    let mut trial = Trial::new();
    let strategy = (machine(unmasked), any::<u8>());
    let forms = forms();
    assert!(forms.len() > 450, "{} forms", forms.len());
    for mut form in forms {
        for _ in 0..count {
            let (machine, immediate) = strategy.new_tree(&mut runner).expect("a machine").current();
            if form.has_immediate {
                *form.bytes.last_mut().expect("an immediate operand") = immediate;
            }
            let expected = native.execute(&form.bytes, &machine);
            let found = execute(&mut trial, &form.bytes, &machine);
            let (code, bytes) = (form.code, &form.bytes);
            assert_eq!(
                found, expected,
                "{code:?} {bytes:02x?}\nof {machine:x?}\nfound {found:x?}\nwant  {expected:x?}"
            );
        }
    }
}

/// Machines per form: a tenth of the cases that PROPTEST_CASES asks for.
fn count() -> usize {
    ProptestConfig::default().cases.div_ceil(10) as usize
}

#[test]
fn every_form_does_what_the_host_does() {
    compare(count(), false);
}

#[test]
fn every_form_raises_what_the_host_raises() {
    compare(count(), true);
}

#[test]
fn every_instruction_of_mmx_sse_and_sse2_is_known() {
    let features = [CpuidFeature::MMX, CpuidFeature::SSE, CpuidFeature::SSE2, CpuidFeature::FXSR];
    let mut count = 0;
    for code in Code::values().filter(|code| code.cpuid_features().iter().any(|it| features.contains(it))) {
        for form in [access::Form::Register, access::Form::Memory] {
            assert!(selection(code, form).is_some(), "{code:?} with {form:?}");
        }
        count += 1;
    }
    assert!(count > 300, "{count}");
}

#[test]
fn nothing_newer_is_known() {
    let newer = [CpuidFeature::SSE3, CpuidFeature::SSSE3, CpuidFeature::SSE4_1, CpuidFeature::AVX];
    for code in Code::values().filter(|code| code.cpuid_features().iter().any(|it| newer.contains(it))) {
        assert!(selection(code, access::Form::Register).is_none(), "{code:?}");
    }
}
