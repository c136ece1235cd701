//! Cases: encodings with registers and memory around them.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction};

use super::arrange;
use super::encode;
use super::layout::{self, CODE, FILLER, IMAGE_BYTES};
use super::random::Random;
use super::state::{Case, Image, Mode};
use crate::flags::bit;

/// Memory before an instruction puts its operands there, and constant pages: random, but the same for all
/// cases of a run.
pub(super) struct Background {
    image: Box<Image>,
    pub(super) constant: Vec<u8>,
}

impl Background {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "background", 0);
        let mut fill = |bytes: &mut [u8]| {
            for chunk in bytes.chunks_mut(16) {
                let value = match random.below(3) {
                    0 => random.extended(),
                    _ => random.vector(),
                };
                chunk.copy_from_slice(&value.to_le_bytes());
            }
        };
        let mut image = Box::new([0; IMAGE_BYTES]);
        fill(image.as_mut_slice());
        let mut constant = vec![0; layout::CONSTANT.bytes() as usize];
        fill(&mut constant);
        Self { image, constant }
    }
}

/// The most bytes of a case: one more than an instruction may have.
const MAX_CODE: u64 = 16;

/// Takes an instruction apart, as the engine does.
pub(super) fn decode(code: &[u8], mode: Mode, rip: u64) -> Instruction {
    let code = &code[..code.len().min(15)];
    Decoder::with_ip(mode.bitness(), code, rip, DecoderOptions::NO_PAUSE).decode()
}

/// The instruction of a case. What is cut off at the end of the code pages is taken for filler.
pub(super) fn instruction(case: &Case) -> Instruction {
    let mut code = case.code.clone();
    code.resize(MAX_CODE as usize, FILLER);
    decode(&code, case.mode, case.before.rip)
}

/// Where an instruction is to be put: mostly anywhere, sometimes across pages or at the very end.
fn place(random: &mut Random) -> u64 {
    match random.below(32) {
        0 => CODE.address + 0x1000 - random.below(15),
        1 => CODE.end() - 15 + random.below(15),
        _ => CODE.address + 0x100 + random.below(0xe00),
    }
}

/// An instance of a form.
pub(super) fn of_form(random: &mut Random, background: &Background, code: Code, mode: Mode) -> Case {
    let rip = place(random);
    let mut bytes = (0..1000)
        .find_map(|_| encode::encode(random, code, mode, rip))
        .unwrap_or_else(|| panic!("{code:?} cannot be encoded"));
    if random.once_in(10) {
        encode::decorate(random, mode, &mut bytes);
    }
    case(random, background, bytes, mode, rip)
}

/// Random bytes, most of which are instructions.
pub(super) fn of_bytes(random: &mut Random, background: &Background, mode: Mode) -> Case {
    let rip = place(random);
    let mut bytes: Vec<u8> = (0..15).map(|_| random.next() as u8).collect();
    if random.once_in(2) {
        bytes[0] = 0x0f;
    }
    if random.once_in(2) {
        encode::decorate(random, mode, &mut bytes);
    }
    bytes.truncate(15);
    case(random, background, bytes, mode, rip)
}

/// How many instances [`of_opcode`] has.
pub(super) const OPCODES: u64 = 2 * 5 * 2 * 256 * 256;

/// One of all combinations of mode, prefix, opcode and ModRM byte.
pub(super) fn of_opcode(random: &mut Random, background: &Background, number: u64) -> Case {
    let rip = place(random);
    // Neighbours are to be far apart, so that any part of the instances is a sample of all.
    let number = number.wrapping_mul(0x9_e3b1) % OPCODES;
    let [modrm, opcode] = (number as u16).to_le_bytes();
    let rest = number >> 16;
    let mut bytes = Vec::new();
    bytes.extend([None, Some(0x66), Some(0xf2), Some(0xf3), Some(0xf0)][(rest % 5) as usize]);
    let rest = rest / 5;
    if rest & 1 != 0 {
        bytes.push(0x0f);
    }
    let mode = if rest & 2 != 0 { Mode::Compatibility } else { Mode::Long };
    bytes.extend([opcode, modrm]);
    bytes.extend((0..10).map(|_| random.next() as u8));
    case(random, background, bytes, mode, rip)
}

/// Instructions on AL and a second byte, which is BL, CL, AH or an immediate; whether they only exist in
/// compatibility mode.
const BYTE_INSTRUCTIONS: [(&[u8], bool); 31] = [
    (&[0x00, 0xd8], false),
    (&[0x08, 0xd8], false),
    (&[0x10, 0xd8], false),
    (&[0x18, 0xd8], false),
    (&[0x20, 0xd8], false),
    (&[0x28, 0xd8], false),
    (&[0x30, 0xd8], false),
    (&[0x38, 0xd8], false),
    (&[0x84, 0xd8], false),
    (&[0xf6, 0xd0], false),
    (&[0xf6, 0xd8], false),
    (&[0xf6, 0xe3], false),
    (&[0xf6, 0xeb], false),
    (&[0xf6, 0xf3], false),
    (&[0xf6, 0xfb], false),
    (&[0xfe, 0xc0], false),
    (&[0xfe, 0xc8], false),
    (&[0xd2, 0xc0], false),
    (&[0xd2, 0xc8], false),
    (&[0xd2, 0xd0], false),
    (&[0xd2, 0xd8], false),
    (&[0xd2, 0xe0], false),
    (&[0xd2, 0xe8], false),
    (&[0xd2, 0xf0], false),
    (&[0xd2, 0xf8], false),
    (&[0x27], true),
    (&[0x2f], true),
    (&[0x37], true),
    (&[0x3f], true),
    (&[0xd4], true),
    (&[0xd5], true),
];

/// How many instances [`of_byte_values`] has.
pub(super) const BYTE_VALUES: u64 = BYTE_INSTRUCTIONS.len() as u64 * 2 * 256 * 256;

/// One of all combinations of an instruction on bytes, both its operands, and CF.
pub(super) fn of_byte_values(random: &mut Random, background: &Background, number: u64) -> Case {
    let number = number.wrapping_mul(0x9_e3b1) % BYTE_VALUES;
    let [first, second] = (number as u16).to_le_bytes();
    let (carry, instruction) = (number >> 16 & 1, number >> 17);
    let (code, is_compatibility) = BYTE_INSTRUCTIONS[instruction as usize];
    let mode = if is_compatibility { Mode::Compatibility } else { Mode::Long };
    let mut code = code.to_vec();
    if matches!(code[0], 0xd4 | 0xd5) {
        code.push(second);
    }
    let mut case = case(random, background, code, mode, CODE.address + 0x100);
    let [rax, rcx, _, rbx, ..] = &mut case.before.general;
    *rax = *rax & !0xffff
        | u64::from(first)
        | u64::from(if is_compatibility { second } else { *rax as u8 >> 6 }) << 8;
    for register in [rcx, rbx] {
        *register = *register & !0xff | u64::from(second);
    }
    case.before.flags = case.before.flags & !bit::CF | carry;
    case
}

fn case(random: &mut Random, background: &Background, mut code: Vec<u8>, mode: Mode, rip: u64) -> Case {
    let mut before = arrange::registers(random, mode);
    before.rip = rip;
    // Prefixes that were added may have made it longer.
    code.resize(MAX_CODE as usize, FILLER);
    let instruction = decode(&code, mode, rip);
    if instruction.code() != Code::INVALID {
        code.truncate(instruction.len());
    }
    let mut image = background.image.clone();
    arrange::suit(random, mode, &instruction, &mut before, &mut image);
    // What does not fit into the code pages is not there.
    code.truncate((CODE.end() - rip).min(MAX_CODE) as usize);
    Case { mode, before, code, image }
}
