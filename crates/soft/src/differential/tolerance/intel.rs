//! Where Intel's processors do not do what the engine and AMD's do.

use iced_x86::{Code, Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};

use super::Tolerance;
use crate::cpu::number::{RAX, RCX, RSP};
use crate::differential::arrange;
use crate::differential::encode::is_prefix;
use crate::differential::state::{Case, End, Mode};
use crate::fault::vector;
use crate::flags::bit;
use crate::memory::PAGE_SIZE;

/// The number of R8.
const R8: u8 = 8;
/// UM of FCW.
const UNDERFLOW_MASK: u16 = 1 << 4;

/// Adds what is not compared on Intel's processors.
pub(super) fn differences(instruction: &Instruction, case: &Case, end: End, tolerance: &mut Tolerance) {
    use Mnemonic::*;
    let faults = end != End::Completed;
    tolerance.which_fault |= faults && crosses_the_end(instruction, case);
    strings(instruction, case, end, tolerance);
    let mnemonic = instruction.mnemonic();
    match mnemonic {
        // The return address is pushed before the target is found not to be canonical.
        Call if matches!(end, End::Fault { vector: vector::GENERAL_PROTECTION, .. }) => {
            let top = case.before.general[usize::from(RSP)];
            tolerance.bytes.push(top.wrapping_sub(8)..top);
        }
        // An index that is below the lower bound raises #BR before the upper one is read from the next page.
        Bound => {
            let size = instruction.memory_size().size() as u64;
            let at = arrange::address(instruction, 1, case.mode, &case.before.general, 1).unwrap_or(0);
            tolerance.lower_bound = at % PAGE_SIZE > PAGE_SIZE - size;
        }
        // TOP becomes zero, as after each instruction of MMX, before memory is written to.
        Movd | Movq | Movntq => tolerance.top = faults,
        // An unmasked exception withholds the number before anybody looks at where it was to go.
        Fst | Fstp | Fist | Fistp | Fbstp => {
            tolerance.withheld = true;
            if faults && instruction.memory_size().size() == 10 {
                // Of a number of ten bytes eight are written first.
                let at = arrange::address(instruction, 0, case.mode, &case.before.general, 1).unwrap_or(0);
                tolerance.bytes.push(at..at.wrapping_add(8));
            }
        }
        // A denormal number that stays as it is, because it is divided by infinity or scaled by zero, is no #U even
        // if that is unmasked.
        Fprem | Fprem1 | Fscale => {
            let [number, other] = [0, 1].map(|register| case.before.floating.stack[register]);
            let stays = if mnemonic == Fscale { is_zero(other) } else { is_infinite(other) };
            tolerance.x87 =
                stays && is_denormal(number) && case.before.floating.control & UNDERFLOW_MASK == 0;
        }
        F2xm1 | Fpatan | Fptan | Fsin | Fcos | Fsincos | Fyl2x | Fyl2xp1 => tolerance.smallest_normal = true,
        // F3 90 with REX.B is PAUSE, not XCHG R8, RAX.
        Xchg if is_pause(instruction, case) => tolerance.registers.extend([RAX, R8]),
        _ => {}
    }
}

/// String instructions, whose iterations are looked at one by one.
fn strings(instruction: &Instruction, case: &Case, end: End, tolerance: &mut Tolerance) {
    if !instruction.is_string_instruction() {
        return;
    }
    let faults = end != End::Completed;
    let repeats = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    // Flags are written by the last iteration.
    tolerance.flags_at_end = repeats;
    // Registers of 32 bits are extended with zeros even if the first iteration faults or there is none.
    let changes_nothing = faults || case.before.general[usize::from(RCX)] as u32 == 0;
    tolerance.upper_halves = case.mode == Mode::Long && repeats && changes_nothing && has_prefix(case, 0x67);
}

/// Whether an operand lies across the end of the address space. With a limit of 4 GiB "these accesses may or may
/// not cause the indicated exceptions" (Intel SDM volume 3, 6.3): Intel's processors look for alignment and for
/// pages only. At the end of the canonical addresses they look for alignment first.
fn crosses_the_end(instruction: &Instruction, case: &Case) -> bool {
    let end = match case.mode {
        Mode::Long if case.before.flags & bit::AC == 0 => return false,
        Mode::Long => 1 << 47,
        Mode::Compatibility => 1 << 32,
    };
    let general = &case.before.general;
    let (offset, size) = (bit_string_offset(instruction, general), instruction.memory_size().size());
    InstructionInfoFactory::new().info(instruction).used_memory().iter().any(|used| {
        let base = |register: Register, _, _| arrange::value(register, case.mode, general, 1);
        let first = used.virtual_address(0, base).map(|first| first.wrapping_add(offset));
        // Of a repeated string, iced does not tell how long an element is.
        let size = used.memory_size().size().max(size) as u64;
        match (first, case.mode) {
            (Some(first), Mode::Long) => first < end && end - first < size,
            (Some(first), Mode::Compatibility) => end - first % end < size,
            (None, _) => false,
        }
    })
}

/// How far from its operand's address BT and its relatives access memory: a bit's number in a register may lead
/// beyond the operand.
fn bit_string_offset(instruction: &Instruction, general: &[u64; 16]) -> u64 {
    use Mnemonic::{Bt, Btc, Btr, Bts};
    let is_bit_string = matches!(instruction.mnemonic(), Bt | Btc | Btr | Bts)
        && instruction.op0_kind() == OpKind::Memory
        && instruction.op1_kind() == OpKind::Register;
    if !is_bit_string {
        return 0;
    }
    let bit = general[instruction.op1_register().full_register().number()] as i64;
    let offset = match instruction.memory_size().size() {
        2 => i64::from(bit as i16) >> 4 << 1,
        4 => i64::from(bit as i32) >> 5 << 2,
        _ => bit >> 6 << 3,
    };
    offset as u64
}

fn is_zero(number: u128) -> bool {
    number & ((1 << 79) - 1) == 0
}

fn is_denormal(number: u128) -> bool {
    number >> 64 & 0x7fff == 0 && number as u64 != 0
}

fn is_infinite(number: u128) -> bool {
    number >> 64 & 0x7fff == 0x7fff && number as u64 == 1 << 63
}

fn has_prefix(case: &Case, prefix: u8) -> bool {
    case.code.iter().take_while(|byte| is_prefix(**byte, case.mode)).any(|byte| *byte == prefix)
}

fn is_pause(instruction: &Instruction, case: &Case) -> bool {
    matches!(instruction.code(), Code::Xchg_r16_AX | Code::Xchg_r32_EAX | Code::Xchg_r64_RAX)
        && instruction.op0_register().full_register() == Register::R8
        && has_prefix(case, 0xf3)
}
