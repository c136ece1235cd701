//! Instructions on flags alone, and those that do nothing: CLC STC CMC CLD STD, LAHF SAHF SALC; NOP in all its
//! forms, PAUSE, prefetches, fences, CLFLUSH.

use iced_x86::{Instruction, Mnemonic};

use crate::cpu::{Cpu, number};
use crate::fault::Abort;
use crate::flags::bit;
use crate::memory::Kind;
use crate::op::{Execute, Op, Step, property};
use crate::width::Byte;

/// The number of AH as a byte register.
const AH: u8 = 1;

/// Those that LAHF and SAHF know, besides one that is always set.
const LOW: u64 = bit::SF | bit::ZF | bit::AF | bit::PF | bit::CF;

extern "sysv64-unwind" fn clear_carry(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    cpu.flags.set_carry(false);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn set_carry(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    cpu.flags.set_carry(true);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn complement_carry(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let carry = cpu.flags.carry();
    cpu.flags.set_carry(!carry);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn clear_direction(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    cpu.flags.set_control(bit::DF, false);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn set_direction(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    cpu.flags.set_control(bit::DF, true);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn lahf(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let bits = cpu.flags.bits() & (LOW | bit::FIXED);
    cpu.set::<Byte>(AH, bits);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn sahf(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let overflow = cpu.flags.bits() & bit::OF;
    let bits = cpu.get::<Byte>(AH) & LOW;
    cpu.flags.set_arithmetic(overflow | bits);
    Ok(Step::Next)
}

/// SALC: AL becomes all ones if CF is set, else zero.
extern "sysv64-unwind" fn salc(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let value = if cpu.flags.carry() { 0xff } else { 0 };
    cpu.set::<Byte>(2 * number::RAX, value);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn nothing(_: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    Ok(Step::Next)
}

/// CLFLUSH: there are no caches, but a bad address faults as in a load (Intel SDM volume 2, CLFLUSH).
extern "sysv64-unwind" fn flush_line(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let linear = cpu.address(op, 1, Kind::Read)?;
    cpu.memory.check_read(linear)?;
    Ok(Step::Next)
}

/// What executes an instruction of this module.
pub(super) fn select(instruction: &Instruction, op: &Op) -> Option<Execute> {
    let is_compatibility = op.is(property::COMPATIBILITY);
    Some(match instruction.mnemonic() {
        Mnemonic::Clc => clear_carry,
        Mnemonic::Stc => set_carry,
        Mnemonic::Cmc => complement_carry,
        Mnemonic::Cld => clear_direction,
        Mnemonic::Std => set_direction,
        // CPUID does not offer them in 64-bit mode.
        Mnemonic::Lahf if is_compatibility => lahf,
        Mnemonic::Sahf if is_compatibility => sahf,
        Mnemonic::Salc => salc,
        Mnemonic::Clflush => flush_line,
        Mnemonic::Nop
        | Mnemonic::Reservednop
        | Mnemonic::Endbr32
        | Mnemonic::Endbr64
        | Mnemonic::Rdsspd
        | Mnemonic::Rdsspq
        | Mnemonic::Pause
        | Mnemonic::Prefetch
        | Mnemonic::Prefetchw
        | Mnemonic::Prefetchwt1
        | Mnemonic::Prefetchnta
        | Mnemonic::Prefetcht0
        | Mnemonic::Prefetcht1
        | Mnemonic::Prefetcht2
        | Mnemonic::Lfence
        | Mnemonic::Sfence
        | Mnemonic::Mfence => nothing,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Exception, vector};
    use crate::flags::Flags;
    use crate::testing::{Trial, state};

    #[test]
    fn flags_go_through_ah_in_compatibility_mode_only() {
        let mut trial = Trial::new();
        assert_eq!(trial.fault(&[0x9f]), Exception::UNDEFINED);
        assert_eq!(trial.fault(&[0x9e]), Exception::UNDEFINED);
        let mut state = state();
        state.segments.cs.attributes = 0xc09b;
        let mut trial = Trial::with(&state);
        trial.cpu.flags = Flags::from_bits(bit::ALL);
        trial.completes(&[0x9f], "LAHF");
        assert_eq!(trial.cpu.register(number::RAX), 0xd700);
        trial.cpu.registers[0] = 0;
        trial.completes(&[0x9e], "SAHF");
        assert_eq!(trial.cpu.flags.bits(), bit::ALL & !LOW | bit::FIXED);
        trial.completes(&[0xf9], "STC");
        trial.completes(&[0xd6], "SALC");
        assert_eq!(trial.cpu.register(number::RAX), 0xff);
    }

    #[test]
    fn hints_access_nothing_and_clflush_faults_as_a_load() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RBX) = 1 << 62;
        let hints: [&[u8]; 8] = [
            &[0x0f, 0x1f, 0x03],
            &[0x0f, 0x18, 0x0b],
            &[0x0f, 0x0d, 0x0b],
            &[0x0f, 0x19, 0x03],
            &[0xf3, 0x0f, 0x1e, 0xfa],
            &[0xf3, 0x48, 0x0f, 0x1e, 0xc8],
            &[0xf3, 0x90],
            &[0x0f, 0xae, 0xf0],
        ];
        for hint in hints {
            assert_eq!(trial.execute(hint), Ok(Step::Next), "{hint:02x?}");
        }
        *trial.cpu.register_mut(number::RBX) = 1 << 40;
        let exception = trial.fault(&[0x0f, 0xae, 0x3b]);
        assert_eq!((exception.vector, exception.error_code), (vector::PAGE_FAULT, Some(0)));
    }
}
