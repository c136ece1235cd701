//! FADD, FSUB, FMUL, FDIV and their relatives; the instructions with one operand; FPREM, FSCALE, FXTRACT.

use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Op, Step};
use crate::x87::arithmetic;
use crate::x87::guard::{begin, note, note_memory};
use crate::x87::instructions::operand::{self, Operand};
use crate::x87::integral::{self, Integer, Quotient, Remainder};
use crate::x87::number::{Extended, Number};
use crate::x87::rounding::Context;
use crate::x87::status::{C0, C1, C2, C3, CONDITION};

/// An operation with two operands.
pub(in crate::x87) trait Operation {
    /// The result, which replaces `destination`.
    fn result(context: &mut Context, destination: Number, source: Number) -> Extended;
}

macro_rules! operations {
    ($($name:ident($destination:ident, $source:ident): $function:path, $first:ident, $second:ident;)*) => {
        $(
            pub(in crate::x87) struct $name;

            impl Operation for $name {
                #[inline]
                fn result(context: &mut Context, $destination: Number, $source: Number) -> Extended {
                    $function(context, $first, $second)
                }
            }
        )*
    };
}

operations! {
    Add(destination, source): arithmetic::add, destination, source;
    Subtract(destination, source): arithmetic::subtract, destination, source;
    SubtractReversed(destination, source): arithmetic::subtract, source, destination;
    Multiply(destination, source): arithmetic::multiply, destination, source;
    Divide(destination, source): arithmetic::divide, destination, source;
    DivideReversed(destination, source): arithmetic::divide, source, destination;
    Scale(destination, source): integral::scale, destination, source;
}

/// ST(0) by an operand in memory.
pub(in crate::x87) extern "sysv64-unwind" fn by_memory<O: Operation, M: Operand>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    begin(cpu)?;
    let source = operand::load::<M>(cpu, op)?;
    note_memory(cpu, op);
    compute::<O>(cpu, 0, Some(source));
    Ok(Step::Next)
}

/// ST(0) by ST(i).
pub(in crate::x87) extern "sysv64-unwind" fn by_register<O: Operation>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    compute::<O>(cpu, 0, cpu.x87.number(op.extra));
    Ok(Step::Next)
}

/// ST(i) by ST(0).
pub(in crate::x87) extern "sysv64-unwind" fn to_register<O: Operation, const POP: bool>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let is_done = compute::<O>(cpu, op.extra, cpu.x87.number(0));
    if POP && is_done {
        cpu.x87.pop();
    }
    Ok(Step::Next)
}

/// Computes and writes ST(i), unless the result is withheld. Whether it was not.
#[inline]
fn compute<O: Operation>(cpu: &mut Cpu, destination: u8, source: Option<Number>) -> bool {
    let mut context = cpu.x87.context();
    let result = match (cpu.x87.number(destination), source) {
        (Some(left), Some(right)) => O::result(&mut context, left, right),
        _ => context.stack_underflow(),
    };
    deliver(cpu, &context, destination, result)
}

/// Writes a result, unless it is withheld. Whether it was not.
#[inline]
fn deliver(cpu: &mut Cpu, context: &Context, destination: u8, result: Extended) -> bool {
    let is_delivered = !context.withholds();
    if is_delivered {
        cpu.x87.set(destination, result);
    }
    cpu.x87.settle(context);
    is_delivered
}

/// Replaces ST(0) by a function of it.
fn replace(cpu: &mut Cpu, op: &Op, function: fn(&mut Context, Number) -> Extended) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let mut context = cpu.x87.context();
    let result = match cpu.x87.number(0) {
        Some(number) => function(&mut context, number),
        None => context.stack_underflow(),
    };
    deliver(cpu, &context, 0, result);
    Ok(Step::Next)
}

/// FSQRT.
pub(in crate::x87) extern "sysv64-unwind" fn square_root(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    replace(cpu, op, arithmetic::square_root)
}

/// FRNDINT.
pub(in crate::x87) extern "sysv64-unwind" fn round(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    replace(cpu, op, integral::round_to_integer)
}

/// FSCALE: ST(0) by ST(1).
pub(in crate::x87) extern "sysv64-unwind" fn scale(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    by_register::<Scale>(cpu, op)
}

/// FABS and FCHS: whatever ST(0) is, `change` makes its new sign of the old one.
fn set_sign(cpu: &mut Cpu, op: &Op, change: fn(u16) -> u16) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let mut context = cpu.x87.context();
    let result = match cpu.x87.is_empty(0) {
        true => context.stack_underflow(),
        false => {
            let value = cpu.x87.st(0);
            Extended { sign_exponent: change(value.sign_exponent), ..value }
        }
    };
    deliver(cpu, &context, 0, result);
    Ok(Step::Next)
}

/// FABS.
pub(in crate::x87) extern "sysv64-unwind" fn absolute(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    set_sign(cpu, op, |sign_exponent| sign_exponent & 0x7fff)
}

/// FCHS.
pub(in crate::x87) extern "sysv64-unwind" fn change_sign(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    set_sign(cpu, op, |sign_exponent| sign_exponent ^ 0x8000)
}

/// FPREM.
pub(in crate::x87) extern "sysv64-unwind" fn remainder(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    divide_with_remainder(cpu, op, Integer::Truncated)
}

/// FPREM1.
pub(in crate::x87) extern "sysv64-unwind" fn remainder_of_nearest(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    divide_with_remainder(cpu, op, Integer::Nearest)
}

fn divide_with_remainder(cpu: &mut Cpu, op: &Op, rounded: Integer) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let mut context = cpu.x87.context();
    let result = match (cpu.x87.number(0), cpu.x87.number(1)) {
        (Some(dividend), Some(divisor)) => integral::remainder(&mut context, dividend, divisor, rounded),
        _ => Remainder { value: context.stack_underflow(), quotient: Quotient::None },
    };
    let is_delivered = deliver(cpu, &context, 0, result.value);
    cpu.x87.status &= !C2;
    if is_delivered {
        set_quotient(cpu, result.quotient);
    }
    Ok(Step::Next)
}

/// C0, C3 and C1 become bits 2, 1 and 0 of the quotient, C2 tells that it is not finished (Intel SDM volume 2,
/// FPREM). Without a quotient, C0 and C3 stay what they are.
fn set_quotient(cpu: &mut Cpu, quotient: Quotient) {
    let condition = match quotient {
        Quotient::None => return,
        Quotient::Unfinished => C2,
        Quotient::Bits(bits) => {
            let codes = [(4, C0), (2, C3), (1, C1)];
            codes.iter().filter(|(bit, _)| bits & bit != 0).fold(0, |all, (_, code)| all | code)
        }
    };
    cpu.x87.status = cpu.x87.status & !CONDITION | condition;
}

/// FXTRACT: the exponent into ST(0), and the significand pushed.
pub(in crate::x87) extern "sysv64-unwind" fn extract(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let mut context = cpu.x87.context();
    let (significand, exponent) = match cpu.x87.number(0) {
        None => (context.stack_underflow(), Extended::INDEFINITE),
        Some(_) if cpu.x87.is_full() => (context.stack_overflow(), Extended::INDEFINITE),
        Some(number) => integral::extract(&mut context, number),
    };
    if deliver(cpu, &context, 0, exponent) {
        cpu.x87.push(significand);
    }
    Ok(Step::Next)
}
