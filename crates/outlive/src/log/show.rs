//! `outlive log show`: the entries of a log, one line each.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use outlive_engine::GuestTime;
use outlive_log::statistics::Kind;
use outlive_log::{EntryNumber, LogReader, NumberedEntry, Position, ReadError};

use super::row::Row;
use super::{damaged, open};
use crate::failure::Failure;
use crate::print::printed;
use crate::record::seconds;

/// What the command line says.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The log.
    #[arg(value_name = "FILE")]
    log: PathBuf,
    /// Show entries of these kinds only.
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kinds())]
    kind: Vec<Kind>,
    /// Begin with the entry of this number.
    #[arg(long, value_name = "ENTRY", conflicts_with = "from_time")]
    from: Option<u64>,
    /// Begin at this guest time.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    from_time: Option<Duration>,
    /// End with the entry of this number.
    #[arg(long, value_name = "ENTRY", conflicts_with = "to_time")]
    to: Option<u64>,
    /// End at this guest time.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    to_time: Option<Duration>,
    /// Show so many entries at most.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Show all bytes of frames, of what was typed, and of what disks have read.
    #[arg(long, visible_alias = "full")]
    hex: bool,
    /// Print one JSON object in each line.
    #[arg(long)]
    json: bool,
}

/// Takes the name of a kind.
fn kinds() -> impl TypedValueParser<Value = Kind> {
    let names = PossibleValuesParser::new(Kind::ALL.map(Kind::name));
    names
        .try_map(|name| Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or("there is no such kind"))
}

/// Lists entries.
pub(super) fn show(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut log = open(&arguments.log)?;
    let mut output = BufWriter::new(io::stdout().lock());
    let outcome = list(arguments, &mut log, &mut output);
    let flushed = output.flush();
    match outcome {
        Ok(()) => printed(flushed),
        Err(ShowError::Output(error)) => printed(Err(error)),
        Err(ShowError::Log(error)) => Err(damaged(&arguments.log, error)),
    }
}

/// Why a listing ends early.
#[derive(thiserror::Error, Debug)]
enum ShowError {
    #[error(transparent)]
    Output(#[from] io::Error),
    #[error(transparent)]
    Log(#[from] ReadError),
}

fn list(arguments: &Arguments, log: &mut LogReader, output: &mut impl Write) -> Result<(), ShowError> {
    if let Some(position) = arguments.begin() {
        log.seek(position)?;
    }
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    while left > 0
        && let Some(entry) = log.next()?
    {
        let time = log.time();
        if arguments.is_beyond(&entry, time) {
            break;
        }
        if arguments.wants(&entry) {
            left -= 1;
            let row = Row::new(&entry, time, arguments.hex).read_up_to(log.progress().0);
            if arguments.json {
                serde_json::to_writer(&mut *output, &row).map_err(io::Error::from)?;
                output.write_all(b"\n")?;
            } else {
                writeln!(output, "{row}")?;
            }
        }
    }
    Ok(())
}

impl Arguments {
    fn begin(&self) -> Option<Position> {
        let time = self.from_time.map(|time| Position::Time(GuestTime::BOOT + time));
        self.from.map(|number| Position::Entry(EntryNumber(number))).or(time)
    }

    /// Whether an entry is behind the last one that is wanted.
    fn is_beyond(&self, entry: &NumberedEntry, time: GuestTime) -> bool {
        self.to.is_some_and(|last| entry.number.0 > last)
            || self.to_time.is_some_and(|last| time > GuestTime::BOOT + last)
    }

    fn wants(&self, entry: &NumberedEntry) -> bool {
        self.kind.is_empty() || self.kind.contains(&Kind::of(&entry.entry))
    }
}
