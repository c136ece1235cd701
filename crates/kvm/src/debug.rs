//! Single-stepping and breakpoints, from outside of the guest (api.rst 4.87, `KVM_SET_GUEST_DEBUG`).
//!
//! KVM steps by setting RFLAGS.TF, so a guest under steps can see that it is stepped: PUSHF, SYSCALL and
//! interrupt frames store the flag. This is for examination, not for recording.

use kvm_bindings::{KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_GUESTDBG_USE_HW_BP, kvm_guest_debug};
use outlive_engine::{EngineError, Exit};

use crate::engine::KvmEngine;
use crate::error::host;

/// DR7 with its fixed bit and exact local matching (SDM volume 3, 18.2.4).
const DR7_BASE: u64 = 1 << 10 | 1 << 8;

/// When a debugged guest stops by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DebugControl {
    /// After every instruction.
    pub single_step: bool,
    /// Before the instruction at any of these linear addresses.
    pub breakpoints: [Option<u64>; 4],
}

/// A stop that [`DebugControl`] asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DebugStop {
    /// Linear address of the next instruction.
    pub rip: u64,
    /// Which condition was met: DR6.
    pub dr6: u64,
}

/// Why a debugged guest stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Stop {
    /// For the same reasons as ever.
    Exit(Exit),
    /// Because [`DebugControl`] asked for it.
    Debug(DebugStop),
}

impl KvmEngine {
    /// Says when the guest shall stop by itself. [`run_debugged`](Self::run_debugged) returns then;
    /// [`run`](outlive_engine::Engine::run) takes such a stop for an error. Not to be used where an interrupt window is wanted.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn set_guest_debug(&mut self, control: &DebugControl) -> Result<(), EngineError> {
        self.progress.vcpu.set_guest_debug(&debug_registers(control)).map_err(host("control debugging"))?;
        self.progress.changed();
        Ok(())
    }

    /// Like [`run`](outlive_engine::Engine::run) without a limit, for a guest under
    /// [`set_guest_debug`](Self::set_guest_debug).
    ///
    /// # Errors
    /// When the host refuses to go on.
    pub fn run_debugged(&mut self) -> Result<Stop, EngineError> {
        self.run_to_stop()
    }
}

/// What KVM is to be told.
pub(crate) fn debug_registers(control: &DebugControl) -> kvm_guest_debug {
    let mut debug = kvm_guest_debug::default();
    let mut dr7 = DR7_BASE;
    for (number, address) in control.breakpoints.iter().enumerate() {
        let Some(address) = *address else { continue };
        debug.arch.debugreg[number] = address;
        dr7 |= 1 << (2 * number);
    }
    debug.arch.debugreg[7] = dr7;
    if control.single_step {
        debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP;
    }
    if control.breakpoints.iter().any(Option::is_some) {
        debug.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
    }
    debug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_asked_for_turns_debugging_off() {
        assert_eq!(debug_registers(&DebugControl::default()).control, 0);
    }

    #[test]
    fn each_breakpoint_has_its_own_enable_bit() {
        let breakpoints = [None, Some(0x1000), None, Some(0x2000)];
        let debug = debug_registers(&DebugControl { single_step: false, breakpoints });
        assert_eq!(debug.arch.debugreg[7], DR7_BASE | 1 << 2 | 1 << 6);
        assert_eq!(debug.arch.debugreg[..4], [0, 0x1000, 0, 0x2000]);
        assert_eq!(debug.control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP);
    }
}
