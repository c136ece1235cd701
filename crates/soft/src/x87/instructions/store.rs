//! FST, FSTP, FIST, FISTP, FBSTP.

use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Op, Step};
use crate::width::Width;
use crate::x87::decimal;
use crate::x87::guard::{begin, note, note_memory};
use crate::x87::instructions::operand::{self, Operand};
use crate::x87::number::{Extended, Number};
use crate::x87::rounding::Context;
use crate::x87::status::C1;

/// ST(0), or what masked stack underflows put in its place.
#[inline]
fn source(cpu: &Cpu, context: &mut Context) -> Extended {
    if cpu.x87.is_empty(0) { context.stack_underflow() } else { cpu.x87.st(0) }
}

/// Stores nothing.
#[cold]
fn withhold(cpu: &mut Cpu, op: &Op, bytes: usize, alignment: u64) -> Result<Step, Abort> {
    operand::check_store(cpu, op, bytes, alignment)?;
    Ok(Step::Next)
}

/// The memory operand has been written: the rest of a store.
#[inline]
fn finish<const POP: bool>(cpu: &mut Cpu, op: &Op, context: &Context) {
    note_memory(cpu, op);
    if POP && !context.withholds_store() {
        cpu.x87.pop();
    }
    cpu.x87.settle(context);
}

/// FST m32, FST m64, FIST, and with a pop.
pub(in crate::x87) extern "sysv64-unwind" fn store<M: Operand, const POP: bool>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    begin(cpu)?;
    let mut context = cpu.x87.context();
    let value = source(cpu, &mut context);
    let bits = M::bits(&mut context, &Number::from_extended(value));
    let step = match context.withholds_store() {
        true => withhold(cpu, op, M::Width::BYTES, M::Width::BYTES as u64)?,
        false => cpu.store_operand::<M::Width>(op, bits)?,
    };
    finish::<POP>(cpu, op, &context);
    Ok(step)
}

/// FSTP m80: whatever it is.
pub(in crate::x87) extern "sysv64-unwind" fn store_extended(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    let mut context = cpu.x87.context();
    let value = source(cpu, &mut context);
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&value.significand.to_le_bytes());
    bytes[8..].copy_from_slice(&value.sign_exponent.to_le_bytes());
    store_ten(cpu, op, &context, bytes)
}

/// FBSTP.
pub(in crate::x87) extern "sysv64-unwind" fn store_decimal(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    let mut context = cpu.x87.context();
    let value = source(cpu, &mut context);
    let bytes = decimal::store(&mut context, &Number::from_extended(value));
    store_ten(cpu, op, &context, bytes)
}

fn store_ten(cpu: &mut Cpu, op: &Op, context: &Context, bytes: [u8; 10]) -> Result<Step, Abort> {
    let step = match context.withholds_store() {
        true => withhold(cpu, op, 10, 8)?,
        false => operand::store_ten(cpu, op, bytes)?,
    };
    finish::<true>(cpu, op, context);
    Ok(step)
}

/// FST ST(i), FSTP ST(i).
pub(in crate::x87) extern "sysv64-unwind" fn store_register<const POP: bool>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    let mut context = cpu.x87.context();
    let value = source(cpu, &mut context);
    if !context.withholds() {
        cpu.x87.set(op.extra, value);
        if POP {
            cpu.x87.pop();
        }
    }
    cpu.x87.settle(&context);
    Ok(Step::Next)
}

/// FSTPNCE, an alias of FSTP ST(i) that stores nothing if ST(0) is empty, without an exception.
pub(in crate::x87) extern "sysv64-unwind" fn store_unchecked(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    begin(cpu)?;
    note(cpu, op);
    if !cpu.x87.is_empty(0) {
        cpu.x87.set(op.extra, cpu.x87.st(0));
    }
    cpu.x87.pop();
    cpu.x87.status &= !C1;
    Ok(Step::Next)
}

#[cfg(test)]
mod tests {
    use crate::cpu::number;
    use crate::fault::Reason;
    use crate::memory::circumstances::CodeSize;
    use crate::op::Step;
    use crate::testing::{DATA, RAM, Trial};

    /// FISTP dword [RDI].
    const FISTP: &[u8] = &[0xdb, 0x1f];

    /// A processor with an empty stack, which is an exception that is not masked.
    fn empty(rdi: u64) -> Trial {
        let mut trial = Trial::new();
        trial.cpu.x87.set_control(0x37e);
        *trial.cpu.register_mut(number::RDI) = rdi;
        trial
    }

    #[test]
    fn a_number_that_is_withheld_is_not_stored() {
        for rdi in [DATA, RAM] {
            let mut trial = empty(rdi);
            trial.write(DATA, &[1, 2, 3, 4]);
            assert_eq!(trial.execute(FISTP), Ok(Step::Next));
            assert_eq!(trial.read(DATA), [1, 2, 3, 4]);
            assert_eq!(trial.cpu.memory.mmio.next_write(), None);
            assert_eq!((trial.cpu.x87.status, trial.cpu.x87.top), (0x80c1, 0));
        }
    }

    #[test]
    fn a_store_faults_even_if_the_number_is_withheld() {
        let mut trial = empty(1 << 63);
        assert_eq!(trial.execute(FISTP), Err(Reason::NotCanonical));
        assert_eq!(trial.cpu.x87.status, 0);
    }

    #[test]
    fn a_last_byte_that_is_not_canonical_comes_before_alignment() {
        let mut trial = empty((1 << 47) - 3);
        trial.cpu.memory.set_mode(true, true, CodeSize::Long);
        assert_eq!(trial.execute(FISTP), Err(Reason::NotCanonical));
    }
}
