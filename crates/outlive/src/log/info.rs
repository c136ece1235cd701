//! `outlive log info`: what was recorded.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use outlive_log::entry::Entry;
use outlive_log::header::{Counting, Header, Image};
use outlive_log::{EntryNumber, FORMAT, LogReader, Position, ReadError};
use outlive_machine::digest::Digest;
use serde::Serialize;
use time::OffsetDateTime;

use super::{OneLog, open};
use crate::failure::{Failure, chain};
use crate::print::print_line;

/// What a log is. As JSON, keys are never renamed; new ones may come.
#[derive(Serialize, Debug)]
struct Info {
    log: String,
    format: u32,
    closed: bool,
    #[serde(flatten)]
    extent: Extent,
    /// As it stands in the log.
    header: Header,
}

/// How much was recorded.
#[derive(Serialize, Clone, PartialEq, Eq, Default, Debug)]
struct Extent {
    entries: u64,
    bytes: u64,
    /// Bytes of an unfinished log behind its last whole batch.
    torn_bytes: u64,
    guest_nanoseconds: u64,
    /// Unless the engine counts none.
    instructions: Option<u64>,
    /// How the recording ended, if it did.
    end: Option<String>,
    /// What ends the log too early, as far as it was looked at.
    damage: Option<String>,
}

/// Tells what a log is.
pub(super) fn info(arguments: &OneLog) -> Result<ExitCode, Failure> {
    let mut log = open(&arguments.log)?;
    let info = Info::of(&arguments.log, &mut log);
    let text = if arguments.json {
        serde_json::to_string_pretty(&info).map_err(Failure::runtime)?
    } else {
        info.to_string()
    };
    print_line(&text)?;
    Ok(if info.extent.damage.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Info {
    fn of(path: &Path, log: &mut LogReader) -> Self {
        let (header, log_path) = (log.header().clone(), path.display().to_string());
        Self { log: log_path, format: FORMAT, closed: log.is_closed(), extent: Extent::of(log), header }
    }
}

impl Extent {
    /// Looks at the last entry of a closed log, and at all of any other one.
    fn of(log: &mut LogReader) -> Self {
        let mut extent = Self { bytes: log.progress().1, ..Self::default() };
        extent.damage = extent.look(log).err().map(|error| chain(&error));
        extent.torn_bytes = log.torn_bytes();
        extent.guest_nanoseconds = log.time().nanoseconds();
        let counts = log.header().counting == Counting::Steps;
        extent.instructions = counts.then(|| log.batch_end().0);
        extent
    }

    fn look(&mut self, log: &mut LogReader) -> Result<(), ReadError> {
        if let Some(last) = log.entries().and_then(|entries| entries.checked_sub(1)) {
            log.seek(Position::Entry(EntryNumber(last)))?;
        }
        while let Some(entry) = log.next()? {
            self.entries = entry.number.0 + 1;
            if let Entry::End(end) = entry.entry {
                self.end = Some(end.reason.to_string());
            }
        }
        Ok(())
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log, format, extent, header, .. } = self;
        writeln!(f, "{log}: event log, format {format}")?;
        writeln!(f, "state         {}", self.state())?;
        let Extent { entries, bytes, .. } = extent;
        let seconds = extent.guest_nanoseconds as f64 / 1e9;
        write!(f, "length        {entries} entries, {bytes} bytes, {seconds:.3} s of guest time")?;
        if let Some(instructions) = extent.instructions {
            write!(f, ", {instructions} instructions")?;
        }
        writeln!(f)?;
        let (version, engine) = (header.version.escape_debug(), header.engine.escape_debug());
        writeln!(f, "recorded      {} by Outlive {version}", date(header.recorded))?;
        let counting = match header.counting {
            Counting::Steps => "landmarks count steps of the guest",
            Counting::Windows => "inputs land at exits and interrupt windows",
        };
        writeln!(f, "engine        {engine}: {counting}")?;
        machine(f, header)?;
        devices(f, header)
    }
}

impl Info {
    fn state(&self) -> String {
        if let Some(damage) = &self.extent.damage {
            return format!("damaged: {damage}");
        }
        let end = self.extent.end.as_deref().map(|end| end.escape_debug().to_string());
        match (self.closed, end) {
            (true, end) => format!("closed: {}", end.unwrap_or_default()),
            (false, Some(end)) => format!("unfinished, though its last entry is there: {end}"),
            (false, None) if self.extent.torn_bytes > 0 => {
                format!("unfinished; {} bytes behind the last whole batch are lost", self.extent.torn_bytes)
            }
            (false, None) => "unfinished".to_owned(),
        }
    }
}

// A header may come from a stranger, so none of its texts reaches the terminal as it is.

fn machine(f: &mut fmt::Formatter<'_>, header: &Header) -> fmt::Result {
    let machine = &header.machine;
    writeln!(f, "memory        {} bytes", machine.memory)?;
    writeln!(f, "power-on      {} by the guest's clock", date(machine.wall_clock))?;
    writeln!(f, "command line  {}", machine.command_line.escape_debug())?;
    writeln!(f, "random seed   {}", Digest(machine.random_seed))?;
    writeln!(
        f,
        "RDTSC         {}",
        if machine.rewritten_time_reads { "rewritten" } else { "as it was in the kernel" }
    )?;
    write!(f, "kernel        {}", Shown(&header.kernel))?;
    match &header.initramfs {
        Some(image) => write!(f, "\ninitramfs     {}", Shown(image)),
        None => Ok(()),
    }
}

fn devices(f: &mut fmt::Formatter<'_>, header: &Header) -> fmt::Result {
    for (position, disk) in header.disk.iter().enumerate() {
        let kind = if disk.read_only { "read-only" } else { "writable" };
        let path = disk.path.display().to_string();
        let (path, digest) = (path.escape_debug(), Digest(disk.digest));
        write!(f, "\ndisk {position}        {path}, {} sectors, {kind}, contents {digest}", disk.sectors)?;
    }
    for (position, network) in header.network.iter().enumerate() {
        write!(f, "\nnetwork {position}     {}", network.mac.escape_debug())?;
    }
    Ok(())
}

/// An image as a line shows it.
struct Shown<'a>(&'a Image);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Image { path, bytes, digest } = self.0;
        write!(f, "{}, {bytes} bytes, digest {}", path.display().to_string().escape_debug(), Digest(*digest))
    }
}

/// A moment in Unix seconds as a date.
pub(super) fn date(seconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        ),
        Err(_) => format!("{seconds} Unix seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_as_dates_while_there_are_any() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(1_700_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(date(i64::MAX), "9223372036854775807 Unix seconds");
    }
}
