//! The model-specific registers that the guest's processor has: one list, default deny.
//!
//! A register that is not in [`TABLE`] faults with #GP on every engine, as on a processor that lacks it.

use crate::determinism::Treatment;

/// What becomes of accesses to a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MsrBehaviour {
    /// Part of [`VcpuState`](crate::VcpuState). The engine keeps it; accesses do not exit.
    Kept,
    /// Reads return this value, writes are accepted and change nothing.
    Constant(u64),
    /// Reads are time reads, writes fault.
    TimeStamp,
    /// Reads and writes fault: #GP(0).
    Faults,
}

/// A register of the guest's processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Msr {
    /// Its number.
    pub index: u32,
    /// Its name in the Intel SDM, volume 4.
    pub name: &'static str,
    /// What becomes of accesses.
    pub behaviour: MsrBehaviour,
}

impl Msr {
    /// The treatment of design rule 3.
    pub fn treatment(&self) -> Treatment {
        match self.behaviour {
            MsrBehaviour::TimeStamp => Treatment::Recorded,
            MsrBehaviour::Kept | MsrBehaviour::Constant(_) => Treatment::Eliminated,
            MsrBehaviour::Faults => Treatment::Refused,
        }
    }
}

const fn msr(index: u32, name: &'static str, behaviour: MsrBehaviour) -> Msr {
    Msr { index, name, behaviour }
}

/// IA32_TIME_STAMP_COUNTER.
pub const TIME_STAMP_COUNTER: u32 = 0x10;
/// IA32_SYSENTER_CS.
pub const SYSENTER_CS: u32 = 0x174;
/// IA32_SYSENTER_ESP.
pub const SYSENTER_ESP: u32 = 0x175;
/// IA32_SYSENTER_EIP.
pub const SYSENTER_EIP: u32 = 0x176;
/// IA32_EFER.
pub const EFER: u32 = 0xc000_0080;
/// IA32_STAR.
pub const STAR: u32 = 0xc000_0081;
/// IA32_LSTAR.
pub const LSTAR: u32 = 0xc000_0082;
/// IA32_CSTAR.
pub const CSTAR: u32 = 0xc000_0083;
/// IA32_FMASK.
pub const SFMASK: u32 = 0xc000_0084;
/// IA32_FS_BASE.
pub const FS_BASE: u32 = 0xc000_0100;
/// IA32_GS_BASE.
pub const GS_BASE: u32 = 0xc000_0101;
/// IA32_KERNEL_GS_BASE.
pub const KERNEL_GS_BASE: u32 = 0xc000_0102;

/// All registers that do not simply fault, sorted, and some that faulting deserves a word.
pub const TABLE: &[Msr] = &[
    msr(TIME_STAMP_COUNTER, "IA32_TIME_STAMP_COUNTER", MsrBehaviour::TimeStamp),
    msr(0x17, "IA32_PLATFORM_ID", MsrBehaviour::Constant(0)),
    // Bit 11 clear: there is no APIC.
    msr(0x1b, "IA32_APIC_BASE", MsrBehaviour::Constant(0)),
    // Bit 0: locked, everything it could turn on stays off.
    msr(0x3a, "IA32_FEATURE_CONTROL", MsrBehaviour::Constant(1)),
    msr(0x3b, "IA32_TSC_ADJUST", MsrBehaviour::Faults),
    // The microcode revision; a kernel writes 0 before it reads it.
    msr(0x8b, "IA32_BIOS_SIGN_ID", MsrBehaviour::Constant(0)),
    msr(0xce, "MSR_PLATFORM_INFO", MsrBehaviour::Faults),
    msr(0xe7, "IA32_MPERF", MsrBehaviour::Faults),
    msr(0xe8, "IA32_APERF", MsrBehaviour::Faults),
    msr(SYSENTER_CS, "IA32_SYSENTER_CS", MsrBehaviour::Kept),
    msr(SYSENTER_ESP, "IA32_SYSENTER_ESP", MsrBehaviour::Kept),
    msr(SYSENTER_EIP, "IA32_SYSENTER_EIP", MsrBehaviour::Kept),
    // Bit 0: fast strings, without which a kernel avoids REP MOVS.
    msr(0x1a0, "IA32_MISC_ENABLE", MsrBehaviour::Constant(1)),
    msr(0x6e0, "IA32_TSC_DEADLINE", MsrBehaviour::Faults),
    msr(EFER, "IA32_EFER", MsrBehaviour::Kept),
    msr(STAR, "IA32_STAR", MsrBehaviour::Kept),
    msr(LSTAR, "IA32_LSTAR", MsrBehaviour::Kept),
    msr(CSTAR, "IA32_CSTAR", MsrBehaviour::Kept),
    msr(SFMASK, "IA32_FMASK", MsrBehaviour::Kept),
    msr(FS_BASE, "IA32_FS_BASE", MsrBehaviour::Kept),
    msr(GS_BASE, "IA32_GS_BASE", MsrBehaviour::Kept),
    msr(KERNEL_GS_BASE, "IA32_KERNEL_GS_BASE", MsrBehaviour::Kept),
    msr(0xc000_0103, "IA32_TSC_AUX", MsrBehaviour::Faults),
];

/// What becomes of accesses to register `index`.
pub fn behaviour(index: u32) -> MsrBehaviour {
    TABLE.iter().find(|msr| msr.index == index).map_or(MsrBehaviour::Faults, |msr| msr.behaviour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_that_is_not_listed_faults() {
        for index in [0, 0x11, 0x277, 0x4b56_4d00, 0xc001_0007, u32::MAX] {
            assert_eq!(behaviour(index), MsrBehaviour::Faults, "{index:#x}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_has_no_register_twice() {
        assert!(TABLE.is_sorted_by(|a, b| a.index < b.index));
    }
}
