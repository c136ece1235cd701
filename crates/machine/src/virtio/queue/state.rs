//! The saved form of a queue.

use outlive_engine::{GuestPhysical, GuestRam};
use serde::{Deserialize, Serialize};
use virtio_queue::QueueT;

use super::{QueueSetup, Virtqueue};
use crate::virtio::fault::DriverFault;

/// The saved form of a [`Virtqueue`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct QueueState {
    /// The number of entries.
    pub size: u32,
    /// Where the descriptor table is.
    pub descriptors: u64,
    /// Where the available ring is.
    pub available: u64,
    /// Where the used ring is.
    pub used: u64,
    /// How far the device is, if the queue is in use.
    pub position: Option<RingPosition>,
}

/// How far a device is in a queue.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct RingPosition {
    /// The index of the next chain to take from the available ring.
    pub next_available: u16,
    /// The index of the next entry to write in the used ring.
    pub next_used: u16,
}

impl Virtqueue {
    pub(in crate::virtio) fn save(&self) -> QueueState {
        let position = |ring: &virtio_queue::Queue| {
            assert_eq!(ring.next_used(), self.announced, "saved while a device works");
            RingPosition { next_available: ring.next_avail(), next_used: ring.next_used() }
        };
        QueueState {
            size: self.setup.size,
            descriptors: self.setup.descriptors.0,
            available: self.setup.available.0,
            used: self.setup.used.0,
            position: self.ring.as_ref().map(position),
        }
    }

    pub(in crate::virtio) fn restored(state: &QueueState, memory: &GuestRam) -> Result<Self, DriverFault> {
        let setup = QueueSetup {
            size: state.size,
            descriptors: GuestPhysical(state.descriptors),
            available: GuestPhysical(state.available),
            used: GuestPhysical(state.used),
        };
        let Some(position) = state.position else {
            return Ok(Self { setup, ..Self::default() });
        };
        let mut ring = setup.open(memory)?;
        ring.set_next_avail(position.next_available);
        ring.set_next_used(position.next_used);
        Ok(Self { setup, ring: Some(ring), announced: position.next_used })
    }
}
