//! Single bits: BT BTS BTR BTC, BSF BSR, and TZCNT LZCNT.

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::choose::{is_memory, operand_bits};
use super::operand::{First, Immediate, InMemory, Place, Second, Source};
use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::memory::Kind;
use crate::op::{Execute, Op, Step};
use crate::width::Width;

/// What becomes of a bit that was tested.
trait Change: 'static {
    /// Whether it may change at all.
    const IS_WRITTEN: bool = true;

    /// The new value of all bits; `bit` has the one in question.
    fn change(value: u64, bit: u64) -> u64;
}

struct Keep;
struct Set;
struct Reset;
struct Complement;

impl Change for Keep {
    const IS_WRITTEN: bool = false;

    #[inline]
    fn change(value: u64, _: u64) -> u64 {
        value
    }
}

impl Change for Set {
    #[inline]
    fn change(value: u64, bit: u64) -> u64 {
        value | bit
    }
}

impl Change for Reset {
    #[inline]
    fn change(value: u64, bit: u64) -> u64 {
        value & !bit
    }
}

impl Change for Complement {
    #[inline]
    fn change(value: u64, bit: u64) -> u64 {
        value ^ bit
    }
}

/// BT and its kin with a bit number that is taken modulo the width: all forms but those with memory and a
/// register. Only CF changes, also of the flags that the manual leaves undefined.
extern "sysv64-unwind" fn test<W: Width, O: Change, D: Place, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let number = S::get::<W>(cpu, op)? % u64::from(W::BITS);
    if O::IS_WRITTEN {
        return D::update::<W>(cpu, op, |flags, value| {
            flags.set_carry(value >> number & 1 != 0);
            O::change(value, 1 << number)
        });
    }
    let value = D::get::<W>(cpu, op)?;
    cpu.flags.set_carry(value >> number & 1 != 0);
    Ok(Step::Next)
}

/// BT and its kin with memory and a register: the bit number has a sign and reaches as far as it says. What is
/// accessed is a whole operand that contains the bit (Intel SDM volume 2, BT).
extern "sysv64-unwind" fn test_string<W: Width, O: Change>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let number = W::sign_extend(cpu.get::<W>(op.a)) as i64;
    let operands = number.div_euclid(W::BITS.into());
    let number = number.rem_euclid(W::BITS.into());
    let offset = cpu.offset(op).wrapping_add((operands * W::BYTES as i64) as u64);
    let kind = if O::IS_WRITTEN { Kind::Write } else { Kind::Read };
    let linear = cpu.linear_at(op, offset, W::BYTES, kind)?;
    if O::IS_WRITTEN {
        return cpu.update::<W>(linear, |flags, value| {
            flags.set_carry(value >> number & 1 != 0);
            O::change(value, 1 << number)
        });
    }
    let value = cpu.load::<W>(linear)?;
    cpu.flags.set_carry(value >> number & 1 != 0);
    Ok(Step::Next)
}

/// What counts or finds bits in its source.
trait Scan: 'static {
    /// BSF and BSR; else TZCNT and LZCNT.
    const FINDS: bool;

    /// The result.
    fn scan<W: Width>(value: u64) -> u32;
}

struct Bsf;
struct Bsr;
struct Tzcnt;
struct Lzcnt;

impl Scan for Bsf {
    const FINDS: bool = true;

    #[inline]
    fn scan<W: Width>(value: u64) -> u32 {
        value.trailing_zeros()
    }
}

impl Scan for Bsr {
    const FINDS: bool = true;

    #[inline]
    fn scan<W: Width>(value: u64) -> u32 {
        63 - value.leading_zeros()
    }
}

impl Scan for Tzcnt {
    const FINDS: bool = false;

    #[inline]
    fn scan<W: Width>(value: u64) -> u32 {
        value.trailing_zeros().min(W::BITS)
    }
}

impl Scan for Lzcnt {
    const FINDS: bool = false;

    #[inline]
    fn scan<W: Width>(value: u64) -> u32 {
        value.leading_zeros() - (64 - W::BITS)
    }
}

/// BSF and BSR leave their destination, upper half and all, if the source is zero, as current processors do; of
/// the flags they then change only ZF. Else the flags that the manual leaves undefined are those of logic with
/// this result. TZCNT and LZCNT change CF and ZF only.
extern "sysv64-unwind" fn scan<W: Width, O: Scan, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let value = S::get::<W>(cpu, op)?;
    if O::FINDS && value == 0 {
        cpu.flags.set_zero(true);
        return Ok(Step::Next);
    }
    let result = O::scan::<W>(value).into();
    if O::FINDS {
        cpu.flags.after_logic::<W>(result);
        cpu.flags.set_zero(false);
    } else {
        cpu.flags.set_carry(value == 0);
        cpu.flags.set_zero(result == 0);
    }
    First::put::<W>(cpu, op, result)
}

/// What executes an instruction of this module.
pub(super) fn select(instruction: &Instruction) -> Option<Execute> {
    Some(match instruction.mnemonic() {
        Mnemonic::Bt => choose_test::<Keep>(instruction),
        Mnemonic::Bts => choose_test::<Set>(instruction),
        Mnemonic::Btr => choose_test::<Reset>(instruction),
        Mnemonic::Btc => choose_test::<Complement>(instruction),
        Mnemonic::Bsf => choose_scan::<Bsf>(instruction),
        Mnemonic::Bsr => choose_scan::<Bsr>(instruction),
        Mnemonic::Tzcnt => choose_scan::<Tzcnt>(instruction),
        Mnemonic::Lzcnt => choose_scan::<Lzcnt>(instruction),
        _ => return None,
    })
}

fn choose_test<O: Change>(instruction: &Instruction) -> Execute {
    let bits = operand_bits(instruction, 0);
    match (is_memory(instruction, 0), instruction.op1_kind() == OpKind::Register) {
        (false, true) => sized_from_word!(bits, test, O, First, Second),
        (false, false) => sized_from_word!(bits, test, O, First, Immediate),
        (true, true) => sized_from_word!(bits, test_string, O),
        (true, false) => sized_from_word!(bits, test, O, InMemory, Immediate),
    }
}

fn choose_scan<O: Scan>(instruction: &Instruction) -> Execute {
    let bits = operand_bits(instruction, 0);
    if is_memory(instruction, 1) {
        sized_from_word!(bits, scan, O, InMemory)
    } else {
        sized_from_word!(bits, scan, O, Second)
    }
}

#[cfg(test)]
mod tests {
    use crate::cpu::number;
    use crate::testing::{DATA, Trial};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bit_number_in_a_register_reaches_as_far_as_it_says(number in -4000i64..4000, word: bool) {
            let mut trial = Trial::new();
            *trial.cpu.register_mut(number::RDI) = DATA + 0x800;
            *trial.cpu.register_mut(number::RAX) = number as u64;
            let prefix = if word { 0x66 } else { 0x48 };
            trial.completes(&[prefix, 0x0f, 0xab, 0x07], "BTS [RDI], AX or RAX");
            prop_assert!(!trial.cpu.flags.carry());
            let at = (DATA as i64 + 0x800 + number.div_euclid(8)) as u64;
            prop_assert_eq!(trial.read(at), [1 << number.rem_euclid(8)]);
            trial.completes(&[prefix, 0x0f, 0xb3, 0x07], "BTR [RDI], AX or RAX");
            prop_assert!(trial.cpu.flags.carry());
            prop_assert_eq!(trial.read(at), [0]);
        }

        #[test]
        fn the_lowest_and_the_highest_bit_are_found(value in 1u64..) {
            let mut trial = Trial::new();
            *trial.cpu.register_mut(number::RBX) = value;
            trial.completes(&[0x48, 0x0f, 0xbc, 0xc3], "BSF RAX, RBX");
            prop_assert_eq!(trial.cpu.register(number::RAX), (0..64).find(|bit| value >> bit & 1 != 0).unwrap_or(64));
            trial.completes(&[0x48, 0x0f, 0xbd, 0xc3], "BSR RAX, RBX");
            prop_assert_eq!(1u64.checked_shl(trial.cpu.register(number::RAX) as u32 + 1).map_or(0, |over| value / over), 0);
            prop_assert_eq!(value >> trial.cpu.register(number::RAX), 1);
        }
    }

    #[test]
    fn a_search_in_zero_leaves_the_destination_and_a_count_does_not() {
        let mut trial = Trial::new();
        for code in [&[0x0f, 0xbc, 0xc3][..], &[0x0f, 0xbd, 0xc3]] {
            *trial.cpu.register_mut(number::RAX) = u64::MAX;
            trial.completes(code, "BSF or BSR EAX, EBX");
            assert_eq!(trial.cpu.register(number::RAX), u64::MAX);
            assert!(trial.cpu.flags.zero());
            let counting = [&[0xf3], code].concat();
            trial.completes(&counting, "TZCNT or LZCNT EAX, EBX");
            assert_eq!(trial.cpu.register(number::RAX), 32);
            assert!(trial.cpu.flags.carry() && !trial.cpu.flags.zero());
        }
    }
}
