//! What a recording tells in the end.

use std::fmt;
use std::path::Path;

use outlive_engine::Landing;
use outlive_machine::host::live::Waiting;
use outlive_machine::machine::Stop;
use outlive_replay::{Recorded, Summary};
use serde::Serialize;

use crate::failure::Failure;

/// The report. As JSON, keys are never renamed; new ones may come.
#[derive(Serialize, Debug)]
pub(super) struct Report<'a> {
    log: String,
    /// How the machine ended.
    end: &'static str,
    #[serde(flatten)]
    summary: &'a Summary,
    /// How long inputs waited, on an engine where they have to.
    waiting: Option<WaitingReport>,
}

/// What it costs that inputs land at exits only.
#[derive(Serialize, Debug)]
struct WaitingReport {
    inputs: u64,
    total_milliseconds: f64,
    longest_milliseconds: f64,
}

impl<'a> Report<'a> {
    pub(super) fn new(log: &'a Path, recorded: &'a Recorded, waiting: Waiting, landing: Landing) -> Self {
        let waiting = (landing == Landing::AtExits).then(|| waiting.into());
        Self {
            log: log.display().to_string(),
            end: name(&recorded.stop),
            summary: &recorded.summary,
            waiting,
        }
    }

    /// Prints it on standard error.
    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            eprintln!("{}", serde_json::to_string(self).map_err(Failure::runtime)?);
        } else {
            eprintln!("outlive: {self}");
        }
        Ok(())
    }
}

/// The name of an end, as a log has it.
fn name(stop: &Stop) -> &'static str {
    match stop {
        Stop::PowerOff => "power-off",
        Stop::Reset => "reset",
        Stop::DebugExit(_) => "debug-exit",
        Stop::Requested | Stop::Reached => "requested",
        Stop::TripleFault(_) => "triple-fault",
        Stop::Refused { .. } => "refused",
    }
}

impl From<Waiting> for WaitingReport {
    fn from(waiting: Waiting) -> Self {
        Self {
            inputs: waiting.inputs,
            total_milliseconds: waiting.total.as_secs_f64() * 1e3,
            longest_milliseconds: waiting.longest.as_secs_f64() * 1e3,
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "recorded {}: {}", self.log, self.summary)?;
        let Some(waiting) = &self.waiting else { return Ok(()) };
        let WaitingReport { inputs, total_milliseconds: total, longest_milliseconds: longest } = waiting;
        let mean = if *inputs == 0 { 0.0 } else { total / *inputs as f64 };
        write!(
            f,
            "\n{inputs} inputs waited for an exit of the guest: {mean:.3} ms on average, {longest:.3} ms at most"
        )
    }
}
