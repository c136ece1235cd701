//! What a device is to its transport.

use outlive_engine::GuestRam;

use super::fault::{DriverFault, RestoreError};
use super::queue::Virtqueue;
use crate::world::Output;

/// A virtio device without its transport.
pub trait VirtioDevice {
    /// The device's saved form.
    type State;

    /// The device ID (VirtIO 1.2, 5).
    const ID: u32;

    /// How many queues it has.
    const QUEUES: usize;

    /// The feature bits of this type of device that it offers (VirtIO 1.2, 2.2). Bits that belong to the
    /// transport are not among them.
    fn offered_features(&self) -> u64;

    /// Those among them without which it does not work.
    fn demanded_features(&self) -> u64;

    /// The device configuration space (VirtIO 1.2, 2.5). It never changes and the driver cannot write it.
    fn config(&self) -> &[u8];

    /// The driver has made buffers available in the queue `queue`.
    ///
    /// # Errors
    /// When the driver has broken the rules of the ring.
    fn notified(
        &mut self,
        queue: usize,
        queues: &mut [Virtqueue],
        memory: &GuestRam,
        outputs: &mut Vec<Output>,
    ) -> Result<(), DriverFault>;

    /// The queue `queue` is out of use from now on: the driver has its buffers back, and the device must
    /// forget them.
    fn queue_stopped(&mut self, queue: usize);

    /// The state that is not configuration.
    fn save(&self) -> Self::State;

    /// Takes over a saved state. `queues` have been restored already.
    ///
    /// # Errors
    /// When no device of this configuration could have saved that.
    fn restore(
        &mut self,
        state: Self::State,
        queues: &[Virtqueue],
        memory: &GuestRam,
    ) -> Result<(), RestoreError>;
}
