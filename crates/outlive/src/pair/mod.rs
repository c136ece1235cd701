//! `outlive primary` and `outlive backup`: the two sides of a pair.

pub(crate) mod backup;
mod control;
pub(crate) mod history;
mod mismatch;
mod networks;
pub(crate) mod primary;
pub(crate) mod status;
mod stopper;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use outlive_arbiter::{Arbiter, Claimant, DirectoryArbiter};
use outlive_engine::Engine;
use outlive_log::entry::EndReason;
use outlive_log::{Header, LogFile};
use outlive_machine::host::disk::Sharing;
use outlive_machine::machine::{Machine, Stop};
use outlive_machine::world::World;
use outlive_replay::{EventLog, RecordOptions, Recorder};
use outlive_replication::driver::{Outcome, StatusBoard};
use outlive_replication::protocol::StandDown;
use outlive_replication::transport::{PairKeys, Security};

use crate::config::{Config, Pair};
use crate::failure::Failure;
use crate::live::{Preparation, are_same, finish};
use crate::record::{check_log, check_output};
use history::{History, Keeper};

/// The exit status of a side that stops because the other one goes on.
const OTHER_SIDE_GOES_ON: u8 = 3;

/// No digests on the way: each would stop the guest for as long as it takes to hash its memory.
const RECORDING: RecordOptions = RecordOptions { digest_every: None, registers: false };

/// What both commands take.
#[derive(clap::Args, Debug)]
#[group(skip)]
#[command(group(clap::ArgGroup::new("kept").multiple(true)))]
pub(crate) struct Arguments {
    /// The machine's configuration, a TOML file with a section `[pair]`.
    config: PathBuf,
    /// The key file of the pair, made by `outlive keys`: the same on both hosts.
    #[arg(long, value_name = "FILE", required_unless_present = "plain")]
    keys: Option<PathBuf>,
    /// Do without keys. Only for two sides on one host: the address must be of the loopback.
    #[arg(long, conflicts_with = "keys")]
    plain: bool,
    /// Keep the event log in this file too, to replay it later. It must not exist, unless --overwrite is given.
    #[arg(long, value_name = "FILE", group = "kept")]
    log: Option<PathBuf>,
    /// Keep what this side tells of itself in this file, as lines of JSON: its events, and ten times a second how it
    /// stands. `outlive log report` draws it. The file must not exist, unless --overwrite is given.
    #[arg(long, value_name = "FILE", group = "kept")]
    history: Option<PathBuf>,
    /// Replace the log and the history if they are there already.
    #[arg(long, requires = "kept")]
    overwrite: bool,
    /// The socket at which `outlive status` asks. Default: one in ${XDG_RUNTIME_DIR:-/run}/outlive.
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

impl Arguments {
    /// Where a history is to be taken down, if one is wanted.
    pub(crate) fn history(&self) -> Option<History> {
        self.history.as_ref().map(|_| History::new())
    }

    /// Finds out early whether the history can be written, and that nothing else is lost by that.
    fn check_history(&self, config: &Config) -> anyhow::Result<()> {
        let Some(history) = &self.history else { return Ok(()) };
        if self.log.as_ref().is_some_and(|log| are_same(log, history)) {
            anyhow::bail!("log and history cannot both be {}", history.display());
        }
        check_output("history", history, self.overwrite, config, &self.config)
    }
}

/// A side of a pair before there is a machine.
struct Side {
    preparation: Preparation,
    pair: Pair,
    security: Security,
    claimant: Claimant,
    arbiter: Arc<dyn Arbiter>,
}

impl Side {
    /// Reads what the command line names. The disks are opened as a pair shares them.
    fn of(arguments: &Arguments, role: &str, sharing: Sharing) -> Result<Self, Failure> {
        let config = Config::read(&arguments.config).map_err(Failure::usage)?;
        let missing = || anyhow::anyhow!("{} has no section [pair]", arguments.config.display());
        let pair = config.pair.clone().ok_or_else(missing).map_err(Failure::usage)?;
        let security = match &arguments.keys {
            Some(file) => Security::Tls(PairKeys::read(file).map_err(Failure::usage)?),
            None => Security::PlainOnLoopback,
        };
        if let Some(log) = &arguments.log {
            check_log(log, arguments.overwrite, &config, &arguments.config).map_err(Failure::usage)?;
        }
        arguments.check_history(&config).map_err(Failure::usage)?;
        let preparation = Preparation::of_config(config, &arguments.config, sharing)?;
        let claimant = Claimant::new(role).context("cannot draw an identity").map_err(Failure::runtime)?;
        let arbiter = Arc::new(DirectoryArbiter::new(&pair.arbiter, pair.name.0.clone()));
        Ok(Self { preparation, pair, security, claimant, arbiter })
    }
}

/// An address on the command line: a host and a port.
fn address(text: &str) -> Result<String, String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    match port {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("a host and a port were expected, such as 192.0.2.1:7475".to_owned()),
    }
}

/// Creates the log file, if one is wanted.
fn create_log(arguments: &Arguments, header: &Header) -> Result<Option<LogFile>, Failure> {
    let create = |log: &PathBuf| LogFile::create(log, header, arguments.overwrite);
    arguments.log.as_ref().map(create).transpose().map_err(Failure::runtime)
}

/// Creates the file of a history, if one is wanted.
fn keep_history(
    arguments: &Arguments,
    history: Option<History>,
    board: &StatusBoard,
) -> Result<Option<Keeper>, Failure> {
    let files = arguments.history.as_ref().zip(history);
    files.map(|(file, history)| history.keep(file, arguments.overwrite, board.clone())).transpose()
}

/// Runs a machine that is live to its end. How it stopped, and its world if there is still one, to be dropped when the
/// driver has come to its end too.
fn serve_to_the_end<E: Engine, W: World, L: EventLog>(
    machine: Machine<E, Recorder<W, L>>,
) -> (Result<Stop, Failure>, Option<W>) {
    match outlive_replay::record(machine) {
        Ok((recorded, world)) => (Ok(recorded.stop), Some(world)),
        Err(error) => (Err(Failure::runtime(error)), None),
    }
}

/// Tells in the end how this side came to its own. `stop` says how its machine did, if it was live. A machine whose driver
/// has let go before it fails too, and that is no news.
fn end(
    outcome: Outcome,
    stop: Option<Result<Stop, Failure>>,
    signal: Option<u8>,
) -> Result<ExitCode, Failure> {
    match (outcome, stop) {
        (Outcome::Finished, None) => Ok(ExitCode::SUCCESS),
        (Outcome::Finished, Some(stop)) => finish(stop?, signal),
        (Outcome::MachineGone, Some(Err(failure))) => Err(failure),
        (Outcome::MachineGone, _) => {
            Err(Failure::runtime(anyhow::anyhow!("the machine has ended without a word")))
        }
        (Outcome::StoodDown(StandDown::Left), _) => {
            Ok(signal.map_or(ExitCode::SUCCESS, |signal| ExitCode::from(128 + signal)))
        }
        (Outcome::StoodDown(StandDown::Lost), _) => Ok(ExitCode::from(OTHER_SIDE_GOES_ON)),
        (Outcome::StoodDown(StandDown::Diverged), _) => {
            Err(Failure::runtime(anyhow::anyhow!("this side has diverged from the log and stands down")))
        }
        (Outcome::OutputsFailed(error), _) => Err(Failure::runtime(error)),
    }
}

/// The same for a side whose machine came to the guest's end where the log says so: the status is the primary's.
fn end_with_guest(outcome: Outcome, reason: &EndReason, signal: Option<u8>) -> Result<ExitCode, Failure> {
    match (outcome, reason) {
        (Outcome::Finished, EndReason::DebugExit(1..) | EndReason::TripleFault | EndReason::Refused(_)) => {
            Err(Failure::runtime(anyhow::anyhow!("{reason}")))
        }
        (outcome, _) => end(outcome, None, signal),
    }
}

/// The folder for control sockets.
fn runtime_folder() -> PathBuf {
    let base = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| Path::new(path).is_absolute());
    base.map_or_else(|| PathBuf::from("/run"), PathBuf::from).join("outlive")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_ends_by_a_failure_is_a_failure_of_the_side_that_followed_it_too() {
        let ended = |reason: EndReason| end_with_guest(Outcome::Finished, &reason, None);
        for good in [EndReason::PowerOff, EndReason::Reset, EndReason::DebugExit(0)] {
            assert_eq!(ended(good).unwrap(), ExitCode::SUCCESS);
        }
        for bad in [EndReason::DebugExit(7), EndReason::TripleFault, EndReason::Refused("RDPMC".to_owned())] {
            let words = bad.to_string();
            let failure = ended(bad).unwrap_err();
            assert_eq!((failure.exit_code(), failure.to_string()), (ExitCode::from(1), words));
        }
    }

    #[derive(clap::Parser, Debug)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn a_history_never_takes_the_place_of_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let text = "memory = \"16M\"\nkernel = \"vmlinux\"\n";
        for (name, text) in [("machine.toml", text), ("vmlinux", ""), ("old", "")] {
            std::fs::write(path(name), text).unwrap();
        }
        let config = Config::read(&path("machine.toml")).unwrap();
        let check = |history: &str, options: &[&str]| {
            let words = ["outlive", "--plain", "--log"].map(Into::into).into_iter();
            let words = words.chain([path("log").into_os_string(), "--history".into(), path(history).into()]);
            let words = words.chain([path("machine.toml").into()]).chain(options.iter().map(Into::into));
            let line: Line = clap::Parser::try_parse_from(words).unwrap();
            assert!(line.arguments.history().is_some());
            line.arguments.check_history(&config).map_err(|error| error.to_string())
        };
        check("new", &[]).unwrap();
        check("old", &["--overwrite"]).unwrap();
        assert!(check("old", &[]).unwrap_err().contains("--overwrite"));
        assert!(check("vmlinux", &["--overwrite"]).unwrap_err().contains("the history cannot be"));
        assert!(check("log", &[]).unwrap_err().contains("log and history"));
    }

    #[test]
    fn to_overwrite_needs_something_that_could_be() {
        let parse = |options: &[&str]| {
            let words = ["outlive", "machine.toml", "--plain", "--overwrite"].iter().chain(options);
            <Line as clap::Parser>::try_parse_from(words)
        };
        assert!(parse(&[]).is_err());
        for kept in [&["--log", "a"] as &[_], &["--history", "b"], &["--log", "a", "--history", "b"]] {
            parse(kept).unwrap();
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for good in ["192.0.2.1:7475", "[2001:db8::1]:7475", "other-host:1", "localhost:0"] {
            assert_eq!(address(good).as_deref(), Ok(good));
        }
        for bad in ["", "nowhere", ":7475", "host:", "host:port", "host:70000"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
