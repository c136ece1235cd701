//! Queues: the rings through which driver and device exchange buffers (VirtIO 1.2, 2.7, split queues).
//!
//! The rings are read and written by `virtio-queue`; chains are walked [here](chain), since a chain that is
//! not well-formed must be an error and not just be short.

pub mod chain;

mod state;
#[cfg(test)]
mod tests;

use outlive_engine::{GuestPhysical, GuestRam};
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Bytes, GuestAddress};

use super::fault::DriverFault;
pub use chain::{Buffers, Chain, Segment};
pub use state::{QueueState, RingPosition};

/// The most entries that a queue can have: `QueueNumMax`.
pub const MAX_SIZE: u16 = 256;

/// `VIRTQ_AVAIL_F_NO_INTERRUPT` (VirtIO 1.2, 2.7.7).
const NO_INTERRUPT: u16 = 1;

/// What the driver has told about a queue. As long as the queue is not in use, it may be anything.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct QueueSetup {
    /// The number of entries.
    pub size: u32,
    /// Where the descriptor table is.
    pub descriptors: GuestPhysical,
    /// Where the available ring is.
    pub available: GuestPhysical,
    /// Where the used ring is.
    pub used: GuestPhysical,
}

/// One queue of a device.
#[derive(Debug, Default)]
pub struct Virtqueue {
    setup: QueueSetup,
    /// There is a ring while `QueueReady` is 1. All its parts are in RAM.
    ring: Option<Queue>,
    /// How far the driver has been told about used buffers. Behind the ring only while a device works.
    announced: u16,
}

impl Virtqueue {
    /// Whether the queue is in use.
    pub fn is_ready(&self) -> bool {
        self.ring.is_some()
    }

    /// The number of entries; 0 if the queue is not in use.
    pub fn size(&self) -> u16 {
        self.ring.as_ref().map_or(0, QueueT::size)
    }

    /// What the driver tells about the queue. It cannot tell anything while the queue is in use (VirtIO
    /// 1.2, 4.2.2.2).
    pub(super) fn set_up(&mut self, change: impl FnOnce(&mut QueueSetup)) {
        if self.ring.is_none() {
            change(&mut self.setup);
        }
    }

    /// Takes the queue into use.
    ///
    /// # Errors
    /// When what the driver has told about it is not possible.
    pub(super) fn start(&mut self, memory: &GuestRam) -> Result<(), DriverFault> {
        if self.ring.is_none() {
            self.ring = Some(self.setup.open(memory)?);
            self.announced = 0;
        }
        Ok(())
    }

    /// Takes the queue out of use.
    pub(super) fn stop(&mut self) {
        self.ring = None;
        self.announced = 0;
    }

    /// Puts the queue into the state after a reset.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes the next available chain; `None` if there is none.
    ///
    /// # Errors
    /// When the available ring or the chain is malformed.
    pub(super) fn pop(&mut self, memory: &GuestRam) -> Result<Option<Chain>, DriverFault> {
        let Some(ring) = &mut self.ring else { return Ok(None) };
        let (table, size) = (ring.desc_table(), ring.size());
        let mut available = ring.iter(memory).map_err(|_| DriverFault::AvailableIndex)?;
        let Some(head) = available.next().map(|chain| chain.head_index()) else { return Ok(None) };
        Chain::read(memory, GuestPhysical(table), size, head).map(Some)
    }

    /// Gives a chain back to the driver. `written` bytes at the beginning of its writable part have been
    /// written (VirtIO 1.2, 2.7.8.2).
    pub(super) fn push_used(&mut self, memory: &GuestRam, head: u16, written: u32) {
        // The ring lies in RAM and heads come from `pop`, so that this cannot fail.
        let pushed = self.ring.as_mut().map(|ring| ring.add_used(memory, head, written));
        assert!(matches!(pushed, Some(Ok(()))), "a chain was used that was not available: {pushed:?}");
    }

    /// Whether the driver is to be interrupted for what was used since the last call (VirtIO 1.2, 2.7.7.2).
    pub(super) fn announce(&mut self, memory: &GuestRam) -> bool {
        let Some(ring) = &self.ring else { return false };
        let has_news = ring.next_used() != self.announced;
        self.announced = ring.next_used();
        // As in `push_used`, the ring is in RAM.
        let flags = memory.read_obj::<u16>(GuestAddress(ring.avail_ring())).map_or(0, u16::from_le);
        has_news && flags & NO_INTERRUPT == 0
    }
}

impl QueueSetup {
    /// A ring at its beginning.
    fn open(&self, memory: &GuestRam) -> Result<Queue, DriverFault> {
        let size = u16::try_from(self.size).map_err(|_| DriverFault::QueueSize(self.size))?;
        let mut ring = Queue::new(MAX_SIZE).map_err(|_| DriverFault::QueueSize(self.size))?;
        ring.try_set_size(size).map_err(|_| DriverFault::QueueSize(self.size))?;
        let misplaced = DriverFault::QueueAddress {
            descriptors: self.descriptors,
            available: self.available,
            used: self.used,
        };
        self.place(&mut ring).map_err(|_| misplaced)?;
        ring.set_ready(true);
        // `virtio-queue` takes an available ring at address 0 for one that was never set.
        let is_placed = self.available.0 != 0 && ring.is_valid(memory);
        if is_placed { Ok(ring) } else { Err(misplaced) }
    }

    fn place(&self, ring: &mut Queue) -> Result<(), virtio_queue::Error> {
        ring.try_set_desc_table_address(GuestAddress(self.descriptors.0))?;
        ring.try_set_avail_ring_address(GuestAddress(self.available.0))?;
        ring.try_set_used_ring_address(GuestAddress(self.used.0))
    }
}
