//! Why a side claims the flag, what comes of it, and why a side stops.

use std::time::Duration;

use super::PeerFault;
use crate::Moment;

/// Why a side does not count on the other one any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Suspicion {
    /// It was not heard for so long.
    #[error("nothing was heard for {0:?}")]
    Silence(Duration),
    /// The connection is lost.
    #[error("the connection is lost")]
    ChannelLost,
    /// It goes, as planned.
    #[error("it leaves")]
    Left,
    /// It has diverged from the log. Only a backup can.
    #[error("it has diverged")]
    Diverged,
    /// It says what cannot be.
    #[error("it is broken")]
    Broken(#[source] PeerFault),
}

/// What came of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ClaimOutcome {
    /// The flag is ours. An arbiter says so again to who has won before.
    Won,
    /// The flag is the other side's.
    Lost,
    /// The arbiter did not answer, or could not. The flag may even be ours.
    Unavailable,
}

/// Why a side stops for good.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StandDown {
    /// The other side has won the flag.
    Lost,
    /// A person wanted it to leave.
    Left,
    /// The backup's machine has diverged from the log.
    Diverged,
}

/// A claim that is not decided.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Claim {
    /// The arbiter is being asked.
    UnderWay,
    /// The arbiter was not available. It is asked again then.
    Again(Moment),
}

impl Claim {
    /// When the arbiter is to be asked.
    pub(super) fn deadline(self) -> Option<Moment> {
        match self {
            Self::UnderWay => None,
            Self::Again(at) => Some(at),
        }
    }

    /// Whether it is time to ask the arbiter. Then that is under way.
    pub(super) fn is_due(&mut self, now: Moment) -> bool {
        let is_due = self.deadline().is_some_and(|at| at <= now);
        if is_due {
            *self = Self::UnderWay;
        }
        is_due
    }
}
