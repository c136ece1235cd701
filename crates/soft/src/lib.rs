//! The engine in software: an x86-64 processor that counts every instruction.
//!
//! Where a host gives no usable KVM, or no performance counter, this is what runs the guest; everywhere it is
//! the reference. It executes the processor that [`outlive_engine::cpuid`] describes, x86-64-v1 with
//! CMPXCHG16B, in long mode: 64-bit and compatibility mode, all four rings. Real mode, legacy protected mode
//! and 16-bit code segments are not executed; a guest that goes there is stopped with a report.
//!
//! # From bytes to execution
//!
//! 1. `decode` turns the bytes at RIP into a `block`: a row of `op`s up to the next branch. An op is 32
//!    bytes: a pointer to the function that executes it, and its operands.
//! 2. `run` calls the functions of a block, one after the other, and counts them. Between blocks it looks
//!    whether it has to stop, deliver an event, or tell the monitor something.
//!    Hot blocks become `native` code that makes the same calls.
//! 3. The functions stand in groups: `integer`, `system` (privilege, events, control registers), `sse`
//!    and `x87`. They work on the registers in `cpu` and on `memory`.
//!
//! # Precise faults, by giving up
//!
//! An instruction either completes or has changed nothing. A function that meets a fault returns
//! `Abort` before it changes anything; the exception is then delivered with the state before the
//! instruction. What an instruction wants to know of the monitor (a port, a device register, the time) works
//! the same way: it is given up, the monitor answers, and it is executed again and finds the answer.
//!
//! # Determinism
//!
//! What a guest does on this engine is a function of the state, the memory, the answers, and the steps at which
//! interrupts were injected and memory was written from outside. Nothing else: no host time, no host
//! randomness, no addresses of the host. SSE arithmetic uses the host's own, with the guest's MXCSR and the host's
//! restored, because the manual defines every bit of its results; where results differ between processors
//! (RCPPS and RSQRTPS, the x87's transcendental functions) they are computed in software, as all of the x87 is.
//!
//! Translations that are kept could be visible to a guest that changes its page tables without telling the
//! processor, and decide when accessed bits are set. So what is kept follows from what the guest executed alone,
//! never from where the monitor stopped it, nor from which code became native: see `memory`. Setting the
//! state begins with nothing kept.

#![allow(
    improper_ctypes_definitions,
    reason = "ops are called by native code of this crate, which checks the layout of what they return"
)]
#![cfg_attr(test, allow(unused_must_use, reason = "a trial of one instruction has no next one"))]

mod block;
mod cpu;
mod decode;
#[cfg(test)]
mod differential;
mod engine;
mod fault;
mod flags;
mod integer;
mod memory;
mod native;
mod op;
mod run;
mod sse;
mod state;
#[cfg(test)]
mod stops;
mod system;
#[cfg(test)]
mod testing;
mod vector;
mod width;
mod x87;

pub use engine::{CAPABILITIES, SoftEngine};
pub use native::NativeCode;
