//! `outlive keys`: the keys of a pair.

use std::path::PathBuf;
use std::process::ExitCode;

use outlive_replication::transport::{KeyError, PairKeys};

use crate::failure::Failure;
use crate::print::print_line;

/// What the command line says.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The key file to make. There must be nothing under this name.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Makes a key file.
pub(crate) fn make(arguments: &Arguments) -> Result<ExitCode, Failure> {
    PairKeys::create(&arguments.file).map_err(|error| match error {
        KeyError::Exists(_) => Failure::usage(error),
        error => Failure::runtime(error),
    })?;
    let file = arguments.file.display();
    print_line(&format!("{file}: copy this file to the other host; whoever has it can take part"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_are_keys() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = Arguments { file: folder.path().join("pair.keys") };
        make(&arguments).unwrap();
        PairKeys::read(&arguments.file).unwrap();
        let failure = make(&arguments).unwrap_err();
        assert_eq!(failure.to_string(), format!("{} exists already", arguments.file.display()));
        assert_eq!(failure.exit_code(), ExitCode::from(2));
    }
}
