//! FCOM, FUCOM, FICOM, FTST, FXAM, FCOMI, FUCOMI, FCMOV.

use std::cmp::Ordering;

use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::flags::bit;
use crate::op::{Op, Step};
use crate::x87::compare::{self, Strictness};
use crate::x87::guard::{begin, note, note_memory};
use crate::x87::instructions::operand::{self, Operand};
use crate::x87::number::Number;
use crate::x87::rounding::Context;
use crate::x87::status::{C1, CONDITION, SF};

/// Compares ST(0) with an operand. An empty register compares as no number.
#[inline]
fn order(
    cpu: &Cpu,
    context: &mut Context,
    operand: Option<Number>,
    strictness: Strictness,
) -> Option<Ordering> {
    match (cpu.x87.number(0), operand) {
        (Some(left), Some(right)) => compare::compare(context, &left, &right, strictness),
        _ => {
            context.stack_underflow();
            None
        }
    }
}

/// Compares ST(0) with an operand, sets C0, C2 and C3, and pops, which exceptions that are not masked prevent.
/// They do not keep the condition codes from being set, although Intel SDM volume 2 (FCOM) says so: hardware
/// sets them.
#[inline]
fn set_condition(cpu: &mut Cpu, operand: Option<Number>, strictness: Strictness, pops: u8) {
    let mut context = cpu.x87.context();
    let order = order(cpu, &mut context, operand, strictness);
    cpu.x87.settle(&context);
    cpu.x87.status = cpu.x87.status & !CONDITION | compare::condition(order);
    if !context.withholds() {
        (0..pops).for_each(|_| cpu.x87.pop());
    }
}

/// FCOM m32, FCOM m64, FICOM, and with a pop.
pub(in crate::x87) extern "sysv64-unwind" fn with_memory<M: Operand, const POPS: u8>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    begin(cpu)?;
    let number = operand::load::<M>(cpu, op)?;
    note_memory(cpu, op);
    set_condition(cpu, Some(number), Strictness::Ordered, POPS);
    Ok(Step::Next)
}

/// FCOM ST(i), FCOMP ST(i), FCOMPP.
pub(in crate::x87) extern "sysv64-unwind" fn with_register<const POPS: u8>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    set_condition(cpu, cpu.x87.number(op.extra), Strictness::Ordered, POPS);
    Ok(Step::Next)
}

/// FUCOM ST(i), FUCOMP ST(i), FUCOMPP.
pub(in crate::x87) extern "sysv64-unwind" fn quietly_with_register<const POPS: u8>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    set_condition(cpu, cpu.x87.number(op.extra), Strictness::Quiet, POPS);
    Ok(Step::Next)
}

/// FTST.
pub(in crate::x87) extern "sysv64-unwind" fn with_zero(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    set_condition(cpu, Some(Number::from_integer(0)), Strictness::Ordered, 0);
    Ok(Step::Next)
}

/// FXAM.
pub(in crate::x87) extern "sysv64-unwind" fn examine(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let condition = compare::examine(cpu.x87.st(0), cpu.x87.is_empty(0));
    cpu.x87.status = cpu.x87.status & !CONDITION | condition;
    Ok(Step::Next)
}

/// FCOMI, FCOMIP.
pub(in crate::x87) extern "sysv64-unwind" fn to_flags<const POP: bool>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    set_flags::<POP>(cpu, op, Strictness::Ordered)
}

/// FUCOMI, FUCOMIP.
pub(in crate::x87) extern "sysv64-unwind" fn quietly_to_flags<const POP: bool>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    set_flags::<POP>(cpu, op, Strictness::Quiet)
}

/// Compares ST(0) with ST(i), and sets ZF, PF and CF, even if an exception is not masked, as hardware does; the
/// other arithmetic flags become 0. C1 becomes 0 if a register is empty, and stays otherwise, although Intel SDM
/// volume 2 (FCOMI) has it become 0 always: hardware leaves it.
#[inline]
fn set_flags<const POP: bool>(cpu: &mut Cpu, op: &Op, strictness: Strictness) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let mut context = cpu.x87.context();
    let order = order(cpu, &mut context, cpu.x87.number(op.extra), strictness);
    let kept = if context.found() & SF == 0 { cpu.x87.status & C1 } else { 0 };
    cpu.x87.settle(&context);
    cpu.x87.status |= kept;
    cpu.flags.set_arithmetic(match order {
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => bit::CF,
        Some(Ordering::Equal) => bit::ZF,
        None => bit::ZF | bit::PF | bit::CF,
    });
    if POP && !context.withholds() {
        cpu.x87.pop();
    }
    Ok(Step::Next)
}

/// A condition of FCMOV.
pub(in crate::x87) trait Condition {
    fn holds(cpu: &Cpu) -> bool;
}

macro_rules! conditions {
    ($($name:ident: $holds:expr;)*) => {
        $(
            pub(in crate::x87) struct $name;

            impl Condition for $name {
                fn holds(cpu: &Cpu) -> bool {
                    let holds: fn(&Cpu) -> bool = $holds;
                    holds(cpu)
                }
            }
        )*
    };
}

conditions! {
    Below: |cpu| cpu.flags.carry();
    Equal: |cpu| cpu.flags.zero();
    BelowOrEqual: |cpu| cpu.flags.carry() || cpu.flags.zero();
    Unordered: |cpu| cpu.flags.parity();
    NotBelow: |cpu| !Below::holds(cpu);
    NotEqual: |cpu| !Equal::holds(cpu);
    NotBelowOrEqual: |cpu| !BelowOrEqual::holds(cpu);
    NotUnordered: |cpu| !Unordered::holds(cpu);
}

/// FCMOV. An empty register is a stack fault whether the condition holds or not. C1 changes with that only.
pub(in crate::x87) extern "sysv64-unwind" fn move_if<C: Condition>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let mut context = cpu.x87.context();
    if cpu.x87.is_empty(0) || cpu.x87.is_empty(op.extra) {
        let value = context.stack_underflow();
        if !context.withholds() {
            cpu.x87.set(0, value);
        }
        cpu.x87.settle(&context);
    } else if C::holds(cpu) {
        cpu.x87.set(0, cpu.x87.st(op.extra));
    }
    Ok(Step::Next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Trial;

    /// FCOMI, FUCOMI, FUCOMIP and FCOMIP of ST(0) and ST(1).
    const COMPARISONS: [[u8; 2]; 4] = [[0xdb, 0xf1], [0xdb, 0xe9], [0xdf, 0xe9], [0xdf, 0xf1]];

    /// A processor with 1 and 1 on the stack and C1 set.
    fn with_c1() -> Trial {
        let mut trial = Trial::new();
        trial.completes(&[0xd9, 0xe8], "FLD1");
        trial.completes(&[0xd9, 0xe8], "FLD1");
        trial.cpu.x87.status |= C1;
        trial
    }

    #[test]
    fn a_comparison_to_flags_leaves_c1_alone() {
        for comparison in COMPARISONS {
            let mut trial = with_c1();
            trial.completes(&comparison, "FCOMI");
            assert_ne!(trial.cpu.x87.status & C1, 0, "{comparison:02x?}");
            assert!(trial.cpu.flags.zero() && !trial.cpu.flags.parity(), "{comparison:02x?}");
        }
    }

    #[test]
    fn a_comparison_to_flags_with_an_empty_register_clears_c1() {
        for [opcode, register] in COMPARISONS {
            let mut trial = with_c1();
            trial.completes(&[opcode, register + 2], "FCOMI");
            assert_eq!(trial.cpu.x87.status & (C1 | SF), SF, "{opcode:02x} {register:02x}");
            assert!(trial.cpu.flags.parity());
        }
    }
}
