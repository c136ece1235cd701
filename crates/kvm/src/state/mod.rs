//! The architectural state, as KVM keeps it and as the rest of Outlive sees it.
//!
//! KVM has a pair of ioctls for each group of registers. The order of the calls matters:
//!
//! | writing | because |
//! | --- | --- |
//! | special registers first | they set the mode in which KVM takes the rest |
//! | general registers | `KVM_SET_REGS` drops a pending exception |
//! | floating point, debug and model-specific registers | in any order |
//! | events last | so that nothing drops them again |
//!
//! Reading begins with the events, for `KVM_GET_VCPU_EVENTS` carries out what a pending exception does to
//! CR2 or DR6 before it is delivered. Neither makes sense in the middle of an instruction:
//! [`crate::progress`] sees to that.

mod events;
mod floating_point;
mod general;
mod model_specific;
mod segments;
mod special;

use kvm_ioctls::VcpuFd;
use outlive_engine::{Activity, EngineError, VcpuState};

use crate::error::host;

/// Reads everything. `activity` is not KVM's business without an interrupt controller in it.
pub(crate) fn read(vcpu: &VcpuFd, activity: Activity) -> Result<VcpuState, EngineError> {
    let mut state = VcpuState { activity, ..VcpuState::default() };
    events::read(vcpu, &mut state)?;
    general::read(vcpu, &mut state)?;
    special::read(vcpu, &mut state)?;
    state.floating_point = floating_point::read(vcpu)?;
    state.debug = special::read_debug(vcpu)?;
    state.msrs = model_specific::read(vcpu)?;
    Ok(state)
}

/// Writes everything.
pub(crate) fn write(vcpu: &VcpuFd, state: &VcpuState) -> Result<(), EngineError> {
    events::check(state)?;
    special::write(vcpu, state)?;
    general::write(vcpu, state)?;
    floating_point::write(vcpu, &state.floating_point)?;
    special::write_debug(vcpu, &state.debug)?;
    model_specific::write(vcpu, &state.msrs)?;
    events::write(vcpu, state)
}

/// Changes RDX alone. `KVM_SET_REGS` drops a pending exception, such as the #DB of a guest that steps
/// itself, so that is put back.
pub(crate) fn set_rdx(vcpu: &VcpuFd, rdx: u64) -> Result<(), EngineError> {
    let events = vcpu.get_vcpu_events().map_err(host("read pending events"))?;
    let mut registers = vcpu.get_regs().map_err(host("read registers"))?;
    registers.rdx = rdx;
    vcpu.set_regs(&registers).map_err(host("write registers"))?;
    if events.exception.injected == 0 {
        return Ok(());
    }
    vcpu.set_vcpu_events(&events).map_err(host("write pending events"))
}

/// Whether an exception waits for its delivery.
pub(crate) fn holds_exception(vcpu: &VcpuFd) -> Result<bool, EngineError> {
    let exception = vcpu.get_vcpu_events().map_err(host("read pending events"))?.exception;
    Ok(exception.pending != 0 || exception.injected != 0)
}

#[cfg(test)]
mod tests;
