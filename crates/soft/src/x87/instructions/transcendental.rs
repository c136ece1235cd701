//! The ops of the transcendental functions.

use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Op, Step};
use crate::x87::elementary::trigonometric::{self, Argument};
use crate::x87::elementary::{arctangent, exponential, logarithm};
use crate::x87::guard::{begin, note};
use crate::x87::number::{Extended, Number};
use crate::x87::rounding::Context;
use crate::x87::status::{C1, C2};

/// F2XM1.
pub(in crate::x87) extern "sysv64-unwind" fn exponential(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let mut context = cpu.x87.context();
    let result = match cpu.x87.number(0) {
        Some(number) => exponential::power_less_one(&mut context, number),
        None => context.stack_underflow(),
    };
    if !context.withholds() {
        cpu.x87.set(0, result);
    }
    cpu.x87.settle(&context);
    Ok(Step::Next)
}

/// FYL2X.
pub(in crate::x87) extern "sysv64-unwind" fn logarithm(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    of_two(cpu, op, logarithm::logarithm)
}

/// FYL2XP1.
pub(in crate::x87) extern "sysv64-unwind" fn logarithm_of_one_more(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    of_two(cpu, op, logarithm::logarithm_of_one_more)
}

/// FPATAN.
pub(in crate::x87) extern "sysv64-unwind" fn arctangent(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    of_two(cpu, op, arctangent::angle)
}

/// A function of ST(1) and ST(0), which it replaces both.
fn of_two(
    cpu: &mut Cpu,
    op: &Op,
    function: fn(&mut Context, Number, Number) -> Extended,
) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let mut context = cpu.x87.context();
    let result = match (cpu.x87.number(1), cpu.x87.number(0)) {
        (Some(y), Some(x)) => function(&mut context, y, x),
        _ => context.stack_underflow(),
    };
    if !context.withholds() {
        cpu.x87.set(1, result);
        cpu.x87.pop();
    }
    cpu.x87.settle(&context);
    Ok(Step::Next)
}

/// What a function of an angle yields: what replaces ST(0), and maybe what is pushed.
type Results = (Extended, Option<Extended>);

/// FSIN.
pub(in crate::x87) extern "sysv64-unwind" fn sine(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    of_angle::<false>(cpu, op, |context, argument| (argument.sine(context), None))
}

/// FCOS.
pub(in crate::x87) extern "sysv64-unwind" fn cosine(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    of_angle::<false>(cpu, op, |context, argument| (argument.cosine(context), None))
}

/// FSINCOS: the cosine is pushed.
pub(in crate::x87) extern "sysv64-unwind" fn sine_and_cosine(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    of_angle::<true>(cpu, op, |context, argument| {
        let sine = argument.sine(context);
        (sine, Some(argument.cosine(context)))
    })
}

/// FPTAN: 1 is pushed, or the NaN once more.
pub(in crate::x87) extern "sysv64-unwind" fn tangent(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    of_angle::<true>(cpu, op, |context, argument| {
        let tangent = argument.tangent(context);
        (tangent, Some(if let Argument::Nan(nan) = argument { *nan } else { Extended::ONE }))
    })
}

/// A function of the angle in ST(0). C2 tells that it is too large, and nothing else happens.
fn of_angle<const PUSHES: bool>(
    cpu: &mut Cpu,
    op: &Op,
    function: fn(&mut Context, &Argument) -> Results,
) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let mut context = cpu.x87.context();
    cpu.x87.status &= !(C1 | C2);
    let both = |value| (value, PUSHES.then_some(value));
    let (result, pushed) = match cpu.x87.number(0) {
        None => both(context.stack_underflow()),
        Some(_) if PUSHES && cpu.x87.is_full() => both(context.stack_overflow()),
        Some(number) if trigonometric::is_out_of_range(&number) => {
            cpu.x87.status |= C2;
            return Ok(Step::Next);
        }
        Some(number) => {
            let argument = Argument::new(&mut context, &number);
            function(&mut context, &argument)
        }
    };
    if !context.withholds() {
        cpu.x87.set(0, result);
        if let Some(pushed) = pushed {
            cpu.x87.push(pushed);
        }
    }
    cpu.x87.settle(&context);
    Ok(Step::Next)
}
