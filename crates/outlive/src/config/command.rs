//! `outlive config`: what a configuration may say, and what one says.

use std::process::ExitCode;

use clap::Subcommand;

use super::{check, explain, schema};
use crate::failure::Failure;
use crate::print::print;

/// What to do.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Print every key of a configuration, with what it means and its default.
    ///
    /// What is printed is itself a configuration that has all keys.
    #[command(
        after_help = "Examples:\n  outlive config explain | less\n  outlive config explain > machine.toml"
    )]
    Explain,
    /// Print the JSON schema of configurations, by which editors check and complete them.
    #[command(after_help = "Example:\n  outlive config schema > outlive.schema.json")]
    Schema,
    /// Read a configuration, and tell what a machine it makes.
    ///
    /// Builds the machine but does not run it: nothing of the host is changed, no disk is locked, and the machine may be
    /// running meanwhile.
    ///
    /// Exit status: 0 when the machine could be built, 2 when something in the configuration is wrong, or what it names
    /// is missing or wrong; 1 when the host cannot build it.
    #[command(after_help = "Example:\n  outlive config check guest-images/hello.toml")]
    Check(check::Arguments),
}

/// Does it.
///
/// # Errors
/// When a configuration is wrong, or standard output takes nothing.
pub(crate) fn look(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Explain => print(explain::example().as_bytes()),
        Command::Schema => print(schema::text().map_err(Failure::runtime)?.as_bytes()),
        Command::Check(arguments) => check::check(arguments),
    }
}
