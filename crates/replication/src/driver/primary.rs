//! The primary's driver.

mod waiting;

use outlive_machine::host::live::OutputSink;

use super::alarm::Alarm;
use super::exits::Exits;
use super::link::{Came, Link};
use super::status::{Failover, Rate, Reports};
use super::{Claims, Outcome, StatusBoard, StopMachine};
use crate::clock;
use crate::message::{FromBackup, FromPrimary};
use crate::protocol::{Primary, PrimaryAction, PrimaryEvent, PrimaryPhase, StandDown, Suspicion};
use crate::vcpu::{FromVcpu, Pace, VcpuEvent};
use crate::{LogPosition, Moment};

pub use waiting::{Paired, PrimarySide, Waiting};

/// What a driver of the primary works with.
#[derive(Debug)]
struct Driver<S> {
    core: Primary,
    link: Link<FromPrimary, FromBackup>,
    exits: Exits<S>,
    claims: Claims,
    vcpu: FromVcpu<S>,
    /// Empty: kept for its memory.
    events: Vec<VcpuEvent<S>>,
    stop: Stop,
    pace: Pace,
    is_slow: bool,
    board: StatusBoard,
    reports: Reports,
    rate: Rate,
    /// The batch that was cut last, until it is sent.
    batch: Vec<u8>,
    suspected: Option<Moment>,
    outcome: Option<Outcome>,
}

/// Stops the machine.
struct Stop(StopMachine);

impl std::fmt::Debug for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stop")
    }
}

impl<S: OutputSink> Driver<S> {
    /// Drives the primary to its end.
    async fn drive(mut self) -> Outcome {
        let mut alarm = Alarm::new();
        self.handle(PrimaryEvent::Tick);
        loop {
            self.vcpu_events();
            if self.outcome.is_some() {
                break;
            }
            self.keep_pace();
            if self.reports.is_due() {
                self.report();
            }
            alarm.set(self.core.next_deadline());
            alarm.set(self.reports.deadline());
            tokio::select! {
                biased;
                came = self.link.work() => self.came(came),
                () = self.vcpu.news() => {}
                outcome = self.claims.outcome() => self.handle(PrimaryEvent::Claimed(outcome)),
                () = alarm.ring() => self.tick(),
            }
        }
        self.report();
        self.pace.set_slow(false);
        let outcome = self.outcome.unwrap_or(Outcome::MachineGone);
        match outcome {
            Outcome::Finished => self.exits.finish(),
            _ => self.exits.shut(),
        }
        self.link.close_behind_last_words().await;
        outcome
    }

    /// The alarm has rung: maybe too early, or for the status only.
    fn tick(&mut self) {
        if self.core.next_deadline().is_some_and(|deadline| deadline <= clock::now()) {
            self.handle(PrimaryEvent::Tick);
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
        if !can_come && self.outcome.is_none() {
            self.link.close();
            self.end(Outcome::MachineGone);
        }
    }

    fn vcpu_event(&mut self, event: VcpuEvent<S>) {
        match event {
            VcpuEvent::Output { output, made } => {
                if let Err(error) = self.exits.hold(output, made) {
                    self.end(Outcome::OutputsFailed(error));
                }
            }
            VcpuEvent::Cut { bytes, end } => {
                self.exits.seal(end);
                self.rate.note(bytes.len());
                let length = bytes.len();
                self.batch = bytes;
                self.handle(PrimaryEvent::Batch { end, bytes: length });
            }
            VcpuEvent::Ended => self.handle(PrimaryEvent::Ended),
            VcpuEvent::Stopped => self.handle(PrimaryEvent::Leave),
            VcpuEvent::Executed(_) | VcpuEvent::Diverged(_) | VcpuEvent::Live(_) => {
                unreachable!("a primary's machine follows nobody")
            }
        }
    }

    fn came(&mut self, came: Came<FromBackup>) {
        let event = match came {
            Came::Message(FromBackup::Ack { received, executed, echo }) => {
                PrimaryEvent::Acknowledged { received, executed, echo }
            }
            Came::Message(FromBackup::Leave) => PrimaryEvent::PeerLeft,
            Came::Message(FromBackup::Diverged { report }) => {
                tracing::error!(target: crate::TARGET, event = "backup_diverged", report, "the backup has diverged");
                PrimaryEvent::PeerDiverged
            }
            Came::Message(other) => {
                tracing::warn!(target: crate::TARGET, message = ?other, "the backup says what does not belong here");
                PrimaryEvent::ChannelLost
            }
            Came::Lost(error) => {
                tracing::debug!(target: crate::TARGET, error, "the connection to the backup is lost");
                PrimaryEvent::ChannelLost
            }
        };
        self.handle(event);
    }

    fn handle(&mut self, event: PrimaryEvent) {
        let mut events = vec![event];
        let mut actions = Vec::new();
        while let Some(event) = events.pop() {
            self.core.handle(event, clock::now(), &mut actions);
            for action in actions.drain(..) {
                if let Some(event) = self.act(action) {
                    events.push(event);
                }
            }
        }
        self.reports.expect();
    }

    /// Slows the guest down, or lets it run.
    fn keep_pace(&mut self) {
        let is_slow = self.core.throttle(clock::now());
        if is_slow == self.is_slow {
            return;
        }
        self.is_slow = is_slow;
        if self.pace.set_slow(is_slow) && is_slow {
            let lag = self.core.status(clock::now()).lag;
            tracing::debug!(target: crate::TARGET, event = "slowed", ?lag, "the guest is slowed down: the backup is behind");
        }
    }

    /// Carries out an action, and tells what came of it.
    fn act(&mut self, action: PrimaryAction) -> Option<PrimaryEvent> {
        match action {
            PrimaryAction::SendBatch { sent, released, .. } => {
                let batch = std::mem::take(&mut self.batch);
                self.link.queue(&FromPrimary::Batch { sent, released, batch });
            }
            PrimaryAction::SendHeartbeat { sent, released } => {
                self.link.queue(&FromPrimary::Heartbeat { sent, released });
            }
            PrimaryAction::SendLeave => {
                // The backup will not wait for a lease: nothing may be on its way any more.
                self.exits.shut();
                self.link.queue(&FromPrimary::Leave);
            }
            PrimaryAction::Release { up_to, until } => return self.release(up_to, until),
            PrimaryAction::HoldBack => self.exits.hold_back(),
            PrimaryAction::CloseChannel(why) => {
                self.link.close();
                self.suspect(why);
            }
            PrimaryAction::Claim => self.claims.claim(),
            PrimaryAction::GoAlone => self.go_alone(),
            PrimaryAction::StandDown(why) => {
                stood_down(why);
                self.end(Outcome::StoodDown(why));
            }
            PrimaryAction::Finish => self.end(Outcome::Finished),
        }
        None
    }

    fn release(&mut self, up_to: LogPosition, until: Option<Moment>) -> Option<PrimaryEvent> {
        match self.exits.release(up_to, until) {
            Ok(true) => Some(PrimaryEvent::LetOut(up_to)),
            Ok(false) => None,
            Err(error) => {
                self.end(Outcome::OutputsFailed(error));
                None
            }
        }
    }

    fn suspect(&mut self, why: Suspicion) {
        self.reports.hurry();
        self.suspected = Some(clock::now());
        tracing::warn!(target: crate::TARGET, event = "suspected", %why, "the backup is not counted on any more");
        let failover = Failover::now(why.to_string());
        self.board.write(|status| status.last_failover = Some(failover));
    }

    fn go_alone(&mut self) {
        self.reports.hurry();
        let took = self.suspected.map(|suspected| clock::now().since(suspected).as_secs_f64() * 1e3);
        tracing::warn!(
            target: crate::TARGET,
            event = "alone",
            milliseconds = took,
            "this side goes on alone: the guest is NOT protected"
        );
        self.board.write(|status| {
            if let Some(failover) = &mut status.last_failover {
                failover.milliseconds = took;
            }
        });
    }

    /// Ends the driver, and the machine with it.
    fn end(&mut self, outcome: Outcome) {
        if self.outcome.is_none() {
            self.outcome = Some(outcome);
            (self.stop.0)();
        }
    }

    /// Writes the status.
    fn report(&mut self) {
        self.reports.note();
        let core = self.core.status(clock::now());
        let (held_outputs, held_bytes) = self.exits.held();
        let rate = self.rate.read();
        let delays = rate.is_news.then(|| [0.5, 0.99].map(|share| self.exits.delays().quantile(share)));
        let slowed = self.is_slow;
        self.board.write(|status| {
            status.phase = phase(core.phase);
            status.protected = core.phase == PrimaryPhase::Protected;
            status.entries = core.cut.0;
            (status.log_bytes, status.log_bytes_per_second) = (rate.bytes, rate.per_second);
            status.lag_entries = core.lag_entries;
            status.lag_bytes = core.lag_bytes as u64;
            status.lag_milliseconds = core.lag.as_secs_f64() * 1e3;
            (status.held_outputs, status.held_bytes) = (held_outputs as u64, held_bytes as u64);
            status.slowed = slowed;
            if let Some([median, high]) = delays {
                status.gate_microseconds_median = median;
                status.gate_microseconds_99th = high;
            }
        });
    }
}

/// Tells why this side stops.
pub(super) fn stood_down(why: StandDown) {
    match why {
        StandDown::Lost => tracing::warn!(
            target: crate::TARGET, event = "stood_down", why = "lost", "the other side goes on; this one stops"
        ),
        StandDown::Left => {
            tracing::info!(target: crate::TARGET, event = "left", "this side leaves, as planned");
        }
        StandDown::Diverged => tracing::error!(
            target: crate::TARGET, event = "stood_down", why = "diverged", "this side has diverged, and stops"
        ),
    }
}

fn phase(phase: PrimaryPhase) -> &'static str {
    match phase {
        PrimaryPhase::Protected => "protected",
        PrimaryPhase::Claiming => "claiming",
        PrimaryPhase::Alone => "alone",
        PrimaryPhase::StoodDown => "stood-down",
        PrimaryPhase::Finished => "finished",
    }
}

/// Makes a driver.
fn driver<S: OutputSink>(
    core: Primary,
    side: PrimarySide<S>,
    link: Link<FromPrimary, FromBackup>,
    vcpu: FromVcpu<S>,
    pace: Pace,
) -> Driver<S> {
    let PrimarySide { outputs, fence, stop, claims, board } = side;
    let exits = Exits::new(outputs, fence);
    Driver {
        core,
        link,
        exits,
        claims,
        vcpu,
        events: Vec::new(),
        stop: Stop(stop),
        pace,
        is_slow: false,
        board,
        reports: Reports::default(),
        rate: Rate::default(),
        batch: Vec::new(),
        suspected: None,
        outcome: None,
    }
}
