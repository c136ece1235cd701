//! Failures, each with the outcome that it must have.
//!
//! A scenario starts a pair, puts load on it, breaks something at a random moment, and judges what came of it. What
//! must come of each failure is told in the documentation of [`Scenario`].

mod faults;
mod trial;

use std::path::PathBuf;
use std::time::Duration;

use crate::client::Service;
use crate::pair::{Channel, Engine, Folder, Settings};
use crate::verdict::Verdicts;
pub use trial::Trial;

/// How long the relayed pair waits before it suspects: longer than acknowledgements are held back.
const PATIENT: Duration = Duration::from_secs(60);
/// Room for a log that is to run out of it.
const SMALL_LOG: u64 = 128 << 10;

/// What is broken.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// The primary is killed: the backup goes live, connections survive.
    PrimaryKilled,
    /// The primary is asked to end: the backup goes live at once.
    Handover,
    /// The backup is killed: the primary serves on, alone.
    BackupKilled,
    /// The logging channel loses everything: exactly one side goes on.
    ChannelCut,
    /// The logging channel loses what goes to the backup: exactly one side goes on.
    ChannelCutToBackup,
    /// The logging channel loses what goes to the primary: exactly one side goes on.
    ChannelCutToPrimary,
    /// The logging channel's link goes down: exactly one side goes on.
    ChannelUnplugged,
    /// The primary is stopped, and goes on after the takeover: it does nothing more to the world, and ends.
    PrimaryFrozen,
    /// The arbiter's directory is away for a while: nothing happens.
    ArbiterAway,
    /// The arbiter's directory is away, and the primary is killed: no output until it is back, then the backup goes
    /// live.
    ArbiterAwayThenKill,
    /// The backup is stopped for five seconds: the primary goes on alone, and the backup ends when it wakes.
    BackupStopped,
    /// The primary's log file can take no more: it says so, and the pair goes on, protected.
    LogFull,
    /// Acknowledgements are held back: no output leaves, while the guest goes on; nothing is lost.
    AcknowledgementsHeld,
    /// The backup's guest gets another frame than the primary's: the backup says so and ends, and the primary serves
    /// on, alone.
    BackupDiverged,
}

impl Scenario {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::PrimaryKilled,
        Self::Handover,
        Self::BackupKilled,
        Self::ChannelCut,
        Self::ChannelCutToBackup,
        Self::ChannelCutToPrimary,
        Self::ChannelUnplugged,
        Self::PrimaryFrozen,
        Self::ArbiterAway,
        Self::ArbiterAwayThenKill,
        Self::BackupStopped,
        Self::LogFull,
        Self::AcknowledgementsHeld,
        Self::BackupDiverged,
    ];

    /// As the command line names it.
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self)
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The pair that it needs.
    fn settings(self, options: &Options) -> Settings {
        let mut settings = Settings::new(options.engine, options.service);
        settings.suspect_after = options.suspect_after;
        match self {
            Self::AcknowledgementsHeld => {
                settings.channel = Channel::Relayed;
                settings.suspect_after = PATIENT;
                // What the backup has executed is told by acknowledgements, too.
                settings.lag_limit = PATIENT;
            }
            Self::BackupDiverged => settings.channel = Channel::Read,
            Self::LogFull => settings.log_space = Some(SMALL_LOG),
            _ => {}
        }
        settings
    }
}

/// How to rehearse.
#[derive(Clone, Debug)]
pub struct Options {
    /// What executes the guest.
    pub engine: Engine,
    /// Which guest.
    pub service: Service,
    /// How many clients there are.
    pub clients: usize,
    /// Where random choices begin.
    pub seed: u64,
    /// The failure comes up to so long after the load has begun.
    pub within: Duration,
    /// The silence after which a side is suspected.
    pub suspect_after: Duration,
    /// Where folders are kept; `None` keeps those of failures only.
    pub keep: Option<PathBuf>,
    /// Whether it is told what is being done.
    pub talkative: bool,
}

/// What came of a rehearsal.
#[derive(Debug)]
pub struct Report {
    /// What was broken.
    pub scenario: Scenario,
    /// Where random choices began.
    pub seed: u64,
    /// What was claimed, and whether it held.
    pub verdicts: Verdicts,
    /// What happened, told without colours and with.
    pub timeline: Option<(String, String)>,
    /// The longest silence that clients saw after the failure.
    pub pause: Option<Duration>,
    /// How many answers clients had.
    pub answers: usize,
    /// Where the evidence is, if it is kept.
    pub folder: Option<PathBuf>,
    /// A page with plots, if it is kept.
    pub page: Option<PathBuf>,
    /// The command that replays the primary's log, if that is kept.
    pub replay: Option<String>,
}

/// Rehearses one failure. It never fails itself: what goes wrong is a claim that did not hold.
pub fn rehearse(scenario: Scenario, options: &Options) -> Report {
    let name = format!("{}-{:016x}", scenario.name(), options.seed);
    let mut report = Report {
        scenario,
        seed: options.seed,
        verdicts: Verdicts::default(),
        timeline: None,
        pause: None,
        answers: 0,
        folder: None,
        page: None,
        replay: None,
    };
    let begun = Folder::new(options.keep.as_deref(), &name)
        .and_then(|folder| Trial::start(&scenario.settings(options), options, folder));
    let mut trial = match begun {
        Ok(trial) => trial,
        Err(error) => {
            report
                .verdicts
                .judge("the pair starts and its guest serves", Err::<String, _>(format!("{error:#}")));
            return report;
        }
    };
    if let Err(error) = faults::perform(scenario, &mut trial) {
        trial.verdicts.judge("it came as it had to", Err::<String, _>(format!("{error:#}")));
    }
    trial.finish(&mut report);
    report
}
