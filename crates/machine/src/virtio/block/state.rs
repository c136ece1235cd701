//! The saved form of a block device.

use outlive_engine::{GuestPhysical, GuestRam};
use serde::{Deserialize, Serialize};

use super::request::is_transfer_possible;
use super::{Answer, Block, InFlight};
use crate::virtio::fault::RestoreError;
use crate::virtio::queue::{Buffers, Segment};
use crate::world::{DiskOperation, DiskRequestId};

/// The saved form of a [`Block`].
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct BlockState {
    /// The number of the next request.
    pub next_request: u64,
    /// The requests in flight, oldest first.
    pub in_flight: Vec<RequestState>,
}

/// The saved form of a request in flight.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RequestState {
    /// Its number.
    pub id: u64,
    /// The first descriptor of its chain.
    pub head: u16,
    /// What the disk is asked to do.
    pub operation: OperationState,
    /// Where the answer goes.
    pub answer: Vec<SegmentState>,
}

/// The saved form of a [`DiskOperation`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs, reason = "as in DiskOperation")]
pub enum OperationState {
    Read { sector: u64, bytes: u32 },
    Write { sector: u64, data: Vec<u8> },
    Flush,
}

/// The saved form of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SegmentState {
    /// Its address.
    pub address: u64,
    /// Its length.
    pub bytes: u32,
}

impl Block {
    pub(super) fn saved(&self) -> BlockState {
        let in_flight = self.in_flight.iter().map(|(id, request)| request.save(*id)).collect();
        BlockState { next_request: self.next_request.0, in_flight }
    }

    /// Takes over a saved state. The queue has `queue_size` entries, 0 if it is not in use.
    pub(super) fn take_over(
        &mut self,
        state: BlockState,
        queue_size: u16,
        memory: &GuestRam,
    ) -> Result<(), RestoreError> {
        if state.next_request == u64::MAX {
            return Err(RestoreError::Impossible("number of requests"));
        }
        self.next_request = DiskRequestId(state.next_request);
        self.in_flight.clear();
        for request in state.in_flight {
            let id = DiskRequestId(request.id);
            let request = InFlight::restored(request, memory)?;
            if !self.could_have_made(id, &request, queue_size) {
                return Err(RestoreError::Impossible("request in flight"));
            }
            self.in_flight.insert(id, request);
        }
        Ok(())
    }

    /// Whether the request could be in flight after those that are.
    fn could_have_made(&self, id: DiskRequestId, request: &InFlight, queue_size: u16) -> bool {
        let follows = self.in_flight.last_key_value().is_none_or(|(last, _)| *last < id);
        let is_named = follows && id < self.next_request && request.head < queue_size;
        is_named
            && self.in_flight.values().all(|other| other.head != request.head)
            && self.can_carry_out(&request.operation)
            && request.has_room()
    }

    fn can_carry_out(&self, operation: &DiskOperation) -> bool {
        match operation {
            DiskOperation::Read { sector, bytes } => {
                is_transfer_possible(*sector, (*bytes).into(), self.sectors)
            }
            DiskOperation::Write { sector, data } => {
                !self.read_only && is_transfer_possible(*sector, data.len() as u64, self.sectors)
            }
            DiskOperation::Flush => true,
        }
    }
}

impl InFlight {
    fn save(&self, id: DiskRequestId) -> RequestState {
        let operation = match self.operation.clone() {
            DiskOperation::Read { sector, bytes } => OperationState::Read { sector, bytes },
            DiskOperation::Write { sector, data } => OperationState::Write { sector, data },
            DiskOperation::Flush => OperationState::Flush,
        };
        let save = |segment: &Segment| SegmentState { address: segment.address().0, bytes: segment.bytes() };
        let answer = self.answer.0.segments().iter().map(save).collect();
        RequestState { id: id.0, head: self.head, operation, answer }
    }

    fn restored(state: RequestState, memory: &GuestRam) -> Result<Self, RestoreError> {
        let operation = match state.operation {
            OperationState::Read { sector, bytes } => DiskOperation::Read { sector, bytes },
            OperationState::Write { sector, data } => DiskOperation::Write { sector, data },
            OperationState::Flush => DiskOperation::Flush,
        };
        let restore = |segment: &SegmentState| {
            Segment::new(memory, GuestPhysical(segment.address), segment.bytes)
                .map_err(|_| RestoreError::Impossible("buffer"))
        };
        let answer = state.answer.iter().map(restore).collect::<Result<Buffers, _>>()?;
        Ok(Self { head: state.head, operation, answer: Answer(answer) })
    }

    /// Whether data, exactly, and status fit where they go.
    fn has_room(&self) -> bool {
        let bytes = self.answer.0.bytes();
        match &self.operation {
            DiskOperation::Read { bytes: data, .. } => bytes == u64::from(*data) + 1,
            DiskOperation::Write { .. } | DiskOperation::Flush => bytes > 0,
        }
    }
}
