//! Products and quotients: MUL, IMUL with one, two and three operands, DIV, IDIV.
//!
//! Flags that the manual leaves undefined: a product sets SF, ZF and PF by its lower half and clears AF; a
//! quotient leaves all flags alone.

use iced_x86::{Instruction, Mnemonic};

use super::choose::{is_memory, operand_bits};
use super::operand::{First, Immediate, InMemory, Second, Source};
use crate::cpu::{Cpu, number};
use crate::fault::{Abort, Exception};
use crate::flags::Flags;
use crate::op::{Execute, Op, Step};
use crate::width::{Width, Word};

/// Whether operands have signs.
trait Signs: 'static {
    /// The whole product of two operands, in the lowest bits.
    fn product<W: Width>(a: u64, b: u64) -> u128;

    /// Whether the lower half of a product says all.
    fn fits<W: Width>(product: u128) -> bool;

    /// Quotient and remainder of a dividend with twice the width, in two halves. `None` if the divisor is zero or
    /// the quotient too large.
    fn divide<W: Width>(high: u64, low: u64, divisor: u64) -> Option<(u64, u64)>;
}

struct Unsigned;
struct Signed;

impl Signs for Unsigned {
    #[inline]
    fn product<W: Width>(a: u64, b: u64) -> u128 {
        u128::from(a) * u128::from(b)
    }

    #[inline]
    fn fits<W: Width>(product: u128) -> bool {
        product >> W::BITS == 0
    }

    #[inline]
    fn divide<W: Width>(high: u64, low: u64, divisor: u64) -> Option<(u64, u64)> {
        // The quotient fits exactly if the dividend's upper half is less than the divisor.
        if high >= divisor {
            return None;
        }
        if W::BITS < 64 {
            let dividend = high << W::BITS | low;
            return Some((dividend / divisor, dividend % divisor));
        }
        if high == 0 {
            return Some((low / divisor, low % divisor));
        }
        let (dividend, divisor) = (u128::from(high) << 64 | u128::from(low), u128::from(divisor));
        Some(((dividend / divisor) as u64, (dividend % divisor) as u64))
    }
}

impl Signs for Signed {
    #[inline]
    fn product<W: Width>(a: u64, b: u64) -> u128 {
        let wide = |value| i128::from(W::sign_extend(value) as i64);
        (wide(a) * wide(b)) as u128
    }

    #[inline]
    fn fits<W: Width>(product: u128) -> bool {
        i128::from(W::sign_extend(product as u64) as i64) == product as i128
    }

    #[inline]
    fn divide<W: Width>(high: u64, low: u64, divisor: u64) -> Option<(u64, u64)> {
        let divisor = W::sign_extend(divisor) as i64;
        let spread = if low & W::SIGN != 0 { W::MASK } else { 0 };
        if high == spread {
            // The dividend has no more bits than the divisor: the usual case.
            let dividend = W::sign_extend(low) as i64;
            let (quotient, remainder) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
            return in_range::<W>(quotient.into()).then_some((quotient as u64, remainder as u64));
        }
        let dividend = i128::from(W::sign_extend(high) as i64) << W::BITS | i128::from(low);
        let divisor = i128::from(divisor);
        let (quotient, remainder) = (dividend.checked_div(divisor)?, dividend.checked_rem(divisor)?);
        in_range::<W>(quotient).then_some((quotient as u64, remainder as u64))
    }
}

/// Whether a signed number has no more than `W` bits.
#[inline]
fn in_range<W: Width>(number: i128) -> bool {
    i128::from(W::sign_extend(number as u64) as i64) == number
}

#[inline]
fn after_product<W: Width, N: Signs>(flags: &mut Flags, product: u128) {
    let is_too_large = !N::fits::<W>(product);
    flags.set_result::<W>(product as u64 & W::MASK);
    flags.set_carry_and_overflow(is_too_large, is_too_large);
    flags.set_adjust(false);
}

/// The pair of registers that holds a product or a dividend: AX for bytes, else (E/R)DX and (E/R)AX.
#[inline]
fn pair<W: Width>(cpu: &Cpu) -> (u64, u64) {
    if W::BITS == 8 {
        let whole = cpu.get::<Word>(number::RAX);
        return (whole >> 8, whole & 0xff);
    }
    (cpu.get::<W>(number::RDX), cpu.get::<W>(number::RAX))
}

#[inline]
fn set_pair<W: Width>(cpu: &mut Cpu, high: u64, low: u64) {
    if W::BITS == 8 {
        return cpu.set::<Word>(number::RAX, (high & 0xff) << 8 | low & 0xff);
    }
    cpu.set::<W>(number::RAX, low);
    cpu.set::<W>(number::RDX, high);
}

/// MUL and IMUL with one operand.
extern "sysv64-unwind" fn multiply<W: Width, N: Signs, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let b = S::get::<W>(cpu, op)?;
    let product = N::product::<W>(cpu.get::<W>(number::RAX), b);
    after_product::<W, N>(&mut cpu.flags, product);
    set_pair::<W>(cpu, (product >> W::BITS) as u64, product as u64);
    Ok(Step::Next)
}

/// IMUL with two or three operands: into the first one.
extern "sysv64-unwind" fn multiply_into<W: Width, A: Source, B: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let (a, b) = (A::get::<W>(cpu, op)?, B::get::<W>(cpu, op)?);
    let product = Signed::product::<W>(a, b);
    after_product::<W, Signed>(&mut cpu.flags, product);
    cpu.set::<W>(op.a, product as u64);
    Ok(Step::Next)
}

/// DIV and IDIV.
extern "sysv64-unwind" fn divide<W: Width, N: Signs, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let divisor = S::get::<W>(cpu, op)?;
    let (high, low) = pair::<W>(cpu);
    match N::divide::<W>(high, low, divisor) {
        Some((quotient, remainder)) => {
            set_pair::<W>(cpu, remainder, quotient);
            Ok(Step::Next)
        }
        None => cpu.raise(Exception::DIVIDE),
    }
}

/// What executes an instruction of this module.
pub(super) fn select(instruction: &Instruction) -> Option<Execute> {
    let bits = operand_bits(instruction, 0);
    Some(match (instruction.mnemonic(), is_memory(instruction, 0)) {
        (Mnemonic::Mul, false) => sized!(bits, multiply, Unsigned, First),
        (Mnemonic::Mul, true) => sized!(bits, multiply, Unsigned, InMemory),
        (Mnemonic::Imul, first) => choose_imul(instruction, bits, first),
        (Mnemonic::Div, false) => sized!(bits, divide, Unsigned, First),
        (Mnemonic::Div, true) => sized!(bits, divide, Unsigned, InMemory),
        (Mnemonic::Idiv, false) => sized!(bits, divide, Signed, First),
        (Mnemonic::Idiv, true) => sized!(bits, divide, Signed, InMemory),
        _ => return None,
    })
}

fn choose_imul(instruction: &Instruction, bits: usize, first_is_memory: bool) -> Execute {
    match (instruction.op_count(), first_is_memory || is_memory(instruction, 1)) {
        (1, false) => sized!(bits, multiply, Signed, First),
        (1, true) => sized!(bits, multiply, Signed, InMemory),
        (2, false) => sized_from_word!(bits, multiply_into, First, Second),
        (2, true) => sized_from_word!(bits, multiply_into, First, InMemory),
        (_, false) => sized_from_word!(bits, multiply_into, Second, Immediate),
        (_, true) => sized_from_word!(bits, multiply_into, InMemory, Immediate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Trial;
    use crate::width::{Byte, Dword, Qword};
    use proptest::prelude::*;

    /// `low` op `operand` with an upper half, by DIV or IDIV of `W`.
    fn divided<W: Width>(extension: u8, high: u64, low: u64, operand: u64) -> Option<(u64, u64)> {
        let mut trial = Trial::new();
        set_pair::<W>(&mut trial.cpu, high, low);
        *trial.cpu.register_mut(number::RBX) = operand;
        let modrm = 0xc0 | extension << 3 | number::RBX;
        let code = match W::BITS {
            8 => vec![0xf6, modrm],
            16 => vec![0x66, 0xf7, modrm],
            32 => vec![0xf7, modrm],
            _ => vec![0x48, 0xf7, modrm],
        };
        let before = trial.cpu.registers;
        match trial.execute(&code) {
            Ok(_) => Some(pair::<W>(&trial.cpu)).map(|(remainder, quotient)| (quotient, remainder)),
            Err(_) => {
                assert_eq!(trial.cpu.registers[..16], before[..16], "#DE changes nothing");
                None
            }
        }
    }

    fn check<W: Width>(high: u64, low: u64, operand: u64) {
        let (high, low, operand) = (high & W::MASK, low & W::MASK, operand & W::MASK);
        let dividend = u128::from(high) << W::BITS | u128::from(low);
        let expected = dividend
            .checked_div(operand.into())
            .filter(|&quotient| quotient <= W::MASK.into())
            .map(|quotient| (quotient as u64, (dividend % u128::from(operand)) as u64));
        assert_eq!(divided::<W>(6, high, low, operand), expected, "DIV");
        let unused = 128 - 2 * W::BITS;
        let dividend = (dividend << unused) as i128 >> unused;
        let divisor = i128::from(W::sign_extend(operand) as i64);
        let limit = 1i128 << (W::BITS - 1);
        let expected = dividend
            .checked_div(divisor)
            .filter(|quotient| (-limit..limit).contains(quotient))
            .map(|quotient| (quotient as u64 & W::MASK, (dividend % divisor) as u64 & W::MASK));
        assert_eq!(divided::<W>(7, high, low, operand), expected, "IDIV");
    }

    fn interesting() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            0u64..4,
            (0u64..4).prop_map(u64::wrapping_neg),
            (0u32..64).prop_map(|bit| 1 << bit)
        ]
    }

    proptest! {
        #[test]
        fn quotients_are_exact_or_an_exception(high in interesting(), low in interesting(), operand in interesting()) {
            check::<Byte>(high, low, operand);
            check::<Word>(high, low, operand);
            check::<Dword>(high, low, operand);
            check::<Qword>(high, low, operand);
        }

        #[test]
        fn products_carry_if_their_upper_half_matters(a in interesting(), b in interesting()) {
            let mut trial = Trial::new();
            *trial.cpu.register_mut(number::RAX) = a;
            *trial.cpu.register_mut(number::RBX) = b;
            trial.completes(&[0x48, 0xf7, 0xe3], "MUL RBX");
            let product = u128::from(a) * u128::from(b);
            prop_assert_eq!(pair::<Qword>(&trial.cpu), ((product >> 64) as u64, product as u64));
            prop_assert_eq!(trial.cpu.flags.carry(), product >> 64 != 0);
            prop_assert_eq!(trial.cpu.flags.overflow(), product >> 64 != 0);
            *trial.cpu.register_mut(number::RCX) = a;
            trial.completes(&[0x0f, 0xaf, 0xcb], "IMUL ECX, EBX");
            let product = i64::from(a as i32) * i64::from(b as i32);
            prop_assert_eq!(trial.cpu.register(number::RCX), u64::from(product as u32));
            prop_assert_eq!(trial.cpu.flags.overflow(), i64::from(product as i32) != product);
        }
    }

    #[test]
    fn the_smallest_number_divided_by_minus_one_is_an_exception() {
        check::<Byte>(0xff, 0x80, 0xff);
        check::<Word>(0xffff, 0x8000, 0xffff);
        check::<Dword>(0xffff_ffff, 0x8000_0000, 0xffff_ffff);
        check::<Qword>(u64::MAX, 1 << 63, u64::MAX);
        check::<Qword>(1 << 63, 0, u64::MAX);
    }

    #[test]
    fn three_operands_leave_the_factors() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RBX) = 7;
        trial.completes(&[0x48, 0x6b, 0xc3, 0xfd], "IMUL RAX, RBX, -3");
        assert_eq!(trial.cpu.register(number::RAX) as i64, -21);
        assert_eq!(trial.cpu.register(number::RBX), 7);
    }
}
