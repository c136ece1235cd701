//! What can happen.

use outlive_replication::protocol::{BackupEvent, ClaimOutcome, PrimaryEvent};
use outlive_replication::{LogPosition, Moment};

use crate::bounds::{Bounds, Mutation, moment};
use crate::channel::Delivery;
use crate::nodes::{Claim, Fate, ToBackup, ToPrimary, hang_up};
use crate::pair::Pair;

/// One of the two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Side {
    Primary,
    Backup,
}

/// What becomes of a claim whose answer is that the arbiter is unavailable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Refusal {
    NotMade,
    Made,
}

/// A step of a run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Step {
    /// A tick of time passes.
    Pass,
    /// The vCPU cuts a batch with an output.
    Cut,
    /// The same, and the guest ends with it.
    CutLast,
    /// The primary notices that time has passed.
    PrimaryTick,
    /// The backup notices that time has passed.
    BackupTick,
    /// An output leaves the primary.
    Emit,
    /// The next message reaches the backup.
    ReachBackup,
    /// The next message reaches the primary.
    ReachPrimary,
    /// The backup's machine executes what was received.
    Execute,
    /// The arbiter decides a claim.
    Decide(Side),
    /// The arbiter is unavailable.
    Refuse(Side, Refusal),
    /// The arbiter's answer arrives.
    Answer(Side),
    /// A process dies: its system sends what it has said.
    CrashProcess(Side),
    /// A host dies: of what it has said so many messages arrive, and nobody is told.
    CrashHost(Side, usize),
    /// The connection is lost: so many messages still arrive at the backup, and so many at the primary.
    CutChannel(usize, usize),
    /// What the side says arrives no more, but for so many messages.
    FallSilent(Side, usize),
    /// A person wants the side to leave.
    Leave(Side),
    /// The backup's machine diverges.
    Diverge,
}

impl Pair {
    /// Takes a step.
    pub(crate) fn take(&mut self, step: Step, bounds: &Bounds) {
        match step {
            Step::Pass => self.tick += 1,
            Step::Cut => self.cut(bounds),
            Step::CutLast => {
                self.cut(bounds);
                self.primary.has_ended = true;
                self.tell_primary(PrimaryEvent::Ended, bounds);
            }
            Step::PrimaryTick => {
                self.tell_primary(PrimaryEvent::Tick, bounds);
                assert_later(self.primary.core.next_deadline(), self.tick);
            }
            Step::BackupTick => {
                self.tell_backup(BackupEvent::Tick);
                assert_later(self.backup.core.next_deadline(), self.tick);
            }
            Step::Emit => self.emit(bounds),
            Step::ReachBackup => self.reach_backup(),
            Step::ReachPrimary => self.reach_primary(bounds),
            Step::Execute => self.execute(),
            Step::Decide(side) => {
                let outcome = self.decide(side, bounds);
                *self.claim(side) = Claim::Answered(outcome);
            }
            Step::Refuse(side, refusal) => {
                self.refusals += 1;
                if refusal == Refusal::Made {
                    self.decide(side, bounds);
                }
                *self.claim(side) = Claim::Answered(ClaimOutcome::Unavailable);
            }
            Step::Answer(side) => self.answer(side, bounds),
            Step::CrashProcess(_)
            | Step::CrashHost(..)
            | Step::CutChannel(..)
            | Step::FallSilent(..)
            | Step::Leave(_)
            | Step::Diverge => {
                self.mishaps += 1;
                self.suffer(step, bounds);
            }
        }
    }

    fn suffer(&mut self, step: Step, bounds: &Bounds) {
        match step {
            Step::CrashProcess(Side::Primary) => {
                self.primary.fate = Fate::Crashed;
                hang_up(&mut self.to_backup, &mut self.to_primary);
            }
            Step::CrashProcess(Side::Backup) => {
                self.backup.fate = Fate::Crashed;
                hang_up(&mut self.to_primary, &mut self.to_backup);
            }
            Step::CrashHost(Side::Primary, kept) => {
                self.primary.fate = Fate::Crashed;
                self.to_backup.fall_silent(kept);
                self.to_primary.abandon();
            }
            Step::CrashHost(Side::Backup, kept) => {
                self.backup.fate = Fate::Crashed;
                self.to_primary.fall_silent(kept);
                self.to_backup.abandon();
            }
            Step::CutChannel(there, back) => {
                self.to_backup.cut(there);
                self.to_primary.cut(back);
            }
            Step::FallSilent(Side::Primary, kept) => self.to_backup.fall_silent(kept),
            Step::FallSilent(Side::Backup, kept) => self.to_primary.fall_silent(kept),
            Step::Leave(Side::Primary) => self.tell_primary(PrimaryEvent::Leave, bounds),
            Step::Leave(Side::Backup) => self.tell_backup(BackupEvent::Leave),
            Step::Diverge => self.tell_backup(BackupEvent::Diverged),
            _ => unreachable!("{step:?} is no mishap"),
        }
    }

    fn tell_primary(&mut self, event: PrimaryEvent, bounds: &Bounds) {
        let now = moment(self.tick);
        self.primary.handle(event, now, bounds, &mut self.to_backup, &mut self.to_primary);
    }

    fn tell_backup(&mut self, event: BackupEvent) {
        let (now, emitted) = (moment(self.tick), self.primary.emitted);
        self.backup.handle(event, now, emitted, &mut self.to_primary, &mut self.to_backup);
    }

    fn cut(&mut self, bounds: &Bounds) {
        let end = LogPosition(self.primary.cut.0 + 1);
        self.primary.cut = end;
        self.primary.gate.hold(end, 1);
        self.primary.gate.seal(end);
        self.tell_primary(PrimaryEvent::Batch { end, bytes: 1 }, bounds);
    }

    fn emit(&mut self, bounds: &Bounds) {
        let permitted = self.primary.permitted(moment(self.tick), bounds);
        let up_to = permitted.expect("outputs leave only when they may");
        let output = self.primary.gate.pop(up_to).expect("the gate has what is permitted and has not left");
        self.primary.emitted = output;
        let told = self.primary.permit.map(|(up_to, _)| up_to);
        if told == Some(output) && !bounds.is(Mutation::ToldTooEarly) {
            self.tell_primary(PrimaryEvent::LetOut(output), bounds);
        }
    }

    fn reach_backup(&mut self) {
        let event = match self.to_backup.receive() {
            None => return,
            Some(Delivery::Lost) => BackupEvent::ChannelLost,
            Some(Delivery::Message(ToBackup::Batch { begins, end, sent, released })) => {
                BackupEvent::Batch { begins, end, bytes: 1, sent, released }
            }
            Some(Delivery::Message(ToBackup::Heartbeat { sent, released })) => {
                BackupEvent::Heartbeat { sent, released }
            }
            Some(Delivery::Message(ToBackup::Leave)) => BackupEvent::PeerLeft,
        };
        self.tell_backup(event);
    }

    fn reach_primary(&mut self, bounds: &Bounds) {
        let event = match self.to_primary.receive() {
            None => return,
            Some(Delivery::Lost) => PrimaryEvent::ChannelLost,
            Some(Delivery::Message(ToPrimary::Ack { received, executed, echo })) => {
                PrimaryEvent::Acknowledged { received, executed, echo }
            }
            Some(Delivery::Message(ToPrimary::Diverged)) => PrimaryEvent::PeerDiverged,
            Some(Delivery::Message(ToPrimary::Leave)) => PrimaryEvent::PeerLeft,
        };
        self.tell_primary(event, bounds);
    }

    fn execute(&mut self) {
        self.backup.executed = self.backup.received;
        self.tell_backup(BackupEvent::Executed(self.backup.executed));
        if self.primary.has_ended && self.backup.executed == self.primary.cut {
            self.tell_backup(BackupEvent::EndExecuted);
        }
    }

    fn answer(&mut self, side: Side, bounds: &Bounds) {
        let Claim::Answered(outcome) = *self.claim(side) else {
            return;
        };
        *self.claim(side) = Claim::None;
        match side {
            Side::Primary => self.tell_primary(PrimaryEvent::Claimed(outcome), bounds),
            Side::Backup => self.tell_backup(BackupEvent::Claimed(outcome)),
        }
    }

    fn claim(&mut self, side: Side) -> &mut Claim {
        match side {
            Side::Primary => &mut self.primary.claim,
            Side::Backup => &mut self.backup.claim,
        }
    }
}

/// A driver would be busy for ever with a deadline that does not move.
fn assert_later(deadline: Option<Moment>, tick: u8) {
    assert!(deadline.is_none_or(|deadline| moment(tick) < deadline), "what was due is done");
}
