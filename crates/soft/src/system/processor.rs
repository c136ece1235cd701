//! The processor itself: CPUID, RDTSC, RDPMC, HLT, INVLPG, INVD and WBINVD (Intel SDM volume 2).

use iced_x86::{Instruction, Mnemonic};
use outlive_engine::{Activity, Exit, cpuid};

use crate::cpu::{Cpu, number};
use crate::decode::Selection;
use crate::fault::{Abort, Exception};
use crate::memory::is_canonical;
use crate::op::{Op, Step, address, property};

/// CR4.TSD: RDTSC in ring 0 only.
const TIME_STAMP_DISABLE: u64 = 1 << 2;

pub(super) fn select(instruction: &Instruction) -> Option<Selection> {
    Some(match instruction.mnemonic() {
        Mnemonic::Cpuid => Selection::plain(identify),
        Mnemonic::Rdtsc => Selection::plain(rdtsc),
        Mnemonic::Rdpmc => Selection::plain(rdpmc),
        Mnemonic::Hlt => Selection::last(hlt),
        Mnemonic::Invlpg => Selection::last(invlpg),
        Mnemonic::Invd | Mnemonic::Wbinvd => Selection::plain(no_caches),
        _ => return None,
    })
}

extern "sysv64-unwind" fn identify(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let (leaf, subleaf) = (cpu.register(number::RAX) as u32, cpu.register(number::RCX) as u32);
    let result = cpuid::lookup(leaf, subleaf);
    *cpu.register_mut(number::RAX) = result.eax.into();
    *cpu.register_mut(number::RBX) = result.ebx.into();
    *cpu.register_mut(number::RCX) = result.ecx.into();
    *cpu.register_mut(number::RDX) = result.edx.into();
    Ok(Step::Next)
}

/// CPUID does not advertise it, but kernels use it all the same; the time comes from the monitor.
extern "sysv64-unwind" fn rdtsc(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    if cpu.privilege() != 0 && cpu.control.cr4 & TIME_STAMP_DISABLE != 0 {
        return cpu.raise(Exception::PROTECTION);
    }
    let time = cpu.ask_value(Exit::TimeRead)?;
    cpu.set_wide_result(time);
    Ok(Step::Next)
}

/// There are no counters, so that every number is a wrong one.
extern "sysv64-unwind" fn rdpmc(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    cpu.raise(Exception::PROTECTION)
}

extern "sysv64-unwind" fn hlt(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    cpu.check_ring_0()?;
    cpu.activity = Activity::Halted;
    cpu.exit = Some(Exit::Halt);
    cpu.attend();
    Ok(Step::Leave)
}

/// An address that is not canonical has no translation to forget.
extern "sysv64-unwind" fn invlpg(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    cpu.check_ring_0()?;
    let linear = linear_unchecked(cpu, op);
    if is_canonical(linear) {
        cpu.memory.flush_page(linear);
    }
    Ok(Step::Leave)
}

/// The linear address of a memory operand that is not accessed: no limit is checked.
fn linear_unchecked(cpu: &Cpu, op: &Op) -> u64 {
    let offset = cpu.offset(op);
    let base = match op.segment & address::SEGMENT {
        0 => 0,
        number => cpu.segment(number - 1).base,
    };
    let linear = base.wrapping_add(offset);
    if op.is(property::COMPATIBILITY) { linear & 0xffff_ffff } else { linear }
}

extern "sysv64-unwind" fn no_caches(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    cpu.check_ring_0()?;
    Ok(Step::Next)
}

#[cfg(test)]
mod tests {
    use outlive_engine::Answer;

    use super::*;
    use crate::system::stage::Stage;
    use crate::testing::{CODE, DATA};

    #[test]
    fn cpuid_tells_the_table_and_clears_the_upper_halves() {
        let mut stage = Stage::user();
        for (leaf, subleaf) in [(0, 0), (1, 0), (4, 2), (0x8000_0002, 7), (0x1234_5678, 0)] {
            for register in 0..4 {
                *stage.trial.cpu.register_mut(register) = u64::MAX << 32;
            }
            *stage.trial.cpu.register_mut(number::RAX) |= leaf;
            *stage.trial.cpu.register_mut(number::RCX) |= subleaf;
            assert!(stage.trial.execute(&[0x0f, 0xa2]).is_ok());
            let expected = cpuid::lookup(leaf as u32, subleaf as u32);
            let found = [number::RAX, number::RBX, number::RCX, number::RDX];
            let found = found.map(|register| stage.trial.cpu.register(register));
            assert_eq!(found, [expected.eax, expected.ebx, expected.ecx, expected.edx].map(u64::from));
        }
    }

    #[test]
    fn rdtsc_is_a_time_read_unless_it_is_for_ring_0_only() {
        let mut stage = Stage::user();
        stage.answers = vec![Answer::Value(0x1_0000_0002)];
        let frame = stage.event(&[0x0f, 0x31, 0x0f, 0x0b]);
        assert_eq!(frame.rip, CODE + 2);
        assert_eq!((stage.trial.cpu.register(number::RDX), stage.trial.cpu.register(number::RAX)), (1, 2));
        stage = Stage::user();
        stage.trial.cpu.control.cr4 |= TIME_STAMP_DISABLE;
        assert_eq!(stage.trial.fault(&[0x0f, 0x31]), Exception::PROTECTION);
        let mut stage = Stage::new();
        stage.trial.cpu.control.cr4 |= TIME_STAMP_DISABLE;
        assert_eq!(stage.run(&[0x0f, 0x31]), Exit::TimeRead);
    }

    #[test]
    fn what_is_not_advertised_is_undefined() {
        let codes = [
            &[0x0f, 0x01, 0xf9][..],   // RDTSCP
            &[0x0f, 0x01, 0xc8],       // MONITOR
            &[0x0f, 0x01, 0xc9],       // MWAIT
            &[0x0f, 0x01, 0xc1],       // VMCALL
            &[0x0f, 0x01, 0xca],       // CLAC
            &[0x0f, 0x01, 0xd0],       // XGETBV
            &[0x0f, 0xc7, 0xf0],       // RDRAND
            &[0xf3, 0x0f, 0xae, 0xc0], // RDFSBASE
            &[0x0f, 0xaa],             // RSM
            &[0x0f, 0x0b],             // UD2
            &[0x0f, 0xb9, 0xc0],       // UD1
            &[0x0f, 0xff, 0xc0],       // UD0
        ];
        for code in codes {
            assert_eq!(Stage::new().trial.fault(code), Exception::UNDEFINED, "{code:x?}");
        }
        assert_eq!(Stage::new().trial.fault(&[0x0f, 0x33]), Exception::PROTECTION, "RDPMC");
    }

    #[test]
    fn hlt_stops_behind_itself() {
        let mut stage = Stage::new();
        assert_eq!(stage.run(&[0x90, 0xf4]), Exit::Halt);
        assert_eq!((stage.trial.cpu.rip, stage.trial.cpu.retired), (CODE + 2, 2));
        assert_eq!(stage.trial.cpu.activity, Activity::Halted);
        assert_eq!(Stage::user().trial.fault(&[0xf4]), Exception::PROTECTION);
    }

    #[test]
    fn invlpg_forgets_a_translation() {
        let mut stage = Stage::new();
        assert!(stage.trial.cpu.memory.read::<1>(DATA).is_ok());
        stage.trial.write(0x4000 + 8 * (DATA >> 12), &[0; 8]);
        assert!(stage.trial.cpu.memory.read::<1>(DATA).is_ok(), "it is remembered");
        *stage.trial.cpu.register_mut(number::RBX) = DATA + 0x123;
        assert_eq!(stage.trial.execute(&[0x0f, 0x01, 0x3b]), Ok(Step::Leave));
        assert!(stage.trial.cpu.memory.read::<1>(DATA).is_err());
        *stage.trial.cpu.register_mut(number::RBX) = 1 << 63;
        assert_eq!(stage.trial.execute(&[0x0f, 0x01, 0x3b]), Ok(Step::Leave), "not canonical");
        assert_eq!(Stage::user().trial.fault(&[0x0f, 0x01, 0x3b]), Exception::PROTECTION);
    }

    #[test]
    fn caches_are_for_ring_0() {
        for code in [[0x0f, 0x08], [0x0f, 0x09]] {
            assert_eq!(Stage::new().trial.execute(&code), Ok(Step::Next));
            assert_eq!(Stage::user().trial.fault(&code), Exception::PROTECTION);
        }
    }
}
