//! What a side can say that cannot be.

use crate::{LogPosition, Moment};

/// A statement of the other side that a side which works never makes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum PeerFault {
    /// An acknowledgement of a position at which no batch ends that was sent.
    #[error("it acknowledges entries up to {received}; up to {sent} were sent, and no batch ends there")]
    NeverSent {
        /// The position.
        received: LogPosition,
        /// Where the last batch ends.
        sent: LogPosition,
    },
    /// It has executed what it has not received.
    #[error("it has executed entries up to {executed} and received them up to {received}")]
    ExecutedTooMuch {
        /// The first position.
        executed: LogPosition,
        /// The second position.
        received: LogPosition,
    },
    /// It tells a smaller position than before.
    #[error("it told position {before} and now tells {now}")]
    PositionWentBack {
        /// The one before.
        before: LogPosition,
        /// The one now.
        now: LogPosition,
    },
    /// The primary tells an earlier moment than before, or the backup echoes one.
    #[error("it told the moment {} and now tells {}", before.0, now.0)]
    MomentWentBack {
        /// The one before.
        before: Moment,
        /// The one now.
        now: Moment,
    },
    /// It echoes a moment at which nothing was sent yet.
    #[error("it echoes the moment {}, at which nothing was sent yet", echo.0)]
    EchoFromTheFuture {
        /// The moment.
        echo: Moment,
    },
    /// A batch does not follow the one before, or is empty.
    #[error("a batch goes from {begins} to {end}, but entries up to {received} are there")]
    Gap {
        /// The entries before it.
        begins: LogPosition,
        /// The entries with it.
        end: LogPosition,
        /// The entries that are there.
        received: LogPosition,
    },
    /// Outputs are told as released whose entries were not even received.
    #[error("it has released outputs up to {released}, but entries only up to {received} are there")]
    ReleasedTooMuch {
        /// The first position.
        released: LogPosition,
        /// The second position.
        received: LogPosition,
    },
    /// A batch came behind the guest's end.
    #[error("a batch came behind the end of the guest")]
    BehindTheEnd,
}

/// The later one of two positions, if it was told later.
pub(super) fn forward(before: LogPosition, now: LogPosition) -> Result<LogPosition, PeerFault> {
    if now < before { Err(PeerFault::PositionWentBack { before, now }) } else { Ok(now) }
}
