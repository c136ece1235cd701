//! What a run explores.

use std::time::Duration;

use outlive_replication::Moment;
use outlive_replication::message::Timing;

/// How many nanoseconds a tick has. An eighth of a lease can be told in them.
pub(crate) const TICK: u64 = 8;

/// What can happen in a run, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Batches that the vCPU cuts at most, each with an output.
    pub(crate) batches: u64,
    /// Whether the guest may end with a batch. Backups execute in steps of their own then.
    pub(crate) guest_ends: bool,
    /// The last tick in which failures, batches and the like can begin.
    pub(crate) ticks: u8,
    /// Whether time passes only when nobody has anything to do.
    pub(crate) is_prompt: bool,
    /// Crashes, cuts, silences, people's wishes and divergences together.
    pub(crate) mishaps: u8,
    /// Whether nodes crash.
    pub(crate) crashes: bool,
    /// Whether the channel is cut.
    pub(crate) cuts: bool,
    /// Whether a direction of the channel falls silent.
    pub(crate) silences: bool,
    /// How often the arbiter is unavailable.
    pub(crate) refusals: u8,
    /// Whether a person makes a side leave.
    pub(crate) leaves: bool,
    /// Whether the backup's machine diverges.
    pub(crate) diverges: bool,
    /// What is done wrongly on purpose.
    pub(crate) mutation: Option<Mutation>,
}

/// Something done wrongly, which the model must find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutation {
    /// The primary takes its leases to be longer than the backup waits.
    LongLease,
    /// Outputs leave when the lease has run out.
    LeaseNotChecked,
    /// Outputs leave before they are acknowledged.
    NoOutputRule,
    /// Outputs are told as released before they have left.
    ToldTooEarly,
    /// Outputs go on leaving when they are to be held back.
    NotHeldBack,
    /// The arbiter lets everybody win.
    TwoWinners,
}

impl Bounds {
    /// A run in which nothing fails.
    pub(crate) const QUIET: Self = Self {
        batches: 2,
        guest_ends: false,
        ticks: 3,
        is_prompt: false,
        mishaps: 0,
        crashes: false,
        cuts: false,
        silences: false,
        refusals: 0,
        leaves: false,
        diverges: false,
        mutation: None,
    };

    /// A run in which all that can happen happens, twice.
    pub(crate) const EVERYTHING: Self = Self {
        mishaps: 2,
        crashes: true,
        cuts: true,
        silences: true,
        leaves: true,
        diverges: true,
        ..Self::QUIET
    };

    pub(crate) fn primary_timing(&self) -> Timing {
        let timing = Self::backup_timing();
        match self.mutation {
            Some(Mutation::LongLease) => Timing { lease: ticks(5), ..timing },
            _ => timing,
        }
    }

    pub(crate) fn backup_timing() -> Timing {
        Timing { suspect_after: ticks(2), lease: ticks(2), heartbeat: ticks(1), lag_limit: ticks(3) }
    }

    pub(crate) fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}

fn ticks(ticks: u64) -> Duration {
    Duration::from_nanos(ticks * TICK)
}

/// The beginning of a tick.
pub(crate) fn moment(tick: u8) -> Moment {
    Moment(u64::from(tick) * TICK)
}
