//! The `outlive` command.

mod arbiter;
mod completions;
mod config;
mod description;
mod doctor;
mod engine;
mod failure;
#[cfg(test)]
mod help;
mod images;
mod keys;
mod live;
mod log;
mod manual;
mod pair;
mod print;
mod record;
mod replay;
mod run;
mod signals;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use failure::Failure;
use pair::history::History;

/// Keeps a virtual machine running when the host under it dies.
///
/// Exit status: 0 when all went well, 1 when something failed while running, 2 when the command line or the
/// configuration is wrong, 128 + n when signal n ended it.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Examples:
  outlive doctor
  outlive config explain
  outlive run guest-images/hello.toml
  outlive help replay"
)]
struct Arguments {
    /// What to tell on standard error of what happens within, such as `debug` or `outlive_machine=trace`.
    #[arg(
        long,
        global = true,
        help_heading = "Diagnostics",
        value_name = "FILTER",
        env = "OUTLIVE_TRACE",
        default_value = "warn,virtio_queue=off,outlive::pair=info"
    )]
    trace: String,

    /// In what form that is told: lines for people, or lines of JSON for programs.
    #[arg(long, global = true, help_heading = "Diagnostics", value_name = "FORMAT", default_value = "text")]
    trace_format: TraceFormat,

    #[command(subcommand)]
    command: Command,
}

/// In what form events are told.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
enum TraceFormat {
    /// A line for people.
    Text,
    /// A line of JSON with time stamps.
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Run a guest.
    ///
    /// The guest's serial console is connected as the configuration says. At a terminal, Ctrl-A x ends the
    /// machine, and Ctrl-A Ctrl-A sends one Ctrl-A to the guest. `outlive config explain` tells every key of a
    /// configuration, with its default.
    #[command(after_help = "Examples:
  outlive run guest-images/hello.toml
  outlive run guest-images/linux.toml --stats")]
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
    /// Run a guest that survives the death of this host: the side that runs it first.
    ///
    /// Waits for the backup, then starts the guest, and sends everything that the guest could not know by itself to the
    /// backup. Nothing leaves the guest before the backup could reproduce it. If the backup is lost, this side goes on
    /// alone, unprotected; if this side is lost, the backup goes on. SIGTERM hands the guest over to the backup.
    ///
    /// Exit status: as `run`, and 3 when the other side goes on.
    #[command(after_help = "Examples:
  outlive primary redis.toml --keys redis.keys --listen 192.0.2.1:7475
  outlive primary redis.toml --plain --listen 127.0.0.1:7475 --log primary.log")]
    Primary(pair::primary::Arguments),
    /// Run a guest that survives the death of this host: the side that takes over.
    ///
    /// Finds the primary, builds the same machine, and executes what the primary's guest does. When the primary is lost,
    /// and the arbiter grants it, the guest goes on here. SIGTERM makes this side leave; the primary goes on alone.
    ///
    /// Exit status: as `run`, and 3 when the other side goes on.
    #[command(after_help = "Examples:
  outlive backup redis.toml --keys redis.keys --connect 192.0.2.1:7475
  outlive backup redis.toml --plain --connect 127.0.0.1:7475")]
    Backup(pair::backup::Arguments),
    /// Tell how the sides of pairs on this host stand.
    #[command(after_help = "Examples:\n  outlive status\n  outlive status --json | jq .protected")]
    Status(pair::status::Arguments),
    /// Look into the directory that decides which side of a pair goes on.
    #[command(subcommand)]
    Arbiter(arbiter::Command),
    /// Make the key file of a pair.
    ///
    /// Primary and backup know each other by it: both hosts need the same file, with mode 0600. Each pair should have its
    /// own. Keys do not expire; to withdraw them, make new ones and restart both sides with them.
    #[command(after_help = "Example:\n  outlive keys redis.keys && scp -p redis.keys other-host:")]
    Keys(keys::Arguments),
    /// Find out what this host's KVM can really do, by running tiny guests on it.
    #[command(after_help = "Examples:\n  outlive doctor\n  outlive doctor --json | jq .verdict")]
    Doctor {
        /// Print JSON for programs instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Tell what a configuration may say, and what one says.
    #[command(subcommand)]
    Config(config::command::Command),
    /// Print what a shell needs to complete command lines.
    #[command(after_help = "Examples:
  outlive completions bash > /etc/bash_completion.d/outlive
  outlive completions zsh > /usr/local/share/zsh/site-functions/_outlive
  outlive completions fish > ~/.config/fish/completions/outlive.fish")]
    Completions(completions::Arguments),
    /// Print the manual page, or write one for each subcommand.
    #[command(after_help = "Examples:
  outlive man | man -l -
  outlive man --out /usr/local/share/man/man1")]
    Man(manual::Arguments),
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
    let history = history(&arguments.command);
    start_tracing(arguments, history.as_ref())?;
    match &arguments.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Record(arguments) => record::record(arguments),
        Command::Replay(arguments) => replay::replay(arguments),
        Command::Log(command) => log::look(command),
        Command::Primary(arguments) => pair::primary::primary(arguments, history),
        Command::Backup(arguments) => pair::backup::backup(arguments, history),
        Command::Status(arguments) => pair::status::status(arguments),
        Command::Arbiter(command) => arbiter::look(command),
        Command::Keys(arguments) => keys::make(arguments),
        Command::Doctor { json } => doctor::doctor(*json),
        Command::Config(command) => config::command::look(command),
        Command::Completions(arguments) => completions::completions(arguments),
        Command::Man(arguments) => manual::manual(arguments),
    }
}

/// Where the history of a side of a pair is taken down, if that is wanted.
fn history(command: &Command) -> Option<History> {
    match command {
        Command::Primary(arguments) => arguments.side.history(),
        Command::Backup(arguments) => arguments.side.history(),
        _ => None,
    }
}

fn start_tracing(arguments: &Arguments, history: Option<&History>) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&arguments.trace).map_err(Failure::usage)?;
    let told = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let told = match arguments.trace_format {
        TraceFormat::Text => told.boxed(),
        TraceFormat::Json => told.json().boxed(),
    };
    tracing_subscriber::registry().with(told.with_filter(filter)).with(history.map(History::layer)).init();
    Ok(())
}
