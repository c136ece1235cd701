//! The primary's side of the protocol.

mod interface;

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::backlog::Backlog;
use super::claim::{Claim, ClaimOutcome, StandDown, Suspicion};
use super::fault::{PeerFault, forward};
use super::silence::Silence;
use crate::message::Timing;
use crate::{LogPosition, Moment};

pub use interface::{PrimaryAction, PrimaryEvent, PrimaryPhase, PrimaryStatus};

/// With more bytes that are sent and not acknowledged the guest is slowed down.
pub const UNACKNOWLEDGED_LIMIT: usize = 16 << 20;

/// The primary: what it does about each event.
///
/// It begins protected, with a backup that has said that it is ready. Events are told as they come, each with a moment
/// that was taken behind it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Primary {
    timing: Timing,
    phase: Phase,
    /// The end of the latest batch.
    cut: LogPosition,
    has_ended: bool,
    /// What the backup has, and has executed, as its acknowledgements say.
    received: LogPosition,
    executed: LogPosition,
    unacknowledged: Backlog,
    unexecuted: Backlog,
    /// All outputs up to here have left.
    released: LogPosition,
    /// When something was last sent, and the latest such moment that the backup has echoed.
    sent: Option<Moment>,
    echo: Option<Moment>,
    silence: Silence,
    begun: Moment,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Phase {
    Protected,
    Claiming(Claim),
    Alone,
    StoodDown,
    Finished,
}

impl Primary {
    /// A primary whose backup said that it is ready. Nothing was sent yet: there is something to do at once.
    pub fn new(timing: Timing, start: Moment) -> Self {
        Self {
            phase: Phase::Protected,
            cut: LogPosition::default(),
            has_ended: false,
            received: LogPosition::default(),
            executed: LogPosition::default(),
            unacknowledged: Backlog::default(),
            unexecuted: Backlog::default(),
            released: LogPosition::default(),
            sent: None,
            echo: None,
            silence: Silence::new(timing.suspect_after, start),
            begun: start,
            timing,
        }
    }

    /// Takes an event, and appends what is to be done about it, in this order.
    ///
    /// # Panics
    ///
    /// If the driver tells what cannot be: a batch that ends before another one or comes behind the guest's end,
    /// outputs that have left against the rule, the outcome of a claim that it was not asked for.
    pub fn handle(&mut self, event: PrimaryEvent, now: Moment, actions: &mut Vec<PrimaryAction>) {
        match event {
            PrimaryEvent::Batch { end, bytes } => self.cut(end, bytes, now, actions),
            PrimaryEvent::Ended => self.end(now, actions),
            PrimaryEvent::LetOut(up_to) => self.let_out(up_to, now, actions),
            PrimaryEvent::Acknowledged { received, executed, echo } => {
                self.acknowledged(received, executed, echo, now, actions);
            }
            PrimaryEvent::ChannelLost => self.suspect(Suspicion::ChannelLost, actions),
            PrimaryEvent::PeerLeft => self.suspect(Suspicion::Left, actions),
            PrimaryEvent::PeerDiverged => self.suspect(Suspicion::Diverged, actions),
            PrimaryEvent::Claimed(outcome) => self.claimed(outcome, now, actions),
            PrimaryEvent::Leave => self.leave(actions),
            PrimaryEvent::Tick => (),
        }
        self.pass_time(now, actions);
    }

    /// When [`PrimaryEvent::Tick`] is due at the latest; earlier ones do no harm.
    pub fn next_deadline(&self) -> Option<Moment> {
        match self.phase {
            Phase::Protected => Some(self.heartbeat_due().min(self.silence.deadline())),
            Phase::Claiming(claim) => claim.deadline(),
            Phase::Alone | Phase::StoodDown | Phase::Finished => None,
        }
    }

    /// Whether the guest should be slowed down: the backup is too far behind, or too much waits to be acknowledged.
    pub fn throttle(&self, now: Moment) -> bool {
        match self.phase {
            Phase::Protected => self.is_much_unacknowledged() || self.lag(now) > self.timing.lag_limit,
            Phase::Claiming(_) => self.is_much_unacknowledged(),
            Phase::Alone | Phase::StoodDown | Phase::Finished => false,
        }
    }

    /// Where it stands.
    pub fn status(&self, now: Moment) -> PrimaryStatus {
        PrimaryStatus {
            phase: match self.phase {
                Phase::Protected => PrimaryPhase::Protected,
                Phase::Claiming(_) => PrimaryPhase::Claiming,
                Phase::Alone => PrimaryPhase::Alone,
                Phase::StoodDown => PrimaryPhase::StoodDown,
                Phase::Finished => PrimaryPhase::Finished,
            },
            cut: self.cut,
            received: self.received,
            executed: self.executed,
            released: self.released,
            unacknowledged_bytes: self.unacknowledged.bytes(),
            lag_entries: self.unexecuted.oldest().map_or(0, |_| self.cut.0 - self.executed.0),
            lag_bytes: self.unexecuted.bytes(),
            lag: self.lag(now),
            silence: now.since(self.silence.since()),
        }
    }

    fn lag(&self, now: Moment) -> Duration {
        self.unexecuted.oldest().map_or(Duration::ZERO, |since| now.since(since))
    }

    fn is_much_unacknowledged(&self) -> bool {
        self.unacknowledged.bytes() > UNACKNOWLEDGED_LIMIT
    }

    fn heartbeat_due(&self) -> Moment {
        self.sent.map_or(self.begun, |sent| sent.after(self.timing.heartbeat))
    }

    fn cut(&mut self, end: LogPosition, bytes: usize, now: Moment, actions: &mut Vec<PrimaryAction>) {
        assert!(
            end > self.cut && !self.has_ended,
            "a batch follows the one before, and none follows the end"
        );
        self.cut = end;
        match self.phase {
            Phase::Protected => {
                self.wait_for_backup(end, bytes, now);
                self.sent = Some(now);
                actions.push(PrimaryAction::SendBatch { end, sent: now, released: self.released });
            }
            Phase::Claiming(_) => self.wait_for_backup(end, bytes, now),
            Phase::Alone => actions.push(PrimaryAction::Release { up_to: end, until: None }),
            Phase::StoodDown | Phase::Finished => (),
        }
    }

    fn wait_for_backup(&mut self, end: LogPosition, bytes: usize, now: Moment) {
        self.unacknowledged.push(end, bytes, now);
        self.unexecuted.push(end, bytes, now);
    }

    fn end(&mut self, now: Moment, actions: &mut Vec<PrimaryAction>) {
        self.has_ended = true;
        match self.phase {
            Phase::Protected => self.tell_that_all_has_left(now, actions),
            Phase::Alone => self.finish(actions),
            Phase::Claiming(_) | Phase::StoodDown | Phase::Finished => (),
        }
    }

    fn let_out(&mut self, up_to: LogPosition, now: Moment, actions: &mut Vec<PrimaryAction>) {
        if !matches!(self.phase, Phase::Protected | Phase::Claiming(_)) {
            return;
        }
        assert!(up_to <= self.received, "an output leaves only behind its acknowledgement");
        self.released = self.released.max(up_to);
        if self.phase == Phase::Protected {
            self.tell_that_all_has_left(now, actions);
        }
    }

    fn has_all_left(&self) -> bool {
        self.has_ended && self.released == self.cut
    }

    fn tell_that_all_has_left(&mut self, now: Moment, actions: &mut Vec<PrimaryAction>) {
        if self.has_all_left() {
            self.beat(now, actions);
            if self.executed == self.cut {
                self.finish(actions);
            }
        }
    }

    fn acknowledged(
        &mut self,
        received: LogPosition,
        executed: LogPosition,
        echo: Moment,
        now: Moment,
        actions: &mut Vec<PrimaryAction>,
    ) {
        if self.phase != Phase::Protected {
            return;
        }
        if let Err(fault) = self.believe(received, executed, echo) {
            self.suspect(Suspicion::Broken(fault), actions);
            return;
        }
        self.silence.end(now);
        let until = echo.after(self.timing.lease);
        if now < until {
            actions.push(PrimaryAction::Release { up_to: received, until: Some(until) });
        }
        if self.has_all_left() && executed == self.cut {
            self.finish(actions);
        }
    }

    fn believe(
        &mut self,
        received: LogPosition,
        executed: LogPosition,
        echo: Moment,
    ) -> Result<(), PeerFault> {
        if self.sent.is_none_or(|sent| sent < echo) {
            return Err(PeerFault::EchoFromTheFuture { echo });
        }
        if let Some(before) = self.echo.filter(|before| echo < *before) {
            return Err(PeerFault::MomentWentBack { before, now: echo });
        }
        forward(self.received, received)?;
        forward(self.executed, executed)?;
        if received != self.received && !self.unacknowledged.ends_at(received) {
            return Err(PeerFault::NeverSent { received, sent: self.cut });
        }
        if executed > received {
            return Err(PeerFault::ExecutedTooMuch { executed, received });
        }
        (self.received, self.executed, self.echo) = (received, executed, Some(echo));
        self.unacknowledged.settle(received);
        self.unexecuted.settle(executed);
        Ok(())
    }

    /// Does not count on the backup any more.
    fn suspect(&mut self, why: Suspicion, actions: &mut Vec<PrimaryAction>) {
        if self.phase != Phase::Protected {
            return;
        }
        actions.extend([PrimaryAction::HoldBack, PrimaryAction::CloseChannel(why)]);
        if self.has_all_left() {
            self.finish(actions);
        } else {
            self.phase = Phase::Claiming(Claim::UnderWay);
            actions.push(PrimaryAction::Claim);
        }
    }

    fn claimed(&mut self, outcome: ClaimOutcome, now: Moment, actions: &mut Vec<PrimaryAction>) {
        if matches!(self.phase, Phase::StoodDown) {
            return;
        }
        assert_eq!(self.phase, Phase::Claiming(Claim::UnderWay), "only a claim that was made has an outcome");
        match outcome {
            ClaimOutcome::Won => self.go_alone(actions),
            ClaimOutcome::Lost => self.stand_down(StandDown::Lost, actions),
            ClaimOutcome::Unavailable => {
                self.phase = Phase::Claiming(Claim::Again(now.after(self.timing.claim_again())));
            }
        }
    }

    fn go_alone(&mut self, actions: &mut Vec<PrimaryAction>) {
        self.phase = Phase::Alone;
        self.unacknowledged.settle(self.cut);
        self.unexecuted.settle(self.cut);
        actions.extend([PrimaryAction::GoAlone, PrimaryAction::Release { up_to: self.cut, until: None }]);
        if self.has_ended {
            self.finish(actions);
        }
    }

    fn leave(&mut self, actions: &mut Vec<PrimaryAction>) {
        match self.phase {
            Phase::Protected => actions.extend([PrimaryAction::HoldBack, PrimaryAction::SendLeave]),
            Phase::Claiming(_) | Phase::Alone => (),
            Phase::StoodDown | Phase::Finished => return,
        }
        self.stand_down(StandDown::Left, actions);
    }

    fn stand_down(&mut self, why: StandDown, actions: &mut Vec<PrimaryAction>) {
        self.phase = Phase::StoodDown;
        actions.push(PrimaryAction::StandDown(why));
    }

    fn finish(&mut self, actions: &mut Vec<PrimaryAction>) {
        self.phase = Phase::Finished;
        actions.push(PrimaryAction::Finish);
    }

    fn beat(&mut self, now: Moment, actions: &mut Vec<PrimaryAction>) {
        self.sent = Some(now);
        actions.push(PrimaryAction::SendHeartbeat { sent: now, released: self.released });
    }

    /// Does what is due by now.
    fn pass_time(&mut self, now: Moment, actions: &mut Vec<PrimaryAction>) {
        match &mut self.phase {
            Phase::Protected => {
                if let Some(silence) = self.silence.judge(now) {
                    self.suspect(Suspicion::Silence(silence), actions);
                } else if self.heartbeat_due() <= now {
                    self.beat(now, actions);
                }
            }
            Phase::Claiming(claim) => {
                if claim.is_due(now) {
                    actions.push(PrimaryAction::Claim);
                }
            }
            Phase::Alone | Phase::StoodDown | Phase::Finished => (),
        }
    }
}
