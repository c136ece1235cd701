//! SYSCALL, SYSRET and SWAPGS (Intel SDM volume 2), as Intel's processors have them: SYSCALL and SYSRET are
//! instructions of 64-bit mode only, and SYSRET checks the address before it leaves ring 0.

use iced_x86::{Code, Instruction};
use outlive_engine::Segment;

use crate::cpu::{Cpu, number};
use crate::decode::Selection;
use crate::fault::{Abort, Exception};
use crate::flags::bit;
use crate::memory::is_canonical;
use crate::op::{Op, Step};

/// EFER.SCE.
const SYSTEM_CALLS: u64 = 1 << 0;
/// Attributes of flat segments in ring 0; ring 3's have 0x60 more.
const CODE: u16 = 0xa09b;
const COMPATIBILITY_CODE: u16 = 0xc09b;
const DATA: u16 = 0xc093;
const RING_3: u16 = 3 << 5;

pub(super) fn select(instruction: &Instruction) -> Option<Selection> {
    Some(match instruction.code() {
        Code::Syscall => Selection::last(syscall),
        Code::Sysretd => Selection::last(sysret::<false>),
        Code::Sysretq => Selection::last(sysret::<true>),
        Code::Swapgs => Selection::plain(swapgs),
        _ => return None,
    })
}

fn is_available(cpu: &Cpu) -> bool {
    cpu.is_long() && cpu.control.efer & SYSTEM_CALLS != 0
}

fn flat(selector: u16, attributes: u16) -> Segment {
    Segment { selector, base: 0, limit: u32::MAX, attributes, unusable: false }
}

extern "sysv64-unwind" fn syscall(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    if !is_available(cpu) {
        return cpu.raise(Exception::UNDEFINED);
    }
    let selector = (cpu.msrs.star >> 32) as u16;
    let flags = cpu.flags.bits() & !bit::RF;
    *cpu.register_mut(number::RCX) = cpu.rip_after(op);
    *cpu.register_mut(number::R11) = flags;
    // RPL is cleared in CS only.
    cpu.segments.ss = flat(selector.wrapping_add(8), DATA);
    cpu.enter_code(flat(selector & !3, CODE), cpu.msrs.lstar);
    let mask = cpu.msrs.sfmask;
    set_flags(cpu, flags & !mask);
    Ok(Step::Jump)
}

extern "sysv64-unwind" fn sysret<const LONG: bool>(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    if !is_available(cpu) {
        return cpu.raise(Exception::UNDEFINED);
    }
    let rip = cpu.register(number::RCX);
    if cpu.privilege() != 0 || LONG && !is_canonical(rip) {
        return cpu.raise(Exception::PROTECTION);
    }
    let selector = (cpu.msrs.star >> 48) as u16;
    cpu.segments.ss = flat(selector.wrapping_add(8) | 3, DATA | RING_3);
    if LONG {
        cpu.enter_code(flat(selector.wrapping_add(16) | 3, CODE | RING_3), rip);
    } else {
        cpu.enter_code(flat(selector | 3, COMPATIBILITY_CODE | RING_3), rip & 0xffff_ffff);
    }
    let flags = cpu.register(number::R11) & !bit::RF;
    set_flags(cpu, flags);
    Ok(Step::Jump)
}

/// The trap of TF goes by the new flags here.
fn set_flags(cpu: &mut Cpu, flags: u64) {
    cpu.replace_flags(flags, u64::MAX);
    cpu.trap_by_new_flags();
}

extern "sysv64-unwind" fn swapgs(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    if cpu.privilege() != 0 {
        return cpu.raise(Exception::PROTECTION);
    }
    std::mem::swap(&mut cpu.segments.gs.base, &mut cpu.msrs.kernel_gs_base);
    Ok(Step::Next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Step;
    use crate::system::stage::{Stage, selector};
    use crate::testing::{CODE, DATA};

    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    const SYSRETQ: [u8; 3] = [0x48, 0x0f, 0x07];
    const SYSRETD: [u8; 2] = [0x0f, 0x07];

    fn with_calls(mut stage: Stage) -> Stage {
        let cpu = &mut stage.trial.cpu;
        cpu.msrs.star = u64::from(selector::USER_COMPATIBILITY) << 48 | 0xb << 32;
        cpu.msrs.lstar = DATA;
        cpu.msrs.sfmask = bit::IF | bit::CF | bit::DF;
        stage
    }

    #[test]
    fn syscall_saves_rip_and_flags_and_masks_flags() {
        let mut stage = with_calls(Stage::user());
        let flags = bit::IF | bit::CF | bit::ZF | bit::FIXED;
        stage.trial.cpu.flags.set_bits(flags | bit::RF);
        assert_eq!(stage.trial.execute(&SYSCALL), Ok(Step::Jump));
        let cpu = &stage.trial.cpu;
        assert_eq!((cpu.register(number::RCX), cpu.register(number::R11)), (CODE + 2, flags));
        assert_eq!((cpu.rip, cpu.flags.bits(), cpu.privilege()), (DATA, bit::ZF | bit::FIXED, 0));
        assert_eq!(cpu.segments.cs, flat(0x8, 0xa09b), "RPL is 0 whatever STAR says");
        assert_eq!(cpu.segments.ss, flat(0x13, 0xc093), "STAR as it is");
    }

    #[test]
    fn sysret_goes_to_64_bit_or_compatibility_code_of_ring_3() {
        let mut stage = with_calls(Stage::new());
        *stage.trial.cpu.register_mut(number::RCX) = 0x7000_0000_1234;
        *stage.trial.cpu.register_mut(number::R11) = !bit::TF;
        assert_eq!(stage.trial.execute(&SYSRETQ), Ok(Step::Jump));
        let cpu = &stage.trial.cpu;
        assert_eq!((cpu.rip, cpu.privilege()), (0x7000_0000_1234, 3));
        assert_eq!(cpu.flags.bits(), bit::ALL & !bit::TF & !bit::RF | bit::FIXED);
        assert_eq!(cpu.segments.cs, flat(selector::USER_CODE, 0xa0fb));
        assert_eq!(cpu.segments.ss, flat(selector::USER_DATA, 0xc0f3));
        let mut stage = with_calls(Stage::new());
        *stage.trial.cpu.register_mut(number::RCX) = 0xffff_7000_0000_1234;
        assert_eq!(stage.trial.execute(&SYSRETD), Ok(Step::Jump));
        assert_eq!(stage.trial.cpu.segments.cs, flat(selector::USER_COMPATIBILITY, 0xc0fb));
        assert_eq!(stage.trial.cpu.rip, 0x1234);
    }

    #[test]
    fn sysret_to_a_bad_address_faults_in_ring_0() {
        let mut stage = with_calls(Stage::new());
        *stage.trial.cpu.register_mut(number::RCX) = 1 << 47;
        assert_eq!(stage.trial.fault(&SYSRETQ), Exception::PROTECTION);
        assert_eq!(stage.trial.cpu.privilege(), 0);
        assert_eq!(with_calls(Stage::user()).trial.fault(&SYSRETQ), Exception::PROTECTION);
    }

    #[test]
    fn system_calls_that_are_off_or_in_compatibility_mode_are_undefined() {
        let mut stage = with_calls(Stage::new());
        stage.trial.cpu.control.efer &= !1;
        assert_eq!(stage.trial.fault(&SYSCALL), Exception::UNDEFINED);
        assert_eq!(stage.trial.fault(&SYSRETQ), Exception::UNDEFINED);
        let mut stage = with_calls(Stage::compatibility(3));
        assert_eq!(stage.trial.fault(&SYSCALL), Exception::UNDEFINED);
        assert_eq!(stage.trial.fault(&[0x0f, 0x34]), Exception::UNDEFINED, "SYSENTER");
        assert_eq!(Stage::new().trial.fault(&[0x0f, 0x35]), Exception::UNDEFINED, "SYSEXIT");
    }

    #[test]
    fn swapgs_swaps_in_ring_0_only() {
        let mut stage = Stage::new();
        stage.trial.cpu.segments.gs.base = 1;
        stage.trial.cpu.msrs.kernel_gs_base = 2;
        assert!(stage.trial.execute(&[0x0f, 0x01, 0xf8]).is_ok());
        assert_eq!((stage.trial.cpu.segments.gs.base, stage.trial.cpu.msrs.kernel_gs_base), (2, 1));
        assert_eq!(Stage::user().trial.fault(&[0x0f, 0x01, 0xf8]), Exception::PROTECTION);
    }
}
