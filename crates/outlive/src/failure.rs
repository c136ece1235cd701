//! How the command fails: whose fault it is decides the exit status.

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

    /// Prints the failure and its causes as one sentence.
    pub(crate) fn print(&self) {
        let causes: Vec<String> =
            self.cause.chain().map(|cause| cause.to_string().trim_end().to_owned()).collect();
        eprintln!("outlive: {}", causes.join(": "));
    }

    /// The exit status.
    pub(crate) fn exit_code(&self) -> ExitCode {
        self.status.into()
    }
}
