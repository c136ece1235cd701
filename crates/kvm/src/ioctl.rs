//! The two ioctls of a vCPU that kvm-ioctls does not wrap.

use std::io;

use kvm_bindings::{KVMIO, kvm_interrupt, kvm_signal_mask};
use kvm_ioctls::VcpuFd;
use vmm_sys_util::ioctl::ioctl_with_ref;
use vmm_sys_util::ioctl_iow_nr;

ioctl_iow_nr!(KVM_INTERRUPT, KVMIO, 0x86, kvm_interrupt);
ioctl_iow_nr!(KVM_SET_SIGNAL_MASK, KVMIO, 0x8b, kvm_signal_mask);

/// A `kvm_signal_mask` with its flexible array filled in. The kernel's signal set has 64 bits.
#[repr(C, packed)]
struct SignalMask {
    length: u32,
    blocked: u64,
}

/// Queues external interrupt `vector` for delivery at the next entry (api.rst 4.16, `KVM_INTERRUPT`).
pub(crate) fn interrupt(vcpu: &VcpuFd, vector: u8) -> io::Result<()> {
    let interrupt = kvm_interrupt { irq: vector.into() };
    // SAFETY: the ioctl reads one kvm_interrupt, and `interrupt` is one.
    check(unsafe { ioctl_with_ref(vcpu, KVM_INTERRUPT(), &interrupt) })
}

/// Sets which signals are blocked while the vCPU runs (api.rst 4.17, `KVM_SET_SIGNAL_MASK`): bit n - 1
/// of `blocked` stands for signal n.
pub(crate) fn set_signal_mask(vcpu: &VcpuFd, blocked: u64) -> io::Result<()> {
    let mask = SignalMask { length: 8, blocked };
    // SAFETY: the ioctl reads a length and as many bytes as it says, and `mask` is that.
    check(unsafe { ioctl_with_ref(vcpu, KVM_SET_SIGNAL_MASK(), &mask) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
