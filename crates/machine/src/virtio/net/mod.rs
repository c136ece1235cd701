//! The network device (VirtIO 1.2, 5.1), without offloads and without a control queue.
//!
//! A frame that the guest sends is copied when the driver notifies, goes out as an [`Output::Frame`], and
//! its buffer is given back at once: when the world really sends it must not show. A frame that comes in
//! is written to the next receive buffer. If the driver has none ready, up to 256 frames wait for the next
//! notification of the receive queue; they are part of the device's state.
//!
//! A receive buffer that is too small for the frame whose turn it is goes back to the driver with nothing
//! written, and the frame is dropped. Without `VIRTIO_NET_F_MRG_RXBUF` a frame has to go into one buffer
//! (VirtIO 1.2, 5.1.6.4.1), and keeping the small buffer first in line could hold up all frames for ever;
//! so the driver gets to know.

mod frame;
mod state;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use outlive_engine::GuestRam;

use super::device::VirtioDevice;
use super::fault::{DriverFault, RestoreError};
use super::mmio::VirtioMmio;
use super::queue::{Chain, Virtqueue};
use crate::world::{NetworkIndex, Output};
pub use frame::{MAX_FRAME_BYTES, MIN_FRAME_BYTES};
pub use state::NetState;

/// The most frames that wait for a receive buffer.
pub const MAX_BACKLOG: usize = 256;

/// `VIRTIO_NET_F_MAC` (VirtIO 1.2, 5.1.3): the configuration space holds an address.
const FEATURE_MAC: u64 = 1 << 5;

/// The queues (VirtIO 1.2, 5.1.2).
const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;

/// A network interface.
#[derive(Debug)]
pub struct Net {
    network: NetworkIndex,
    /// The whole configuration space: `struct virtio_net_config` up to what is offered.
    mac: [u8; 6],
    backlog: VecDeque<Vec<u8>>,
    dropped: DroppedFrames,
}

/// How many frames were lost in the device.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DroppedFrames {
    /// Frames of the guest that are not such, or with a header that asks for what was not offered.
    pub sent: u64,
    /// Frames for the guest that it was not ready for, or that are not such.
    pub received: u64,
}

impl Net {
    /// The interface to the network `network`, with the address `mac`.
    pub fn new(network: NetworkIndex, mac: [u8; 6]) -> Self {
        Self { network, mac, backlog: VecDeque::new(), dropped: DroppedFrames::default() }
    }

    /// Which network it is for.
    pub fn network(&self) -> NetworkIndex {
        self.network
    }

    /// How many frames were lost in the device.
    pub fn dropped(&self) -> DroppedFrames {
        self.dropped
    }

    fn transmit(
        &mut self,
        queue: &mut Virtqueue,
        memory: &GuestRam,
        outputs: &mut Vec<Output>,
    ) -> Result<(), DriverFault> {
        // The used ring may lie in the available ring and make more available, hence a bound of our own.
        for _ in 0..queue.size() {
            let Some(chain) = queue.pop(memory)? else { break };
            self.send(&chain, memory, outputs)?;
            queue.push_used(memory, chain.head, 0);
        }
        Ok(())
    }

    fn send(
        &mut self,
        chain: &Chain,
        memory: &GuestRam,
        outputs: &mut Vec<Output>,
    ) -> Result<(), DriverFault> {
        match frame::outgoing(chain, memory)? {
            Some(bytes) => outputs.push(Output::Frame { network: self.network, bytes }),
            None => self.dropped.sent = self.dropped.sent.saturating_add(1),
        }
        Ok(())
    }

    /// Takes a frame for the guest. It waits behind those that are waiting.
    fn take_in(&mut self, frame: &[u8], queue: &mut Virtqueue, memory: &GuestRam) -> Result<(), DriverFault> {
        self.backlog.push_back(frame.to_vec());
        let delivered = self.deliver(queue, memory);
        if self.backlog.len() > MAX_BACKLOG {
            self.backlog.truncate(MAX_BACKLOG);
            self.drop_received();
        }
        delivered
    }

    /// Delivers frames until there are no more, or no more buffers.
    fn deliver(&mut self, queue: &mut Virtqueue, memory: &GuestRam) -> Result<(), DriverFault> {
        while let Some(frame) = self.backlog.front() {
            let Some(chain) = queue.pop(memory)? else { break };
            let written = frame::incoming(frame, &chain, memory)?;
            self.backlog.pop_front();
            queue.push_used(memory, chain.head, written);
            if written == 0 {
                self.drop_received();
            }
        }
        Ok(())
    }

    fn drop_received(&mut self) {
        self.dropped.received = self.dropped.received.saturating_add(1);
    }
}

impl VirtioDevice for Net {
    type State = NetState;

    const ID: u32 = 1;
    const QUEUES: usize = 2;

    fn offered_features(&self) -> u64 {
        FEATURE_MAC
    }

    /// A driver that does not know of it makes up an address, and all is well.
    fn demanded_features(&self) -> u64 {
        0
    }

    fn config(&self) -> &[u8] {
        &self.mac
    }

    fn notified(
        &mut self,
        queue: usize,
        queues: &mut [Virtqueue],
        memory: &GuestRam,
        outputs: &mut Vec<Output>,
    ) -> Result<(), DriverFault> {
        match queue {
            RECEIVE => self.deliver(&mut queues[RECEIVE], memory),
            _ => self.transmit(&mut queues[TRANSMIT], memory, outputs),
        }
    }

    fn queue_stopped(&mut self, queue: usize) {
        if queue == RECEIVE {
            self.backlog.clear();
        }
    }

    fn save(&self) -> NetState {
        self.saved()
    }

    fn restore(
        &mut self,
        state: NetState,
        queues: &[Virtqueue],
        _memory: &GuestRam,
    ) -> Result<(), RestoreError> {
        self.take_over(state, queues[RECEIVE].is_ready())
    }
}

impl VirtioMmio<Net> {
    /// A frame has come in. While the driver is not there it is lost, as on a cable that is not plugged in.
    /// So are bytes that are too few or too many for a frame.
    pub fn receive(&mut self, frame: &[u8], memory: &GuestRam) {
        let is_listening = self.is_live() && self.is_queue_ready(RECEIVE);
        if is_listening && frame::is_frame(frame.len()) {
            self.work(memory, |device, queues| device.take_in(frame, &mut queues[RECEIVE], memory));
        } else {
            self.device_mut().drop_received();
        }
    }
}
