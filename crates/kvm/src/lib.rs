//! The engine on the host's KVM: the processor itself runs the guest.
//!
//! One [`KvmEngine`] is one virtual machine with one vCPU. KVM gets no devices and no clocks of its own:
//! no interrupt controller, no timer, no paravirtual clock, so that everything that reaches the guest
//! passes through [`outlive_engine::Engine`]. What is created, and with which promises, is in module `vm`;
//! what KVM says when a guest stops is translated in `exits`; which exits must be finished before the
//! vCPU stands between two instructions is the business of `progress`.
//!
//! Whether the host's KVM does what a guest needs is a question of its own: [`probe`] answers it by
//! running small guests. There are hosts whose `/dev/kvm` is not backed by hardware virtualization and
//! behaves differently from the manual in places.
//!
//! "api.rst" in this crate is `Documentation/virt/kvm/api.rst` of the Linux kernel, "SDM" the Intel 64
//! and IA-32 Architectures Software Developer's Manual, "APM" the AMD64 Architecture Programmer's Manual.

mod cpuid;
mod debug;
mod engine;
mod error;
mod exits;
mod host;
mod interrupts;
mod ioctl;
mod kick;
mod msr_filter;
pub mod probe;
mod progress;
mod run_page;
mod shadow;
mod state;
#[cfg(test)]
mod testing;
mod vm;

pub use debug::{DebugControl, DebugStop, Stop};
pub use engine::{CAPABILITIES, KvmEngine};
pub use error::KvmError;
pub use host::{CapabilityReport, DEVICE, Host, HostReport};
