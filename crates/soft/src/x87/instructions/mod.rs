//! The ops.
//!
//! Each begins with [`begin`](crate::x87::guard::begin), reads memory, computes in a
//! [`Context`](crate::x87::rounding::Context), writes memory, and then registers and the status word. In an op,
//! `extra` is the register of the instruction, `immediate` what FOP becomes.

pub(super) mod arithmetic;
pub(super) mod comparison;
pub(super) mod control;
pub(super) mod environment;
pub(super) mod load;
pub(super) mod operand;
pub(super) mod stack;
pub(super) mod store;
pub(super) mod transcendental;
