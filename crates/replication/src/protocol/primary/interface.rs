//! What the primary is told, and what it wants done.

use std::time::Duration;

use super::{ClaimOutcome, StandDown, Suspicion};
use crate::{LogPosition, Moment};

/// What happens to the primary.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PrimaryEvent {
    /// The vCPU has cut a batch. The outputs that belong to it are in the gate.
    Batch {
        /// The entries up to its end.
        end: LogPosition,
        /// How many bytes it has.
        bytes: usize,
    },
    /// The guest has ended: the batch before was the last one.
    Ended,
    /// All outputs up to here have left. To be told after each [`PrimaryAction::Release`] that could be carried out in
    /// full, also if there was nothing to let out. A request to a disk has left when it is begun, because a backup
    /// issues again what the log does not tell as completed.
    LetOut(LogPosition),
    /// The backup tells what it has.
    Acknowledged {
        /// The entries that it has received.
        received: LogPosition,
        /// The entries that it has executed.
        executed: LogPosition,
        /// The latest moment that it was told.
        echo: Moment,
    },
    /// The connection is lost, or brought bytes that are no message.
    ChannelLost,
    /// The backup goes, as planned.
    PeerLeft,
    /// The backup has diverged, and will never go live.
    PeerDiverged,
    /// The answer to [`PrimaryAction::Claim`].
    Claimed(ClaimOutcome),
    /// A person wants the primary to leave. The vCPU was stopped before, and its last batch cut.
    Leave,
    /// Time has passed.
    Tick,
}

/// What the primary wants done.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PrimaryAction {
    /// Send the batch that was just told.
    SendBatch {
        /// The entries up to its end.
        end: LogPosition,
        /// The moment to tell.
        sent: Moment,
        /// The outputs to tell as released.
        released: LogPosition,
    },
    /// Send a heartbeat.
    SendHeartbeat {
        /// The moment to tell.
        sent: Moment,
        /// The outputs to tell as released.
        released: LogPosition,
    },
    /// Send `Leave`, behind everything else.
    SendLeave,
    /// Let outputs out.
    Release {
        /// Those of batches that end there or before.
        up_to: LogPosition,
        /// Only before this moment: each output needs a look at the clock right before it. The latest moment told
        /// counts. `None`: for ever.
        until: Option<Moment>,
    },
    /// Let nothing out, whatever was told before, until the next [`PrimaryAction::Release`].
    HoldBack,
    /// The backup is not counted on any more: close the connection, tell nothing more of what it says.
    CloseChannel(Suspicion),
    /// Claim the flag, and tell the outcome.
    Claim,
    /// The flag is won. The guest is served alone from now on.
    GoAlone,
    /// Stop the guest, let nothing out any more. Of what was to be sent, the rest is still sent.
    StandDown(StandDown),
    /// The guest has ended, and nothing is left to wait for.
    Finish,
}

/// What a primary is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PrimaryPhase {
    /// It has a backup.
    Protected,
    /// It suspects the backup, and asks for the flag.
    Claiming,
    /// It has won, and has no backup.
    Alone,
    /// It lets nothing out any more.
    StoodDown,
    /// The guest has ended.
    Finished,
}

/// Where a primary stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrimaryStatus {
    /// What it is doing.
    pub phase: PrimaryPhase,
    /// The end of the latest batch.
    pub cut: LogPosition,
    /// The entries that the backup has received.
    pub received: LogPosition,
    /// The entries that the backup has executed.
    pub executed: LogPosition,
    /// The outputs that have left, while there was a backup.
    pub released: LogPosition,
    /// Bytes that are sent and not acknowledged.
    pub unacknowledged_bytes: usize,
    /// Entries that are cut and not executed by the backup.
    pub lag_entries: u64,
    /// Their bytes.
    pub lag_bytes: usize,
    /// How old the oldest batch is that the backup has not executed. Zero if it has executed all.
    pub lag: Duration,
    /// How long the backup was not heard.
    pub silence: Duration,
}
