//! Reading a history: what a side of a pair has told of itself.
//!
//! A history grows for as long as a pair runs. Events are kept one by one, up to a number; how the side stood is kept in
//! buckets of time.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use outlive_log::series::{Buckets, Merge};
use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::pair::history::SAMPLE;

/// No line of a history is longer, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// No more events are kept.
const MOST_EVENTS: usize = 1000;

/// A fact of an event that is longer than that is left out, in bytes.
const LONGEST_FACT: usize = 40;

/// Why a history cannot be read.
#[derive(thiserror::Error, Debug)]
pub(super) enum HistoryError {
    /// The file.
    #[error(transparent)]
    File(#[from] io::Error),
    /// A line that is none of a history.
    #[error("line {number}: {reason}")]
    Line {
        /// The first line is number 1.
        number: u64,
        /// What is wrong.
        reason: String,
    },
    /// No line at all.
    #[error("there is nothing in it")]
    Empty,
}

/// What a side has told of itself.
#[derive(Debug)]
pub(super) struct History {
    /// What the side began as, if it has said so.
    pub(super) role: Option<Role>,
    /// When its first line was told.
    pub(super) begin: Moment,
    /// When its last line was told.
    pub(super) end: Moment,
    /// In the order of the file.
    pub(super) events: Vec<Event>,
    /// Events that are not kept, because there were too many.
    pub(super) more_events: u64,
    /// How the side stood, over nanoseconds since its beginning.
    pub(super) standing: Buckets<Standing>,
    /// Whether the last line is cut off.
    pub(super) torn: bool,
}

/// What a side began as.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    Primary,
    Backup,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        }
    }
}

/// A moment, in nanoseconds since 1970, by the clock of the side that tells it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Moment(pub(super) u64);

impl Moment {
    /// Milliseconds from another moment to this one.
    pub(super) fn milliseconds_since(self, other: Self) -> f64 {
        (i128::from(self.0) - i128::from(other.0)) as f64 / 1e6
    }
}

/// Something that happened at a side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Event {
    pub(super) at: Moment,
    /// Its name; empty if it has none.
    pub(super) name: String,
    /// What it says, and its facts.
    pub(super) text: String,
}

/// How a side stood for some time: the worst that was sampled. `None` where nothing was.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Standing {
    pub(super) lag_milliseconds: Option<f64>,
    pub(super) gate_median: Option<f64>,
    pub(super) gate_99th: Option<f64>,
    pub(super) bytes_per_second: Option<f64>,
    pub(super) slowed: bool,
}

impl Merge for Standing {
    fn merge(&mut self, later: Self) {
        let worst = |one: &mut Option<f64>, other: Option<f64>| {
            *one = [*one, other].into_iter().flatten().reduce(f64::max);
        };
        worst(&mut self.lag_milliseconds, later.lag_milliseconds);
        worst(&mut self.gate_median, later.gate_median);
        worst(&mut self.gate_99th, later.gate_99th);
        worst(&mut self.bytes_per_second, later.bytes_per_second);
        self.slowed |= later.slowed;
    }
}

/// A line, as `tracing` writes it.
#[derive(Deserialize)]
struct Line {
    timestamp: String,
    target: String,
    fields: Map<String, Value>,
}

/// What is read of a sample. There may be more in it.
#[derive(Deserialize)]
struct Sample {
    role: Role,
    lag_milliseconds: f64,
    log_bytes_per_second: f64,
    slowed: bool,
    gate_microseconds_median: Option<f64>,
    gate_microseconds_99th: Option<f64>,
}

impl History {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or has a line that does not belong there. A last line that is cut off is no error: the
    /// side was killed.
    pub(super) fn open(path: &Path) -> Result<Self, HistoryError> {
        Self::read(BufReader::new(File::open(path)?))
    }

    fn read(mut source: impl BufRead) -> Result<Self, HistoryError> {
        let mut history: Option<Self> = None;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            source.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                break;
            }
            match parse(&line) {
                Ok((at, line)) => {
                    let taken = history.get_or_insert_with(|| Self::beginning_at(at)).take(at, line);
                    taken.map_err(|reason| HistoryError::Line { number, reason })?;
                }
                Err(_) if line.last() != Some(&b'\n') && line.len() < LONGEST_LINE as usize => {
                    history.get_or_insert_with(|| Self::beginning_at(Moment(0))).torn = true;
                    break;
                }
                Err(reason) => return Err(HistoryError::Line { number, reason }),
            }
        }
        history.filter(|history| history.begin > Moment(0)).ok_or(HistoryError::Empty)
    }

    fn beginning_at(begin: Moment) -> Self {
        Self {
            role: None,
            begin,
            end: begin,
            events: Vec::new(),
            more_events: 0,
            standing: Buckets::default(),
            torn: false,
        }
    }

    fn take(&mut self, at: Moment, line: Line) -> Result<(), String> {
        self.end = self.end.max(at);
        if line.target == SAMPLE {
            return self.take_sample(at, Value::Object(line.fields));
        }
        let event = Event::of(at, line.fields);
        // It is told by each sample.
        if event.name == "slowed" {
            return Ok(());
        }
        if self.events.len() < MOST_EVENTS {
            self.events.push(event);
        } else {
            self.more_events += 1;
        }
        Ok(())
    }

    fn take_sample(&mut self, at: Moment, fields: Value) -> Result<(), String> {
        let sample: Sample = serde_json::from_value(fields).map_err(|error| error.to_string())?;
        self.role = Some(sample.role);
        self.standing.at(at.0.saturating_sub(self.begin.0)).merge(Standing {
            lag_milliseconds: Some(sample.lag_milliseconds),
            gate_median: sample.gate_microseconds_median,
            gate_99th: sample.gate_microseconds_99th,
            bytes_per_second: Some(sample.log_bytes_per_second),
            slowed: sample.slowed,
        });
        Ok(())
    }

    /// The event of this name that came first.
    pub(super) fn first(&self, name: &str) -> Option<Moment> {
        self.events.iter().find(|event| event.name == name).map(|event| event.at)
    }
}

impl Event {
    fn of(at: Moment, mut fields: Map<String, Value>) -> Self {
        let mut take = |name: &str| match fields.remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let (name, message) = (take("event"), take("message"));
        let facts = fields.iter().filter_map(|(name, value)| {
            let value = match value {
                Value::Null => return None,
                Value::String(text) => text.clone(),
                Value::Number(number) if number.is_f64() => format!("{:.1}", number.as_f64()?),
                other => other.to_string(),
            };
            (value.len() <= LONGEST_FACT).then(|| format!("{name} {value}"))
        });
        let parts = [message].into_iter().chain(facts).filter(|part| !part.is_empty());
        Self { at, name, text: parts.collect::<Vec<_>>().join("; ") }
    }
}

fn parse(line: &[u8]) -> Result<(Moment, Line), String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let at = OffsetDateTime::parse(&line.timestamp, &Rfc3339);
    let at = at.map_err(|error| format!("{:?} is no moment: {error}", line.timestamp))?;
    let at = u64::try_from(at.unix_timestamp_nanos()).ok().filter(|at| *at > 0);
    let at = at.ok_or_else(|| format!("{:?} is before 1970, or centuries away", line.timestamp))?;
    Ok((Moment(at), line))
}

#[cfg(test)]
mod tests;
