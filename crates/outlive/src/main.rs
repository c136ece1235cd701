//! The `outlive` command.

mod config;
mod description;
mod doctor;
mod engine;
mod failure;
mod images;
mod live;
mod log;
mod record;
mod replay;
mod run;
mod signals;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use failure::Failure;

/// Keeps a virtual machine running when the host under it dies.
///
/// Exit status: 0 when all went well, 1 when something failed while running, 2 when the command line or the
/// configuration is wrong, 128 + n when signal n ended it.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// What to tell on standard error of what happens within, such as `debug` or `outlive_machine=trace`.
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "OUTLIVE_TRACE",
        default_value = "warn,virtio_queue=off"
    )]
    trace: String,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a guest.
    ///
    /// The guest's serial console is connected as the configuration says. At a terminal, Ctrl-A x ends the
    /// machine, and Ctrl-A Ctrl-A sends one Ctrl-A to the guest.
    #[command(after_help = "Example:\n  outlive run guest-images/linux.toml")]
    Run(run::Arguments),
    /// Run a guest, and record everything that it could not know by itself.
    ///
    /// This is `run`, with an event log: whatever comes in is written down with the place in the guest's execution
    /// at which it came, and digests of what the guest did. `outlive replay` repeats the run from that. Copies of
    /// kernel and initramfs are kept in ${OUTLIVE_CACHE:-${XDG_CACHE_HOME:-~/.cache}/outlive}/images.
    #[command(after_help = "Examples:
  outlive record guest-images/linux.toml --log run.log
  outlive record guest-images/hello.toml --log run.log --overwrite --json")]
    Record(record::Arguments),
    /// Repeat a recorded run from its log, and check that it is the same.
    ///
    /// Needs no TAP, no disk and no network. The guest gets everything from the log, and each interrupt, each output
    /// and each digest is compared with the recording. Nothing waits, so a guest that was idle is replayed in no time.
    ///
    /// Exit status: 0 when nothing differed, 1 when something did, or when the log is damaged, 2 when the images or
    /// the command line are wrong, 128 + n when signal n ended it.
    #[command(after_help = "Examples:
  outlive replay run.log
  outlive replay run.log --console
  outlive replay run.log --until 120000+35 --json
  outlive replay run.log --disk disk-before.img --disk-out disk-after.img")]
    Replay(replay::Arguments),
    /// Look into event logs.
    #[command(subcommand)]
    Log(log::Command),
    /// Find out what this host's KVM can really do, by running tiny guests on it.
    #[command(after_help = "Examples:\n  outlive doctor\n  outlive doctor --json | jq .verdict")]
    Doctor {
        /// Print JSON for programs instead of a table.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(&arguments) {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

fn start(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let filter = EnvFilter::try_new(&arguments.trace).map_err(Failure::usage)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match &arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Record(arguments) => record::record(arguments),
        Command::Replay(arguments) => replay::replay(arguments),
        Command::Log(command) => log::look(command),
        Command::Doctor { json } => doctor::doctor(*json),
    }
}
