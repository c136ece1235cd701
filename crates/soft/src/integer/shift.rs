//! Shifts and rotates: SHL SHR SAR ROL ROR RCL RCR SHLD SHRD.
//!
//! Counts are taken modulo 32, or modulo 64 with 64-bit operands, so those of bytes and words may exceed the
//! width. A count of zero changes neither operand nor flags, but it is a write all the same: memory must be
//! writable, and a 32-bit register loses its upper half.
//!
//! Where the manual leaves flags undefined, they are what Intel's processors make of them: AF is clear after
//! shifts; OF follows from the result by the rule for a count of one, whatever the count is; a double shift of
//! words by more than 16 shifts in the destination again behind the source.

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::choose::{is_memory, operand_bits};
use super::operand::{First, InMemory, Place};
use crate::cpu::{Cpu, number};
use crate::fault::Abort;
use crate::flags::Flags;
use crate::op::{Execute, Op, Step};
use crate::width::{Byte, Width};

/// A shift or rotate of one operand.
trait Shift: 'static {
    /// Computes result and flags. The count is at least 1, and less than 32, or 64 with 64-bit operands.
    fn compute<W: Width>(flags: &mut Flags, value: u64, count: u32) -> u64;
}

/// A shift that takes bits from a second operand.
trait DoubleShift: 'static {
    /// Computes result and flags, with a count as in [`Shift::compute`].
    fn compute<W: Width>(flags: &mut Flags, value: u64, filler: u64, count: u32) -> u64;
}

struct Shl;
struct Shr;
struct Sar;
struct Rol;
struct Ror;
struct Rcl;
struct Rcr;
struct Shld;
struct Shrd;

#[inline]
fn is_set(value: u64, bit: u32) -> bool {
    value >> bit & 1 != 0
}

/// The highest bit.
#[inline]
fn top<W: Width>(value: u64) -> bool {
    is_set(value, W::BITS - 1)
}

/// Whether the two highest bits differ: OF after moving to the right.
#[inline]
fn tops_differ<W: Width>(value: u64) -> bool {
    top::<W>(value ^ value << 1)
}

/// Flags after a shift.
#[inline]
fn after_shift<W: Width>(flags: &mut Flags, result: u64, carry: bool, overflow: bool) {
    flags.set_result::<W>(result);
    flags.set_carry_and_overflow(carry, overflow);
    flags.set_adjust(false);
}

impl Shift for Shl {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, value: u64, count: u32) -> u64 {
        let carry = match W::BITS {
            64 => is_set(value, 64 - count),
            bits => is_set(value << count, bits),
        };
        let result = value << count & W::MASK;
        after_shift::<W>(flags, result, carry, carry ^ top::<W>(result));
        result
    }
}

impl Shift for Shr {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, value: u64, count: u32) -> u64 {
        let result = value >> count;
        after_shift::<W>(flags, result, is_set(value, count - 1), tops_differ::<W>(result));
        result
    }
}

impl Shift for Sar {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, value: u64, count: u32) -> u64 {
        let value = W::sign_extend(value);
        let result = (value as i64 >> count) as u64 & W::MASK;
        after_shift::<W>(flags, result, is_set(value, count - 1), false);
        result
    }
}

impl Shift for Rol {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, value: u64, count: u32) -> u64 {
        let count = count % W::BITS;
        let result = (value << count | value.checked_shr(W::BITS - count).unwrap_or(0)) & W::MASK;
        let carry = is_set(result, 0);
        flags.set_carry_and_overflow(carry, carry ^ top::<W>(result));
        result
    }
}

impl Shift for Ror {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, value: u64, count: u32) -> u64 {
        let count = count % W::BITS;
        let result = (value >> count | value.checked_shl(W::BITS - count).unwrap_or(0)) & W::MASK;
        flags.set_carry_and_overflow(top::<W>(result), tops_differ::<W>(result));
        result
    }
}

/// Rotates a value to the left with CF above its highest bit, by less than all those bits. Also the new CF.
#[inline]
fn rotate_with_carry<W: Width>(carry: bool, value: u64, count: u32) -> (bool, u64) {
    let wide = u128::from(carry) << W::BITS | u128::from(value);
    let rotated = wide << count | wide >> (W::BITS + 1 - count);
    (rotated >> W::BITS & 1 != 0, rotated as u64 & W::MASK)
}

impl Shift for Rcl {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, value: u64, count: u32) -> u64 {
        let count = count % (W::BITS + 1);
        if count == 0 {
            return value;
        }
        let (carry, result) = rotate_with_carry::<W>(flags.carry(), value, count);
        flags.set_carry_and_overflow(carry, carry ^ top::<W>(result));
        result
    }
}

impl Shift for Rcr {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, value: u64, count: u32) -> u64 {
        let count = count % (W::BITS + 1);
        if count == 0 {
            return value;
        }
        let (carry, result) = rotate_with_carry::<W>(flags.carry(), value, W::BITS + 1 - count);
        flags.set_carry_and_overflow(carry, tops_differ::<W>(result));
        result
    }
}

/// With words: the destination, the source and the destination again, so that counts beyond 16 have a meaning.
#[inline]
fn three_words(value: u64, filler: u64) -> u64 {
    value << 32 | filler << 16 | value
}

impl DoubleShift for Shld {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, value: u64, filler: u64, count: u32) -> u64 {
        let (result, carry) = match W::BITS {
            16 => {
                let words = three_words(value, filler);
                (words << count >> 32 & W::MASK, is_set(words, 48 - count))
            }
            bits => ((value << count | filler >> (bits - count)) & W::MASK, is_set(value, bits - count)),
        };
        after_shift::<W>(flags, result, carry, carry ^ top::<W>(result));
        result
    }
}

impl DoubleShift for Shrd {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, value: u64, filler: u64, count: u32) -> u64 {
        let (result, carry) = match W::BITS {
            16 => {
                let words = three_words(value, filler);
                (words >> count & W::MASK, is_set(words, count - 1))
            }
            bits => ((value >> count | filler << (bits - count)) & W::MASK, is_set(value, count - 1)),
        };
        after_shift::<W>(flags, result, carry, tops_differ::<W>(result));
        result
    }
}

/// Where the count is.
trait Count: 'static {
    fn get(cpu: &Cpu, op: &Op) -> u32;
}

/// In CL.
struct InCl;

/// In the instruction.
struct Fixed;

impl Count for InCl {
    #[inline]
    fn get(cpu: &Cpu, _: &Op) -> u32 {
        cpu.get::<Byte>(2 * number::RCX) as u32
    }
}

impl Count for Fixed {
    #[inline]
    fn get(_: &Cpu, op: &Op) -> u32 {
        op.immediate as u32
    }
}

/// What of the count is used.
#[inline]
fn cut<W: Width>(count: u32) -> u32 {
    count & if W::BITS == 64 { 63 } else { 31 }
}

extern "sysv64-unwind" fn shift<W: Width, O: Shift, D: Place, C: Count>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let count = cut::<W>(C::get(cpu, op));
    D::update::<W>(cpu, op, |flags, value| match count {
        0 => value,
        _ => O::compute::<W>(flags, value, count),
    })
}

/// [`Op::extra`] is the register that fills.
extern "sysv64-unwind" fn double_shift<W: Width, O: DoubleShift, D: Place, C: Count>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let count = cut::<W>(C::get(cpu, op));
    let filler = cpu.get::<W>(op.extra);
    D::update::<W>(cpu, op, |flags, value| match count {
        0 => value,
        _ => O::compute::<W>(flags, value, filler, count),
    })
}

/// What executes an instruction of this module.
pub(super) fn select(instruction: &Instruction, op: &mut Op) -> Option<Execute> {
    Some(match instruction.mnemonic() {
        Mnemonic::Shl | Mnemonic::Sal => choose_shift::<Shl>(instruction),
        Mnemonic::Shr => choose_shift::<Shr>(instruction),
        Mnemonic::Sar => choose_shift::<Sar>(instruction),
        Mnemonic::Rol => choose_shift::<Rol>(instruction),
        Mnemonic::Ror => choose_shift::<Ror>(instruction),
        Mnemonic::Rcl => choose_shift::<Rcl>(instruction),
        Mnemonic::Rcr => choose_shift::<Rcr>(instruction),
        Mnemonic::Shld => choose_double_shift::<Shld>(instruction, op),
        Mnemonic::Shrd => choose_double_shift::<Shrd>(instruction, op),
        _ => return None,
    })
}

fn choose_shift<O: Shift>(instruction: &Instruction) -> Execute {
    let bits = operand_bits(instruction, 0);
    match (is_memory(instruction, 0), instruction.op1_kind() == OpKind::Register) {
        (false, false) => sized!(bits, shift, O, First, Fixed),
        (false, true) => sized!(bits, shift, O, First, InCl),
        (true, false) => sized!(bits, shift, O, InMemory, Fixed),
        (true, true) => sized!(bits, shift, O, InMemory, InCl),
    }
}

fn choose_double_shift<O: DoubleShift>(instruction: &Instruction, op: &mut Op) -> Execute {
    let bits = operand_bits(instruction, 0);
    op.extra = instruction.op1_register().number() as u8;
    match (is_memory(instruction, 0), instruction.op2_kind() == OpKind::Register) {
        (false, false) => sized_from_word!(bits, double_shift, O, First, Fixed),
        (false, true) => sized_from_word!(bits, double_shift, O, First, InCl),
        (true, false) => sized_from_word!(bits, double_shift, O, InMemory, Fixed),
        (true, true) => sized_from_word!(bits, double_shift, O, InMemory, InCl),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::bit;
    use crate::testing::{DATA, Trial};
    use crate::width::{Dword, Qword, Word};
    use proptest::prelude::*;

    /// One step of a shift or rotate, as the manual tells it. CF and the result.
    fn single<W: Width>(extension: u8, carry: bool, value: u64) -> (bool, u64) {
        let (high, low) = (top::<W>(value), value & 1 != 0);
        let (left, right) = (value << 1 & W::MASK, value >> 1);
        let at_top = |set: bool| u64::from(set) << (W::BITS - 1);
        match extension {
            0 => (high, left | u64::from(high)),
            1 => (low, right | at_top(low)),
            2 => (high, left | u64::from(carry)),
            3 => (low, right | at_top(carry)),
            4 | 6 => (high, left),
            5 => (low, right),
            _ => (low, right | at_top(high)),
        }
    }

    fn check<W: Width>(extension: u8, value: u64, count: u8, carry: bool) {
        let mut trial = Trial::new();
        let value = value & W::MASK;
        *trial.cpu.register_mut(number::RAX) = value;
        *trial.cpu.register_mut(number::RCX) = count.into();
        let before = bit::AF | bit::ZF | bit::PF | u64::from(carry);
        trial.cpu.flags = Flags::from_bits(before);
        let modrm = 0xc0 | extension << 3;
        let code = match W::BITS {
            8 => vec![0xd2, modrm],
            16 => vec![0x66, 0xd3, modrm],
            32 => vec![0xd3, modrm],
            _ => vec![0x48, 0xd3, modrm],
        };
        trial.completes(&code, "no fault");
        let count = cut::<W>(count.into());
        let (mut expected, mut result) = (carry, value);
        for _ in 0..count {
            (expected, result) = single::<W>(extension, expected, result);
        }
        assert_eq!(trial.cpu.register(number::RAX), result);
        assert_eq!(trial.cpu.flags.carry(), expected);
        if count == 0 {
            assert_eq!(trial.cpu.flags.bits(), before | bit::FIXED);
        } else if extension < 4 {
            assert_eq!(trial.cpu.flags.bits() & !(bit::CF | bit::OF), before & !bit::CF | bit::FIXED);
        } else {
            assert_eq!((trial.cpu.flags.zero(), trial.cpu.flags.sign()), (result == 0, top::<W>(result)));
        }
        if count == 1 {
            assert_eq!(
                trial.cpu.flags.overflow(),
                top::<W>(value) != top::<W>(result),
                "OF: the sign changed"
            );
        }
    }

    proptest! {
        #[test]
        fn a_shift_is_so_many_shifts_by_one(extension in 0u8..8, value: u64, count: u8, carry: bool) {
            check::<Byte>(extension, value, count, carry);
            check::<Word>(extension, value, count, carry);
            check::<Dword>(extension, value, count, carry);
            check::<Qword>(extension, value, count, carry);
        }

        #[test]
        fn a_double_shift_moves_a_pair(a: u64, b: u64, count in 0u8..64, right: bool) {
            let mut trial = Trial::new();
            *trial.cpu.register_mut(number::RAX) = a;
            *trial.cpu.register_mut(number::RBX) = b;
            let opcode = if right { 0xac } else { 0xa4 };
            trial.completes(&[0x48, 0x0f, opcode, 0xd8, count], "SHLD or SHRD RAX, RBX");
            let pair = |high: u64, low: u64| u128::from(high) << 64 | u128::from(low);
            let expected = match right {
                true => (pair(b, a) >> count) as u64,
                false => (pair(a, b) << count >> 64) as u64,
            };
            prop_assert_eq!(trial.cpu.register(number::RAX), expected);
        }
    }

    #[test]
    fn a_double_shift_of_words_beyond_their_width_shifts_the_destination_in_again() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RAX) = 0x9235;
        *trial.cpu.register_mut(number::RBX) = 0xa5c3;
        trial.completes(&[0x66, 0x0f, 0xa4, 0xd8, 20], "SHLD AX, BX, 20");
        assert_eq!(trial.cpu.register(number::RAX), 0x5c39);
    }

    #[test]
    fn a_count_of_zero_still_clears_the_upper_half_and_still_writes() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RAX) = u64::MAX;
        trial.completes(&[0xc1, 0xe0, 0x20], "SHL EAX, 32");
        assert_eq!(trial.cpu.register(number::RAX), 0xffff_ffff);
        trial.write(0x4000 + 8 * (DATA >> 12), &(DATA | 5).to_le_bytes());
        *trial.cpu.register_mut(number::RBX) = DATA;
        assert_eq!(trial.fault(&[0xd3, 0x23]).error_code, Some(3), "SHL [RBX], CL");
    }
}
