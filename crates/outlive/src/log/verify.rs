//! `outlive log verify`: is a log whole?

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use outlive_log::ReadError;
use outlive_log::verify::{Verified, VerifyError};
use serde::Serialize;

use super::{OneLog, check_file};
use crate::failure::{Failure, chain};
use crate::print::print_line;

/// What is printed. As JSON, keys are never renamed; new ones may come.
#[derive(Serialize, Debug)]
struct Report {
    log: String,
    good: bool,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The byte of the file at which it was noticed.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(flatten)]
    verified: Option<Verified>,
}

/// Checks a whole log.
pub(super) fn verify(arguments: &OneLog) -> Result<ExitCode, Failure> {
    let path = &arguments.log;
    check_file(path)?;
    let outcome = match outlive_log::verify::verify(path) {
        // Nothing is known of the file then.
        Err(VerifyError::Read(error @ ReadError::Open(_))) => {
            let error = anyhow::Error::from(error).context(format!("cannot read the log {}", path.display()));
            return Err(Failure::usage(error));
        }
        outcome => outcome,
    };
    let report = Report::new(path, outcome);
    if arguments.json {
        print_line(&serde_json::to_string_pretty(&report).map_err(Failure::runtime)?)?;
    } else if report.good {
        print_line(&report.to_string())?;
    } else {
        return Err(Failure::runtime(anyhow::anyhow!("{report}")));
    }
    Ok(if report.good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Report {
    fn new(path: &Path, outcome: Result<Verified, VerifyError>) -> Self {
        let log = path.display().to_string();
        match outcome {
            Ok(verified) => Self { log, good: true, error: None, offset: None, verified: Some(verified) },
            Err(error) => Self {
                log,
                good: false,
                offset: Some(error.offset()),
                error: Some(chain(&error)),
                verified: None,
            },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log, error, verified, .. } = self;
        let Some(verified) = verified else {
            return write!(f, "{log} is not good: {}", error.as_deref().unwrap_or_default());
        };
        let Verified { entries, batches, bytes, .. } = verified;
        match &verified.end {
            Some(end) if verified.closed => write!(f, "{log} is good, and closed: {end}")?,
            _ => write!(f, "{log} is good, but unfinished")?,
        }
        write!(f, "; {entries} entries in {batches} batches, {bytes} bytes")?;
        write!(f, ", {:.3} s of guest time", verified.time.nanoseconds() as f64 / 1e9)?;
        if verified.torn_bytes > 0 {
            write!(f, "; the last {} bytes belong to a batch that is not whole", verified.torn_bytes)?;
        }
        Ok(())
    }
}
