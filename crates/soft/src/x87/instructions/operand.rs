//! Memory operands, as types.

use crate::cpu::Cpu;
use crate::fault::{Abort, Exception, Reason, vector};
use crate::memory::tlb::Mode;
use crate::memory::{Kind, is_canonical};
use crate::op::{Op, Step};
use crate::width::{Dword, Qword, Width, Word};
use crate::x87::narrow::Format;
use crate::x87::number::Number;
use crate::x87::rounding::Context;
use crate::x87::status::IE;

/// A format that numbers have in memory.
pub(in crate::x87) trait Operand {
    /// How wide it is.
    type Width: Width;

    /// The number.
    fn number(bits: u64) -> Number;

    /// A number in this format, rounded.
    fn bits(context: &mut Context, number: &Number) -> u64;
}

/// A real number of 32 bits.
pub(in crate::x87) struct Single;
/// A real number of 64 bits.
pub(in crate::x87) struct Double;
/// An integer of a width.
pub(in crate::x87) struct Integer<W>(W);

impl Operand for Single {
    type Width = Dword;

    fn number(bits: u64) -> Number {
        Number::from_single(bits)
    }

    fn bits(context: &mut Context, number: &Number) -> u64 {
        context.narrow(number, Format::SINGLE)
    }
}

impl Operand for Double {
    type Width = Qword;

    fn number(bits: u64) -> Number {
        Number::from_double(bits)
    }

    fn bits(context: &mut Context, number: &Number) -> u64 {
        context.narrow(number, Format::DOUBLE)
    }
}

impl<W: Width> Operand for Integer<W> {
    type Width = W;

    fn number(bits: u64) -> Number {
        Number::from_integer(W::sign_extend(bits) as i64)
    }

    /// What does not fit becomes the least integer (Intel SDM volume 1, table 4-11).
    fn bits(context: &mut Context, number: &Number) -> u64 {
        let greatest = if number.sign { W::SIGN } else { W::SIGN - 1 };
        match context.integer(number, greatest) {
            Some(magnitude) if number.sign => magnitude.wrapping_neg() & W::MASK,
            Some(magnitude) => magnitude,
            None => {
                context.raise(IE);
                W::SIGN
            }
        }
    }
}

/// An integer of 16 bits.
pub(in crate::x87) type Short = Integer<Word>;
/// An integer of 32 bits.
pub(in crate::x87) type Long = Integer<Dword>;
/// An integer of 64 bits.
pub(in crate::x87) type Quad = Integer<Qword>;

/// Reads the memory operand.
#[inline]
pub(super) fn load<M: Operand>(cpu: &mut Cpu, op: &Op) -> Result<Number, Abort> {
    Ok(M::number(cpu.load_operand::<M::Width>(op)?))
}

/// Reads ten bytes. Alignment is checked to eight (Intel SDM volume 3, table 7-7).
#[inline]
pub(super) fn load_ten(cpu: &mut Cpu, op: &Op) -> Result<[u8; 10], Abort> {
    let linear = cpu.address(op, 10, Kind::Read)?;
    if !is_canonical(linear.wrapping_add(9)) {
        return cpu.memory.abort(Reason::NotCanonical);
    }
    let low = cpu.memory.read::<8>(linear)?;
    let high = cpu.memory.read::<2>(linear.wrapping_add(8))?;
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&low);
    bytes[8..].copy_from_slice(&high);
    Ok(bytes)
}

/// Checks that `bytes` bytes can be written, which are to be aligned if alignment is checked at all. Their
/// address. Whoever writes them in parts is then not interrupted; and a store whose number is withheld by an
/// exception faults all the same.
pub(super) fn check_store(cpu: &mut Cpu, op: &Op, bytes: usize, alignment: u64) -> Result<u64, Abort> {
    let linear = cpu.address(op, bytes, Kind::Write)?;
    // A byte whose address is not canonical comes first.
    let last = linear.wrapping_add(bytes as u64 - 1);
    let is_checked = cpu.memory.mode == Mode::UserAligned && is_canonical(linear) && is_canonical(last);
    if is_checked && !linear.is_multiple_of(alignment) {
        return cpu.raise(Exception::with_code(vector::ALIGNMENT_CHECK, 0));
    }
    cpu.memory.check_write(linear, bytes)?;
    Ok(linear)
}

/// Writes ten bytes, all or none.
#[inline]
pub(super) fn store_ten(cpu: &mut Cpu, op: &Op, bytes: [u8; 10]) -> Result<Step, Abort> {
    let linear = check_store(cpu, op, 10, 8)?;
    let [low @ .., eighth, ninth] = bytes;
    let first = cpu.memory.write::<8>(linear, low)?;
    let second = cpu.memory.write::<2>(linear.wrapping_add(8), [eighth, ninth])?;
    Ok(if first == Step::Next { second } else { first })
}
