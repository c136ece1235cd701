//! The block device (VirtIO 1.2, 5.2).
//!
//! A request is taken from the ring when the driver notifies. What it wants of the disk goes out as an
//! [`Output::Disk`] at once, with a copy of the data to write, and the request waits in the device until
//! [`complete`](VirtioMmio::complete) brings the answer. Requests that the disk is not needed for (the
//! serial number, and those that are refused) are answered within the notification.
//!
//! The operation itself stays part of the device's state while it is in flight. A backup that goes live
//! cannot know which of them the dead primary has carried out, and issues all of them
//! [again](Block::reissue); doing a read or a write twice is harmless as long as nobody has heard of its
//! completion. The guest may have changed the buffers since, but the request is what they held when it
//! was made, on both sides.
//!
//! A [`DiskRequestId`] is never used twice, not even after a reset. So a completion for a request that the
//! driver has given up by resetting the device can be told from all others, and is dropped.

mod config;
mod request;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use outlive_engine::GuestRam;

use super::device::VirtioDevice;
use super::fault::{DriverFault, RestoreError};
use super::mmio::VirtioMmio;
use super::queue::{Buffers, Chain, Virtqueue};
use crate::world::{DiskIndex, DiskOperation, DiskRequestId, DiskStatus, Output};
use config::Config;
pub use request::{MAX_DATA_BYTES, SECTOR_BYTES};
use request::{Request, Status};
pub use state::{BlockState, OperationState, RequestState, SegmentState};

/// The length of a serial number (VirtIO 1.2, 5.2.6).
pub const SERIAL_BYTES: usize = 20;

/// The only queue.
const REQUESTS: usize = 0;

/// A disk.
#[derive(Debug)]
pub struct Block {
    disk: DiskIndex,
    sectors: u64,
    read_only: bool,
    serial: [u8; SERIAL_BYTES],
    config: Config,
    next_request: DiskRequestId,
    in_flight: BTreeMap<DiskRequestId, InFlight>,
}

/// A request that waits for the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
struct InFlight {
    head: u16,
    operation: DiskOperation,
    answer: Answer,
}

/// Where the answer to a request goes: data, then one byte of status. Never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Answer(Buffers);

/// What became of a completion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    /// The driver got it.
    Delivered,
    /// The driver has reset the device since, or has to.
    Abandoned,
}

/// A completion that does not fit the requests that were made. The device is as it was.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompletionError {
    /// No such request was made.
    #[error("request {request:?} of a disk was completed, but the next one to be made is {next:?}")]
    NeverMade {
        /// The request that was named.
        request: DiskRequestId,
        /// The name of the next request.
        next: DiskRequestId,
    },
    /// More or less data than the request has to get.
    #[error("request {request:?} of a disk was completed with {found} bytes of data instead of {expected}")]
    DataLength {
        /// Which request.
        request: DiskRequestId,
        /// How many bytes it has to get.
        expected: usize,
        /// How many came.
        found: usize,
    },
}

impl Block {
    /// The disk `disk` of `sectors` sectors of 512 bytes. Of `serial` the first 20 bytes count.
    pub fn new(disk: DiskIndex, sectors: u64, read_only: bool, serial: &str) -> Self {
        let mut padded = [0; SERIAL_BYTES];
        padded.iter_mut().zip(serial.bytes()).for_each(|(to, from)| *to = from);
        Self {
            disk,
            sectors,
            read_only,
            serial: padded,
            config: Config::new(sectors),
            next_request: DiskRequestId(0),
            in_flight: BTreeMap::new(),
        }
    }

    /// Which disk it is.
    pub fn disk(&self) -> DiskIndex {
        self.disk
    }

    /// The operations of all requests in flight, oldest first: what a machine that has just gone live asks
    /// of its disk.
    pub fn reissue(&self) -> Vec<(DiskRequestId, DiskOperation)> {
        self.in_flight.iter().map(|(&id, request)| (id, request.operation.clone())).collect()
    }

    fn process(
        &mut self,
        chain: Chain,
        queue: &mut Virtqueue,
        memory: &GuestRam,
        outputs: &mut Vec<Output>,
    ) -> Result<(), DriverFault> {
        if self.in_flight.values().any(|request| request.head == chain.head) {
            return Err(DriverFault::InUse(chain.head));
        }
        let request = Request::read(&chain, self.sectors, self.read_only, memory)?;
        let Chain { head, writable, .. } = chain;
        let answer = Answer(writable);
        match request {
            Request::Disk(operation) => {
                self.issue(InFlight { head, operation, answer }, outputs);
                Ok(())
            }
            Request::Identify => answer.give(head, Status::Ok, &self.serial, queue, memory),
            Request::Refused(status) => answer.give(head, status, &[], queue, memory),
        }
    }

    fn issue(&mut self, request: InFlight, outputs: &mut Vec<Output>) {
        let id = self.next_request;
        // At one request per nanosecond they last for 584 years.
        self.next_request = DiskRequestId(id.0 + 1);
        let operation = request.operation.clone();
        outputs.push(Output::Disk { disk: self.disk, request: id, operation });
        self.in_flight.insert(id, request);
    }

    /// Takes a request that is completed out of flight; `None` if the driver has given it up.
    fn take(
        &mut self,
        request: DiskRequestId,
        status: DiskStatus,
        data: &[u8],
    ) -> Result<Option<InFlight>, CompletionError> {
        if request >= self.next_request {
            return Err(CompletionError::NeverMade { request, next: self.next_request });
        }
        let Some(in_flight) = self.in_flight.get(&request) else { return Ok(None) };
        let (expected, found) = (in_flight.data_bytes(status), data.len());
        if found != expected {
            return Err(CompletionError::DataLength { request, expected, found });
        }
        Ok(self.in_flight.remove(&request))
    }
}

impl InFlight {
    /// How many bytes a completion brings.
    fn data_bytes(&self, status: DiskStatus) -> usize {
        match (&self.operation, status) {
            (DiskOperation::Read { bytes, .. }, DiskStatus::Done) => *bytes as usize,
            _ => 0,
        }
    }
}

impl Answer {
    /// Where the status goes: the last byte that the device may write (VirtIO 1.2, 5.2.6).
    fn status_offset(&self) -> u64 {
        self.0.bytes() - 1
    }

    /// Writes data and status and gives the chain back.
    ///
    /// The driver is told of bytes that were written without a gap from the beginning on (VirtIO 1.2,
    /// 2.7.8.2), which a status behind unwritten data is not.
    fn give(
        &self,
        head: u16,
        status: Status,
        data: &[u8],
        queue: &mut Virtqueue,
        memory: &GuestRam,
    ) -> Result<(), DriverFault> {
        let status_offset = self.status_offset();
        self.0.write(memory, 0, data)?;
        self.0.write(memory, status_offset, &[status as u8])?;
        let has_gap = data.len() as u64 != status_offset;
        // Data is a serial number or a read that is not longer than a request may be.
        let written = data.len() as u32 + u32::from(!has_gap);
        queue.push_used(memory, head, written);
        Ok(())
    }
}

impl VirtioDevice for Block {
    type State = BlockState;

    const ID: u32 = 2;
    const QUEUES: usize = 1;

    fn offered_features(&self) -> u64 {
        config::features(self.read_only)
    }

    fn demanded_features(&self) -> u64 {
        config::demanded_features(self.read_only)
    }

    fn config(&self) -> &[u8] {
        self.config.bytes()
    }

    fn notified(
        &mut self,
        _queue: usize,
        queues: &mut [Virtqueue],
        memory: &GuestRam,
        outputs: &mut Vec<Output>,
    ) -> Result<(), DriverFault> {
        let queue = &mut queues[REQUESTS];
        // An answer may lie in the available ring and make more available, hence a bound of our own.
        for _ in 0..queue.size() {
            let Some(chain) = queue.pop(memory)? else { break };
            self.process(chain, queue, memory, outputs)?;
        }
        Ok(())
    }

    fn queue_stopped(&mut self, _queue: usize) {
        self.in_flight.clear();
    }

    fn save(&self) -> BlockState {
        self.saved()
    }

    fn restore(
        &mut self,
        state: BlockState,
        queues: &[Virtqueue],
        memory: &GuestRam,
    ) -> Result<(), RestoreError> {
        self.take_over(state, queues[REQUESTS].size(), memory)
    }
}

impl VirtioMmio<Block> {
    /// The disk has carried out a request: `data` is what a read that worked has read, else empty.
    ///
    /// # Errors
    /// When no such request was made, or when the data is not as long as the request wants. The device is
    /// then as it was.
    pub fn complete(
        &mut self,
        request: DiskRequestId,
        status: DiskStatus,
        data: &[u8],
        memory: &GuestRam,
    ) -> Result<Completion, CompletionError> {
        let taken = self.device_mut().take(request, status, data)?;
        let Some(InFlight { head, answer, .. }) = taken.filter(|_| self.is_live()) else {
            return Ok(Completion::Abandoned);
        };
        let status = Status::from(status);
        self.work(memory, |_, queues| answer.give(head, status, data, &mut queues[REQUESTS], memory));
        Ok(Completion::Delivered)
    }
}
