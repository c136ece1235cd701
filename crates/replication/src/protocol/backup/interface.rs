//! What the backup is told, and what it wants done.

use std::time::Duration;

use super::{ClaimOutcome, StandDown, Suspicion};
use crate::{LogPosition, Moment};

/// What happens to the backup.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BackupEvent {
    /// A batch came, whole and with a good checksum.
    Batch {
        /// The entries before it, as the batch itself says.
        begins: LogPosition,
        /// The entries with it.
        end: LogPosition,
        /// How many bytes it has.
        bytes: usize,
        /// When the primary sent it.
        sent: Moment,
        /// The outputs that have left the primary.
        released: LogPosition,
    },
    /// A heartbeat came.
    Heartbeat {
        /// When the primary sent it.
        sent: Moment,
        /// The outputs that have left the primary.
        released: LogPosition,
    },
    /// The machine has executed so much. To be told now and then.
    Executed(LogPosition),
    /// The machine has executed the guest's end, the last entry of what was received. [`BackupEvent::Executed`] was
    /// told before. Also to be told when live.
    EndExecuted,
    /// The connection is lost, or brought bytes that are no message.
    ChannelLost,
    /// The primary goes, as planned.
    PeerLeft,
    /// The machine has done something else than the log says.
    Diverged,
    /// The answer to [`BackupAction::Claim`].
    Claimed(ClaimOutcome),
    /// A person wants the backup to leave.
    Leave,
    /// Time has passed.
    Tick,
}

/// What the backup wants done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BackupAction {
    /// Give the batch that was just told to the machine. One that is not to be fed is to be dropped.
    Feed {
        /// The entries with it.
        end: LogPosition,
    },
    /// Send an acknowledgement.
    SendAck {
        /// The entries that were received.
        received: LogPosition,
        /// The entries that are executed.
        executed: LogPosition,
        /// The moment to echo.
        echo: Moment,
    },
    /// Tell the primary in what way the machine has diverged.
    SendDiverged,
    /// Send `Leave`.
    SendLeave,
    /// Forget the outputs of batches that end there or before, those too that the machine is yet to make: they have
    /// left the primary.
    Forget {
        /// The end of the last of them.
        up_to: LogPosition,
    },
    /// The primary is not counted on any more: close the connection, tell nothing more of what it says.
    CloseChannel(Suspicion),
    /// Claim the flag, and tell the outcome.
    Claim,
    /// The flag is won and no lease is left. No batch will follow: the machine executes what it was fed, outputs that
    /// were not released are repeated, and the guest goes on.
    GoLive {
        /// The entries that were received.
        received: LogPosition,
        /// The outputs that have left the primary. Those behind are to be repeated.
        released: LogPosition,
    },
    /// Stop. The machine will not go live, or not stay so. Of what was to be sent, the rest is still sent.
    StandDown(StandDown),
    /// The guest has ended, and nothing is left to wait for. If this side is live, its outputs leave first.
    Finish,
}

/// What a backup is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BackupPhase {
    /// It follows the primary.
    Following,
    /// It suspects the primary, and asks for the flag.
    Claiming,
    /// It has won, and waits until no lease can be left.
    Waiting,
    /// It has gone live.
    Live,
    /// It does nothing any more.
    StoodDown,
    /// The guest has ended.
    Finished,
}

/// Where a backup stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackupStatus {
    /// What it is doing.
    pub phase: BackupPhase,
    /// The entries that were received.
    pub received: LogPosition,
    /// The entries that are executed.
    pub executed: LogPosition,
    /// The outputs that have left the primary, as far as it has told.
    pub released: LogPosition,
    /// Entries that are received and not executed.
    pub lag_entries: u64,
    /// Their bytes.
    pub lag_bytes: usize,
    /// For how long the oldest batch has waited that is not executed. Zero if there is none.
    pub lag: Duration,
    /// How long the primary was not heard.
    pub silence: Duration,
}
