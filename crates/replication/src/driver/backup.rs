//! The backup's driver.

mod following;

use std::sync::mpsc::Sender;

use outlive_log::BatchDecoder;
use outlive_machine::host::fence::Fence;
use outlive_machine::host::live::{LiveError, OutputSink};
use outlive_machine::world::Output;

use super::alarm::Alarm;
use super::exits::Exits;
use super::link::{Came, Link};
use super::primary::stood_down;
use super::status::{Failover, Rate, Reports};
use super::{Claims, Outcome, StatusBoard, StopMachine};
use crate::clock;
use crate::gate::OutputGate;
use crate::message::{FromBackup, FromPrimary};
use crate::protocol::{Backup, BackupAction, BackupEvent, BackupPhase, ClaimOutcome, Suspicion};
use crate::vcpu::{Fed, FromVcpu, VcpuEvent};
use crate::{LogPosition, Moment};

pub use following::{BackupMachine, BackupSide, ConnectionWanted, Decision, Following};

/// What a driver of the backup works with.
struct Driver<S> {
    core: Backup,
    link: Link<FromBackup, FromPrimary>,
    claims: Claims,
    vcpu: FromVcpu<S>,
    /// Empty: kept for its memory.
    events: Vec<VcpuEvent<S>>,
    /// What the backup has, until it is sent.
    acknowledgement: Option<FromBackup>,
    /// To the machine; `None` when there will be no more.
    feed: Option<Sender<Fed>>,
    decision: Decision,
    /// The batch that came last, until it is fed.
    batch: Option<Fed>,
    /// Outputs of the machine that follows which the primary may not have let out.
    unreleased: OutputGate<Output>,
    released: LogPosition,
    has_gone_live: bool,
    /// The guest ended while it was followed, and this side has to let its last outputs out.
    is_finish_due: bool,
    /// What the outputs of the machine that is live leave through.
    exits: Option<Exits<S>>,
    /// In what way the machine has diverged.
    divergence: String,
    stop: StopMachine,
    won: Box<dyn FnMut() + Send>,
    board: StatusBoard,
    reports: Reports,
    rate: Rate,
    suspected: Option<Moment>,
    outcome: Option<Outcome>,
}

impl<S: OutputSink> Driver<S> {
    /// Drives the backup to its end.
    async fn drive(mut self) -> Outcome {
        let mut alarm = Alarm::new();
        self.handle(BackupEvent::Tick);
        loop {
            self.vcpu_events();
            if self.outcome.is_some() {
                break;
            }
            if self.reports.is_due() {
                self.report();
            }
            alarm.set(self.core.next_deadline());
            alarm.set(self.reports.deadline());
            tokio::select! {
                biased;
                came = self.link.work() => self.all_that_came(came),
                () = self.vcpu.news() => {}
                outcome = self.claims.outcome() => {
                    if outcome == ClaimOutcome::Won {
                        (self.won)();
                    }
                    self.handle(BackupEvent::Claimed(outcome));
                }
                () = alarm.ring() => self.tick(),
            }
            self.acknowledge();
        }
        self.report();
        self.feed = None;
        self.link.close_behind_last_words().await;
        self.outcome.unwrap_or(Outcome::MachineGone)
    }

    /// The alarm has rung: maybe too early, or for the status only.
    fn tick(&mut self) {
        if self.core.next_deadline().is_some_and(|deadline| deadline <= clock::now()) {
            self.handle(BackupEvent::Tick);
        }
    }

    /// Works off what the vCPU thread has told.
    fn vcpu_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        let can_come = self.vcpu.take(&mut events);
        for event in events.drain(..) {
            if self.outcome.is_some() {
                break;
            }
            self.vcpu_event(event);
        }
        self.events = events;
        self.acknowledge();
        if !can_come && self.outcome.is_none() {
            self.link.close();
            self.end(Outcome::MachineGone);
        }
    }

    fn vcpu_event(&mut self, event: VcpuEvent<S>) {
        let carried_out = match event {
            VcpuEvent::Output { output, made } => self.output(output, made),
            VcpuEvent::Cut { bytes, end } => self.cut(bytes.len(), end),
            VcpuEvent::Live(sink) => self.go_out(*sink),
            VcpuEvent::Executed(up_to) => {
                self.executed(up_to);
                Ok(())
            }
            VcpuEvent::Diverged(report) => {
                self.divergence = report;
                self.handle(BackupEvent::Diverged);
                Ok(())
            }
            VcpuEvent::Ended => self.ended(),
            VcpuEvent::Stopped => {
                self.handle(BackupEvent::Leave);
                Ok(())
            }
        };
        if let Err(error) = carried_out {
            self.end(Outcome::OutputsFailed(error));
        }
    }

    /// An output of the machine, which follows or is live.
    fn output(&mut self, output: Output, made: Moment) -> Result<(), LiveError> {
        match &mut self.exits {
            Some(exits) => exits.hold(output, made),
            None => {
                self.unreleased.hold(output, 0);
                Ok(())
            }
        }
    }

    /// The log of the machine that is live was cut. It is for a file only, if there is one: there is no other side.
    fn cut(&mut self, bytes: usize, end: LogPosition) -> Result<(), LiveError> {
        self.rate.note(bytes);
        let Some(exits) = &mut self.exits else { return Ok(()) };
        exits.seal(end);
        exits.release(end, None).map(drop)
    }

    /// The guest has ended: where the log says so, or where this side is live.
    fn ended(&mut self) -> Result<(), LiveError> {
        if let Some(exits) = &mut self.exits {
            // Requests to disks that were made again belong to no batch.
            let end = LogPosition(u64::MAX);
            exits.seal(end);
            exits.release(end, None)?;
        }
        if self.is_finish_due {
            self.end(Outcome::Finished);
            return Ok(());
        }
        if self.exits.is_none() {
            // Behind the guest's end the machine asks for no more, so nothing else tells that it has executed all.
            self.executed(self.core.status(clock::now()).received);
        }
        self.handle(BackupEvent::EndExecuted);
        Ok(())
    }

    /// The machine that follows has executed the log up to here.
    fn executed(&mut self, up_to: LogPosition) {
        self.unreleased.seal(up_to);
        self.unreleased.forget(self.released);
        self.handle(BackupEvent::Executed(up_to));
    }

    /// The machine is live. What the primary may not have let out is repeated first.
    fn go_out(&mut self, sink: S) -> Result<(), LiveError> {
        let mut exits = Exits::new(sink, Fence::new_open());
        self.unreleased.forget(self.released);
        let mut repeated = 0_u64;
        while let Some(output) = self.unreleased.pop(LogPosition(u64::MAX)) {
            exits.leave(output)?;
            repeated += 1;
        }
        self.exits = Some(exits);
        let took = self.suspected.map(|suspected| clock::now().since(suspected).as_secs_f64() * 1e3);
        self.board.write(|status| {
            if let Some(failover) = &mut status.last_failover {
                failover.milliseconds = took;
            }
        });
        tracing::warn!(
            target: crate::TARGET,
            event = "alone",
            milliseconds = took,
            repeated,
            "this side serves the guest: it is NOT protected"
        );
        Ok(())
    }

    /// Takes a message, and those that have come together with it: they are acknowledged together.
    fn all_that_came(&mut self, came: Came<FromPrimary>) {
        let mut next = Some(came);
        while let Some(came) = next {
            let is_last = matches!(came, Came::Lost(_));
            self.came(came);
            next = if is_last || self.outcome.is_some() { None } else { self.link.at_hand() };
        }
    }

    fn came(&mut self, came: Came<FromPrimary>) {
        let event = match came {
            Came::Message(FromPrimary::Batch { sent, released, batch }) => {
                self.rate.note(batch.len());
                self.batch(batch, sent, released)
            }
            Came::Message(FromPrimary::Heartbeat { sent, released }) => {
                BackupEvent::Heartbeat { sent, released }
            }
            Came::Message(FromPrimary::Leave) => BackupEvent::PeerLeft,
            Came::Message(other @ (FromPrimary::Hello(_) | FromPrimary::Refused { .. })) => {
                tracing::warn!(target: crate::TARGET, message = ?other, "the primary says what does not belong here");
                BackupEvent::ChannelLost
            }
            Came::Lost(error) => {
                tracing::debug!(target: crate::TARGET, error, "the connection to the primary is lost");
                BackupEvent::ChannelLost
            }
        };
        self.handle(event);
    }

    fn batch(&mut self, bytes: Vec<u8>, sent: Moment, released: LogPosition) -> BackupEvent {
        match BatchDecoder::new(bytes.clone()) {
            Ok(batch) => {
                let (begins, end) = (LogPosition(batch.first().0), LogPosition(batch.end().0));
                let length = bytes.len();
                self.batch = Some(Fed::Batch(Box::new(batch), bytes));
                BackupEvent::Batch { begins, end, bytes: length, sent, released }
            }
            Err(damage) => {
                let error: &dyn std::error::Error = &damage;
                tracing::error!(target: crate::TARGET, error, "a batch is damaged");
                BackupEvent::ChannelLost
            }
        }
    }

    fn handle(&mut self, event: BackupEvent) {
        let mut actions = Vec::new();
        self.core.handle(event, clock::now(), &mut actions);
        for action in actions {
            self.act(action);
        }
        self.batch = None;
        self.reports.expect();
    }

    fn act(&mut self, action: BackupAction) {
        match action {
            BackupAction::Feed { .. } => {
                if let (Some(feed), Some(batch)) = (&self.feed, self.batch.take()) {
                    // A machine that is gone is told of by its own end.
                    let _ = feed.send(batch);
                }
            }
            BackupAction::SendAck { received, executed, echo } => {
                // The latest one says all that those before would.
                self.acknowledgement = Some(FromBackup::Ack { received, executed, echo });
            }
            BackupAction::SendDiverged => {
                self.acknowledge();
                let report = std::mem::take(&mut self.divergence);
                self.link.queue(&FromBackup::Diverged { report });
            }
            BackupAction::SendLeave => {
                self.acknowledge();
                self.link.queue(&FromBackup::Leave);
            }
            BackupAction::Forget { up_to } => self.forget(up_to),
            BackupAction::CloseChannel(why) => {
                self.link.close();
                self.suspect(why);
            }
            BackupAction::Claim => self.claims.claim(),
            BackupAction::GoLive { received, released } => {
                tracing::info!(target: crate::TARGET, event = "go_live", entries = received.0, "going live");
                self.forget(released);
                self.has_gone_live = true;
                self.reports.hurry();
                self.decision.decide(true);
                self.end_feed();
            }
            BackupAction::StandDown(why) => {
                stood_down(why);
                self.end(Outcome::StoodDown(why));
            }
            BackupAction::Finish if self.has_gone_live && self.exits.is_none() => {
                self.is_finish_due = true;
            }
            BackupAction::Finish => self.end(Outcome::Finished),
        }
    }

    /// Sends the acknowledgement that is due, if one is.
    fn acknowledge(&mut self) {
        if let Some(acknowledgement) = self.acknowledgement.take() {
            self.link.queue(&acknowledgement);
        }
    }

    fn forget(&mut self, up_to: LogPosition) {
        self.released = self.released.max(up_to);
        self.unreleased.forget(self.released);
    }

    fn end_feed(&mut self) {
        if let Some(feed) = self.feed.take() {
            // A machine that is gone needs no end.
            let _ = feed.send(Fed::End);
        }
    }

    fn suspect(&mut self, why: Suspicion) {
        self.reports.hurry();
        self.suspected = Some(clock::now());
        tracing::warn!(target: crate::TARGET, event = "suspected", %why, "the primary is not counted on any more");
        let failover = Failover::now(why.to_string());
        self.board.write(|status| status.last_failover = Some(failover));
    }

    /// Ends the driver, and the machine with it.
    fn end(&mut self, outcome: Outcome) {
        if self.outcome.is_some() {
            return;
        }
        if !matches!(outcome, Outcome::Finished)
            && let Some(exits) = &mut self.exits
        {
            exits.shut();
        }
        self.outcome = Some(outcome);
        self.decision.decide(false);
        self.end_feed();
        (self.stop)();
    }

    /// Writes the status.
    fn report(&mut self) {
        self.reports.note();
        let core = self.core.status(clock::now());
        let rate = self.rate.read();
        let is_following = core.phase == BackupPhase::Following;
        self.board.write(|status| {
            status.phase = phase(core.phase);
            status.protected = is_following;
            status.entries = status.entries.max(core.received.0);
            (status.log_bytes, status.log_bytes_per_second) = (rate.bytes, rate.per_second);
            status.lag_entries = core.lag_entries;
            status.lag_bytes = core.lag_bytes as u64;
            status.lag_milliseconds = core.lag.as_secs_f64() * 1e3;
        });
    }
}

fn phase(phase: BackupPhase) -> &'static str {
    match phase {
        BackupPhase::Following => "following",
        BackupPhase::Claiming => "claiming",
        BackupPhase::Waiting => "waiting-for-lease",
        BackupPhase::Live => "live",
        BackupPhase::StoodDown => "stood-down",
        BackupPhase::Finished => "finished",
    }
}
