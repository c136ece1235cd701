//! What the bytes of a log are spent on.

use std::io::{Read, Seek};

use outlive_engine::{ExitNumber, GuestTime, InstructionCount};
use serde::Serialize;

use crate::batch::NumberedEntry;
use crate::entry::{Entry, Input, OutputMarker};
use crate::reader::{LogReader, ReadError};

/// A kind of entry, as people ask for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "see `name`")]
pub enum Kind {
    TimeRead,
    ClockTick,
    ConsoleInput,
    FrameInput,
    DiskCompletion,
    Interrupt,
    ConsoleOutput,
    FrameOutput,
    DiskOutput,
    Registers,
    Digest,
    End,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::TimeRead,
        Self::ClockTick,
        Self::ConsoleInput,
        Self::FrameInput,
        Self::DiskCompletion,
        Self::Interrupt,
        Self::ConsoleOutput,
        Self::FrameOutput,
        Self::DiskOutput,
        Self::Registers,
        Self::Digest,
        Self::End,
    ];

    /// The kind of an entry.
    pub fn of(entry: &Entry) -> Self {
        match entry {
            Entry::Time(_) => Self::TimeRead,
            Entry::Input { input, .. } => match input {
                Input::ClockTick(_) => Self::ClockTick,
                Input::Console(_) => Self::ConsoleInput,
                Input::Frame { .. } => Self::FrameInput,
                Input::DiskCompletion { .. } => Self::DiskCompletion,
            },
            Entry::Interrupt { .. } => Self::Interrupt,
            Entry::Output { output, .. } => match output {
                OutputMarker::Console => Self::ConsoleOutput,
                OutputMarker::Frame { .. } => Self::FrameOutput,
                OutputMarker::Disk { .. } => Self::DiskOutput,
            },
            Entry::Registers(_) => Self::Registers,
            Entry::Digest(_) => Self::Digest,
            Entry::End(_) => Self::End,
        }
    }

    /// What it is called: the same word as in serialized statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::TimeRead => "time-read",
            Self::ClockTick => "clock-tick",
            Self::ConsoleInput => "console-input",
            Self::FrameInput => "frame-input",
            Self::DiskCompletion => "disk-completion",
            Self::Interrupt => "interrupt",
            Self::ConsoleOutput => "console-output",
            Self::FrameOutput => "frame-output",
            Self::DiskOutput => "disk-output",
            Self::Registers => "registers",
            Self::Digest => "digest",
            Self::End => "end",
        }
    }
}

/// The entries of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct KindStatistics {
    /// Which kind.
    pub kind: Kind,
    /// How many.
    pub entries: u64,
    /// What they take in the log, before compression.
    pub bytes: u64,
    /// How much of that came from the world and cannot be left out: frames, what disks read, typed bytes.
    pub payload_bytes: u64,
}

/// The bytes of a log that are not entries. With all entries they are the length of the file, but for those that
/// compression has saved.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Overhead {
    /// The header and the lines before it.
    pub header_bytes: u64,
    /// Around the entries of each batch.
    pub batch_bytes: u64,
    /// Index and footer.
    pub index_bytes: u64,
    /// Behind the last whole batch of an unfinished log.
    pub torn_bytes: u64,
    /// How much shorter compression has made the entries. Less than zero only for a log that somebody has compressed
    /// without gain.
    pub saved_bytes: i64,
}

/// What is in a log.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Statistics {
    /// Whether it was closed.
    pub closed: bool,
    /// The length of the file.
    pub bytes: u64,
    /// How many entries.
    pub entries: u64,
    /// How many batches.
    pub batches: u64,
    /// By kind: all of them, in the order of [`Kind::ALL`].
    pub kinds: Vec<KindStatistics>,
    /// All other bytes.
    pub overhead: Overhead,
    /// The last guest time that was told, in nanoseconds since power-on.
    pub guest_nanoseconds: u64,
    /// The last exit that is named.
    pub exits: ExitNumber,
    /// What the guest has executed. Zero if the engine counts none.
    pub instructions: InstructionCount,
    /// What follows from these.
    pub rates: Rates,
}

/// Quotients; `None` where the divisor is zero.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
#[non_exhaustive]
pub struct Rates {
    /// Bytes of log per second of guest time.
    pub bytes_per_second: Option<f64>,
    /// Bytes of log per thousand instructions.
    pub bytes_per_thousand_instructions: Option<f64>,
    /// Entries per second of guest time.
    pub entries_per_second: Option<f64>,
    /// Exits per second of guest time.
    pub exits_per_second: Option<f64>,
    /// Time reads per second of guest time.
    pub time_reads_per_second: Option<f64>,
    /// Clock ticks per second of guest time.
    pub ticks_per_second: Option<f64>,
    /// Interrupts per second of guest time.
    pub interrupts_per_second: Option<f64>,
    /// Bytes of log per byte of payload.
    pub bytes_per_payload_byte: Option<f64>,
}

impl Statistics {
    /// Reads a log that has just been opened to its end.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn gather<S: Read + Seek>(reader: &mut LogReader<S>) -> Result<Self, ReadError> {
        let kinds = Kind::ALL.map(|kind| KindStatistics { kind, entries: 0, bytes: 0, payload_bytes: 0 });
        let mut statistics = Self {
            closed: reader.is_closed(),
            bytes: reader.progress().1,
            entries: 0,
            batches: 0,
            kinds: kinds.to_vec(),
            overhead: Overhead { header_bytes: reader.start(), ..Overhead::default() },
            guest_nanoseconds: 0,
            exits: ExitNumber(0),
            instructions: InstructionCount(0),
            rates: Rates::default(),
        };
        while let Some(entry) = reader.next()? {
            if entry.number == reader.cursor().entry {
                statistics.overhead.saved_bytes += reader.batch_saved_bytes();
            }
            statistics.count(&entry);
        }
        statistics.finish(reader);
        Ok(statistics)
    }

    /// The entries of one kind.
    pub fn of(&self, kind: Kind) -> KindStatistics {
        // The order of `ALL` is that of the declaration.
        self.kinds[kind as usize]
    }

    /// How much of the log came from the world and cannot be left out.
    pub fn payload_bytes(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.payload_bytes).sum()
    }

    fn count(&mut self, entry: &NumberedEntry) {
        let kind = &mut self.kinds[Kind::of(&entry.entry) as usize];
        kind.entries += 1;
        kind.bytes += u64::from(entry.bytes);
        kind.payload_bytes += payload(&entry.entry);
        self.entries += 1;
        self.exits = self.exits.max(exit(&entry.entry));
    }

    fn finish<S: Read + Seek>(&mut self, reader: &LogReader<S>) {
        let entries: u64 = self.kinds.iter().map(|kind| kind.bytes).sum();
        let behind = self.bytes - reader.offset();
        let overhead = &mut self.overhead;
        // What the batches would take without compression, with their entries.
        let batches = (reader.offset() - overhead.header_bytes).saturating_add_signed(overhead.saved_bytes);
        overhead.batch_bytes = batches - entries;
        *if self.closed { &mut overhead.index_bytes } else { &mut overhead.torn_bytes } = behind;
        self.batches = reader.cursor().batch;
        self.guest_nanoseconds = GuestTime::nanoseconds(reader.time());
        self.instructions = reader.batch_end();
        self.rates = self.rates();
    }

    fn rates(&self) -> Rates {
        let seconds = self.guest_nanoseconds as f64 / 1e9;
        let per_second = |count: u64| quotient(count, seconds);
        Rates {
            bytes_per_second: per_second(self.bytes),
            bytes_per_thousand_instructions: quotient(self.bytes, self.instructions.0 as f64 / 1e3),
            entries_per_second: per_second(self.entries),
            exits_per_second: per_second(self.exits.0),
            time_reads_per_second: per_second(self.of(Kind::TimeRead).entries),
            ticks_per_second: per_second(self.of(Kind::ClockTick).entries),
            interrupts_per_second: per_second(self.of(Kind::Interrupt).entries),
            bytes_per_payload_byte: quotient(self.bytes, self.payload_bytes() as f64),
        }
    }
}

fn quotient(count: u64, divisor: f64) -> Option<f64> {
    (divisor > 0.0).then(|| count as f64 / divisor)
}

fn payload(entry: &Entry) -> u64 {
    let Entry::Input { input, .. } = entry else { return 0 };
    match input {
        Input::ClockTick(_) => 0,
        Input::Console(bytes) | Input::Frame { bytes, .. } | Input::DiskCompletion { data: bytes, .. } => {
            bytes.len() as u64
        }
    }
}

/// The exit that an entry names; zero if it names none.
pub(crate) fn exit(entry: &Entry) -> ExitNumber {
    match entry {
        Entry::Time(_) | Entry::Registers(_) => ExitNumber(0),
        Entry::Input { at, .. } | Entry::Interrupt { at, .. } => at.exit,
        Entry::Output { exit, .. } => *exit,
        Entry::Digest(digest) => digest.at.exit,
        Entry::End(end) => end.exit,
    }
}

#[cfg(test)]
mod tests;
