//! `outlive log stat`: what the bytes of a log are spent on.

use std::fmt;
use std::process::ExitCode;

use outlive_log::statistics::{Overhead, Rates, Statistics};
use serde::Serialize;

use super::{OneLog, damaged, open};
use crate::failure::Failure;
use crate::print::print_line;

/// What is printed. As JSON, keys are never renamed; new ones may come.
#[derive(Serialize, Debug)]
struct Report {
    log: String,
    payload_bytes: u64,
    #[serde(flatten)]
    statistics: Statistics,
}

/// Tells what the bytes of a log are spent on.
pub(super) fn stat(arguments: &OneLog) -> Result<ExitCode, Failure> {
    let mut log = open(&arguments.log)?;
    let statistics = Statistics::gather(&mut log).map_err(|error| damaged(&arguments.log, error))?;
    let log = arguments.log.display().to_string();
    let report = Report { log, payload_bytes: statistics.payload_bytes(), statistics };
    let text = if arguments.json {
        serde_json::to_string_pretty(&report).map_err(Failure::runtime)?
    } else {
        report.to_string()
    };
    print_line(&text)
}

impl Report {
    /// A line of the table. Its share is one of all bytes before compression.
    fn row(&self, f: &mut fmt::Formatter<'_>, name: &str, entries: Option<u64>, bytes: u64) -> fmt::Result {
        let count = entries.map_or(String::new(), |entries| entries.to_string());
        let each = match entries {
            Some(entries) if entries > 0 => format!("{:.1}", bytes as f64 / entries as f64),
            _ => String::new(),
        };
        let share = self.share(bytes as f64);
        writeln!(f, "{name:<16} {count:>10} {bytes:>12} {each:>11} {share:>7.1} %")
    }

    /// Per cent of the log as it would be without compression.
    fn share(&self, bytes: f64) -> f64 {
        100.0 * bytes / self.uncompressed_bytes().max(1) as f64
    }

    /// The length that the log would have without compression.
    fn uncompressed_bytes(&self) -> u64 {
        self.statistics.bytes.saturating_add_signed(self.statistics.overhead.saved_bytes)
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16} {:>10} {:>12} {:>11} {:>9}", "kind", "entries", "bytes", "per entry", "share")?;
        for kind in self.statistics.kinds.iter().filter(|kind| kind.entries > 0) {
            self.row(f, kind.kind.name(), Some(kind.entries), kind.bytes)?;
        }
        let Overhead { header_bytes, batch_bytes, index_bytes, torn_bytes, saved_bytes } =
            self.statistics.overhead;
        self.row(f, "(header)", None, header_bytes)?;
        self.row(f, "(batches)", Some(self.statistics.batches), batch_bytes)?;
        self.row(f, "(index)", None, index_bytes)?;
        if torn_bytes > 0 {
            self.row(f, "(torn)", None, torn_bytes)?;
        }
        self.row(f, "all", Some(self.statistics.entries), self.uncompressed_bytes())?;
        if saved_bytes != 0 {
            let (bytes, share) = (-saved_bytes, -self.share(saved_bytes as f64));
            writeln!(f, "{:<16} {:>10} {bytes:>12} {:>11} {share:>7.1} %", "(compression)", "", "")?;
            self.row(f, "in the file", None, self.statistics.bytes)?;
        }
        Ok(())
    }

    fn quotients(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rates { bytes_per_thousand_instructions, bytes_per_payload_byte, .. } = self.statistics.rates;
        write!(f, "per second of guest time: {}", per_second(&self.statistics.rates))?;
        if let Some(bytes) = bytes_per_thousand_instructions {
            write!(f, "\nper thousand instructions: {bytes:.2} bytes")?;
        }
        write!(f, "\npayload (frames, what disks read, what was typed): {} bytes", self.payload_bytes)?;
        match bytes_per_payload_byte {
            Some(ratio) => write!(f, ", so {ratio:.2} bytes of log for each"),
            None => Ok(()),
        }
    }
}

/// Rates in one line.
fn per_second(rates: &Rates) -> String {
    let rates = [
        ("bytes", rates.bytes_per_second),
        ("entries", rates.entries_per_second),
        ("exits", rates.exits_per_second),
        ("time reads", rates.time_reads_per_second),
        ("clock ticks", rates.ticks_per_second),
        ("interrupts", rates.interrupts_per_second),
    ];
    let known = rates.iter().filter_map(|(name, rate)| Some(format!("{:.1} {name}", (*rate)?)));
    let known = known.collect::<Vec<_>>().join(", ");
    if known.is_empty() { "nothing, for no time has passed".to_owned() } else { known }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Statistics { closed, entries, bytes, guest_nanoseconds, exits, instructions, .. } =
            &self.statistics;
        let state = if *closed { "closed" } else { "unfinished" };
        let seconds = *guest_nanoseconds as f64 / 1e9;
        write!(f, "{}: {state}, {entries} entries, {bytes} bytes, {seconds:.3} s of guest time", self.log)?;
        write!(f, ", {} exits", exits.0)?;
        if instructions.0 > 0 {
            write!(f, ", {} instructions", instructions.0)?;
        }
        writeln!(f, "\n")?;
        self.table(f)?;
        writeln!(f)?;
        self.quotients(f)
    }
}
