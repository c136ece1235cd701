//! The `outlive` command.

mod config;
mod doctor;
mod failure;
mod run;
mod signals;

use std::io::IsTerminal;
use std::path::PathBuf;
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
    /// What to log to standard error, such as `debug` or `outlive_machine=trace`.
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "OUTLIVE_LOG",
        default_value = "warn,virtio_queue=off"
    )]
    log: String,

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
    Run {
        /// The machine's configuration, a TOML file.
        config: PathBuf,
        /// Tell on standard error in the end how many instructions were executed, and how fast.
        #[arg(long)]
        stats: bool,
        /// Print on standard error in the end the digests of registers, memory and devices: machines that are
        /// alike have equal ones.
        #[arg(long)]
        digest: bool,
    },
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
    let filter = EnvFilter::try_new(&arguments.log).map_err(Failure::usage)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match &arguments.command {
        Command::Run { config, stats, digest } => {
            run::run(config, run::Afterwards { statistics: *stats, digest: *digest })
        }
        Command::Doctor { json } => doctor::doctor(*json),
    }
}
