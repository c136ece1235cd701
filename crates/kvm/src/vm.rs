//! The virtual machine around the vCPU: RAM, and what KVM is told to leave out.
//!
//! KVM is asked for as little as there is: no interrupt controller, no timer, no performance counters,
//! no paravirtual clock, no exits that depend on the host's load. Everything that it would answer in its
//! own way is either switched off here or comes as an exit.
//!
//! One thing cannot be switched off: a kernel that executes VMCALL with KVM's numbers gets KVM's answers,
//! and number 9 (`KVM_HC_CLOCK_PAIRING`, Documentation/virt/kvm/x86/hypercalls.rst) tells the host's time.
//! Kernels do that only where CPUID says "KVMKVMKVM", which it does not here; programs in ring 3 cannot.

use kvm_bindings::{
    KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_ENFORCE_PV_FEATURE_CPUID, KVM_CAP_EXIT_ON_EMULATION_FAILURE,
    KVM_CAP_PMU_CAPABILITY, KVM_CAP_X86_DISABLE_EXITS, KVM_CAP_X86_USER_SPACE_MSR, KVM_MEM_LOG_DIRTY_PAGES,
    KVM_PMU_CAP_DISABLE, KVM_X86_DISABLE_EXITS_PAUSE, KVM_X86_QUIRK_FIX_HYPERCALL_INSN,
    KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS, KVM_X86_QUIRK_OUT_7E_INC_RIP,
    kvm_enable_cap, kvm_userspace_memory_region,
};
use kvm_ioctls::{MsrExitReason, VcpuFd, VmFd};
use outlive_engine::GuestRam;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryRegion};

use crate::error::{KvmError, setup};
use crate::host::Host;
use crate::{cpuid, msr_filter};

/// Intel's VT-x wants three pages for a task state segment and one for a page table while the guest has
/// paging off (api.rst 4.40 and 4.41). They lie where a PC has its firmware, below 4 GiB.
const IDENTITY_MAP: u64 = 0xfffb_c000;
const TASK_STATE: usize = 0xfffb_d000;

/// Where KVM by tradition strays from the manual, and need not (api.rst 7.31). What is not listed is
/// either about devices that do not exist here or cannot be seen by a guest.
const QUIRKS: u32 = KVM_X86_QUIRK_OUT_7E_INC_RIP
    | KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT
    | KVM_X86_QUIRK_FIX_HYPERCALL_INSN
    | KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS;

const PAGE: u64 = 4096;

/// A virtual machine without a vCPU.
#[derive(Debug)]
pub(crate) struct Vm {
    fd: VmFd,
    // KVM keeps addresses into these mappings: they must live as long as the machine.
    memory: GuestRam,
}

impl Vm {
    /// A machine with `memory` and nothing else.
    pub(crate) fn new(host: &Host, memory: &GuestRam) -> Result<Self, KvmError> {
        let fd = host.kvm.create_vm().map_err(setup("create a virtual machine"))?;
        fd.set_identity_map_address(IDENTITY_MAP).map_err(setup("place the identity map"))?;
        fd.set_tss_address(TASK_STATE).map_err(setup("place the task state segment"))?;
        let vm = Self { fd, memory: memory.clone() };
        vm.leave_out()?;
        vm.map_memory(false)?;
        Ok(vm)
    }

    /// The machine's one vCPU, with the CPUID table of every Outlive machine.
    pub(crate) fn vcpu(&self) -> Result<VcpuFd, KvmError> {
        let vcpu = self.fd.create_vcpu(0).map_err(setup("create a vCPU"))?;
        vcpu.set_cpuid2(&cpuid::table()).map_err(setup("take the CPUID table"))?;
        if self.extension(KVM_CAP_ENFORCE_PV_FEATURE_CPUID) != 0 {
            vcpu.enable_cap(&capability(KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1))
                .map_err(setup("withhold its paravirtual features"))?;
        }
        Ok(vcpu)
    }

    /// The guest's RAM.
    pub(crate) fn memory(&self) -> &GuestRam {
        &self.memory
    }

    /// The size of the page that the vCPU shares with KVM.
    pub(crate) fn run_size(&self) -> usize {
        self.fd.run_size()
    }

    /// Starts or stops keeping the list of pages that the guest writes to.
    pub(crate) fn log_dirty_pages(&self, wanted: bool) -> Result<(), KvmError> {
        self.map_memory(wanted)
    }

    /// The pages written since the last call, as one bitmap per region of RAM. Starts a new list.
    pub(crate) fn take_dirty_pages(&self) -> Result<Vec<Vec<u64>>, KvmError> {
        let bitmap = |(slot, region): (usize, &_)| {
            let size = usize::try_from(GuestMemoryRegion::len(region)).unwrap_or(usize::MAX);
            self.fd.get_dirty_log(slot as u32, size).map_err(setup("tell which pages were written"))
        };
        self.memory.iter().enumerate().map(bitmap).collect()
    }

    /// Tells KVM what to leave out. All of this must come before the vCPU is created.
    fn leave_out(&self) -> Result<(), KvmError> {
        // A kept register that is written with a bad value raises #GP inside KVM, as on a processor;
        // hence no MsrExitReason::Inval.
        let reasons = (MsrExitReason::Filter | MsrExitReason::Unknown).bits();
        self.enable(KVM_CAP_X86_USER_SPACE_MSR, reasons, "let MSR accesses exit")?;
        msr_filter::install(&self.fd)?;
        self.enable_where_offered(KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE, "hide its counters")?;
        self.enable_where_offered(
            KVM_CAP_X86_DISABLE_EXITS,
            KVM_X86_DISABLE_EXITS_PAUSE,
            "let the guest execute PAUSE",
        )?;
        self.enable_where_offered(KVM_CAP_DISABLE_QUIRKS2, QUIRKS, "give up its quirks")?;
        self.enable_where_offered(KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1, "report emulation failures")
    }

    /// Enables those `flags` of a capability that the host offers, if any.
    fn enable_where_offered(&self, number: u32, flags: u32, what: &'static str) -> Result<(), KvmError> {
        let offered = self.extension(number).cast_unsigned() & flags;
        if offered == 0 { Ok(()) } else { self.enable(number, offered, what) }
    }

    fn enable(&self, number: u32, flags: u32, what: &'static str) -> Result<(), KvmError> {
        self.fd.enable_cap(&capability(number, flags)).map_err(setup(what))
    }

    /// What KVM says to a capability; negative values, which are errors, count as "not there".
    fn extension(&self, number: u32) -> i32 {
        self.fd.check_extension_raw(number.into()).max(0)
    }

    fn map_memory(&self, log_dirty_pages: bool) -> Result<(), KvmError> {
        let flags = if log_dirty_pages { KVM_MEM_LOG_DIRTY_PAGES } else { 0 };
        for (slot, region) in self.memory.iter().enumerate() {
            let slot = kvm_userspace_memory_region {
                slot: slot as u32,
                flags,
                guest_phys_addr: aligned(region.start_addr().raw_value(), region, "address")?,
                memory_size: aligned(region.len(), region, "size")?,
                userspace_addr: region.as_ptr() as u64,
            };
            // SAFETY: the region is a mapping of that size, and `self.memory` keeps it for as long as
            // the machine lives. Nothing else in this process relies on its contents being unchanged:
            // guest RAM is accessed through vm-memory's volatile accesses only.
            unsafe { self.fd.set_user_memory_region(slot) }.map_err(setup("map guest RAM"))?;
        }
        Ok(())
    }
}

fn aligned(value: u64, region: &impl GuestMemoryRegion, what: &'static str) -> Result<u64, KvmError> {
    let address = region.start_addr().raw_value();
    if value.is_multiple_of(PAGE) { Ok(value) } else { Err(KvmError::Unaligned { address, what }) }
}

fn capability(number: u32, argument: u32) -> kvm_enable_cap {
    let mut capability = kvm_enable_cap { cap: number, ..Default::default() };
    capability.args[0] = argument.into();
    capability
}
