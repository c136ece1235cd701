//! General registers, RIP and RFLAGS (api.rst 4.11 and 4.12).

use kvm_bindings::kvm_regs;
use kvm_ioctls::VcpuFd;
use outlive_engine::{EngineError, GeneralRegisters, VcpuState};

use crate::error::host;

pub(super) fn read(vcpu: &VcpuFd, state: &mut VcpuState) -> Result<(), EngineError> {
    let kvm = vcpu.get_regs().map_err(host("read registers"))?;
    state.rip = kvm.rip;
    state.rflags = kvm.rflags;
    state.general = GeneralRegisters {
        rax: kvm.rax,
        rbx: kvm.rbx,
        rcx: kvm.rcx,
        rdx: kvm.rdx,
        rsi: kvm.rsi,
        rdi: kvm.rdi,
        rsp: kvm.rsp,
        rbp: kvm.rbp,
        r8: kvm.r8,
        r9: kvm.r9,
        r10: kvm.r10,
        r11: kvm.r11,
        r12: kvm.r12,
        r13: kvm.r13,
        r14: kvm.r14,
        r15: kvm.r15,
    };
    Ok(())
}

pub(super) fn write(vcpu: &VcpuFd, state: &VcpuState) -> Result<(), EngineError> {
    let general = &state.general;
    let kvm = kvm_regs {
        rax: general.rax,
        rbx: general.rbx,
        rcx: general.rcx,
        rdx: general.rdx,
        rsi: general.rsi,
        rdi: general.rdi,
        rsp: general.rsp,
        rbp: general.rbp,
        r8: general.r8,
        r9: general.r9,
        r10: general.r10,
        r11: general.r11,
        r12: general.r12,
        r13: general.r13,
        r14: general.r14,
        r15: general.r15,
        rip: state.rip,
        rflags: state.rflags,
    };
    vcpu.set_regs(&kvm).map_err(host("write registers"))
}
