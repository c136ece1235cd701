//! `outlive log`: looking into event logs.

mod frame;
mod info;
mod report;
mod row;
mod show;
mod stat;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use outlive_log::{LogReader, ReadError};

use crate::failure::Failure;

/// What to look at.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Tell what was recorded: the machine, its images, how long it ran, and whether the log was closed.
    #[command(
        after_help = "Examples:\n  outlive log info run.log\n  outlive log info run.log --json | jq .header.kernel"
    )]
    Info(OneLog),
    /// Tell what the bytes of a log are spent on: entries and bytes by kind, and rates.
    #[command(after_help = "Examples:\n  outlive log stat run.log\n  outlive log stat run.log --json")]
    Stat(OneLog),
    /// List entries, one line each: number, guest time, landmark, what it is.
    #[command(after_help = "Examples:
  outlive log show run.log | head
  outlive log show run.log --kind frame-input,disk-completion --hex
  outlive log show run.log --from-time 2.5 --to-time 2.6 --json
  outlive log show run.log --from 120000 --limit 20")]
    Show(show::Arguments),
    /// Make a page with plots of a recorded run: bytes and entries by kind, instructions, exits and interrupts over guest
    /// time, the numbers of `log stat`, and how a pair fared if its histories are given.
    ///
    /// The page is one HTML file without scripts that needs nothing else. A history is what `primary` or `backup` wrote
    /// with --history.
    #[command(after_help = "Examples:
  outlive log report run.log -o report.html
  outlive log report backup.log --history primary.history --history backup.history -o failover.html")]
    Report(report::Arguments),
    /// Check a whole log: all checksums, all entries and their order. Exit status 1 if it is damaged.
    #[command(after_help = "Example:\n  outlive log verify run.log")]
    Verify(OneLog),
}

/// The arguments of a command that looks at a whole log.
#[derive(clap::Args, Debug)]
pub(crate) struct OneLog {
    /// The log.
    #[arg(value_name = "FILE")]
    log: PathBuf,
    /// Print JSON for programs.
    #[arg(long)]
    json: bool,
}

/// Looks at a log.
pub(crate) fn look(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Info(arguments) => info::info(arguments),
        Command::Stat(arguments) => stat::stat(arguments),
        Command::Show(arguments) => show::show(arguments),
        Command::Report(arguments) => report::report(arguments),
        Command::Verify(arguments) => verify::verify(arguments),
    }
}

/// Opens a log. What is no log is the fault of whoever named it; damage is not.
///
/// # Errors
/// When it cannot be opened, is no log, or is damaged.
pub(crate) fn open(path: &Path) -> Result<LogReader, Failure> {
    check_file(path)?;
    let log = LogReader::open(path);
    log.map_err(|error| {
        let is_another = matches!(error, ReadError::NotALog | ReadError::Version { .. } | ReadError::Open(_));
        let error = anyhow::Error::from(error).context(format!("cannot read the log {}", path.display()));
        if is_another { Failure::usage(error) } else { Failure::runtime(error) }
    })
}

/// To open a FIFO would wait for its other end, and a device need not have one.
fn check_file(path: &Path) -> Result<(), Failure> {
    let cannot = || format!("cannot read the log {}", path.display());
    let metadata = std::fs::metadata(path).with_context(cannot).map_err(Failure::usage)?;
    if metadata.is_dir() {
        return Err(Failure::usage(anyhow::anyhow!("it is a directory").context(cannot())));
    }
    if !metadata.is_file() {
        return Err(Failure::usage(anyhow::anyhow!("it is no ordinary file").context(cannot())));
    }
    Ok(())
}

/// A log that could be opened cannot be read any further.
fn damaged(path: &Path, error: ReadError) -> Failure {
    Failure::runtime(anyhow::Error::from(error).context(format!("cannot read the log {}", path.display())))
}
