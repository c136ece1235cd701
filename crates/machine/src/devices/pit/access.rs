//! How a byte-wide bus gets at 16-bit counts: the order of bytes, and the latches.

use serde::{Deserialize, Serialize};

use super::{InvalidState, NAME};

/// Which bytes of a count are read and written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Access {
    LowByte,
    HighByte,
    LowThenHigh,
}

/// What a write amounted to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Written {
    /// The first of two bytes.
    FirstHalf,
    /// A whole count.
    Count(u16),
}

/// The live state of one channel's bus side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ByteLanes {
    access: Access,
    /// The low byte of a count whose high byte is still to be written.
    low_written: Option<u8>,
    /// The next read gives the high byte of two.
    high_next: bool,
    latched_count: Option<u16>,
    latched_status: Option<u8>,
}

/// The saved form of one channel's bus side.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// Access bits of the control word: 1 low byte, 2 high byte, 3 low byte then high byte.
    pub access: u8,
    /// The low byte of a count whose high byte is still to be written.
    pub low_written: Option<u8>,
    /// The next read gives the high byte of two.
    pub high_next: bool,
    /// A count that was latched and not yet read.
    pub latched_count: Option<u16>,
    /// A status that was latched and not yet read.
    pub latched_status: Option<u8>,
}

impl ByteLanes {
    pub(super) fn new() -> Self {
        Self::with_access(Access::LowThenHigh)
    }

    fn with_access(access: Access) -> Self {
        Self { access, low_written: None, high_next: false, latched_count: None, latched_status: None }
    }

    /// A control word resets the bus side: it starts with a first byte and without latches.
    pub(super) fn program(&mut self, control_word: u8) {
        *self = Self::with_access(match control_word >> 4 & 3 {
            1 => Access::LowByte,
            2 => Access::HighByte,
            _ => Access::LowThenHigh,
        });
    }

    pub(super) fn write(&mut self, value: u8) -> Written {
        match (self.access, self.low_written.take()) {
            (Access::LowByte, _) => Written::Count(u16::from(value)),
            (Access::HighByte, _) => Written::Count(u16::from(value) << 8),
            (Access::LowThenHigh, Some(low)) => Written::Count(u16::from_le_bytes([low, value])),
            (Access::LowThenHigh, None) => {
                self.low_written = Some(value);
                Written::FirstHalf
            }
        }
    }

    /// A read of the channel's port. A latched status comes first, then a latched count, else what the
    /// counting element holds now.
    pub(super) fn read(&mut self, current: u16) -> u8 {
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        let [low, high] = self.latched_count.unwrap_or(current).to_le_bytes();
        self.high_next = self.access == Access::LowThenHigh && !self.high_next;
        if self.high_next {
            return low;
        }
        self.latched_count = None;
        if self.access == Access::LowByte { low } else { high }
    }

    /// Latches a count, unless one is latched already.
    pub(super) fn latch_count(&mut self, count: u16) {
        self.latched_count.get_or_insert(count);
    }

    /// Latches a status, unless one is latched already.
    pub(super) fn latch_status(&mut self, status: u8) {
        self.latched_status.get_or_insert(status | self.access_bits() << 4);
    }

    fn access_bits(&self) -> u8 {
        match self.access {
            Access::LowByte => 1,
            Access::HighByte => 2,
            Access::LowThenHigh => 3,
        }
    }

    pub(super) fn save(&self) -> State {
        State {
            access: self.access_bits(),
            low_written: self.low_written,
            high_next: self.high_next,
            latched_count: self.latched_count,
            latched_status: self.latched_status,
        }
    }

    pub(super) fn restore(state: &State) -> Result<Self, InvalidState> {
        let access = match state.access {
            1 => Access::LowByte,
            2 => Access::HighByte,
            3 => Access::LowThenHigh,
            _ => return Err(InvalidState { device: NAME, reason: "its counts have no bytes" }),
        };
        let halves = state.low_written.is_some() || state.high_next;
        InvalidState::unless(
            access == Access::LowThenHigh || !halves,
            NAME,
            "a count of one byte has halves",
        )?;
        Ok(Self {
            access,
            low_written: state.low_written,
            high_next: state.high_next,
            latched_count: state.latched_count,
            latched_status: state.latched_status,
        })
    }
}
