//! Instructions that read and write in one go: XCHG, XADD, CMPXCHG and its wide forms.
//!
//! There is one processor, so a LOCK prefix changes nothing; where it is not allowed, decoding finds out.

use iced_x86::{Instruction, Mnemonic};

use super::choose::{is_memory, operand_bits};
use crate::cpu::{Cpu, number};
use crate::fault::{Abort, Exception};
use crate::memory::Kind;
use crate::op::{Execute, Op, Step};
use crate::width::{Dword, Width};

/// XCHG of two registers.
extern "sysv64-unwind" fn swap<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let (a, b) = (cpu.get::<W>(op.a), cpu.get::<W>(op.b));
    cpu.set::<W>(op.a, b);
    cpu.set::<W>(op.b, a);
    Ok(Step::Next)
}

/// XCHG of memory and a register.
extern "sysv64-unwind" fn swap_memory<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let new = cpu.get::<W>(op.a);
    let mut old = 0;
    let linear = cpu.address(op, W::BYTES, Kind::Write)?;
    let step = cpu.update::<W>(linear, |_, value| {
        old = value;
        new
    })?;
    cpu.set::<W>(op.a, old);
    Ok(step)
}

/// XADD of two registers. If they are the same, it ends up with the sum (Intel SDM volume 2, XADD).
extern "sysv64-unwind" fn exchange_add<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let (a, b) = (cpu.get::<W>(op.a), cpu.get::<W>(op.b));
    let sum = a.wrapping_add(b) & W::MASK;
    cpu.flags.after_addition::<W>(a, b, sum);
    cpu.set::<W>(op.b, a);
    cpu.set::<W>(op.a, sum);
    Ok(Step::Next)
}

/// XADD of a register to memory.
extern "sysv64-unwind" fn exchange_add_memory<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let b = cpu.get::<W>(op.a);
    let mut old = 0;
    let linear = cpu.address(op, W::BYTES, Kind::Write)?;
    let step = cpu.update::<W>(linear, |flags, a| {
        old = a;
        let sum = a.wrapping_add(b) & W::MASK;
        flags.after_addition::<W>(a, b, sum);
        sum
    })?;
    cpu.set::<W>(op.a, old);
    Ok(step)
}

/// CMPXCHG of two registers. Only the register that the manual says is loaded is written to: the other one keeps
/// its upper half with 32 bits.
extern "sysv64-unwind" fn compare_exchange<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let (wanted, old) = (cpu.get::<W>(number::RAX), cpu.get::<W>(op.a));
    cpu.flags.after_subtraction::<W>(wanted, old, wanted.wrapping_sub(old) & W::MASK);
    if wanted == old {
        cpu.set::<W>(op.a, cpu.get::<W>(op.b));
    } else {
        cpu.set::<W>(number::RAX, old);
    }
    Ok(Step::Next)
}

/// CMPXCHG of memory, which is always written to: with what was there if the comparison fails.
extern "sysv64-unwind" fn compare_exchange_memory<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let (wanted, new) = (cpu.get::<W>(number::RAX), cpu.get::<W>(op.a));
    let mut old = 0;
    let linear = cpu.address(op, W::BYTES, Kind::Write)?;
    let step = cpu.update::<W>(linear, |flags, value| {
        old = value;
        flags.after_subtraction::<W>(wanted, old, wanted.wrapping_sub(old) & W::MASK);
        if wanted == old { new } else { old }
    })?;
    if wanted != old {
        cpu.set::<W>(number::RAX, old);
    }
    Ok(step)
}

/// CMPXCHG8B: EDX:EAX against memory, ECX:EBX into it. Of the flags only ZF changes.
extern "sysv64-unwind" fn compare_exchange_8(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let pair = |cpu: &Cpu, high, low| cpu.get::<Dword>(high) << 32 | cpu.get::<Dword>(low);
    let wanted = pair(cpu, number::RDX, number::RAX);
    let new = pair(cpu, number::RCX, number::RBX);
    let linear = cpu.address(op, 8, Kind::Write)?;
    let mut old = 0;
    let step = cpu.memory.update(linear, |bytes| {
        old = u64::from_le_bytes(bytes);
        (if wanted == old { new } else { old }).to_le_bytes()
    })?;
    cpu.flags.set_zero(wanted == old);
    if wanted != old {
        cpu.set::<Dword>(number::RAX, old);
        cpu.set::<Dword>(number::RDX, old >> 32);
    }
    Ok(step)
}

/// CMPXCHG16B: RDX:RAX against memory, RCX:RBX into it. #GP(0) if the operand is not aligned.
extern "sysv64-unwind" fn compare_exchange_16(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let pair = |cpu: &Cpu, high, low| u128::from(cpu.register(high)) << 64 | u128::from(cpu.register(low));
    let wanted = pair(cpu, number::RDX, number::RAX);
    let new = pair(cpu, number::RCX, number::RBX);
    let linear = cpu.address(op, 16, Kind::Write)?;
    if !linear.is_multiple_of(16) {
        return cpu.raise(Exception::PROTECTION);
    }
    let mut old = 0;
    let step = cpu.memory.update(linear, |bytes| {
        old = u128::from_le_bytes(bytes);
        (if wanted == old { new } else { old }).to_le_bytes()
    })?;
    cpu.flags.set_zero(wanted == old);
    if wanted != old {
        *cpu.register_mut(number::RAX) = old as u64;
        *cpu.register_mut(number::RDX) = (old >> 64) as u64;
    }
    Ok(step)
}

/// What executes an instruction of this module.
pub(super) fn select(instruction: &Instruction) -> Option<Execute> {
    let bits = || operand_bits(instruction, 0);
    Some(match (instruction.mnemonic(), is_memory(instruction, 0)) {
        (Mnemonic::Xchg, false) if is_memory(instruction, 1) => sized!(bits(), swap_memory),
        (Mnemonic::Xchg, false) => sized!(bits(), swap),
        (Mnemonic::Xchg, true) => sized!(bits(), swap_memory),
        (Mnemonic::Xadd, false) => sized!(bits(), exchange_add),
        (Mnemonic::Xadd, true) => sized!(bits(), exchange_add_memory),
        (Mnemonic::Cmpxchg, false) => sized!(bits(), compare_exchange),
        (Mnemonic::Cmpxchg, true) => sized!(bits(), compare_exchange_memory),
        (Mnemonic::Cmpxchg8b, _) => compare_exchange_8,
        (Mnemonic::Cmpxchg16b, _) => compare_exchange_16,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{DATA, Trial};

    #[test]
    fn a_comparison_that_fails_loads_the_accumulator() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RAX) = 0xffff_ffff_0000_0005;
        *trial.cpu.register_mut(number::RDX) = 0xeeee_eeee_0000_0006;
        *trial.cpu.register_mut(number::RCX) = 7;
        trial.completes(&[0x0f, 0xb1, 0xca], "CMPXCHG EDX, ECX");
        assert_eq!(trial.cpu.register(number::RAX), 6);
        assert_eq!(trial.cpu.register(number::RDX), 0xeeee_eeee_0000_0006);
        assert!(!trial.cpu.flags.zero());
        trial.completes(&[0x0f, 0xb1, 0xca], "CMPXCHG EDX, ECX");
        assert_eq!(trial.cpu.register(number::RDX), 7);
        assert!(trial.cpu.flags.zero());
    }

    #[test]
    fn sixteen_bytes_are_exchanged_if_aligned() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RDI) = DATA;
        trial.write(DATA, &[[1u8; 8], [2; 8]].concat());
        *trial.cpu.register_mut(number::RBX) = 3;
        *trial.cpu.register_mut(number::RCX) = 4;
        trial.completes(&[0xf0, 0x48, 0x0f, 0xc7, 0x0f], "CMPXCHG16B");
        assert!(!trial.cpu.flags.zero());
        assert_eq!(trial.cpu.register(number::RAX), 0x0101_0101_0101_0101);
        assert_eq!(trial.cpu.register(number::RDX), 0x0202_0202_0202_0202);
        trial.completes(&[0xf0, 0x48, 0x0f, 0xc7, 0x0f], "CMPXCHG16B");
        assert!(trial.cpu.flags.zero());
        assert_eq!(trial.read(DATA), (4u128 << 64 | 3).to_le_bytes());
        *trial.cpu.register_mut(number::RDI) = DATA + 8;
        assert_eq!(trial.fault(&[0x48, 0x0f, 0xc7, 0x0f]), Exception::PROTECTION);
    }

    #[test]
    fn a_comparison_that_fails_writes_all_the_same() {
        let mut trial = Trial::new();
        trial.write(0x4000 + 8 * (DATA >> 12), &(DATA | 5).to_le_bytes());
        *trial.cpu.register_mut(number::RDI) = DATA;
        *trial.cpu.register_mut(number::RAX) = 1;
        for code in [&[0x0f, 0xb1, 0x0f][..], &[0x0f, 0xc7, 0x0f], &[0x48, 0x0f, 0xc7, 0x0f]] {
            assert_eq!(trial.fault(code), Exception::page_fault(DATA, 3));
        }
        assert_eq!(trial.cpu.register(number::RAX), 1);
    }

    #[test]
    fn xadd_of_a_register_to_itself_doubles_it() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RBX) = 21;
        trial.completes(&[0x48, 0x0f, 0xc1, 0xdb], "XADD RBX, RBX");
        assert_eq!(trial.cpu.register(number::RBX), 42);
    }

    #[test]
    fn lock_is_an_invalid_instruction_where_it_may_not_be() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RDI) = DATA;
        trial.completes(&[0xf0, 0x01, 0x07], "LOCK ADD [RDI], EAX");
        for code in [
            &[0xf0, 0x01, 0xc7][..],
            &[0xf0, 0x39, 0x07],
            &[0xf0, 0x90],
            &[0xf0, 0x8b, 0x07],
            &[0xf0, 0xd1, 0x27],
        ] {
            trial.write(crate::testing::CODE, code);
            let entry = crate::testing::CODE;
            let block = crate::decode::block(
                &mut trial.cpu,
                crate::decode::Entry {
                    rip: entry,
                    linear: entry,
                    physical: entry,
                    size: crate::memory::circumstances::CodeSize::Long,
                },
            );
            let op = block.expect("it is mapped").ops[0];
            assert_eq!((op.execute)(&mut trial.cpu, &op), Err(Abort), "{code:02x?}");
        }
    }
}
