//! The saved form of a network device.

use serde::{Deserialize, Serialize};

use super::{DroppedFrames, MAX_BACKLOG, Net, frame};
use crate::virtio::fault::RestoreError;

/// The saved form of a [`Net`].
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct NetState {
    /// Frames that wait for a receive buffer, oldest first.
    pub backlog: Vec<Vec<u8>>,
    /// How many frames of the guest were lost.
    pub dropped_sent: u64,
    /// How many frames for the guest were lost.
    pub dropped_received: u64,
}

impl Net {
    pub(super) fn saved(&self) -> NetState {
        NetState {
            backlog: self.backlog.iter().cloned().collect(),
            dropped_sent: self.dropped.sent,
            dropped_received: self.dropped.received,
        }
    }

    pub(super) fn take_over(&mut self, state: NetState, is_receiving: bool) -> Result<(), RestoreError> {
        let is_possible = (is_receiving || state.backlog.is_empty())
            && state.backlog.len() <= MAX_BACKLOG
            && state.backlog.iter().all(|waiting| frame::is_frame(waiting.len()));
        if !is_possible {
            return Err(RestoreError::Impossible("backlog of frames"));
        }
        self.backlog = state.backlog.into();
        self.dropped = DroppedFrames { sent: state.dropped_sent, received: state.dropped_received };
        Ok(())
    }
}
