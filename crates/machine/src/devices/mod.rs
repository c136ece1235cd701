//! The devices that every PC has: interrupt controllers, timers, clock, serial port, reset.
//!
//! A device is driven in three ways, and in no other:
//!
//! * **Access.** The guest reads or writes a port. Where the answer depends on time, the machine first
//!   makes a time read and hands the result over as `now`. Successive `now` never go back.
//! * **Tick.** A clock tick has moved guest time: `advance(now)`. A device with a timer tells through
//!   `deadline()` when its next tick is wanted, and without an access its interrupt line changes only in
//!   `advance`. However long the guest was stopped, one call catches up, in constant time.
//! * **Input.** Bytes from the world: [`Serial::receive`](serial::Serial::receive).
//!
//! What a device does is a function of its state and of these calls with their arguments. It sees no host
//! clock and no other device; the machine carries interrupt lines to the
//! [`InterruptController`](pic::InterruptController) after each call, and bytes from the serial port to
//! the output gate.
//!
//! | device | access | tick | line |
//! | --- | --- | --- | --- |
//! | [`pic`] | without `now` | | `pending`: the processor's INTR pin |
//! | [`pit`] | with `now` | yes | `advance` tells of rising edges: IRQ 0 |
//! | [`system_control`] | with `now`, on top of the PIT | | |
//! | [`rtc`] | with `now` | yes | `interrupt`, a level: IRQ 8 |
//! | [`serial`] | without `now` | | `take_line`: IRQ 4 |
//! | [`pm_timer`], [`keyboard_controller`], [`debug_exit`] | stateless | | |
//!
//! Each device with state has a `State`: plain numbers and flags, all fields public, made by `save`.
//! `restore` checks it and returns [`InvalidState`] for one that no sequence of calls leads to and that
//! the device could not go on from. Live structures never travel; saved ones never run.

pub mod debug_exit;
pub mod keyboard_controller;
pub mod pic;
pub mod pit;
pub mod pm_timer;
pub mod rtc;
pub mod serial;
pub mod system_control;

/// What an open bus reads: nothing drives the data lines, so the pull-ups win.
const OPEN_BUS: u8 = 0xff;

/// What an interrupt line did since the machine last looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// It is low.
    Low,
    /// It is high. An edge only if it was low when the machine last looked.
    High,
    /// It is high, and it was low for a moment in between: an edge in any case.
    Reasserted,
}

/// A saved state that the device cannot be in.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error("the saved state of the {device} is damaged: {reason}")]
pub struct InvalidState {
    device: &'static str,
    reason: &'static str,
}

impl InvalidState {
    /// Fails with `reason` unless `holds`.
    fn unless(holds: bool, device: &'static str, reason: &'static str) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self { device, reason }) }
    }
}
