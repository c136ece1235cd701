//! How the command fails: whose fault it is decides the exit status.

use std::fmt;
use std::process::ExitCode;

/// A failure, with its cause chain.
#[derive(Debug)]
pub(crate) struct Failure {
    cause: anyhow::Error,
    status: u8,
}

impl Failure {
    /// The command line or the configuration is wrong.
    pub(crate) fn usage(cause: impl Into<anyhow::Error>) -> Self {
        Self { cause: cause.into(), status: 2 }
    }

    /// Something failed while running.
    pub(crate) fn runtime(cause: impl Into<anyhow::Error>) -> Self {
        Self { cause: cause.into(), status: 1 }
    }

    /// Prints the failure.
    pub(crate) fn print(&self) {
        eprintln!("outlive: {self}");
    }

    /// The exit status.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.status.into()
    }
}

impl fmt::Display for Failure {
    /// The failure and its causes as one sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self.cause.as_ref()))
    }
}

/// An error and its causes as one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|cause| cause.to_string().trim_end().to_owned()).collect::<Vec<_>>().join(": ")
}
