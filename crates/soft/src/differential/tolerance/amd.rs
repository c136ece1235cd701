//! Where AMD's processors do not do what the engine and Intel's do.

use iced_x86::{Code, Instruction, Mnemonic};

use super::{Tolerance, is_segment};
use crate::cpu::number::{RBP, RSP};
use crate::differential::arrange;
use crate::differential::state::{Case, End, Mode};

/// Adds what is not compared on AMD's processors.
pub(super) fn differences(instruction: &Instruction, case: &Case, end: End, tolerance: &mut Tolerance) {
    use Mnemonic::*;
    let faults = end != End::Completed;
    match instruction.mnemonic() {
        // All of RBP is written in 64-bit mode ("RBP := FrameTemp"); on AMD's processors BP only.
        Enter if case.mode == Mode::Long && instruction.code() == Code::Enterw_imm16_imm8 => {
            tolerance.registers.push(RBP);
        }
        // C1 was never compared: AMD's processors leave it, but what they do if a register is empty is not known.
        Fcomi | Fcomip | Fucomi | Fucomip => tolerance.status = 1 << 9,
        // AMD's processors become those of MMX before they look for exceptions.
        Cvtps2pi | Cvttps2pi | Cvtpd2pi | Cvttpd2pi => tolerance.x87 = faults,
        // MXCSR_MASK: AMD's processors have bit 17.
        Fxsave | Fxsave64 => {
            let address = arrange::address(instruction, 0, case.mode, &case.before.general, 1).unwrap_or(0);
            tolerance.bytes.push(address.wrapping_add(28)..address.wrapping_add(32));
        }
        // With operands of 32 bits "either a zero-extended value is pushed on the stack or the segment selector is
        // written on the stack using a 16-bit move": Intel's processors do the latter.
        Push if case.mode == Mode::Compatibility && is_segment(instruction) => {
            let top = case.before.general[usize::from(RSP)];
            tolerance.bytes.push(top.wrapping_sub(2)..top);
            tolerance.whether_fault = faults;
            tolerance.which_fault = true;
        }
        // AMD's processors read 32 bits of memory.
        Movsxd if instruction.code() == Code::Movsxd_r16_rm16 => {
            tolerance.whether_fault = faults;
            tolerance.which_fault = true;
        }
        _ => {}
    }
}
