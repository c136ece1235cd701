//! Every instruction, compared with the host's x87 on operands that look random.

use crate::testing::{Trial, UNDERFLOW, Vendor, is_smallest_normal};
use crate::x87::hardware::{Machine, Native, Random, execute};
use crate::x87::number::Extended;
use crate::x87::status::C1;

/// How often each instruction is tried.
const SAMPLES: u64 = 1000;

/// The bytes of instructions that compute, with their names.
fn exact_instructions() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    // Memory operands at RSI: D8 to DF, /0 to /7, without the control instructions and FISTTP.
    for opcode in 0xd8..=0xdf {
        for operation in 0..8 {
            let is_control = matches!((opcode, operation), (0xd9, 4..) | (0xdd, 4 | 6 | 7));
            let is_other =
                matches!((opcode, operation), (0xd9 | 0xdb | 0xdd | 0xdf, 1) | (0xdb, 4 | 6) | (0xdd, 5));
            if !is_control && !is_other {
                all.push(vec![opcode, operation << 3 | 6]);
            }
        }
    }
    // Registers: ST(0), ST(1) and ST(3).
    for (opcode, operations) in
        [(0xd8, 0xff), (0xda, 0x0f), (0xdb, 0x6f), (0xdc, 0xff), (0xdd, 0x3f), (0xde, 0xf7), (0xdf, 0x6f)]
    {
        for operation in (0..8).filter(|operation| operations >> operation & 1 != 0) {
            all.extend([0, 1, 3].map(|register| vec![opcode, 0xc0 | operation << 3 | register]));
        }
    }
    all.extend([0xc0, 0xc1, 0xc3, 0xc8, 0xc9, 0xcb, 0xd8, 0xd9, 0xdb].map(|byte| vec![0xd9, byte]));
    all.extend(
        [0xd0, 0xe0, 0xe1, 0xe4, 0xe5, 0xe8, 0xe9, 0xea, 0xeb, 0xec, 0xed, 0xee].map(|byte| vec![0xd9, byte]),
    );
    all.extend([0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xfa, 0xfc, 0xfd].map(|byte| vec![0xd9, byte]));
    all.extend([vec![0xda, 0xe9], vec![0xde, 0xd9], vec![0xdf, 0xe0]]);
    all.extend([0xe0, 0xe1, 0xe2, 0xe3, 0xe4].map(|byte| vec![0xdb, byte]));
    all
}

/// How often the host and this crate differ, of so many tries. The first differences are shown.
fn differences(instruction: &[u8], masked: bool) -> u64 {
    let native = Native::new(instruction);
    let mut trial = Trial::new();
    let vendor = Vendor::of_host();
    let mut random = Random::new(instruction.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte)));
    let mut different = 0;
    for _ in 0..SAMPLES {
        let before = random.machine(masked);
        let (mut expected, mut found) = (before.clone(), before.clone());
        native.execute(&mut expected);
        execute(&mut trial, instruction, &mut found);
        if !is_alike(vendor, instruction, &expected, &found) {
            if different < 2 {
                eprintln!(
                    "{instruction:02x?}\n  before   {before:?}\n  expected {expected:?}\n  found    {found:?}"
                );
            }
            different += 1;
        }
    }
    different
}

/// FNSTCW, FLDCW, FNSTSW, FLDENV, FNSTENV, FRSTOR, FNSAVE; the last four with 16 bits too.
fn control_instructions() -> Vec<Vec<u8>> {
    let environments = [[0xd9, 0x26], [0xd9, 0x36], [0xdd, 0x26], [0xdd, 0x36]];
    let mut all = vec![vec![0xd9, 0x2e], vec![0xd9, 0x3e], vec![0xdd, 0x3e]];
    all.extend(environments.map(|[opcode, mod_rm]| vec![opcode, mod_rm]));
    all.extend(environments.map(|[opcode, mod_rm]| vec![0x66, opcode, mod_rm]));
    all
}

/// Whether both are alike, but for what hosts do not agree on.
fn is_alike(vendor: Vendor, instruction: &[u8], expected: &Machine, found: &Machine) -> bool {
    let [mut expected, mut found] = [expected, found].map(|machine| machine.clone().without_pointers());
    // C1 after FCOMI and its relatives: what AMD's processors do to it if a register is empty is not known.
    if vendor == Vendor::Amd && matches!(*instruction, [0xdb | 0xdf, 0xe8..=0xf7]) {
        expected.set_word(4, expected.status() & !C1);
        found.set_word(4, found.status() & !C1);
    }
    // Pointers that FNSTENV and FNSAVE write.
    for machine in [&mut expected, &mut found] {
        match *instruction {
            [0xd9 | 0xdd, 0x36] => machine.memory[12..28].fill(0),
            [0x66, 0xd9 | 0xdd, 0x36] => machine.memory[6..14].fill(0),
            _ => {}
        }
    }
    expected == found
}

fn all_agree(instructions: Vec<Vec<u8>>, masked: bool) {
    let mut wrong = Vec::new();
    for instruction in instructions {
        let count = differences(&instruction, masked);
        if count != 0 {
            wrong.push((format!("{instruction:02x?}"), count));
        }
    }
    assert!(wrong.is_empty(), "of {SAMPLES} each, these differ: {wrong:?}");
}

#[test]
fn exact_instructions_do_what_hardware_does() {
    all_agree(exact_instructions(), true);
}

#[test]
fn exact_instructions_do_what_hardware_does_with_exceptions_unmasked() {
    all_agree(exact_instructions(), false);
}

#[test]
fn control_instructions_do_what_hardware_does() {
    all_agree(control_instructions(), true);
    all_agree(control_instructions(), false);
}

/// The transcendental instructions: F2XM1, FYL2X, FPTAN, FPATAN, FYL2XP1, FSINCOS, FSIN, FCOS.
const TRANSCENDENTAL: [u8; 8] = [0xf0, 0xf1, 0xf2, 0xf3, 0xf9, 0xfb, 0xfe, 0xff];

/// How far apart two results are, in units of the last place.
pub(super) fn distance(left: Extended, right: Extended) -> u64 {
    let position =
        |value: Extended| i128::from(value.exponent()) << 63 | i128::from(value.significand << 1 >> 1);
    let signed = |value: Extended| if value.sign() { -position(value) } else { position(value) };
    (signed(left) - signed(right)).unsigned_abs().try_into().unwrap_or(u64::MAX)
}

#[test]
fn transcendental_instructions_do_what_hardware_does() {
    let mut wrong = Vec::new();
    for operation in TRANSCENDENTAL {
        for masked in [true, false] {
            let count = transcendental_differences(&[0xd9, operation], masked);
            if count != 0 {
                wrong.push((format!("{operation:02x}"), masked, count));
            }
        }
    }
    assert!(wrong.is_empty(), "of {SAMPLES} each, these differ: {wrong:?}");
}

/// The smallest normal number is a result without #U on Intel's processors even if what rounding gets is below it.
/// Makes both say that.
fn without_underflow_to_the_smallest(expected: &mut Machine, found: &mut Machine) {
    for register in 0..2 {
        let [native, engine] = [&*expected, &*found].map(|machine| machine.st(register).bits());
        if is_smallest_normal(native, engine) {
            found.set_st(register, expected.st(register));
            for machine in [&mut *expected, &mut *found] {
                machine.set_word(4, machine.status() & !UNDERFLOW);
            }
            // What FNSAVE writes to the tag word follows from the contents.
            found.set_word(8, expected.word(8));
        }
    }
}

fn transcendental_differences(instruction: &[u8], masked: bool) -> u64 {
    let vendor = Vendor::of_host();
    let native = Native::new(instruction);
    let mut trial = Trial::new();
    let mut random = Random::new(u64::from(instruction[1]));
    let mut different = 0;
    for _ in 0..SAMPLES {
        let before = random.machine(masked);
        let (mut expected, mut found) = (before.clone(), before.clone());
        native.execute(&mut expected);
        execute(&mut trial, instruction, &mut found);
        if vendor == Vendor::Intel {
            without_underflow_to_the_smallest(&mut expected, &mut found);
        }
        let is_close = (0..8).all(|register| distance(expected.st(register), found.st(register)) <= 1);
        let status = |machine: &Machine| (machine.status() & !C1, machine.word(8));
        if !is_close || status(&expected) != status(&found) {
            if different < 4 {
                eprintln!(
                    "{instruction:02x?}\n  before   {before:?}\n  expected {expected:?}\n  found    {found:?}"
                );
            }
            different += 1;
        }
    }
    different
}
