//! Texts on standard output.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;

use crate::failure::Failure;

/// Prints a text as it is. A reader that goes away, such as `head`, is no error.
///
/// # Errors
/// When standard output does not take it, because a disk is full for instance.
pub(crate) fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    let mut output = io::stdout().lock();
    printed(output.write_all(text).and_then(|()| output.flush()))
}

/// Prints a text and ends its last line.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_line(text: &str) -> Result<ExitCode, Failure> {
    print(format!("{text}\n").as_bytes())
}

/// Turns what came of printing into an exit status: a reader that goes away has seen enough.
///
/// # Errors
/// As [`print()`].
pub(crate) fn printed(outcome: io::Result<()>) -> Result<ExitCode, Failure> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output").map_err(Failure::runtime)
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
