//! Quantities of the protocol.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A prefix of the log: its first so many entries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct LogPosition(pub u64);

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A moment of one host's monotonic clock, in nanoseconds. The other side echoes it, and never compares it with a
/// moment of its own. The clock must go on while the host sleeps, as `CLOCK_BOOTTIME` does: leases end meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment that comes so much later; the last that can be told if that is none.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanoseconds))
    }

    /// How much earlier `earlier` was; zero if it was not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
