//! Events that are about to be delivered, and the interrupt shadow (api.rst 4.31 and 4.32).
//!
//! KVM can hold an exception and an interrupt at once; the state has room for one event. Both at once
//! cannot happen: an interrupt is injected only where nothing else is pending, and KVM raises an exception
//! only while it finishes an instruction, before that.
//!
//! AMD's processors do not tell the two kinds of shadow apart (APM volume 2, 15.21.5), KVM then reports
//! both. They are taken for the one of STI, which is the common one.

use kvm_bindings::{
    KVM_VCPUEVENT_VALID_NMI_PENDING, KVM_VCPUEVENT_VALID_SHADOW, KVM_X86_SHADOW_INT_MOV_SS,
    KVM_X86_SHADOW_INT_STI, kvm_vcpu_events,
};
use kvm_ioctls::VcpuFd;
use outlive_engine::{EngineError, InterruptShadow, PendingEvent, VcpuState};

use crate::error::{host, unsupported};

const SHADOW_STI: u8 = KVM_X86_SHADOW_INT_STI as u8;
const SHADOW_MOV_SS: u8 = KVM_X86_SHADOW_INT_MOV_SS as u8;

pub(super) fn read(vcpu: &VcpuFd, state: &mut VcpuState) -> Result<(), EngineError> {
    let kvm = vcpu.get_vcpu_events().map_err(host("read pending events"))?;
    state.pending = pending(&kvm)?;
    state.shadow = match kvm.interrupt.shadow {
        0 => InterruptShadow::None,
        SHADOW_MOV_SS => InterruptShadow::MovSs,
        _ => InterruptShadow::Sti,
    };
    Ok(())
}

pub(super) fn write(vcpu: &VcpuFd, state: &VcpuState) -> Result<(), EngineError> {
    vcpu.set_vcpu_events(&to_kvm(state)).map_err(host("write pending events"))
}

/// Refuses what KVM would take and then not report: an NMI, and the exceptions of INT3 and INTO, which
/// the instruction raises again as long as RIP stands on it.
pub(super) fn check(state: &VcpuState) -> Result<(), EngineError> {
    match state.pending {
        Some(PendingEvent::Exception { vector: 2..=4 | 32.., .. }) => {
            Err(unsupported("hold an exception of this vector"))
        }
        _ => Ok(()),
    }
}

fn pending(kvm: &kvm_vcpu_events) -> Result<Option<PendingEvent>, EngineError> {
    let exception = kvm.exception.injected != 0 || kvm.exception.pending != 0;
    let interrupt = kvm.interrupt.injected != 0;
    if kvm.nmi.injected != 0 || kvm.nmi.pending != 0 || exception && interrupt {
        return Err(unsupported("tell a state with an NMI or two events in it"));
    }
    let error_code = (kvm.exception.has_error_code != 0).then_some(kvm.exception.error_code);
    Ok(if exception {
        Some(PendingEvent::Exception { vector: kvm.exception.nr, error_code })
    } else if interrupt {
        Some(PendingEvent::Interrupt { vector: kvm.interrupt.nr })
    } else {
        None
    })
}

fn to_kvm(state: &VcpuState) -> kvm_vcpu_events {
    let mut kvm = kvm_vcpu_events {
        flags: KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_NMI_PENDING,
        ..Default::default()
    };
    kvm.interrupt.shadow = match state.shadow {
        InterruptShadow::None => 0,
        InterruptShadow::Sti => SHADOW_STI,
        InterruptShadow::MovSs => SHADOW_MOV_SS,
    };
    match state.pending {
        Some(PendingEvent::Exception { vector, error_code }) => {
            kvm.exception.injected = 1;
            kvm.exception.nr = vector;
            kvm.exception.has_error_code = error_code.is_some().into();
            kvm.exception.error_code = error_code.unwrap_or(0);
        }
        Some(PendingEvent::Interrupt { vector }) => {
            kvm.interrupt.injected = 1;
            kvm.interrupt.nr = vector;
        }
        None => {}
    }
    kvm
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pending: Option<PendingEvent>) -> VcpuState {
        VcpuState { pending, ..VcpuState::default() }
    }

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let events = [
            None,
            Some(PendingEvent::Exception { vector: 6, error_code: None }),
            Some(PendingEvent::Exception { vector: 14, error_code: Some(3) }),
            Some(PendingEvent::Interrupt { vector: 0x20 }),
        ];
        for event in events {
            assert_eq!(pending(&to_kvm(&with(event))).unwrap(), event);
        }
    }

    #[test]
    fn what_the_state_cannot_express_is_an_error() {
        let mut both = to_kvm(&with(Some(PendingEvent::Interrupt { vector: 0x20 })));
        both.exception.injected = 1;
        assert!(pending(&both).is_err());
        let mut nmi = kvm_vcpu_events::default();
        nmi.nmi.pending = 1;
        assert!(pending(&nmi).is_err());
    }

    #[test]
    fn exceptions_that_kvm_would_forget_are_refused() {
        for vector in [2, 3, 4, 32, 255] {
            let event = PendingEvent::Exception { vector, error_code: None };
            assert!(check(&with(Some(event))).is_err(), "{vector}");
        }
        assert!(check(&with(Some(PendingEvent::Exception { vector: 13, error_code: Some(0) }))).is_ok());
    }
}
