//! FLD, FILD, FBLD and the constants.

use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Op, Step};
use crate::x87::decimal;
use crate::x87::guard::{begin, note, note_memory};
use crate::x87::instructions::operand::{self, Operand};
use crate::x87::number::{BIAS, Class, Extended, INTEGER_BIT};
use crate::x87::rounding::{Context, Rounding};
use crate::x87::status::{DE, IE};

/// Pushes what was found. `context` may know exceptions of the operand.
///
/// A denormal operand is pushed even if that exception is not masked: hardware finds it when it has loaded the
/// number.
#[inline]
fn push(cpu: &mut Cpu, context: Context, value: Extended) {
    let (mut context, mut value) = (context, value);
    if cpu.x87.is_full() {
        // Nothing else is looked at.
        context = cpu.x87.context();
        value = context.stack_overflow();
    }
    if context.unmasked() & IE == 0 {
        cpu.x87.push(value);
    }
    cpu.x87.settle(&context);
}

/// FLD m32, FLD m64, FILD.
pub(in crate::x87) extern "sysv64-unwind" fn load<M: Operand>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    let number = operand::load::<M>(cpu, op)?;
    note_memory(cpu, op);
    let mut context = cpu.x87.context();
    if number.class == Class::Signaling {
        context.raise(IE);
    }
    if number.is_denormal {
        context.raise(DE);
    }
    push(cpu, context, number.to_extended());
    Ok(Step::Next)
}

/// FLD m80: whatever it is.
pub(in crate::x87) extern "sysv64-unwind" fn load_extended(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    let [significand @ .., eighth, ninth] = operand::load_ten(cpu, op)?;
    note_memory(cpu, op);
    let value = Extended {
        sign_exponent: u16::from_le_bytes([eighth, ninth]),
        significand: u64::from_le_bytes(significand),
    };
    push(cpu, cpu.x87.context(), value);
    Ok(Step::Next)
}

/// FBLD.
pub(in crate::x87) extern "sysv64-unwind" fn load_decimal(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    let number = decimal::load(operand::load_ten(cpu, op)?);
    note_memory(cpu, op);
    push(cpu, cpu.x87.context(), number.to_extended());
    Ok(Step::Next)
}

/// FLD ST(i).
pub(in crate::x87) extern "sysv64-unwind" fn load_register(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let mut context = cpu.x87.context();
    let value = match cpu.x87.is_empty(op.extra) {
        // Before an overflow, as C1 tells.
        true => context.stack_underflow(),
        false if cpu.x87.is_full() => context.stack_overflow(),
        false => cpu.x87.st(op.extra),
    };
    if !context.withholds() {
        cpu.x87.push(value);
    }
    cpu.x87.settle(&context);
    Ok(Step::Next)
}

/// A constant: its sign is plus.
#[derive(Clone, Copy)]
struct Constant {
    exponent: i32,
    /// Rounded toward zero.
    significand: u64,
    /// Whether the nearest one is the next.
    nearest_is_up: bool,
    is_exact: bool,
}

/// In the order of the opcodes: 1, log2(10), log2(e), pi, log10(2), ln(2), 0 (Intel SDM volume 2, FLD1).
const CONSTANTS: [Constant; 7] = [
    Constant { exponent: BIAS, significand: INTEGER_BIT, nearest_is_up: false, is_exact: true },
    Constant {
        exponent: BIAS + 1,
        significand: 0xd49a_784b_cd1b_8afe,
        nearest_is_up: false,
        is_exact: false,
    },
    Constant { exponent: BIAS, significand: 0xb8aa_3b29_5c17_f0bb, nearest_is_up: true, is_exact: false },
    Constant { exponent: BIAS + 1, significand: 0xc90f_daa2_2168_c234, nearest_is_up: true, is_exact: false },
    Constant { exponent: BIAS - 2, significand: 0x9a20_9a84_fbcf_f798, nearest_is_up: true, is_exact: false },
    Constant { exponent: BIAS - 1, significand: 0xb172_17f7_d1cf_79ab, nearest_is_up: true, is_exact: false },
    Constant { exponent: 0, significand: 0, nearest_is_up: false, is_exact: true },
];

/// FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ: `extra` is which. They are rounded as the control word
/// says, without raising PE.
pub(in crate::x87) extern "sysv64-unwind" fn load_constant(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let context = cpu.x87.context();
    let constant = CONSTANTS[usize::from(op.extra) % CONSTANTS.len()];
    let is_up = !constant.is_exact
        && match context.rounding {
            Rounding::Nearest => constant.nearest_is_up,
            Rounding::Up => true,
            Rounding::Down | Rounding::Zero => false,
        };
    let significand = constant.significand + u64::from(is_up);
    push(cpu, context, Extended::new(false, constant.exponent, significand));
    Ok(Step::Next)
}
