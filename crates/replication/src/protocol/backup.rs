//! The backup's side of the protocol.

mod interface;

#[cfg(test)]
mod tests;

use super::backlog::Backlog;
use super::claim::{Claim, ClaimOutcome, StandDown, Suspicion};
use super::fault::{PeerFault, forward};
use super::silence::Silence;
use crate::message::Timing;
use crate::{LogPosition, Moment};

pub use interface::{BackupAction, BackupEvent, BackupPhase, BackupStatus};

/// The backup: what it does about each event.
///
/// It begins when its machine is built and the primary is told that it is ready. Events are told as they come, each
/// with a moment that was taken behind it: an earlier one would let the backup go live too early.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Backup {
    timing: Timing,
    phase: Phase,
    received: LogPosition,
    executed: LogPosition,
    unexecuted: Backlog,
    /// The machine has executed the guest's end.
    has_ended: bool,
    /// The outputs that the primary has let out, as far as it has told.
    released: LogPosition,
    /// The latest moment that the primary has told.
    echo: Option<Moment>,
    silence: Silence,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Phase {
    Following,
    /// Going live is possible from the moment on.
    Claiming(Claim, Moment),
    /// The flag is won.
    Waiting(Moment),
    Live,
    StoodDown,
    Finished,
}

impl Backup {
    /// A backup whose machine is built.
    pub fn new(timing: Timing, start: Moment) -> Self {
        Self {
            phase: Phase::Following,
            received: LogPosition::default(),
            executed: LogPosition::default(),
            unexecuted: Backlog::default(),
            has_ended: false,
            released: LogPosition::default(),
            echo: None,
            silence: Silence::new(timing.suspect_after, start),
            timing,
        }
    }

    /// Takes an event, and appends what is to be done about it, in this order.
    ///
    /// # Panics
    ///
    /// If the driver tells what cannot be: entries executed that were not received, the guest's end before all is
    /// executed, the outcome of a claim that it was not asked for.
    pub fn handle(&mut self, event: BackupEvent, now: Moment, actions: &mut Vec<BackupAction>) {
        match event {
            BackupEvent::Batch { begins, end, bytes, sent, released } => {
                self.batch(begins, end, bytes, now, (sent, released), actions);
            }
            BackupEvent::Heartbeat { sent, released } => self.heartbeat(sent, released, now, actions),
            BackupEvent::Executed(up_to) => self.executed(up_to),
            BackupEvent::EndExecuted => self.end_executed(actions),
            BackupEvent::ChannelLost => self.suspect(Suspicion::ChannelLost, actions),
            BackupEvent::PeerLeft => self.suspect(Suspicion::Left, actions),
            BackupEvent::Diverged => self.diverged(actions),
            BackupEvent::Claimed(outcome) => self.claimed(outcome, now, actions),
            BackupEvent::Leave => self.leave(actions),
            BackupEvent::Tick => (),
        }
        self.pass_time(now, actions);
    }

    /// When [`BackupEvent::Tick`] is due at the latest; earlier ones do no harm.
    pub fn next_deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Following => Some(self.silence.deadline()),
            Phase::Claiming(claim, _) => claim.deadline(),
            Phase::Waiting(until) => Some(until),
            Phase::Live | Phase::StoodDown | Phase::Finished => None,
        }
    }

    /// Where it stands.
    pub fn status(&self, now: Moment) -> BackupStatus {
        BackupStatus {
            phase: match self.phase {
                Phase::Following => BackupPhase::Following,
                Phase::Claiming(..) => BackupPhase::Claiming,
                Phase::Waiting(_) => BackupPhase::Waiting,
                Phase::Live => BackupPhase::Live,
                Phase::StoodDown => BackupPhase::StoodDown,
                Phase::Finished => BackupPhase::Finished,
            },
            received: self.received,
            executed: self.executed,
            released: self.released,
            lag_entries: self.received.0 - self.executed.0,
            lag_bytes: self.unexecuted.bytes(),
            lag: self.unexecuted.oldest().map(|since| now.since(since)).unwrap_or_default(),
            silence: now.since(self.silence.since()),
        }
    }

    fn batch(
        &mut self,
        begins: LogPosition,
        end: LogPosition,
        bytes: usize,
        now: Moment,
        (sent, released): (Moment, LogPosition),
        actions: &mut Vec<BackupAction>,
    ) {
        if self.phase != Phase::Following {
            return;
        }
        let believed = self.follows(begins, end).and_then(|()| self.believe(sent, released));
        match believed {
            Err(fault) => self.suspect(Suspicion::Broken(fault), actions),
            Ok(forget) => {
                self.received = end;
                self.unexecuted.push(end, bytes, now);
                actions.push(BackupAction::Feed { end });
                self.heard(forget, sent, now, actions);
            }
        }
    }

    fn heartbeat(
        &mut self,
        sent: Moment,
        released: LogPosition,
        now: Moment,
        actions: &mut Vec<BackupAction>,
    ) {
        if self.phase != Phase::Following {
            return;
        }
        match self.believe(sent, released) {
            Err(fault) => self.suspect(Suspicion::Broken(fault), actions),
            Ok(forget) => self.heard(forget, sent, now, actions),
        }
    }

    fn follows(&self, begins: LogPosition, end: LogPosition) -> Result<(), PeerFault> {
        if self.has_ended {
            return Err(PeerFault::BehindTheEnd);
        }
        if begins != self.received || end <= begins {
            return Err(PeerFault::Gap { begins, end, received: self.received });
        }
        Ok(())
    }

    /// Takes what each message tells. Answers with outputs that can be forgotten, if there are more than before.
    fn believe(&mut self, sent: Moment, released: LogPosition) -> Result<Option<LogPosition>, PeerFault> {
        if let Some(before) = self.echo.filter(|before| sent < *before) {
            return Err(PeerFault::MomentWentBack { before, now: sent });
        }
        let before = self.released;
        forward(before, released)?;
        if released > self.received {
            return Err(PeerFault::ReleasedTooMuch { released, received: self.received });
        }
        self.released = released;
        self.echo = Some(sent);
        Ok(Some(released).filter(|released| *released != before))
    }

    fn heard(
        &mut self,
        forget: Option<LogPosition>,
        sent: Moment,
        now: Moment,
        actions: &mut Vec<BackupAction>,
    ) {
        self.silence.end(now);
        actions.extend(forget.map(|up_to| BackupAction::Forget { up_to }));
        self.acknowledge(sent, actions);
        self.finish_behind_primary(actions);
    }

    fn acknowledge(&self, echo: Moment, actions: &mut Vec<BackupAction>) {
        actions.push(BackupAction::SendAck { received: self.received, executed: self.executed, echo });
    }

    fn executed(&mut self, up_to: LogPosition) {
        assert!(
            self.executed <= up_to && up_to <= self.received,
            "what is executed was received, and stays so"
        );
        self.executed = up_to;
        self.unexecuted.settle(up_to);
    }

    fn end_executed(&mut self, actions: &mut Vec<BackupAction>) {
        assert_eq!(self.executed, self.received, "nothing follows the guest's end");
        self.has_ended = true;
        match self.phase {
            Phase::Following if self.has_all_left() => {
                // The primary waits for this one.
                if let Some(echo) = self.echo {
                    self.acknowledge(echo, actions);
                }
                self.finish(actions);
            }
            Phase::Live => self.finish(actions),
            _ => (),
        }
    }

    fn has_all_left(&self) -> bool {
        self.has_ended && self.released == self.received
    }

    fn finish_behind_primary(&mut self, actions: &mut Vec<BackupAction>) {
        if self.has_all_left() {
            self.finish(actions);
        }
    }

    /// Does not count on the primary any more.
    fn suspect(&mut self, why: Suspicion, actions: &mut Vec<BackupAction>) {
        if self.phase != Phase::Following {
            return;
        }
        let leases_end = match why {
            Suspicion::Left => Moment::default(),
            _ => self.silence.since().after(self.timing.wait()),
        };
        self.phase = Phase::Claiming(Claim::UnderWay, leases_end);
        actions.extend([BackupAction::CloseChannel(why), BackupAction::Claim]);
    }

    fn claimed(&mut self, outcome: ClaimOutcome, now: Moment, actions: &mut Vec<BackupAction>) {
        if self.phase == Phase::StoodDown {
            return;
        }
        let Phase::Claiming(Claim::UnderWay, leases_end) = self.phase else {
            panic!("only a claim that was made has an outcome");
        };
        match outcome {
            ClaimOutcome::Won => self.phase = Phase::Waiting(leases_end),
            ClaimOutcome::Lost => self.stand_down(StandDown::Lost, actions),
            ClaimOutcome::Unavailable => {
                let again = now.after(self.timing.claim_again());
                self.phase = Phase::Claiming(Claim::Again(again), leases_end);
            }
        }
    }

    fn diverged(&mut self, actions: &mut Vec<BackupAction>) {
        match self.phase {
            Phase::Following => actions.push(BackupAction::SendDiverged),
            Phase::Claiming(..) | Phase::Waiting(_) | Phase::Live => (),
            Phase::StoodDown | Phase::Finished => return,
        }
        self.stand_down(StandDown::Diverged, actions);
    }

    fn leave(&mut self, actions: &mut Vec<BackupAction>) {
        match self.phase {
            Phase::Following => actions.push(BackupAction::SendLeave),
            Phase::Claiming(..) | Phase::Waiting(_) | Phase::Live => (),
            Phase::StoodDown | Phase::Finished => return,
        }
        self.stand_down(StandDown::Left, actions);
    }

    fn stand_down(&mut self, why: StandDown, actions: &mut Vec<BackupAction>) {
        self.phase = Phase::StoodDown;
        actions.push(BackupAction::StandDown(why));
    }

    fn finish(&mut self, actions: &mut Vec<BackupAction>) {
        self.phase = Phase::Finished;
        actions.push(BackupAction::Finish);
    }

    /// Does what is due by now.
    fn pass_time(&mut self, now: Moment, actions: &mut Vec<BackupAction>) {
        match &mut self.phase {
            Phase::Following => {
                if let Some(silence) = self.silence.judge(now) {
                    self.suspect(Suspicion::Silence(silence), actions);
                }
            }
            Phase::Claiming(claim, _) => {
                if claim.is_due(now) {
                    actions.push(BackupAction::Claim);
                }
            }
            Phase::Waiting(until) => {
                if *until <= now {
                    self.go_live(actions);
                }
            }
            Phase::Live | Phase::StoodDown | Phase::Finished => (),
        }
    }

    fn go_live(&mut self, actions: &mut Vec<BackupAction>) {
        self.phase = Phase::Live;
        actions.push(BackupAction::GoLive { received: self.received, released: self.released });
        if self.has_ended {
            self.finish(actions);
        }
    }
}
