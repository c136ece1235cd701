//! Primary and backup: the protocol between them, and the gate that holds outputs back.

pub mod driver;
pub mod gate;
pub mod message;
pub mod protocol;
pub mod transport;
pub mod vcpu;
pub mod wire;

mod clock;
mod quantities;

pub use quantities::{LogPosition, Moment};

/// The target of all tracing events about what happens to a pair. Each has a field `event` that names it.
pub const TARGET: &str = "outlive::pair";
