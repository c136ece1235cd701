//! RDMSR and WRMSR, by the table of registers in [`outlive_engine::msr`].
//!
//! Registers that are part of the processor's state are kept here. All others are the monitor's, and a value
//! that a kept register refuses is told to it too: that is how it goes on KVM, and exits are counted.
//! The registers of an x2APIC fault at once, as KVM lets nobody filter them.

use iced_x86::{Instruction, Mnemonic};
use outlive_engine::{Exit, msr};

use crate::cpu::{Cpu, number};
use crate::decode::Selection;
use crate::fault::{Abort, Exception};
use crate::memory::is_canonical;
use crate::op::{Op, Step};

const X2APIC: std::ops::RangeInclusive<u32> = 0x800..=0x8ff;

/// Bits of EFER.
mod efer {
    pub(super) const LME: u64 = 1 << 8;
    pub(super) const LMA: u64 = 1 << 10;
    /// SCE, LME, LMA, NXE.
    pub(super) const ALL: u64 = 1 << 0 | LME | LMA | 1 << 11;
}

pub(super) fn select(instruction: &Instruction) -> Option<Selection> {
    Some(match instruction.mnemonic() {
        Mnemonic::Rdmsr => Selection::plain(rdmsr),
        Mnemonic::Wrmsr => Selection::last(wrmsr),
        _ => return None,
    })
}

/// The number of the register: ECX. #GP(0) outside of ring 0.
fn index(cpu: &mut Cpu) -> Result<u32, Abort> {
    cpu.check_ring_0()?;
    let index = cpu.register(number::RCX) as u32;
    if X2APIC.contains(&index) { cpu.raise(Exception::PROTECTION) } else { Ok(index) }
}

extern "sysv64-unwind" fn rdmsr(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let index = index(cpu)?;
    let value = match kept(cpu, index) {
        Some(register) => *register,
        None => cpu.ask_value(Exit::MsrRead { index })?,
    };
    cpu.set_wide_result(value);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn wrmsr(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let index = index(cpu)?;
    let (low, high) = (cpu.register(number::RAX), cpu.register(number::RDX));
    let value = high << 32 | low & 0xffff_ffff;
    if kept(cpu, index).is_none() || !is_accepted(index, value) {
        cpu.ask_value(Exit::MsrWrite { index, value })?;
        return Ok(Step::Leave);
    }
    let value = match index {
        // LMA follows from LME and CR0.PG.
        msr::EFER => value & !efer::LMA | cpu.control.efer & efer::LMA,
        msr::SYSENTER_CS => value & 0xffff_ffff,
        _ => value,
    };
    if let Some(register) = kept(cpu, index) {
        *register = value;
    }
    if index == msr::EFER {
        cpu.paging_changed();
    }
    Ok(Step::Leave)
}

/// A register that is part of the processor's state.
fn kept(cpu: &mut Cpu, index: u32) -> Option<&mut u64> {
    Some(match index {
        msr::SYSENTER_CS => &mut cpu.msrs.sysenter_cs,
        msr::SYSENTER_ESP => &mut cpu.msrs.sysenter_esp,
        msr::SYSENTER_EIP => &mut cpu.msrs.sysenter_eip,
        msr::EFER => &mut cpu.control.efer,
        msr::STAR => &mut cpu.msrs.star,
        msr::LSTAR => &mut cpu.msrs.lstar,
        msr::CSTAR => &mut cpu.msrs.cstar,
        msr::SFMASK => &mut cpu.msrs.sfmask,
        msr::FS_BASE => &mut cpu.segments.fs.base,
        msr::GS_BASE => &mut cpu.segments.gs.base,
        msr::KERNEL_GS_BASE => &mut cpu.msrs.kernel_gs_base,
        _ => return None,
    })
}

/// Whether a kept register takes a value: addresses must be canonical, and reserved bits zero (Intel SDM
/// volume 4, table 2-2). LME cannot be cleared while paging is on (volume 3, 12.8.5).
fn is_accepted(index: u32, value: u64) -> bool {
    match index {
        msr::EFER => value & !efer::ALL == 0 && value & efer::LME != 0,
        msr::STAR | msr::SYSENTER_CS => true,
        msr::SFMASK => value >> 32 == 0,
        _ => is_canonical(value),
    }
}

impl Cpu {
    /// EDX:EAX; the upper halves of RDX and RAX become zero.
    pub(super) fn set_wide_result(&mut self, value: u64) {
        *self.register_mut(number::RAX) = value & 0xffff_ffff;
        *self.register_mut(number::RDX) = value >> 32;
    }
}

#[cfg(test)]
mod tests {
    use outlive_engine::Answer;

    use super::*;
    use crate::fault::Reason;
    use crate::op::Step;
    use crate::system::stage::Stage;

    const RDMSR: [u8; 2] = [0x0f, 0x32];
    const WRMSR: [u8; 2] = [0x0f, 0x30];

    fn write(stage: &mut Stage, index: u32, value: u64) -> Result<Step, Reason> {
        *stage.trial.cpu.register_mut(number::RCX) = 0xffff_ffff_0000_0000 | u64::from(index);
        *stage.trial.cpu.register_mut(number::RAX) = value | 0xffff_ffff_0000_0000;
        *stage.trial.cpu.register_mut(number::RDX) = value >> 32 | 0xffff_ffff_0000_0000;
        stage.trial.execute(&WRMSR)
    }

    fn read(stage: &mut Stage, index: u32) -> (u64, u64) {
        *stage.trial.cpu.register_mut(number::RCX) = index.into();
        assert!(stage.trial.execute(&RDMSR).is_ok());
        (stage.trial.cpu.register(number::RDX), stage.trial.cpu.register(number::RAX))
    }

    #[test]
    fn every_register_of_the_state_is_kept_and_no_other() {
        let mut cpu = Stage::new().trial.cpu;
        for index in (0..0x2000).chain(0xc000_0000..0xc000_2000) {
            let is_kept = msr::behaviour(index) == msr::MsrBehaviour::Kept;
            assert_eq!(kept(&mut cpu, index).is_some(), is_kept, "{index:#x}");
        }
    }

    #[test]
    fn kept_registers_hold_what_was_written() {
        let mut stage = Stage::new();
        let kept = msr::TABLE.iter().filter(|msr| msr.behaviour == msr::MsrBehaviour::Kept);
        for (at, register) in kept.filter(|msr| msr.index != msr::EFER).enumerate() {
            let wide =
                if matches!(register.index, msr::SFMASK | msr::SYSENTER_CS) { 0 } else { 0x7abc << 32 };
            let value = wide | (0x8765_4321 + at as u64);
            assert_eq!(write(&mut stage, register.index, value), Ok(Step::Leave), "{}", register.name);
            assert_eq!(
                read(&mut stage, register.index),
                (value >> 32, value & 0xffff_ffff),
                "{}",
                register.name
            );
        }
        assert_eq!(stage.trial.cpu.segments.gs.base >> 32, 0x7abc);
    }

    #[test]
    fn refused_values_are_told_to_the_monitor_and_fault_by_its_answer() {
        let lme_off = 1 | 1 << 11;
        let cases = [
            (msr::EFER, lme_off),
            (msr::EFER, 0xd01 | 1 << 12),
            (msr::LSTAR, 1 << 47),
            (msr::GS_BASE, 1 << 63),
            (msr::SYSENTER_EIP, 1 << 63),
            (msr::SFMASK, 1 << 32),
        ];
        for (index, value) in cases {
            let mut stage = Stage::new();
            assert_eq!(write(&mut stage, index, value), Err(Reason::Exit(Exit::MsrWrite { index, value })));
            stage.answers = vec![Answer::GeneralProtection];
            let frame = stage.event(&WRMSR);
            assert_eq!((frame.vector, frame.code), (13, Some(0)));
        }
    }

    #[test]
    fn efer_keeps_lma_and_governs_paging() {
        let mut stage = Stage::new();
        assert_eq!(write(&mut stage, msr::EFER, 0x101), Ok(Step::Leave));
        assert_eq!(stage.trial.cpu.control.efer, 0x501);
        assert!(!stage.trial.cpu.memory.paging.no_execute);
    }

    #[test]
    fn other_registers_are_asked_for() {
        let mut stage = Stage::new();
        stage.answers = vec![Answer::Value(0x1122_3344_5566_7788), Answer::Done];
        *stage.trial.cpu.register_mut(number::RCX) = 0x10;
        let mut code = RDMSR.to_vec();
        code.extend(WRMSR);
        code.push(0xf4);
        assert_eq!(stage.run(&code), Exit::Halt);
        assert_eq!(stage.trial.cpu.register(number::RDX), 0x1122_3344);
        assert_eq!(stage.trial.cpu.register(number::RAX), 0x5566_7788);
        assert_eq!(stage.trial.cpu.retired, 3);
        *stage.trial.cpu.register_mut(number::RCX) = 0x8b;
        assert_eq!(stage.run(&RDMSR), Exit::MsrRead { index: 0x8b });
    }

    #[test]
    fn ring_3_and_the_x2apic_fault_without_an_exit() {
        assert_eq!(Stage::user().trial.fault(&RDMSR), Exception::PROTECTION);
        assert_eq!(Stage::user().trial.fault(&WRMSR), Exception::PROTECTION);
        let mut stage = Stage::new();
        *stage.trial.cpu.register_mut(number::RCX) = 0x802;
        assert_eq!(stage.trial.fault(&RDMSR), Exception::PROTECTION);
    }
}
