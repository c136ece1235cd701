//! Control registers: MOV, CLTS, LMSW, SMSW (Intel SDM volume 2; volume 3, 2.5).
//!
//! The processor never leaves long mode. What would, by the manual, raise an exception does; where a processor
//! would go on in another mode, the guest is stopped.

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::debug;
use crate::cpu::Cpu;
use crate::decode::Selection;
use crate::fault::unhandled;
use crate::fault::{Abort, Exception};
use crate::op::{Op, Step};
use crate::width::{Dword, Qword, Width, Word};

/// Bits of CR0.
mod cr0 {
    pub(super) const PE: u64 = 1 << 0;
    pub(super) const TS: u64 = 1 << 3;
    pub(super) const ET: u64 = 1 << 4;
    pub(super) const WP: u64 = 1 << 16;
    pub(super) const NW: u64 = 1 << 29;
    pub(super) const CD: u64 = 1 << 30;
    pub(super) const PG: u64 = 1 << 31;
    /// PE to NE, WP, AM, NW, CD, PG. The other ones of the lower half are always zero.
    pub(super) const ALL: u64 = 0x3f | WP | 1 << 18 | NW | CD | PG;
    /// Those that LMSW sets: PE to TS.
    pub(super) const STATUS_WORD: u64 = 0xf;
}

/// Bits of CR4.
mod cr4 {
    pub(super) const PSE: u64 = 1 << 4;
    pub(super) const PAE: u64 = 1 << 5;
    pub(super) const PGE: u64 = 1 << 7;
    /// TSD, DE, PSE, PAE, PGE, PCE, OSFXSR, OSXMMEXCPT: what CPUID offers; and PCE, which goes with RDPMC, an
    /// instruction of every 64-bit processor. KVM also lets VME, PVI and MCE be set, whatever CPUID says, but
    /// no guest sets what it is not offered.
    pub(super) const ALL: u64 = 1 << 2 | 1 << 3 | PSE | PAE | PGE | 1 << 8 | 1 << 9 | 1 << 10;
}

/// CR3 holds a physical address, which has 40 bits.
const PHYSICAL_BITS: u32 = 40;

/// [`Op::extra`] is the number of the control register, [`Op::a`] the general one.
pub(super) fn select(instruction: &Instruction, op: &mut Op) -> Option<Selection> {
    let (first, second) = (instruction.op0_register(), instruction.op1_register());
    Some(match instruction.mnemonic() {
        // The prefix LOCK, which means CR8 to processors of another vendor, is not allowed.
        Mnemonic::Mov if (first.is_cr() || second.is_cr()) && instruction.has_lock_prefix() => return None,
        Mnemonic::Mov if first.is_cr() => {
            (op.extra, op.a) = (op.a, op.b);
            match (is_register(op.extra), second.size()) {
                (false, _) => return None,
                (_, 4) => Selection::last(write::<Dword>),
                _ => Selection::last(write::<Qword>),
            }
        }
        Mnemonic::Mov if second.is_cr() => {
            op.extra = op.b;
            match (is_register(op.extra), first.size()) {
                (false, _) => return None,
                (_, 4) => Selection::plain(read::<Dword>),
                _ => Selection::plain(read::<Qword>),
            }
        }
        Mnemonic::Clts => Selection::last(clts),
        Mnemonic::Lmsw if instruction.op0_kind() == OpKind::Memory => Selection::last(lmsw::<true>),
        Mnemonic::Lmsw => Selection::last(lmsw::<false>),
        Mnemonic::Smsw if instruction.op0_kind() == OpKind::Memory => Selection::plain(store_smsw),
        Mnemonic::Smsw => Selection::plain(match first.size() {
            2 => smsw::<Word>,
            4 => smsw::<Dword>,
            _ => smsw::<Qword>,
        }),
        _ => return None,
    })
}

fn is_register(number: u8) -> bool {
    matches!(number, 0 | 2 | 3 | 4 | 8)
}

extern "sysv64-unwind" fn read<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    cpu.check_ring_0()?;
    let value = match op.extra {
        0 => cpu.control.cr0,
        2 => cpu.control.cr2,
        3 => cpu.control.cr3,
        4 => cpu.control.cr4,
        _ => cpu.control.cr8,
    };
    cpu.set::<W>(op.a, value & W::MASK);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn write<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    cpu.check_ring_0()?;
    let value = cpu.get::<W>(op.a);
    match op.extra {
        0 => write_cr0(cpu, value)?,
        2 => cpu.control.cr2 = value,
        3 => write_cr3(cpu, value)?,
        4 => write_cr4(cpu, value)?,
        _ => write_cr8(cpu, value)?,
    }
    Ok(Step::Leave)
}

fn write_cr0(cpu: &mut Cpu, value: u64) -> Result<(), Abort> {
    let has = |bit| value & bit != 0;
    if value >> 32 != 0 || has(cr0::PG) && !has(cr0::PE) || has(cr0::NW) && !has(cr0::CD) {
        return cpu.raise(Exception::PROTECTION);
    }
    if !has(cr0::PG) {
        if cpu.is_long() {
            return cpu.raise(Exception::PROTECTION);
        }
        let detail = format!("CR0 is set to {value:#x}, without paging");
        return cpu.memory.abort(unhandled("leaving long mode", detail));
    }
    let value = value & cr0::ALL | cr0::ET;
    let changed = cpu.control.cr0 ^ value;
    cpu.control.cr0 = value;
    if changed & cr0::WP != 0 {
        cpu.paging_changed();
    } else {
        cpu.privilege_changed();
    }
    Ok(())
}

fn write_cr3(cpu: &mut Cpu, value: u64) -> Result<(), Abort> {
    if value >> PHYSICAL_BITS != 0 {
        return cpu.raise(Exception::PROTECTION);
    }
    cpu.control.cr3 = value;
    cpu.memory.set_address_space(value);
    Ok(())
}

fn write_cr4(cpu: &mut Cpu, value: u64) -> Result<(), Abort> {
    // PAE cannot be cleared in long mode (Intel SDM volume 3, 5.1.3).
    if value & !cr4::ALL != 0 || value & cr4::PAE == 0 {
        return cpu.raise(Exception::PROTECTION);
    }
    let changed = cpu.control.cr4 ^ value;
    cpu.control.cr4 = value;
    if changed & (cr4::PSE | cr4::PGE) != 0 {
        cpu.paging_changed();
    }
    if changed & debug::DEBUG_EXTENSIONS != 0 {
        debug::registers_changed(cpu);
    }
    Ok(())
}

/// The task priority. Without an APIC it holds back nothing; lowering it is refused, as it is on KVM, where it
/// is an exit that no part of the machine could answer.
fn write_cr8(cpu: &mut Cpu, value: u64) -> Result<(), Abort> {
    if value > 15 {
        return cpu.raise(Exception::PROTECTION);
    }
    if value < cpu.control.cr8 {
        let detail = format!("from {} to {value}, and there is no APIC", cpu.control.cr8);
        return cpu.memory.abort(unhandled("MOV to CR8 that lowers the priority", detail));
    }
    cpu.control.cr8 = value;
    Ok(())
}

extern "sysv64-unwind" fn clts(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    cpu.check_ring_0()?;
    cpu.control.cr0 &= !cr0::TS;
    Ok(Step::Leave)
}

/// PE can be set this way, and not cleared.
extern "sysv64-unwind" fn lmsw<const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    cpu.check_ring_0()?;
    let value = if MEMORY { cpu.load_operand::<Word>(op)? } else { cpu.get::<Word>(op.a) };
    let kept = cpu.control.cr0 & (!cr0::STATUS_WORD | cr0::PE);
    write_cr0(cpu, kept | value & cr0::STATUS_WORD)?;
    Ok(Step::Leave)
}

/// To memory always 16 bits.
extern "sysv64-unwind" fn store_smsw(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    cpu.store_operand::<Word>(op, cpu.control.cr0 & 0xffff)
}

extern "sysv64-unwind" fn smsw<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    cpu.set::<W>(op.a, cpu.control.cr0 & W::MASK);
    Ok(Step::Next)
}

impl Cpu {
    /// #GP(0) outside of ring 0.
    #[inline]
    pub(super) fn check_ring_0(&mut self) -> Result<(), Abort> {
        if self.privilege() == 0 { Ok(()) } else { self.raise(Exception::PROTECTION) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::number;
    use crate::fault::Reason;
    use crate::system::stage::Stage;

    const MOV_CR0_RAX: [u8; 3] = [0x0f, 0x22, 0xc0];
    const MOV_CR3_RAX: [u8; 3] = [0x0f, 0x22, 0xd8];
    const MOV_CR4_RAX: [u8; 3] = [0x0f, 0x22, 0xe0];
    const MOV_CR8_RAX: [u8; 4] = [0x44, 0x0f, 0x22, 0xc0];

    fn write(stage: &mut Stage, code: &[u8], value: u64) -> Result<Step, Reason> {
        *stage.trial.cpu.register_mut(number::RAX) = value;
        stage.trial.execute(code)
    }

    fn protection() -> Result<Step, Reason> {
        Err(Reason::Exception(Exception::PROTECTION))
    }

    #[test]
    fn cr0_keeps_its_bits_and_ignores_those_that_it_does_not_have() {
        let mut stage = Stage::new();
        let all = cr0::ALL;
        assert_eq!(write(&mut stage, &MOV_CR0_RAX, 0xffff_ffff), Ok(Step::Leave));
        assert_eq!(stage.trial.cpu.control.cr0, all);
        assert!(stage.trial.execute(&[0x0f, 0x20, 0xc1]).is_ok());
        assert_eq!(stage.trial.cpu.register(number::RCX), all);
        assert_eq!(write(&mut stage, &MOV_CR0_RAX, cr0::PG | cr0::PE), Ok(Step::Leave));
        assert_eq!(stage.trial.cpu.control.cr0, cr0::PG | cr0::PE | cr0::ET);
    }

    #[test]
    fn values_that_no_processor_takes_are_protection_faults() {
        let mut stage = Stage::new();
        let base = cr0::PG | cr0::PE;
        for value in [base | 1 << 32, cr0::PG, base | cr0::NW, cr0::PE] {
            assert_eq!(write(&mut stage, &MOV_CR0_RAX, value), protection(), "CR0 {value:#x}");
        }
        let physical = 1 << PHYSICAL_BITS;
        assert_eq!(write(&mut stage, &MOV_CR3_RAX, physical), protection());
        // Not in long mode: PAE off. Not offered: VME, MCE, UMIP, PCIDE, OSXSAVE, SMEP, SMAP.
        for bit in [0, 6, 11, 12, 13, 16, 17, 18, 20, 21, 32] {
            assert_eq!(write(&mut stage, &MOV_CR4_RAX, cr4::PAE | 1 << bit), protection(), "CR4 bit {bit}");
        }
        assert_eq!(write(&mut stage, &MOV_CR4_RAX, 0), protection());
        assert_eq!(write(&mut stage, &MOV_CR4_RAX, cr4::ALL), Ok(Step::Leave));
        assert_eq!(stage.trial.cpu.control.cr4, cr4::ALL);
        assert_eq!(write(&mut stage, &MOV_CR8_RAX, 16), protection());
    }

    #[test]
    fn leaving_long_mode_stops_the_guest() {
        let mut stage = Stage::compatibility(0);
        assert!(matches!(write(&mut stage, &MOV_CR0_RAX, 1), Err(Reason::Exit(_))));
    }

    #[test]
    fn the_task_priority_only_rises() {
        let mut stage = Stage::new();
        assert_eq!(write(&mut stage, &MOV_CR8_RAX, 5), Ok(Step::Leave));
        assert_eq!(write(&mut stage, &MOV_CR8_RAX, 5), Ok(Step::Leave));
        assert!(matches!(write(&mut stage, &MOV_CR8_RAX, 4), Err(Reason::Exit(_))));
        assert_eq!(stage.trial.cpu.control.cr8, 5);
    }

    #[test]
    fn a_write_to_cr3_changes_the_translations_and_forgets_the_old_ones() {
        let mut stage = Stage::new();
        // A second top table at 0x3_f000, whose first entry leads nowhere.
        assert!(stage.trial.cpu.memory.read::<8>(0x2_0000).is_ok());
        assert_eq!(write(&mut stage, &MOV_CR3_RAX, 0x3_f000), Ok(Step::Leave));
        assert!(stage.trial.cpu.memory.read::<8>(0x2_0000).is_err());
    }

    #[test]
    fn global_pages_outlive_a_write_to_cr3_but_not_a_change_of_cr4() {
        let mut stage = Stage::new();
        assert_eq!(write(&mut stage, &MOV_CR4_RAX, cr4::PAE | cr4::PGE), Ok(Step::Leave));
        stage.trial.write(0x4000 + 8 * 0x20, &(0x2_0000u64 | 1 << 8 | 7).to_le_bytes());
        assert!(stage.trial.cpu.memory.read::<8>(0x2_0000).is_ok());
        assert_eq!(write(&mut stage, &MOV_CR3_RAX, 0x3_f000), Ok(Step::Leave));
        assert!(stage.trial.cpu.memory.read::<8>(0x2_0000).is_ok());
        assert_eq!(write(&mut stage, &MOV_CR3_RAX, 0x1000), Ok(Step::Leave));
        stage.trial.write(0x4000 + 8 * 0x20, &0u64.to_le_bytes());
        assert_eq!(write(&mut stage, &MOV_CR4_RAX, cr4::PAE), Ok(Step::Leave));
        assert!(stage.trial.cpu.memory.read::<8>(0x2_0000).is_err());
    }

    #[test]
    fn clearing_write_protection_takes_effect_at_once() {
        let mut stage = Stage::new();
        stage.trial.write(0x4000 + 8 * 0x20, &(0x2_0000u64 | 1).to_le_bytes());
        assert!(stage.trial.cpu.memory.write(0x2_0000, [1]).is_err());
        let cr0 = stage.trial.cpu.control.cr0 & !cr0::WP;
        assert_eq!(write(&mut stage, &MOV_CR0_RAX, cr0), Ok(Step::Leave));
        assert!(stage.trial.cpu.memory.write(0x2_0000, [1]).is_ok());
    }

    #[test]
    fn lmsw_sets_pe_to_ts_and_does_not_clear_pe() {
        let mut stage = Stage::new();
        assert_eq!(write(&mut stage, &[0x0f, 0x01, 0xf0], 0xfff8), Ok(Step::Leave));
        assert_eq!(stage.trial.cpu.control.cr0 & 0xffff, 0x39);
        assert_eq!(stage.trial.execute(&[0x0f, 0x06]), Ok(Step::Leave), "CLTS");
        assert_eq!(stage.trial.cpu.control.cr0 & 0xffff, 0x31);
        *stage.trial.cpu.register_mut(number::RAX) = u64::MAX;
        assert!(stage.trial.execute(&[0x66, 0x0f, 0x01, 0xe0]).is_ok(), "SMSW AX");
        assert_eq!(stage.trial.cpu.register(number::RAX), 0xffff_ffff_ffff_0031);
        assert!(stage.trial.execute(&[0x0f, 0x01, 0xe0]).is_ok(), "SMSW EAX");
        assert_eq!(stage.trial.cpu.register(number::RAX), 0x8001_0031);
    }

    #[test]
    fn control_registers_are_for_ring_0() {
        let codes = [&[0x0f, 0x22, 0xd0][..], &[0x0f, 0x20, 0xd0], &[0x0f, 0x06], &[0x0f, 0x01, 0xf0]];
        for code in codes {
            assert_eq!(Stage::user().trial.fault(code), Exception::PROTECTION, "{code:x?}");
        }
        assert!(Stage::user().trial.execute(&[0x0f, 0x01, 0xe0]).is_ok(), "SMSW is for everybody");
    }

    #[test]
    fn registers_that_do_not_exist_are_undefined() {
        for code in [
            &[0x0f, 0x22, 0xc8][..],
            &[0x0f, 0x22, 0xe8],
            &[0x44, 0x0f, 0x20, 0xc8],
            &[0xf0, 0x0f, 0x20, 0xc0],
        ] {
            let frame = Stage::user().event(code);
            assert_eq!((frame.vector, frame.rip), (6, crate::testing::CODE), "{code:x?}");
        }
    }
}
