//! What each scenario does, and what it judges beyond what every rehearsal is judged by.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use super::Scenario;
use super::trial::{STOOD_DOWN, Trial};
use crate::event::EventKind;
use crate::pair::PATIENCE;
use crate::proxy::{Direction, Proxy};
use crate::topology::{Cut, Host};

/// The exit status of a side that has failed.
const FAILED: i32 = 1;
/// 128 and the number of SIGKILL.
const KILLED: i32 = 137;
/// 128 and the number of SIGTERM.
const TERMINATED: i32 = 143;
/// How long the backup is stopped.
const STOPPED: Duration = Duration::from_secs(5);
/// How long something is watched that must not happen.
const WATCH: Duration = Duration::from_secs(2);
/// By then what was under way when something was held or stopped has arrived.
const SETTLED: Duration = Duration::from_millis(300);
/// By then redis has flushed what it appended, which it does once a second.
const FLUSHED: Duration = Duration::from_millis(2500);

/// Breaks what the scenario is about, and waits for what comes of it.
pub(super) fn perform(scenario: Scenario, trial: &mut Trial) -> anyhow::Result<()> {
    trial.work();
    match scenario {
        Scenario::PrimaryKilled => primary_killed(trial),
        Scenario::Handover => handover(trial),
        Scenario::BackupKilled => backup_killed(trial),
        Scenario::ChannelCut => channel_cut(trial, Cut::Both),
        Scenario::ChannelCutToBackup => channel_cut(trial, Cut::ToBackup),
        Scenario::ChannelCutToPrimary => channel_cut(trial, Cut::ToPrimary),
        Scenario::ChannelUnplugged => channel_cut(trial, Cut::Unplugged),
        Scenario::PrimaryFrozen => primary_frozen(trial),
        Scenario::ArbiterAway => arbiter_away(trial),
        Scenario::ArbiterAwayThenKill => arbiter_away_then_kill(trial),
        Scenario::BackupStopped => backup_stopped(trial),
        Scenario::LogFull => log_full(trial),
        Scenario::AcknowledgementsHeld => acknowledgements_held(trial),
        Scenario::BackupDiverged => backup_diverged(trial),
    }
}

fn kill_primary(trial: &mut Trial) -> anyhow::Result<()> {
    trial.failure("kills the primary");
    trial.pair.primary.signal(Signal::KILL)
}

fn primary_killed(trial: &mut Trial) -> anyhow::Result<()> {
    kill_primary(trial)?;
    trial.pair.backup.wait_for(&EventKind::Live, PATIENCE)?;
    trial.goes_on("the service goes on")?;
    trial.only_goes_on(Host::B, &[KILLED])
}

fn handover(trial: &mut Trial) -> anyhow::Result<()> {
    trial.failure("asks the primary to end");
    trial.pair.primary.signal(Signal::TERM)?;
    trial.pair.backup.wait_for(&EventKind::Live, PATIENCE)?;
    trial.goes_on("the service goes on")?;
    trial.only_goes_on(Host::B, &[TERMINATED, STOOD_DOWN])
}

fn backup_killed(trial: &mut Trial) -> anyhow::Result<()> {
    trial.failure("kills the backup");
    trial.pair.backup.signal(Signal::KILL)?;
    trial.pair.primary.wait_for(&EventKind::Alone, PATIENCE)?;
    trial.goes_on("the service goes on")?;
    trial.only_goes_on(Host::A, &[KILLED])
}

fn channel_cut(trial: &mut Trial, cut: Cut) -> anyhow::Result<()> {
    trial.failure(&format!("cuts the logging channel: {cut:?}"));
    trial.pair.topology.cut(cut)?;
    let survivor = trial.wait_for_survivor()?;
    trial.goes_on("the service goes on")?;
    trial.only_goes_on(survivor, &[STOOD_DOWN])?;
    trial.deed("heals the logging channel");
    trial.pair.topology.heal()?;
    trial.goes_on("the service goes on when the channel is whole again")
}

fn primary_frozen(trial: &mut Trial) -> anyhow::Result<()> {
    trial.failure("stops the primary");
    trial.pair.primary.signal(Signal::STOP)?;
    trial.pair.backup.wait_for(&EventKind::Live, PATIENCE)?;
    trial.goes_on("the service goes on")?;
    // So that whatever happens now is done by the old primary.
    trial.load()?.rest(true);
    sleep(FLUSHED);
    trial.deed("stops the new primary and lets the old one go on");
    trial.pair.backup.signal(Signal::STOP)?;
    sleep(SETTLED);
    let before = trial.witness(Host::A)?;
    trial.pair.primary.signal(Signal::CONT)?;
    let ended = trial.pair.primary.wait_for_end(PATIENCE);
    let after = trial.witness(Host::A)?;
    trial.verdicts.judge("the old primary does nothing more to the world", before.nothing_until(&after));
    trial.deed("lets the new primary go on");
    trial.pair.backup.signal(Signal::CONT)?;
    ended?;
    trial.load()?.rest(false);
    trial.goes_on("the service goes on when the old primary is gone")?;
    trial.only_goes_on(Host::B, &[STOOD_DOWN])
}

fn arbiter_away(trial: &mut Trial) -> anyhow::Result<()> {
    trial.failure("takes the arbiter away");
    trial.pair.take_arbiter_away(true)?;
    trial.goes_on("the service goes on without the arbiter")?;
    sleep(WATCH);
    trial.deed("brings the arbiter back");
    trial.pair.take_arbiter_away(false)?;
    trial.goes_on("the service goes on with the arbiter")?;
    trial.nobody_moved()
}

fn arbiter_away_then_kill(trial: &mut Trial) -> anyhow::Result<()> {
    trial.deed("takes the arbiter away");
    trial.pair.take_arbiter_away(true)?;
    trial.goes_on("the service goes on without the arbiter")?;
    kill_primary(trial)?;
    trial.pair.backup.wait_for(&EventKind::ClaimUnavailable, PATIENCE)?;
    sleep(SETTLED);
    let (before, answers) = (trial.witness(Host::B)?, trial.load()?.answered());
    sleep(WATCH);
    let after = trial.witness(Host::B)?;
    trial.verdicts.judge("no output leaves without the arbiter", before.nothing_until(&after));
    let none = if trial.load()?.answered() == answers { Ok("") } else { Err("there was one") };
    trial.verdicts.judge("no client is answered without the arbiter", none);
    trial.deed("brings the arbiter back");
    trial.pair.take_arbiter_away(false)?;
    trial.pair.backup.wait_for(&EventKind::Live, PATIENCE)?;
    trial.goes_on("the service goes on")?;
    trial.only_goes_on(Host::B, &[KILLED])
}

fn backup_stopped(trial: &mut Trial) -> anyhow::Result<()> {
    trial.failure("stops the backup");
    trial.pair.backup.signal(Signal::STOP)?;
    trial.pair.primary.wait_for(&EventKind::Alone, PATIENCE)?;
    trial.goes_on("the service goes on")?;
    sleep(STOPPED);
    trial.deed("lets the backup go on");
    let before = trial.pair.topology.frames_from(Host::B)?;
    trial.pair.backup.signal(Signal::CONT)?;
    trial.only_goes_on(Host::A, &[STOOD_DOWN])?;
    let sent = trial.pair.topology.frames_from(Host::B)? - before;
    let none = if sent == 0 { Ok(String::new()) } else { Err(format!("{sent} frames")) };
    trial.verdicts.judge("the backup that was stopped sends nothing", none);
    trial.goes_on("the service goes on when the backup is gone")
}

fn log_full(trial: &mut Trial) -> anyhow::Result<()> {
    let lost = trial.pair.primary.wait_for(&EventKind::LogLost, PATIENCE * 4);
    let outcome = lost.map(|event| event.to_string()).map_err(|error| format!("{error:#}"));
    trial.verdicts.judge("a log that cannot be written is told", outcome);
    trial.goes_on("the service goes on without the log")?;
    trial.nobody_moved()?;
    kill_primary(trial)?;
    trial.pair.backup.wait_for(&EventKind::Live, PATIENCE)?;
    trial.goes_on("and survives the primary all the same")?;
    trial.only_goes_on(Host::B, &[KILLED])
}

fn acknowledgements_held(trial: &mut Trial) -> anyhow::Result<()> {
    trial.failure("holds acknowledgements back");
    let proxy = trial.pair.proxy.as_ref().context("there is no relay")?;
    proxy.hold(Direction::ToPrimary);
    sleep(SETTLED);
    let log = trial.pair.log();
    let length = || fs::metadata(&log).map(|metadata| metadata.len()).context("the primary writes no log");
    let (before, answers, written) = (trial.witness(Host::A)?, trial.load()?.answered(), length()?);
    sleep(2 * WATCH);
    let after = trial.witness(Host::A)?;
    trial.verdicts.judge("no output leaves before it is acknowledged", before.nothing_until(&after));
    let none = if trial.load()?.answered() == answers { Ok("") } else { Err("there was one") };
    trial.verdicts.judge("no client is answered meanwhile", none);
    let more = length()?.saturating_sub(written);
    let goes_on = if more > 0 { Ok(format!("{more} bytes of log")) } else { Err("its log does not grow") };
    trial.verdicts.judge("the guest goes on meanwhile", goes_on);
    trial.deed("releases acknowledgements");
    trial.pair.proxy.as_ref().context("there is no relay")?.release(Direction::ToPrimary);
    trial.goes_on("the service goes on when acknowledgements come")?;
    trial.nobody_moved()
}

fn backup_diverged(trial: &mut Trial) -> anyhow::Result<()> {
    trial.failure("falsifies a frame on its way to the backup's guest");
    trial.pair.proxy.as_ref().context("there is no relay")?.falsify_frame();
    let told = trial.pair.primary.wait_for(&EventKind::BackupDiverged, PATIENCE)?;
    trial.pair.primary.wait_for(&EventKind::Alone, PATIENCE)?;
    trial.goes_on("the service goes on")?;
    trial.only_goes_on(Host::A, &[FAILED])?;
    let report = told.fact("report").context("the primary does not tell in what way the backup diverged")?;
    let said = trial.pair.backup.complaints()?.join("\n");
    let falsified = trial.pair.proxy.as_ref().and_then(Proxy::falsified).context("no frame was falsified")?;
    let outcome = if said.contains(&report) {
        let headline = report.lines().next().unwrap_or_default();
        Ok(format!("entry {falsified} was falsified; {headline}"))
    } else {
        Err(format!("`{report}` and `{said}`"))
    };
    trial.verdicts.judge("both sides tell in what way the backup diverged", outcome);
    let why = trial.pair.backup.event(&EventKind::StoodDown)?.and_then(|event| event.fact("why"));
    let outcome = if why.as_deref() == Some("diverged") { Ok("") } else { Err(format!("{why:?}")) };
    trial.verdicts.judge("the backup stands down because it diverged", outcome);
    let claiming = trial.pair.backup.event(&EventKind::Claiming)?;
    let outcome = claiming.map_or(Ok(""), |event| Err(event.to_string()));
    trial.verdicts.judge("the backup claims nothing", outcome);
    Ok(())
}
