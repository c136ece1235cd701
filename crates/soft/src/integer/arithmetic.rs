//! Sums, differences and logic: ADD OR ADC SBB AND SUB XOR CMP TEST, INC DEC NEG NOT.

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::choose::{is_memory, operand_bits};
use super::operand::{First, Immediate, InMemory, Place, Second, Source};
use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::flags::Flags;
use crate::op::{Execute, Op, Step};
use crate::width::Width;

/// An operation with two operands.
trait Binary: 'static {
    /// Whether the result replaces the first operand.
    const IS_WRITTEN: bool = true;

    /// Computes the result and the flags.
    fn compute<W: Width>(flags: &mut Flags, a: u64, b: u64) -> u64;
}

/// An operation with one operand.
trait Unary: 'static {
    /// Computes the result and the flags.
    fn compute<W: Width>(flags: &mut Flags, a: u64) -> u64;
}

struct Add;
struct Or;
struct Adc;
struct Sbb;
struct And;
struct Sub;
struct Xor;
struct Cmp;
struct Test;
struct Inc;
struct Dec;
struct Neg;
struct Not;

impl Binary for Add {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        let result = a.wrapping_add(b) & W::MASK;
        flags.after_addition::<W>(a, b, result);
        result
    }
}

impl Binary for Adc {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        let result = a.wrapping_add(b).wrapping_add(flags.carry().into()) & W::MASK;
        flags.after_addition::<W>(a, b, result);
        result
    }
}

impl Binary for Sub {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        let result = a.wrapping_sub(b) & W::MASK;
        flags.after_subtraction::<W>(a, b, result);
        result
    }
}

impl Binary for Sbb {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        let result = a.wrapping_sub(b).wrapping_sub(flags.carry().into()) & W::MASK;
        flags.after_subtraction::<W>(a, b, result);
        result
    }
}

impl Binary for Cmp {
    const IS_WRITTEN: bool = false;

    #[inline]
    fn compute<W: Width>(flags: &mut Flags, a: u64, b: u64) -> u64 {
        Sub::compute::<W>(flags, a, b)
    }
}

/// Logic: the result's flags, CF, OF and AF clear.
macro_rules! logic {
    ($($name:ident: $is_written:literal, $operator:tt;)*) => {
        $(
            impl Binary for $name {
                const IS_WRITTEN: bool = $is_written;

                #[inline]
                fn compute<W: Width>(flags: &mut Flags, a: u64, b: u64) -> u64 {
                    let result = a $operator b;
                    flags.after_logic::<W>(result);
                    result
                }
            }
        )*
    };
}

logic! {
    And: true, &;
    Or: true, |;
    Xor: true, ^;
    Test: false, &;
}

impl Unary for Inc {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, a: u64) -> u64 {
        keeping_carry(flags, |flags| Add::compute::<W>(flags, a, 1))
    }
}

impl Unary for Dec {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, a: u64) -> u64 {
        keeping_carry(flags, |flags| Sub::compute::<W>(flags, a, 1))
    }
}

impl Unary for Neg {
    #[inline]
    fn compute<W: Width>(flags: &mut Flags, a: u64) -> u64 {
        Sub::compute::<W>(flags, 0, a)
    }
}

impl Unary for Not {
    #[inline]
    fn compute<W: Width>(_: &mut Flags, a: u64) -> u64 {
        !a & W::MASK
    }
}

/// INC and DEC are the only sums that leave CF.
#[inline]
fn keeping_carry(flags: &mut Flags, compute: impl FnOnce(&mut Flags) -> u64) -> u64 {
    let carry = flags.carry();
    let result = compute(flags);
    flags.set_carry(carry);
    result
}

extern "sysv64-unwind" fn binary<W: Width, O: Binary, D: Place, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    if O::IS_WRITTEN {
        let b = S::get::<W>(cpu, op)?;
        return D::update::<W>(cpu, op, |flags, a| O::compute::<W>(flags, a, b));
    }
    let a = D::get::<W>(cpu, op)?;
    let b = S::get::<W>(cpu, op)?;
    O::compute::<W>(&mut cpu.flags, a, b);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn unary<W: Width, O: Unary, D: Place>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    D::update::<W>(cpu, op, O::compute::<W>)
}

/// What executes an instruction of this module.
pub(super) fn select(instruction: &Instruction) -> Option<Execute> {
    Some(match instruction.mnemonic() {
        Mnemonic::Add => choose_binary::<Add>(instruction),
        Mnemonic::Or => choose_binary::<Or>(instruction),
        Mnemonic::Adc => choose_binary::<Adc>(instruction),
        Mnemonic::Sbb => choose_binary::<Sbb>(instruction),
        Mnemonic::And => choose_binary::<And>(instruction),
        Mnemonic::Sub => choose_binary::<Sub>(instruction),
        Mnemonic::Xor => choose_binary::<Xor>(instruction),
        Mnemonic::Cmp => choose_binary::<Cmp>(instruction),
        Mnemonic::Test => choose_binary::<Test>(instruction),
        Mnemonic::Inc => choose_unary::<Inc>(instruction),
        Mnemonic::Dec => choose_unary::<Dec>(instruction),
        Mnemonic::Neg => choose_unary::<Neg>(instruction),
        Mnemonic::Not => choose_unary::<Not>(instruction),
        _ => return None,
    })
}

fn choose_binary<O: Binary>(instruction: &Instruction) -> Execute {
    let bits = operand_bits(instruction, 0);
    match (instruction.op0_kind(), instruction.op1_kind()) {
        (OpKind::Register, OpKind::Register) => sized!(bits, binary, O, First, Second),
        (OpKind::Register, OpKind::Memory) => sized!(bits, binary, O, First, InMemory),
        (OpKind::Register, _) => sized!(bits, binary, O, First, Immediate),
        (_, OpKind::Register) => sized!(bits, binary, O, InMemory, First),
        _ => sized!(bits, binary, O, InMemory, Immediate),
    }
}

fn choose_unary<O: Unary>(instruction: &Instruction) -> Execute {
    let bits = operand_bits(instruction, 0);
    if is_memory(instruction, 0) { sized!(bits, unary, O, InMemory) } else { sized!(bits, unary, O, First) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::number;
    use crate::fault::Exception;
    use crate::flags::bit;
    use crate::testing::{DATA, Trial};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_of_many_words_carry_from_one_to_the_next(a: u128, b: u128) {
            let mut trial = Trial::new();
            let set = |trial: &mut Trial, register, value| *trial.cpu.register_mut(register) = value;
            for (first, second, expected) in [(0x01, 0x11, a.overflowing_add(b)), (0x29, 0x19, a.overflowing_sub(b))] {
                set(&mut trial, number::RAX, a as u64);
                set(&mut trial, number::RDX, (a >> 64) as u64);
                set(&mut trial, number::RCX, b as u64);
                set(&mut trial, number::RBX, (b >> 64) as u64);
                trial.completes(&[0x48, first, 0xc8], "ADD or SUB RAX, RCX");
                trial.completes(&[0x48, second, 0xda], "ADC or SBB RDX, RBX");
                let result = u128::from(trial.cpu.register(number::RDX)) << 64 | u128::from(trial.cpu.register(number::RAX));
                prop_assert_eq!((result, trial.cpu.flags.carry()), expected);
            }
        }
    }

    #[test]
    fn inc_and_dec_leave_carry_and_not_leaves_all_flags() {
        let mut trial = Trial::new();
        trial.cpu.flags = Flags::from_bits(bit::CF);
        *trial.cpu.register_mut(number::RAX) = 0x7fff_ffff;
        trial.completes(&[0xff, 0xc0], "INC EAX");
        assert_eq!(trial.cpu.flags.bits(), bit::FIXED | bit::CF | bit::OF | bit::SF | bit::AF | bit::PF);
        trial.completes(&[0xf7, 0xd0], "NOT EAX");
        assert_eq!(trial.cpu.register(number::RAX), 0x7fff_ffff);
        assert_eq!(trial.cpu.flags.bits(), bit::FIXED | bit::CF | bit::OF | bit::SF | bit::AF | bit::PF);
    }

    #[test]
    fn a_change_in_memory_asks_for_the_right_to_write_at_once() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RBX) = DATA;
        trial.write(0x4000 + 8 * (DATA >> 12), &[0; 8]);
        let before = trial.cpu.flags.bits();
        assert_eq!(trial.fault(&[0x01, 0x03]), Exception::page_fault(DATA, 2), "ADD [RBX], EAX");
        assert_eq!(trial.fault(&[0x39, 0x03]), Exception::page_fault(DATA, 0), "CMP [RBX], EAX");
        assert_eq!(trial.cpu.flags.bits(), before);
    }

    #[test]
    fn a_sum_across_two_pages_changes_both_or_none() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RBX) = DATA + 0xffe;
        trial.write(DATA + 0xffe, &[0xff; 4]);
        trial.completes(&[0x83, 0x03, 0x02], "ADD [RBX], 2");
        assert_eq!(trial.read(DATA + 0xffe), 1u32.to_le_bytes());
        assert!(trial.cpu.flags.carry());
        trial.cpu.memory.flush();
        trial.write(0x4000 + 8 * ((DATA >> 12) + 1), &[0; 8]);
        assert_eq!(trial.fault(&[0x83, 0x03, 0x02]), Exception::page_fault(DATA + 0x1000, 2));
        assert_eq!(trial.read(DATA + 0xffe), [1, 0]);
    }
}
