//! Which model-specific registers KVM may answer itself: those that are part of the vCPU's state, and
//! no other. Every access to another one becomes an exit (api.rst 4.97, `KVM_X86_SET_MSR_FILTER`).
//!
//! The x2APIC registers 0x800 to 0x8ff cannot be filtered. There is no APIC, so KVM answers them with
//! #GP(0), as the table of registers has it.

use kvm_ioctls::{MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags, VmFd};
use outlive_engine::msr::{MsrBehaviour, TABLE};

use crate::error::{KvmError, setup};

/// Registers that follow one another, for one range of KVM's filter.
#[derive(PartialEq, Eq, Debug)]
struct Run {
    first: u32,
    count: u32,
}

/// Denies everything but the registers that the engine keeps.
pub(crate) fn install(vm: &VmFd) -> Result<(), KvmError> {
    // A set bit allows the access. A run is at most 12 registers long; KVM wants whole bytes.
    let allowed = [0xff_u8; 8];
    let runs = kept_runs();
    let ranges: Vec<_> = runs.iter().map(|run| range(run, &allowed)).collect();
    vm.set_msr_filter(MsrFilterDefaultAction::DENY, &ranges).map_err(setup("filter MSR accesses"))
}

fn range<'a>(run: &Run, bitmap: &'a [u8]) -> MsrFilterRange<'a> {
    MsrFilterRange {
        flags: MsrFilterRangeFlags::READ | MsrFilterRangeFlags::WRITE,
        base: run.first,
        msr_count: run.count,
        bitmap,
    }
}

fn kept_runs() -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for msr in TABLE.iter().filter(|msr| msr.behaviour == MsrBehaviour::Kept) {
        match runs.last_mut() {
            Some(run) if run.first + run.count == msr.index => run.count += 1,
            _ => runs.push(Run { first: msr.index, count: 1 }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlive_engine::msr::behaviour;

    #[test]
    fn exactly_the_kept_registers_are_allowed() {
        let allowed: Vec<u32> = kept_runs().iter().flat_map(|run| run.first..run.first + run.count).collect();
        let kept = |index: &u32| behaviour(*index) == MsrBehaviour::Kept;
        assert!(allowed.iter().all(kept), "{allowed:x?}");
        assert_eq!(allowed.len(), TABLE.iter().filter(|msr| kept(&msr.index)).count());
    }

    #[test]
    fn the_runs_fit_kvms_filter() {
        let runs = kept_runs();
        assert!(runs.len() <= kvm_bindings::KVM_MSR_FILTER_MAX_RANGES as usize, "{runs:x?}");
        assert!(runs.iter().all(|run| run.count <= 64), "{runs:x?}");
    }
}
