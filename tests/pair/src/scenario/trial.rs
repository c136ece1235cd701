//! One rehearsal while it goes on: a pair, its clients, and what was judged so far.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use fastrand::Rng;

use super::{Options, Report};
use crate::client::{Load, Outcome, Plan};
use crate::event::{Event, EventKind};
use crate::linearizability;
use crate::moment::Moment;
use crate::pair::{Folder, PATIENCE, Pair, Settings};
use crate::replay;
use crate::timeline::Timeline;
use crate::topology::Host;
use crate::verdict::{Paint, Verdicts};
use crate::witness::Witness;

/// How many more answers each client must have before the service counts as going on.
const MORE: u64 = 20;
/// How long a side that has lost may take to end.
const STAND_DOWN: Duration = Duration::from_secs(20);
/// The exit status of a side that has left the field to the other one.
pub(super) const STOOD_DOWN: i32 = 3;
/// Clients think up to so long between two requests: two hosts, a guest and the clients share this host's processors.
const THINK: Duration = Duration::from_millis(2);

/// A rehearsal that goes on.
#[derive(Debug)]
pub struct Trial {
    /// The clients.
    pub(super) load: Option<Load>,
    /// The pair.
    pub(super) pair: Pair,
    /// What was judged.
    pub(super) verdicts: Verdicts,
    deeds: Vec<(Moment, String)>,
    failure: Option<Moment>,
    settings: Settings,
    within: Duration,
    rng: Rng,
    talkative: bool,
    began: Instant,
}

impl Trial {
    /// Starts a pair and its clients.
    ///
    /// # Errors
    /// When it does not come to serve.
    pub fn start(settings: &Settings, options: &Options, folder: Folder) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut pair = Pair::start(settings, folder)?;
        let plan =
            Plan { service: settings.service, clients: options.clients, think: THINK, seed: options.seed };
        let load = Load::start(pair.topology.client(), plan);
        let load = load.inspect_err(|_| pair.folder.keep());
        let load = load.with_context(|| format!("its folder is {}", pair.folder.path().display()))?;
        let trial = Self {
            load: Some(load),
            pair,
            verdicts: Verdicts::default(),
            deeds: Vec::new(),
            failure: None,
            settings: settings.clone(),
            within: options.within,
            rng: Rng::with_seed(options.seed),
            talkative: options.talkative,
            began,
        };
        trial.tell("the pair is protected, the guest serves, clients are at work");
        Ok(trial)
    }

    /// Says what is being done.
    pub(super) fn tell(&self, what: &str) {
        if self.talkative {
            println!("  {:6.1} s  {what}", self.began.elapsed().as_secs_f64());
        }
    }

    /// Notes what the rehearsal does.
    pub(super) fn deed(&mut self, what: &str) {
        self.deeds.push((Moment::now(), what.to_owned()));
        self.tell(what);
    }

    /// Notes that this is the failure, from which time is counted.
    pub(super) fn failure(&mut self, what: &str) {
        self.deed(what);
        self.failure = Some(Moment::now());
    }

    /// Lets the clients work for a random time.
    pub(super) fn work(&mut self) {
        let longest = self.within.as_millis() as u64;
        thread::sleep(Duration::from_millis(self.rng.u64(0..=longest)));
    }

    /// The clients.
    ///
    /// # Errors
    /// When they have been sent home.
    pub(super) fn load(&self) -> anyhow::Result<&Load> {
        self.load.as_ref().context("there is no load any more")
    }

    /// Judges that all clients are answered.
    pub(super) fn goes_on(&mut self, claim: &str) -> anyhow::Result<()> {
        let load = self.load.as_ref().context("there is no load any more")?;
        let answered = load.wait_for_answers(MORE, crate::client::PATIENCE);
        let outcome = answered.map(|()| format!("{MORE} more answers for each client"));
        self.verdicts.judge(claim, outcome.map_err(|error| format!("{error:#}")));
        Ok(())
    }

    /// Waits until a side is the only one that serves.
    pub(super) fn wait_for_survivor(&mut self) -> anyhow::Result<Host> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            for host in [Host::A, Host::B] {
                if !self.went_on(host)?.is_empty() {
                    return Ok(host);
                }
            }
            thread::sleep(Duration::from_millis(2));
        }
        bail!("nobody goes on within {PATIENCE:?}")
    }

    /// The events by which a side said that it goes on without the other one.
    fn went_on(&mut self, host: Host) -> anyhow::Result<Vec<Event>> {
        let mut events = self.pair.side(host).events()?;
        events.retain(|event| matches!(event.kind, EventKind::Live | EventKind::Alone));
        Ok(events)
    }

    /// Judges that a side goes on, and the other one does not and never will.
    ///
    /// `ended` is how the other one must have ended: 137 if it was killed.
    pub(super) fn only_goes_on(&mut self, host: Host, ended: &[i32]) -> anyhow::Result<()> {
        let status = self.pair.side(host.other()).wait_for_end(STAND_DOWN);
        let survives = self.pair.side(host).ended()?;
        let (ours, theirs) = (self.went_on(host)?.len(), self.went_on(host.other())?.len());
        let outcome = match status {
            Err(error) => Err(format!("{error:#}")),
            Ok(status) if !ended.contains(&status) => {
                let words = self.pair.side(host.other()).last_words();
                Err(format!("the other one ended with status {status}: {words}"))
            }
            Ok(_) if survives.is_some() => Err(format!("it ended with status {survives:?}")),
            Ok(_) if ours == 0 => Err("it does not say that it goes on".to_owned()),
            Ok(_) if theirs > 0 => Err("both went on".to_owned()),
            Ok(status) => Ok(format!("the one on host {host:?}; the other one ended with status {status}")),
        };
        self.verdicts.judge("exactly one side is live", outcome);
        let (expected, winner) = (self.pair.side(host).name(), self.pair.winner());
        let outcome = match winner {
            Ok(Some(winner)) if winner == expected => Ok(format!("the {winner}")),
            Ok(winner) => Err(format!("it names {winner:?}, and the {expected} goes on")),
            Err(error) => Err(format!("{error:#}")),
        };
        self.verdicts.judge("the arbiter names the side that goes on", outcome);
        Ok(())
    }

    /// Judges that neither side has suspected the other one.
    pub(super) fn nobody_moved(&mut self) -> anyhow::Result<()> {
        let suspicious = |event: &Event| {
            use EventKind::{Alone, Claiming, Live, Suspected};
            matches!(event.kind, Suspected | Claiming | Live | Alone)
        };
        let mut moved = Vec::new();
        for host in [Host::A, Host::B] {
            let events = self.pair.side(host).events()?;
            moved.extend(
                events.iter().filter(|event| suspicious(event)).map(|event| format!("{host:?}: {event}")),
            );
        }
        let outcome = if moved.is_empty() { Ok(String::new()) } else { Err(moved.join(", ")) };
        self.verdicts.judge("neither side suspects the other one", outcome);
        let outcome = match self.pair.winner() {
            Ok(None) => Ok(String::new()),
            Ok(Some(winner)) => Err(format!("the {winner} has it")),
            Err(error) => Err(format!("{error:#}")),
        };
        self.verdicts.judge("nobody has claimed the flag", outcome);
        Ok(())
    }

    /// Looks at what a host has done to the world.
    pub(super) fn witness(&self, host: Host) -> anyhow::Result<Witness> {
        let disk = self.pair.disk(self.settings.service);
        Witness::look(&self.pair.topology, host, disk.as_deref())
    }

    /// Ends the rehearsal and judges what there is to judge in every one.
    pub(super) fn finish(mut self, report: &mut Report) {
        let outcome = match self.load.take() {
            Some(load) => load.finish(self.pair.topology.client()),
            None => Err(anyhow::anyhow!("there is no load any more")),
        };
        self.tell("the clients are done; looking at what they saw");
        let outcome = match outcome {
            Ok(outcome) => Some(outcome),
            Err(error) => {
                self.verdicts
                    .judge("clients can read every key in the end", Err::<String, _>(format!("{error:#}")));
                None
            }
        };
        if let Some(outcome) = &outcome {
            self.judge_history(outcome);
        }
        if let Err(error) = self.judge_replay() {
            self.verdicts.judge("the primary's log can be replayed", Err::<String, _>(format!("{error:#}")));
        }
        self.judge_page();
        self.report(outcome.as_ref(), report);
    }

    /// Has a page made of the backup's log, which tells the guest's whole life, and of what both sides kept.
    fn judge_page(&mut self) {
        let histories = [self.pair.primary.history(), self.pair.backup.history()];
        let made = replay::report(&self.pair.backup_log(), &histories, &self.pair.page());
        let outcome = made.map(|()| String::new()).map_err(|error| format!("{error:#}"));
        self.verdicts.judge("a page tells of it", outcome);
    }

    fn judge_history(&mut self, outcome: &Outcome) {
        let connections = match &outcome.broken[..] {
            [] => Ok(format!("{} clients", outcome.clients)),
            broken => Err(broken.join("; ")),
        };
        let claim = if self.settings.service.counts() {
            "every TCP connection survived"
        } else {
            "every client was answered to the end"
        };
        self.verdicts.judge(claim, connections);
        let history = &outcome.history;
        let checked = linearizability::check(history);
        let checked =
            checked.map(|()| format!("{} answers, {} keys", history.answered(), history.by_key().len()));
        self.verdicts
            .judge("the clients' history is linearizable", checked.map_err(|error| error.to_string()));
        let lost = match &history.lost_writes()[..] {
            [] => Ok(String::new()),
            lost => Err(lost.join("; ")),
        };
        self.verdicts.judge("no acknowledged write is lost", lost);
    }

    /// Replays the primary's log, if it is whole: to where the backup went live, or to its end.
    fn judge_replay(&mut self) -> anyhow::Result<()> {
        if self.settings.log_space.is_some() {
            return Ok(());
        }
        let taken_over = self.pair.taken_over()?;
        if self.pair.primary.ended()?.is_none() {
            // It goes on, protected or alone: an orderly end completes its log.
            self.pair.backup.signal(rustix::process::Signal::KILL)?;
            self.pair.primary.wait_for(&EventKind::Alone, PATIENCE)?;
            self.pair.primary.signal(rustix::process::Signal::TERM)?;
            self.pair.primary.wait_for_end(PATIENCE)?;
        }
        self.tell("replays the primary's event log");
        let log = self.pair.log();
        let Some(backup) = taken_over else {
            let replayed = replay::replay(&log);
            let outcome = replayed.map(|told| format!("end {}, {} entries", told["end"], told["entries"]));
            let outcome = outcome.map_err(|error| format!("{error:#}"));
            self.verdicts.judge("the primary's log is replayed without a difference", outcome);
            return Ok(());
        };
        let entries = backup.fact("entries").context("the backup does not tell what it has executed")?;
        let beginning = self.pair.received_log();
        replay::copy_beginning(&log, entries.parse()?, &beginning)?;
        let outcome = match replay::replay(&beginning) {
            Ok(replayed) => replay::compare(&backup, &replayed),
            Err(error) => Err(format!("{error:#}")),
        };
        self.verdicts.judge("the backup went live with the state that the primary's log leads to", outcome);
        Ok(())
    }

    fn report(mut self, outcome: Option<&Outcome>, report: &mut Report) {
        let (primary, backup) = (self.pair.primary.events(), self.pair.backup.events());
        if let (Some(failure), Ok(primary), Ok(backup)) = (self.failure, primary, backup) {
            let mut timeline = Timeline::around(failure);
            timeline.deeds(&self.deeds);
            timeline.side("primary", &primary);
            timeline.side("backup", &backup);
            if let Some(outcome) = outcome {
                let recovered = recovery(&primary, &backup, &self.deeds).unwrap_or(failure);
                timeline.clients(&outcome.history, recovered);
                let pause = outcome.history.pause_between(failure, recovered);
                report.pause = pause.map(|(last, first)| last.until(first));
            }
            report.timeline = Some((timeline.told(Paint::plain()), timeline.told(Paint::for_output())));
        }
        report.answers = outcome.map_or(0, |outcome| outcome.history.answered());
        report.verdicts = std::mem::take(&mut self.verdicts);
        if !report.verdicts.all_hold() {
            self.pair.folder.keep();
        }
        if self.pair.folder.is_kept() {
            let beginning = self.pair.received_log();
            let log = if beginning.exists() { beginning } else { self.pair.log() };
            report.folder = Some(self.pair.folder.path().to_owned());
            report.page = Some(self.pair.page()).filter(|page| page.exists());
            report.replay = Some(replay::command(&log));
        }
    }
}

/// When a side went on without the other one; if none did, when the rehearsal did something last.
fn recovery(primary: &[Event], backup: &[Event], deeds: &[(Moment, String)]) -> Option<Moment> {
    let went_on = |event: &&Event| matches!(event.kind, EventKind::Live | EventKind::Alone);
    let went_on = primary.iter().chain(backup).filter(went_on).map(|event| event.at).min();
    went_on.or_else(|| deeds.last().map(|deed| deed.0))
}
