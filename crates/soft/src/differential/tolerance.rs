//! What need not agree: results that the architecture leaves undefined, and the places where AMD's and
//! Intel's processors are known to differ.
//!
//! What stands here holds for every host. What only AMD's or only Intel's processors do otherwise than the
//! engine is in [`amd`] and [`intel`], so that the other's are held to it.

mod amd;
mod intel;

use std::ops::Range;

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::state::{Case, End, Mode};
use crate::cpu::number::RCX;
use crate::flags::bit::{self, AF, CF, OF, PF, SF, ZF};
use crate::testing::Vendor;

/// What is not compared after an instruction.
#[derive(Clone, Debug, Default)]
pub(super) struct Tolerance {
    /// Undefined flags.
    pub(super) flags: u64,
    /// General registers that are undefined.
    pub(super) registers: Vec<u8>,
    /// All of memory.
    pub(super) memory: bool,
    /// These addresses.
    pub(super) bytes: Vec<Range<u64>>,
    /// The x87's registers.
    pub(super) x87: bool,
    /// Bits of FSW.
    pub(super) status: u16,
    /// Units in the last place by which ST(0) and ST(1) may differ.
    pub(super) last_places: u128,
    /// Whether XMM registers hold approximations.
    pub(super) approximate: bool,
    /// Which fault it is that the memory operand raises, if both sides raise one.
    pub(super) which_fault: bool,
    /// Whether the memory operand raises a fault.
    pub(super) whether_fault: bool,
    /// Whether the instruction could not be fetched, or could and was found to be none.
    pub(super) fetch: bool,
    /// Whether bytes that are no instruction are too many for one: AMD's decoder says so if the opcode would have
    /// operands that make it longer than 15 bytes, and nobody knows how many bytes an undefined opcode has.
    pub(super) length: bool,
    /// Whether #BR may come before a fault of the memory operand.
    pub(super) lower_bound: bool,
    /// Whether the flags are those from before if the instruction goes on with another iteration.
    pub(super) flags_at_end: bool,
    /// Whether RCX, RSI and RDI may have lost their upper halves.
    pub(super) upper_halves: bool,
    /// Whether TOP may have become zero under registers that stay where they are.
    pub(super) top: bool,
    /// Whether a number that an unmasked exception withholds from memory is not missed there.
    pub(super) withheld: bool,
    /// Whether the smallest normal number may be the result where the engine rounds to what is below it.
    pub(super) smallest_normal: bool,
}

/// What the manual (Intel SDM volume 2) says to the flags of an instruction.
struct Undefined {
    mnemonics: &'static [Mnemonic],
    flags: u64,
    #[allow(dead_code, reason = "the words are for readers")]
    words: &'static str,
}

/// Flags that are undefined after an instruction, whatever its operands are.
const UNDEFINED: [Undefined; 12] = {
    use Mnemonic::*;
    [
        Undefined {
            mnemonics: &[And, Or, Xor, Test],
            flags: AF,
            words: "The state of the AF flag is undefined.",
        },
        Undefined {
            mnemonics: &[Mul, Imul],
            flags: SF | ZF | AF | PF,
            words: "The SF, ZF, AF, and PF flags are undefined.",
        },
        Undefined {
            mnemonics: &[Div, Idiv],
            flags: bit::ARITHMETIC,
            words: "The CF, OF, SF, ZF, AF, and PF flags are undefined.",
        },
        Undefined {
            mnemonics: &[Bt, Btc, Btr, Bts],
            flags: OF | SF | AF | PF,
            words: "The ZF flag is unaffected. The OF, SF, AF, and PF flags are undefined.",
        },
        Undefined {
            mnemonics: &[Bsf, Bsr],
            flags: CF | OF | SF | AF | PF,
            words: "The CF, OF, SF, AF, and PF flags are undefined.",
        },
        Undefined {
            mnemonics: &[Tzcnt, Lzcnt],
            flags: OF | SF | AF | PF,
            words: "OF, SF, PF, and AF flags are undefined.",
        },
        Undefined {
            mnemonics: &[Aaa, Aas],
            flags: OF | SF | ZF | PF,
            words: "The OF, SF, ZF, and PF flags are undefined.",
        },
        Undefined {
            mnemonics: &[Aad, Aam],
            flags: OF | AF | CF,
            words: "The OF, AF, and CF flags are undefined.",
        },
        Undefined { mnemonics: &[Daa, Das], flags: OF, words: "The OF flag is undefined." },
        Undefined {
            mnemonics: &[Shld, Shrd],
            flags: AF,
            words: "If the count is greater than the operand size, the flags are undefined. For shifts greater \
                    than 1 bit, the OF flag is undefined. If a shift occurs, the AF flag is undefined.",
        },
        Undefined {
            mnemonics: &[Shl, Sal, Shr, Sar],
            flags: AF,
            words: "The OF flag is affected only on 1-bit shifts; for other shifts, it is undefined. CF is \
                    undefined for SHL and SHR if the count is greater than or equal to the size. For a \
                    non-zero count, the AF flag is undefined.",
        },
        Undefined {
            mnemonics: &[Rol, Ror, Rcl, Rcr],
            flags: 0,
            words: "The OF flag is defined only for the 1-bit rotates; it is undefined in all other cases.",
        },
    ]
};

/// What is not compared after an instruction of a case that ended like this on the host.
pub(super) fn tolerance(vendor: Vendor, instruction: &Instruction, case: &Case, end: End) -> Tolerance {
    let mnemonic = instruction.mnemonic();
    let mut tolerance = Tolerance::default();
    if let Some(undefined) = UNDEFINED.iter().find(|entry| entry.mnemonics.contains(&mnemonic)) {
        tolerance.flags = undefined.flags;
    }
    shifts(instruction, case, &mut tolerance);
    if mnemonic == Mnemonic::Bswap && instruction.op0_register().size() == 2 {
        // "When the BSWAP instruction references a 16-bit register, the result is undefined."
        tolerance.registers.push(instruction.op0_register().full_register().number() as u8);
    }
    known_differences(instruction, case, end, &mut tolerance);
    match vendor {
        Vendor::Amd => amd::differences(instruction, case, end, &mut tolerance),
        Vendor::Intel => intel::differences(instruction, case, end, &mut tolerance),
    }
    // How much of an instruction is fetched before it is found to be none.
    // Opcode, ModRM, SIB, displacement and immediate have 11 bytes at most.
    let prefixes = case.code.iter().take_while(|byte| is_prefix(**byte)).count();
    tolerance.length = mnemonic == Mnemonic::INVALID && prefixes + 11 > 15;
    tolerance.fetch = mnemonic == Mnemonic::INVALID || instruction.len() > case.code.len();
    tolerance
}

/// Where each processor does what it likes.
fn known_differences(instruction: &Instruction, case: &Case, end: End, tolerance: &mut Tolerance) {
    use Mnemonic::*;
    let faults = end != End::Completed;
    // The alignment of 16 bytes and the limit of the stack segment: which one is looked at first.
    tolerance.which_fault = case.mode == Mode::Compatibility && instruction.memory_size().size() == 16;
    match instruction.mnemonic() {
        // What was pushed before a fault stays on the stack; here nothing does.
        Pusha | Pushad | Enter => {
            tolerance.memory = faults;
            tolerance.which_fault = true;
        }
        // Which of two operands is read first: processors of one vendor differ too.
        Cmpsb | Cmpsw | Cmpsd | Cmpsq => tolerance.which_fault |= faults,
        // What was popped before a fault stays in the registers; here nothing does.
        Popa | Popad if faults => tolerance.registers = (0..8).collect(),
        // Whether the stack or the target is looked at first.
        Call => tolerance.which_fault = true,
        F2xm1 | Fpatan | Fptan | Fsin | Fcos | Fsincos | Fyl2x | Fyl2xp1 => {
            // Each processor has approximations of its own, which are good to one unit in the last place. C1
            // tells how the result was rounded.
            tolerance.last_places = 1;
            tolerance.status = 1 << 9;
        }
        // "Exceptions associated with addressing memory and page faults may still be signaled" (even for bytes
        // that are not written: implementation dependent).
        Maskmovq | Maskmovdqu => {
            tolerance.x87 = faults;
            tolerance.which_fault = true;
            tolerance.whether_fault = faults;
        }
        // Which of the parts of a long operand is accessed first is nowhere told.
        Fldenv | Fnstenv | Fstenv | Fnsave | Fsave | Frstor | Fxrstor | Fxrstor64 | Fxsave | Fxsave64 => {
            tolerance.which_fault = true;
        }
        // "The relative error for this approximation is |Relative Error| <= 1.5 * 2^-12."
        Rcpss | Rcpps | Rsqrtss | Rsqrtps => tolerance.approximate = true,
        // Ten bytes are read and written as eight and two.
        Fld | Fstp | Fbld | Fbstp if instruction.memory_size().size() == 10 => tolerance.which_fault = true,
        _ => {}
    }
}

fn is_segment(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Register && instruction.op0_register().is_segment_register()
}

/// Shifts and rotations, which depend on their counts.
fn shifts(instruction: &Instruction, case: &Case, tolerance: &mut Tolerance) {
    use Mnemonic::{Rcl, Rcr, Rol, Ror, Sal, Sar, Shl, Shld, Shr, Shrd};
    let mnemonic = instruction.mnemonic();
    if !matches!(mnemonic, Rcl | Rcr | Rol | Ror | Sal | Sar | Shl | Shld | Shr | Shrd) {
        return;
    }
    let size = match instruction.op0_kind() {
        OpKind::Register => instruction.op0_register().size(),
        _ => instruction.memory_size().size(),
    } as u64
        * 8;
    let last = instruction.op_count() - 1;
    let count = match instruction.op_kind(last) {
        OpKind::Register => case.before.general[usize::from(RCX)] & 0xff,
        _ => instruction.immediate(last),
    };
    let count = count & if size == 64 { 63 } else { 31 };
    if count == 0 {
        tolerance.flags = 0;
        return;
    }
    if count > 1 {
        tolerance.flags |= OF;
    }
    if matches!(mnemonic, Shl | Sal | Shr) && count >= size {
        tolerance.flags |= CF;
    }
    if matches!(mnemonic, Shld | Shrd) && count > size {
        tolerance.flags |= bit::ARITHMETIC;
        // "If the count is greater than the operand size, the result is undefined."
        match instruction.op0_kind() {
            OpKind::Register => {
                tolerance.registers.push(instruction.op0_register().full_register().number() as u8);
            }
            _ => tolerance.memory = true,
        }
    }
}

/// Whether a byte in front of an opcode is a prefix: a legacy one, or what is REX in 64-bit mode.
fn is_prefix(byte: u8) -> bool {
    matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3)
}
