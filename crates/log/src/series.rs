//! A log over guest time: what is in it, in a bounded number of buckets of equal width.
//!
//! The length of a log is not known before it has been read, so [`Buckets`] begin narrow. When a moment does not fit
//! into the last one any more, each two neighbours become one of twice the width. So memory does not grow with the log,
//! and at least half of the buckets are in use in the end.

use std::io::{Read, Seek};

use outlive_engine::{ExitNumber, GuestTime, InstructionCount};

use crate::batch::NumberedEntry;
use crate::entry::{EndReason, Entry};
use crate::reader::{LogReader, ReadError};
use crate::statistics::{self, Kind};

/// There are no more buckets than that.
pub const MOST_BUCKETS: usize = 300;

/// The width of buckets in the beginning, in nanoseconds.
const FIRST_WIDTH: u64 = 1000;

/// What a bucket holds.
pub trait Merge: Default {
    /// Takes in what a later bucket holds.
    fn merge(&mut self, later: Self);
}

/// Buckets over time, from zero on. The first holds the moments up to its width, and zero itself; bucket `n`, counted
/// from zero, those later than `n` widths and not later than `n + 1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Buckets<T> {
    width: u64,
    buckets: Vec<T>,
}

impl<T> Default for Buckets<T> {
    fn default() -> Self {
        Self { width: FIRST_WIDTH, buckets: Vec::new() }
    }
}

impl<T: Merge> Buckets<T> {
    /// The bucket of a moment, in nanoseconds. Makes room for it if need be.
    pub fn at(&mut self, nanoseconds: u64) -> &mut T {
        while self.position(nanoseconds) >= MOST_BUCKETS {
            self.double();
        }
        let position = self.position(nanoseconds);
        if position >= self.buckets.len() {
            self.buckets.resize_with(position + 1, T::default);
        }
        &mut self.buckets[position]
    }

    fn position(&self, nanoseconds: u64) -> usize {
        usize::try_from(nanoseconds.saturating_sub(1) / self.width).unwrap_or(usize::MAX)
    }

    fn double(&mut self) {
        self.width *= 2;
        let mut narrow = std::mem::take(&mut self.buckets).into_iter();
        while let Some(mut bucket) = narrow.next() {
            if let Some(later) = narrow.next() {
                bucket.merge(later);
            }
            self.buckets.push(bucket);
        }
    }
}

impl<T> Buckets<T> {
    /// How much time a bucket is, in nanoseconds.
    pub fn width_nanoseconds(&self) -> u64 {
        self.width
    }

    /// The buckets, from the first to the last that was asked for: at most [`MOST_BUCKETS`].
    pub fn as_slice(&self) -> &[T] {
        &self.buckets
    }
}

/// What is in one bucket of a log.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Tally {
    /// Entries by kind, in the order of [`Kind::ALL`].
    pub entries: [u64; Kind::ALL.len()],
    /// Their bytes before compression, by kind.
    pub bytes: [u64; Kind::ALL.len()],
    /// Exits of the guest.
    pub exits: u64,
    /// What the guest has executed. Zero if the engine counts none.
    pub instructions: u64,
}

impl Merge for Tally {
    fn merge(&mut self, later: Self) {
        for kind in 0..Kind::ALL.len() {
            self.entries[kind] += later.entries[kind];
            self.bytes[kind] += later.bytes[kind];
        }
        self.exits += later.exits;
        self.instructions += later.instructions;
    }
}

/// A log over guest time.
///
/// Entries stand in the bucket of the last guest time that was told with them or before. Exits are numbered where an
/// input or output names them, and instructions are counted at the end of each batch; between two such places both are
/// spread evenly. The sums over all buckets are those of [`Statistics`](crate::statistics::Statistics).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Series {
    /// The buckets.
    pub buckets: Buckets<Tally>,
    /// How the recording ended, if its last entry is there.
    pub end: Option<EndReason>,
}

/// How far something has been counted, and when that was.
#[derive(Clone, Copy, Default)]
struct Counted {
    count: u64,
    at: u64,
}

impl Series {
    /// Reads a log to its end, from where the reader stands: from its beginning, if it has just been opened. Of the log
    /// no more is kept in memory than the buckets.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn gather<S: Read + Seek>(reader: &mut LogReader<S>) -> Result<Self, ReadError> {
        let mut series = Self::default();
        let (mut exits, mut instructions) = (Counted::default(), Counted::default());
        // The end of the batch that is being read, and the last moment in it.
        let mut batch = Counted::default();
        while let Some(entry) = reader.next()? {
            let now = GuestTime::nanoseconds(reader.time());
            let InstructionCount(batch_end) = reader.batch_end();
            if batch_end != batch.count {
                series.spread(&mut instructions, batch, |tally| &mut tally.instructions);
            }
            batch = Counted { count: batch_end, at: now };
            series.count(&entry, now);
            let ExitNumber(exit) = statistics::exit(&entry.entry);
            // Most entries name none.
            if exit > 0 {
                series.spread(&mut exits, Counted { count: exit, at: now }, |tally| &mut tally.exits);
            }
            if let Entry::End(end) = entry.entry {
                series.end = Some(end.reason);
            }
        }
        series.spread(&mut instructions, batch, |tally| &mut tally.instructions);
        Ok(series)
    }

    fn count(&mut self, entry: &NumberedEntry, now: u64) {
        let (kind, tally) = (Kind::of(&entry.entry) as usize, self.buckets.at(now));
        tally.entries[kind] += 1;
        tally.bytes[kind] += u64::from(entry.bytes);
    }

    /// Takes note that something has been counted up to `to`, and spreads what is new evenly over the time since `from`.
    fn spread(&mut self, from: &mut Counted, to: Counted, part: impl Fn(&mut Tally) -> &mut u64) {
        let Some(count) = to.count.checked_sub(from.count) else { return };
        if count > 0 {
            // There is room up to there, so the width does not change on the way.
            self.buckets.at(to.at);
        }
        let time = to.at.saturating_sub(from.at);
        let (mut given, mut at) = (0, from.at);
        while given < count {
            // The end of the bucket that begins here, or that `at` is within.
            let width = self.buckets.width;
            at = (at / width).saturating_add(1).saturating_mul(width).min(to.at);
            let passed = at.saturating_sub(from.at);
            let due = if at >= to.at { count } else { portion(count, passed, time) };
            *part(self.buckets.at(at)) += due - given;
            given = due;
        }
        *from = to;
    }
}

/// `count * passed / time`, rounded down; `passed` is less than `time`.
fn portion(count: u64, passed: u64, time: u64) -> u64 {
    (u128::from(count) * u128::from(passed) / u128::from(time)) as u64
}

#[cfg(test)]
mod tests;
