//! What an *engine* is: the part of Outlive that executes guest instructions.
//!
//! Two engines stand behind one trait: `kvm` lets the processor run the guest, `soft` is an x86-64
//! processor in software. Everything above them (machine, recorder, replayer, replication) speaks only
//! the words of this crate:
//!
//! * [`Engine`] runs the guest until an [`Exit`];
//! * [`VcpuState`] is the whole architectural state of the one virtual processor;
//! * [`Landmark`] names a point of the guest's execution that can be found again;
//! * [`Capabilities`] says what an engine can promise. Upper layers ask for a capability, never for an
//!   engine's name;
//! * [`cpuid`], [`msr`] and [`ports`] fix what the guest sees of its processor and of its I/O ports, the
//!   same on every engine and on every host;
//! * [`determinism`] is the one exhaustive table of everything that could make two runs differ, each row
//!   with its treatment. What is not in the table fails closed.

pub mod cpuid;
pub mod determinism;
pub mod msr;
pub mod ports;

mod capabilities;
mod engine;
mod exit;
mod landmark;
mod memory;
mod quantities;
mod registers;

pub use capabilities::{Capabilities, EngineKind, Landing, TimeReads};
pub use engine::{Answer, Engine, EngineError, Kicker, Position, RunLimit};
pub use exit::{AccessSize, Exit, UnhandledExit};
pub use landmark::{ExitNumber, InstructionCount, Landmark};
pub use memory::{GuestRam, WrittenPages};
pub use quantities::{GuestPhysical, GuestTime};
pub use registers::{
    Activity, ControlRegisters, DebugRegisters, DescriptorTable, FloatingPointState, GeneralRegisters,
    InterruptShadow, ModelSpecificRegisters, PendingEvent, Segment, Segments, VcpuState,
};
