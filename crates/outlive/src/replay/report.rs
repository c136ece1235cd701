//! What a replay tells in the end.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use outlive_replay::{Divergence, Goal, ReplayEnd, ReplayError, Replayed, Summary};
use serde::Serialize;

use crate::failure::{Failure, chain};

/// How a replay ended, and what it found.
#[derive(Debug)]
pub(super) struct Report<'a> {
    log: &'a Path,
    until: Option<Goal>,
    outcome: Result<Replayed, ReplayError>,
}

/// What `--json` prints. Keys are never renamed; new ones may come.
#[derive(Serialize, Debug)]
struct Json<'a> {
    log: String,
    end: &'static str,
    /// What the log says of the end of the recording, or of its damage.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    summary: Option<&'a Summary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    divergence: Option<&'a Divergence>,
}

impl<'a> Report<'a> {
    pub(super) fn new(log: &'a Path, outcome: Result<Replayed, ReplayError>, until: Option<Goal>) -> Self {
        Self { log, until, outcome }
    }

    /// Whether nothing differed, and the replay came where it was to come.
    pub(super) fn is_good(&self) -> bool {
        matches!(&self.outcome, Ok(replayed) if !matches!(replayed.end, ReplayEnd::Interrupted))
    }

    /// Prints it on standard output, or on standard error if the guest's console is on standard output. What failed
    /// otherwise than by a divergence is for [`finish`](Self::finish) to tell.
    pub(super) fn print(&self, json: bool, console: bool) -> Result<(), Failure> {
        let text = if json { self.json()? } else { self.text() };
        let Some(text) = text else { return Ok(()) };
        let printed =
            if console { writeln!(io::stderr(), "{text}") } else { writeln!(io::stdout(), "{text}") };
        match printed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).context("cannot print the summary").map_err(Failure::runtime)
            }
            _ => Ok(()),
        }
    }

    /// The exit status.
    pub(super) fn finish(self, json: bool, signal: Option<u8>) -> Result<ExitCode, Failure> {
        match self.outcome {
            Ok(Replayed { end: ReplayEnd::Interrupted, .. }) => {
                Ok(signal.map_or(ExitCode::FAILURE, |signal| ExitCode::from(128 + signal)))
            }
            Ok(_) => Ok(ExitCode::SUCCESS),
            // It was printed.
            Err(ReplayError::Divergence(_)) if json => Ok(ExitCode::FAILURE),
            Err(error) => {
                let path = self.log.display();
                Err(error).with_context(|| format!("the replay of {path} failed")).map_err(Failure::runtime)
            }
        }
    }

    fn text(&self) -> Option<String> {
        let replayed = self.outcome.as_ref().ok()?;
        Some(format!("{}\n{}", self.end_in_words(replayed), replayed.summary))
    }

    fn end_in_words(&self, replayed: &Replayed) -> String {
        let log = self.log.display();
        let compared = replayed.summary.digests_compared;
        let early = match self.until {
            Some(goal) => format!(", before it came to {goal}"),
            None => String::new(),
        };
        match &replayed.end {
            ReplayEnd::Complete(reason) => {
                format!(
                    "replayed {log} to its end ({reason}){early}; {compared} digests of the state compared, all equal"
                )
            }
            ReplayEnd::Unfinished => {
                format!(
                    "{log} is unfinished: its recording was never closed. It was replayed to its last whole batch{early}"
                )
            }
            ReplayEnd::Damaged(damage) => {
                format!("{log} is damaged ({}). It was replayed up to there{early}", chain(damage))
            }
            ReplayEnd::Goal => format!("replayed {log} up to the landmark that was asked for"),
            ReplayEnd::Interrupted => format!("the replay of {log} was interrupted"),
        }
    }

    fn json(&self) -> Result<Option<String>, Failure> {
        let log = self.log.display().to_string();
        let json = match &self.outcome {
            Ok(Replayed { end, summary }) => {
                let (end, reason) = end_in_json(end);
                Json { log, end, reason, summary: Some(summary), divergence: None }
            }
            Err(ReplayError::Divergence(divergence)) => {
                Json { log, end: "divergence", reason: None, summary: None, divergence: Some(divergence) }
            }
            Err(_) => return Ok(None),
        };
        serde_json::to_string(&json).map(Some).map_err(Failure::runtime)
    }
}

fn end_in_json(end: &ReplayEnd) -> (&'static str, Option<String>) {
    match end {
        ReplayEnd::Complete(reason) => ("complete", Some(reason.to_string())),
        ReplayEnd::Unfinished => ("unfinished", None),
        ReplayEnd::Damaged(damage) => ("damaged", Some(chain(damage))),
        ReplayEnd::Goal => ("goal", None),
        ReplayEnd::Interrupted => ("interrupted", None),
    }
}
