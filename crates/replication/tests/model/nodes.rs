//! The two nodes: each the real state machine, with a driver as simple as one can be.

use outlive_replication::gate::OutputGate;
use outlive_replication::protocol::{
    Backup, BackupAction, BackupEvent, ClaimOutcome, Primary, PrimaryAction, PrimaryEvent, StandDown,
};
use outlive_replication::{LogPosition, Moment};

use crate::bounds::{Bounds, Mutation, moment};
use crate::channel::Channel;

/// What the primary says.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ToBackup {
    Batch { begins: LogPosition, end: LogPosition, sent: Moment, released: LogPosition },
    Heartbeat { sent: Moment, released: LogPosition },
    Leave,
}

/// What the backup says.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ToPrimary {
    Ack { received: LogPosition, executed: LogPosition, echo: Moment },
    Diverged,
    Leave,
}

/// A claim of one side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Claim {
    None,
    Asked,
    Answered(ClaimOutcome),
}

/// What a node has come to, as its driver knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Fate {
    Running,
    Crashed,
    StoodDown,
    Left,
    Diverged,
    Finished,
}

/// The primary, with its driver.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct PrimaryNode {
    pub(crate) core: Primary,
    pub(crate) fate: Fate,
    pub(crate) claim: Claim,
    pub(crate) gate: OutputGate<LogPosition>,
    /// What may leave, and until when.
    pub(crate) permit: Option<(LogPosition, Option<Moment>)>,
    pub(crate) is_alone: bool,
    pub(crate) cut: LogPosition,
    pub(crate) has_ended: bool,
    /// The last output that has left.
    pub(crate) emitted: LogPosition,
}

impl PrimaryNode {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self {
            core: Primary::new(bounds.primary_timing(), moment(0)),
            fate: Fate::Running,
            claim: Claim::None,
            gate: OutputGate::default(),
            permit: None,
            is_alone: false,
            cut: LogPosition(0),
            has_ended: false,
            emitted: LogPosition(0),
        }
    }

    /// Up to where outputs may leave now, as the check right before each of them says.
    pub(crate) fn permitted(&self, now: Moment, bounds: &Bounds) -> Option<LogPosition> {
        let (up_to, until) = self.permit.filter(|_| self.fate != Fate::Crashed)?;
        let is_valid = until.is_none_or(|until| now < until) || bounds.is(Mutation::LeaseNotChecked);
        let up_to = if bounds.is(Mutation::NoOutputRule) { self.cut } else { up_to };
        is_valid.then_some(up_to)
    }

    fn hold_back(&mut self, bounds: &Bounds) {
        if !bounds.is(Mutation::NotHeldBack) {
            self.permit = None;
        }
    }

    pub(crate) fn handle(
        &mut self,
        event: PrimaryEvent,
        now: Moment,
        bounds: &Bounds,
        out: &mut Channel<ToBackup>,
        incoming: &mut Channel<ToPrimary>,
    ) {
        let mut actions = Vec::new();
        self.core.handle(event, now, &mut actions);
        for action in actions {
            match action {
                PrimaryAction::SendBatch { end, sent, released } => {
                    out.send(ToBackup::Batch { begins: LogPosition(end.0 - 1), end, sent, released });
                }
                PrimaryAction::SendHeartbeat { sent, released } => {
                    out.send(ToBackup::Heartbeat { sent, released });
                }
                PrimaryAction::SendLeave => out.send(ToBackup::Leave),
                PrimaryAction::Release { up_to, until } => {
                    self.permit = Some((up_to, until));
                    if bounds.is(Mutation::ToldTooEarly) {
                        self.core.handle(PrimaryEvent::LetOut(up_to), now, &mut Vec::new());
                    }
                }
                PrimaryAction::HoldBack => self.hold_back(bounds),
                PrimaryAction::CloseChannel(_) => hang_up(out, incoming),
                PrimaryAction::Claim => self.claim = Claim::Asked,
                PrimaryAction::GoAlone => self.is_alone = true,
                PrimaryAction::StandDown(why) => {
                    self.fate = Fate::of(why);
                    self.hold_back(bounds);
                    hang_up(out, incoming);
                }
                PrimaryAction::Finish => {
                    self.fate = Fate::Finished;
                    hang_up(out, incoming);
                }
            }
        }
    }
}

/// The backup, with its driver.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct BackupNode {
    pub(crate) core: Backup,
    pub(crate) fate: Fate,
    pub(crate) claim: Claim,
    pub(crate) received: LogPosition,
    pub(crate) executed: LogPosition,
    /// The outputs that it has forgotten.
    pub(crate) forgotten: LogPosition,
    pub(crate) live: Option<Live>,
}

/// How the backup has gone live.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Live {
    /// What had left the primary.
    pub(crate) emitted: LogPosition,
    /// What had become of the backup before.
    pub(crate) fate: Fate,
}

impl BackupNode {
    pub(crate) fn new() -> Self {
        Self {
            core: Backup::new(Bounds::backup_timing(), moment(0)),
            fate: Fate::Running,
            claim: Claim::None,
            received: LogPosition(0),
            executed: LogPosition(0),
            forgotten: LogPosition(0),
            live: None,
        }
    }

    pub(crate) fn handle(
        &mut self,
        event: BackupEvent,
        now: Moment,
        emitted: LogPosition,
        out: &mut Channel<ToPrimary>,
        incoming: &mut Channel<ToBackup>,
    ) {
        let mut actions = Vec::new();
        self.core.handle(event, now, &mut actions);
        for action in actions {
            match action {
                BackupAction::Feed { end } => self.received = end,
                BackupAction::SendAck { received, executed, echo } => {
                    out.send(ToPrimary::Ack { received, executed, echo });
                }
                BackupAction::SendDiverged => out.send(ToPrimary::Diverged),
                BackupAction::SendLeave => out.send(ToPrimary::Leave),
                BackupAction::Forget { up_to } => self.forgotten = up_to,
                BackupAction::CloseChannel(_) => hang_up(out, incoming),
                BackupAction::Claim => self.claim = Claim::Asked,
                BackupAction::GoLive { .. } => self.live = Some(Live { emitted, fate: self.fate }),
                BackupAction::StandDown(why) => {
                    self.fate = Fate::of(why);
                    hang_up(out, incoming);
                }
                BackupAction::Finish => {
                    self.fate = Fate::Finished;
                    hang_up(out, incoming);
                }
            }
        }
    }
}

impl Fate {
    fn of(why: StandDown) -> Self {
        match why {
            StandDown::Lost => Self::StoodDown,
            StandDown::Left => Self::Left,
            StandDown::Diverged => Self::Diverged,
        }
    }
}

/// What a node does with its connection when it needs it no more, and its system if the process crashes.
pub(crate) fn hang_up<O, I>(out: &mut Channel<O>, incoming: &mut Channel<I>) {
    out.close();
    incoming.abandon();
}
