//! What exists in compatibility mode only: decimal arithmetic (AAA AAS AAM AAD DAA DAS) and BOUND.
//!
//! Where the manual leaves flags undefined, they are those of logic with the result in AL: OF is clear, and SF,
//! ZF and PF tell what is in AL.

use iced_x86::{Code, Instruction, Mnemonic};

use super::operand::{First, Source};
use crate::cpu::{Cpu, number};
use crate::fault::{Abort, Exception, vector};
use crate::memory::Kind;
use crate::op::{Execute, Op, Step};
use crate::width::{Byte, Dword, Width, Word};

/// The numbers of AL and AH as byte registers.
const AL: u8 = 2 * number::RAX;
const AH: u8 = AL + 1;

/// Sets AL and all flags.
fn finish(cpu: &mut Cpu, al: u64, carry: bool, adjust: bool) {
    cpu.set::<Byte>(AL, al);
    cpu.flags.after_logic::<Byte>(al & 0xff);
    cpu.flags.set_carry(carry);
    cpu.flags.set_adjust(adjust);
}

/// AAA and AAS: add or subtract 0x106 to or from AX if the digit in AL needs it.
extern "sysv64-unwind" fn adjust_digit<const SUBTRACT: bool>(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let ax = cpu.get::<Word>(number::RAX);
    let needed = ax & 0xf > 9 || cpu.flags.adjust();
    let ax = match (needed, SUBTRACT) {
        (false, _) => ax,
        (true, false) => ax.wrapping_add(0x106),
        (true, true) => ax.wrapping_sub(0x106),
    };
    cpu.set::<Word>(number::RAX, ax);
    finish(cpu, ax & 0xf, needed, needed);
    Ok(Step::Next)
}

/// DAA and DAS (Intel SDM volume 2).
extern "sysv64-unwind" fn adjust_digits<const SUBTRACT: bool>(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let old = cpu.get::<Byte>(AL);
    let apply =
        |al: u64, amount: u64| if SUBTRACT { al.wrapping_sub(amount) } else { al.wrapping_add(amount) };
    let low = old & 0xf > 9 || cpu.flags.adjust();
    let high = old > 0x99 || cpu.flags.carry();
    let mut al = old;
    let mut carry = high;
    if low {
        al = apply(al, 6);
        // DAS notes the borrow of this step, too. For DAA a carry here implies the other condition.
        carry |= al > 0xff;
    }
    if high {
        al = apply(al, 0x60);
    }
    finish(cpu, al & 0xff, carry, low);
    Ok(Step::Next)
}

/// AAM: #DE if the base is zero.
extern "sysv64-unwind" fn split_digits(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let (al, base) = (cpu.get::<Byte>(AL), op.immediate & 0xff);
    if base == 0 {
        return cpu.raise(Exception::DIVIDE);
    }
    cpu.set::<Byte>(AH, al / base);
    finish(cpu, al % base, false, false);
    Ok(Step::Next)
}

/// AAD.
extern "sysv64-unwind" fn join_digits(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let (high, low) = (cpu.get::<Byte>(AH), cpu.get::<Byte>(AL));
    let al = high.wrapping_mul(op.immediate).wrapping_add(low) & 0xff;
    cpu.set::<Byte>(AH, 0);
    finish(cpu, al, false, false);
    Ok(Step::Next)
}

/// BOUND: #BR unless the signed index is within the two bounds in memory.
extern "sysv64-unwind" fn bound<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let signed = |value: u64| W::sign_extend(value) as i64;
    let index = signed(First::get::<W>(cpu, op)?);
    let lower = cpu.load_operand::<W>(op)?;
    let offset = cpu.offset(op).wrapping_add(W::BYTES as u64);
    let linear = cpu.linear_at(op, offset, W::BYTES, Kind::Read)?;
    let upper = cpu.load::<W>(linear)?;
    if index < signed(lower) || index > signed(upper) {
        return cpu.raise(Exception::plain(vector::BOUND_RANGE));
    }
    Ok(Step::Next)
}

/// What executes an instruction of this module.
pub(super) fn select(instruction: &Instruction) -> Option<Execute> {
    Some(match instruction.mnemonic() {
        Mnemonic::Aaa => adjust_digit::<false>,
        Mnemonic::Aas => adjust_digit::<true>,
        Mnemonic::Daa => adjust_digits::<false>,
        Mnemonic::Das => adjust_digits::<true>,
        Mnemonic::Aam => split_digits,
        Mnemonic::Aad => join_digits,
        Mnemonic::Bound if instruction.code() == Code::Bound_r16_m1616 => bound::<Word>,
        Mnemonic::Bound => bound::<Dword>,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Flags, bit};
    use crate::testing::{DATA, Trial, state};

    fn trial() -> Trial {
        let mut state = state();
        state.segments.cs.attributes = 0xc09b;
        Trial::with(&state)
    }

    /// Executes with AX and flags; AX, CF and AF afterwards.
    fn run(trial: &mut Trial, code: &[u8], ax: u64, flags: u64) -> (u64, bool, bool) {
        *trial.cpu.register_mut(number::RAX) = ax;
        trial.cpu.flags = Flags::from_bits(flags);
        trial.completes(code, "no fault");
        let flags = &trial.cpu.flags;
        (trial.cpu.register(number::RAX), flags.carry(), flags.adjust())
    }

    #[test]
    fn sums_of_decimal_digits_are_adjusted() {
        let mut trial = trial();
        for (a, b) in (0..100).flat_map(|a| (0..100).map(move |b| (a, b))) {
            let packed = |number: u64| number / 10 * 16 + number % 10;
            let sum = packed(a) + packed(b);
            let adjust = (packed(a) & 0xf) + (packed(b) & 0xf) > 0xf;
            let flags = sum >> 8 | if adjust { bit::AF } else { 0 };
            let (al, carry, _) = run(&mut trial, &[0x27], sum & 0xff, flags);
            assert_eq!((al, carry), (packed((a + b) % 100), a + b > 99), "DAA {a} + {b}");
            let difference = packed(a).wrapping_sub(packed(b));
            let adjust = packed(a) & 0xf < packed(b) & 0xf;
            let flags = u64::from(a < b) | if adjust { bit::AF } else { 0 };
            let (al, carry, _) = run(&mut trial, &[0x2f], difference & 0xff, flags);
            assert_eq!((al, carry), (packed((100 + a - b) % 100), a < b), "DAS {a} - {b}");
        }
    }

    #[test]
    fn single_digits_carry_into_ah() {
        let mut trial = trial();
        assert_eq!(run(&mut trial, &[0x37], 0x010b, 0), (0x0201, true, true));
        assert_eq!(run(&mut trial, &[0x37], 0x0135, 0), (0x0105, false, false));
        assert_eq!(run(&mut trial, &[0x3f], 0x02fe, bit::AF), (0x0108, true, true));
        assert_eq!(run(&mut trial, &[0x3f], 0x0200, bit::AF), (0x000a, true, true), "AX - 6 borrows from AH");
    }

    #[test]
    fn digits_are_split_and_joined() {
        let mut trial = trial();
        assert_eq!(run(&mut trial, &[0xd4, 10], 0xff4f, 0).0, 0x0709);
        assert_eq!(run(&mut trial, &[0xd5, 10], 0x0709, 0).0, 0x004f);
        assert_eq!(trial.fault(&[0xd4, 0]), Exception::DIVIDE);
    }

    #[test]
    fn an_index_out_of_bounds_is_an_exception() {
        let mut trial = trial();
        trial.write(DATA, &[(-5i32).to_le_bytes(), 7i32.to_le_bytes()].concat());
        *trial.cpu.register_mut(number::RBX) = DATA;
        for (index, within) in [(-6i32, false), (-5, true), (0, true), (7, true), (8, false)] {
            *trial.cpu.register_mut(number::RAX) = u64::from(index as u32);
            if within {
                trial.completes(&[0x62, 0x03], "BOUND EAX, [EBX]");
            } else {
                assert_eq!(trial.fault(&[0x62, 0x03]), Exception::plain(vector::BOUND_RANGE));
            }
        }
    }
}
