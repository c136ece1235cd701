//! The virtio devices: disks and network interfaces, each behind a virtio-mmio transport.
//!
//! # How a request travels
//!
//! A paravirtual device shares memory with its driver, and that is where such devices usually lose
//! determinism: a thread of the host reads the rings while the guest runs, and what it finds depends on
//! who was faster. Here nobody but the vCPU thread touches guest memory, and a device acts at two places
//! only, at both of which the guest stands still:
//!
//! 1. **A register access.** The guest writes `QueueNotify`. That is an exit, so it has a number, and every
//!    run with the same inputs makes it at the same place with the same memory. Within that one write the
//!    device takes what the driver has made available, copies what is to go out, and hands it over as
//!    [`Output`](crate::world::Output)s. It does not wait for anything.
//! 2. **An input.** What the world answers, a read's data or a frame, comes in as an
//!    [`Input`](crate::world::Input) at a landmark, with all its bytes. Within that one call the device
//!    copies them into guest memory, marks buffers as used and raises its interrupt line.
//!
//! ```text
//!             notify                      output gate
//!   driver ───────────► device ─ Output ──────────────► disk, TAP
//!      ▲                  │                                 │
//!      └── used ring, ────┘◄──────── Input ◄────────────────┘
//!          interrupt line       recorded, or from the log
//! ```
//!
//! So memory, rings and interrupt lines are functions of the register accesses and inputs before them,
//! and a replay needs no more of a device than the inputs in the log. It follows what these devices must
//! not have: no thread or event descriptor that watches a queue, no polling, no merging of interrupts by
//! time, no random choice of order. It also follows that a request to a disk is always answered later,
//! even if the host has the data at hand: how fast the host was must not show.
//!
//! A read that is under way when a primary dies is not lost: the request is part of the device's state on
//! the backup, which [issues it again](block::Block::reissue).
//!
//! # Drivers that break the rules
//!
//! Everything in the rings is the guest's to get wrong. A request that the specification gives an error
//! status gets that status. A driver that breaks the rules of the ring itself, where no answer is possible,
//! puts the device into the state `DEVICE_NEEDS_RESET` (VirtIO 1.2, 2.1.2): it does nothing more until it
//! is reset. [`DriverFault`] lists what leads there. Work per register access is bounded: at most as many
//! chains as the queue has entries, each with at most as many descriptors.
//!
//! # Parts
//!
//! * [`mmio`]: the registers, the same for every device;
//! * [`queue`]: rings and descriptor chains;
//! * [`block`] and [`net`]: the devices;
//! * [`Slot`]: a device at its place on the bus.

pub mod block;
pub mod mmio;
pub mod net;
pub mod queue;

mod device;
mod fault;
mod slot;

#[cfg(test)]
mod driver;
#[cfg(test)]
mod properties;

pub use block::{Block, BlockState, Completion, CompletionError};
pub use device::VirtioDevice;
pub use fault::{DriverFault, RestoreError};
pub use mmio::{MmioState, VirtioMmio};
pub use net::{Net, NetState};
pub use slot::{SLOT_BASE, SLOT_BYTES, SLOT_IRQS, Slot, SlotState, kernel_argument, locate};
