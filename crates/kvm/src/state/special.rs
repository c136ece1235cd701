//! Segments, descriptor tables, control registers and debug registers (api.rst 4.13, 4.14, 4.33, 4.34).
//!
//! `KVM_GET_SREGS` and not `KVM_GET_SREGS2`: the latter adds the page directory pointers of 32-bit PAE
//! paging, which KVM else loads again from guest memory, as a processor does with CR3. The guests here
//! run in long mode, where there are none.
//!
//! The APIC's base is always written as 0, "off": KVM mirrors its enable bit into CPUID leaf 1.

use kvm_bindings::{kvm_debugregs, kvm_dtable, kvm_sregs};
use kvm_ioctls::VcpuFd;
use outlive_engine::{
    ControlRegisters, DebugRegisters, DescriptorTable, EngineError, Segment, Segments, VcpuState,
};

use super::segments::{Base, from_kvm, stack_from_kvm, stack_to_kvm, to_kvm};
use crate::error::host;

/// EFER.LMA.
const LONG_MODE: u64 = 1 << 10;

pub(super) fn read(vcpu: &VcpuFd, state: &mut VcpuState) -> Result<(), EngineError> {
    let kvm = vcpu.get_sregs().map_err(host("read special registers"))?;
    state.segments = segments(&kvm);
    state.gdt = table_from_kvm(&kvm.gdt);
    state.idt = table_from_kvm(&kvm.idt);
    state.control = ControlRegisters {
        cr0: kvm.cr0,
        cr2: kvm.cr2,
        cr3: kvm.cr3,
        cr4: kvm.cr4,
        cr8: kvm.cr8,
        efer: kvm.efer,
    };
    Ok(())
}

pub(super) fn write(vcpu: &VcpuFd, state: &VcpuState) -> Result<(), EngineError> {
    let Segments { cs, ds, es, fs, gs, ss, tr, ldt } = &state.segments;
    let control = &state.control;
    let kvm = kvm_sregs {
        cs: to_kvm(cs),
        ds: to_kvm(ds),
        es: to_kvm(es),
        fs: to_kvm(fs),
        gs: to_kvm(gs),
        ss: stack_to_kvm(ss, cs),
        tr: to_kvm(tr),
        ldt: to_kvm(ldt),
        gdt: table_to_kvm(&state.gdt),
        idt: table_to_kvm(&state.idt),
        cr0: control.cr0,
        cr2: control.cr2,
        cr3: control.cr3,
        cr4: control.cr4,
        cr8: control.cr8,
        efer: control.efer,
        apic_base: 0,
        interrupt_bitmap: [0; 4],
    };
    vcpu.set_sregs(&kvm).map_err(host("write special registers"))
}

pub(super) fn read_debug(vcpu: &VcpuFd) -> Result<DebugRegisters, EngineError> {
    let kvm = vcpu.get_debug_regs().map_err(host("read debug registers"))?;
    Ok(DebugRegisters { address: kvm.db, status: kvm.dr6, control: kvm.dr7 })
}

pub(super) fn write_debug(vcpu: &VcpuFd, debug: &DebugRegisters) -> Result<(), EngineError> {
    let kvm =
        kvm_debugregs { db: debug.address, dr6: debug.status, dr7: debug.control, ..Default::default() };
    vcpu.set_debug_regs(&kvm).map_err(host("write debug registers"))
}

fn segments(kvm: &kvm_sregs) -> Segments {
    let data = |segment| -> Segment { from_kvm(segment, Base::OnlyOfDescriptor) };
    let thread = |segment| -> Segment { from_kvm(segment, Base::AlsoRegister) };
    Segments {
        cs: data(&kvm.cs),
        ds: data(&kvm.ds),
        es: data(&kvm.es),
        fs: thread(&kvm.fs),
        gs: thread(&kvm.gs),
        ss: if kvm.efer & LONG_MODE != 0 { stack_from_kvm(&kvm.ss) } else { data(&kvm.ss) },
        tr: data(&kvm.tr),
        ldt: data(&kvm.ldt),
    }
}

fn table_from_kvm(kvm: &kvm_dtable) -> DescriptorTable {
    DescriptorTable { base: kvm.base, limit: kvm.limit }
}

fn table_to_kvm(table: &DescriptorTable) -> kvm_dtable {
    kvm_dtable { base: table.base, limit: table.limit, ..Default::default() }
}
