//! Checking a whole log file.
//!
//! Beyond what every reader checks, the file as a whole must make sense: time, landmarks and instructions go forward,
//! each batch begins with what had been told before it, there is one end and nothing behind it, and index and
//! footer tell what is there. What a log does not tell is whether a machine would do the same again: that is for
//! a replay.

use std::io::{Read, Seek};
use std::path::Path;

use outlive_engine::{ExitNumber, GuestTime, InstructionCount};
use serde::Serialize;

use crate::batch::NumberedEntry;
use crate::encoding::Bases;
use crate::entry::{EndReason, Entry, EntryNumber, Input, Landmark};
use crate::file::index::Index;
use crate::reader::{Cursor, LogReader, ReadError};

/// What a good log holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Verified {
    /// Whether it was closed. If not, it is unfinished.
    pub closed: bool,
    /// The length of the file.
    pub bytes: u64,
    /// How much of that is behind the last whole batch of an unfinished log.
    pub torn_bytes: u64,
    /// How many batches.
    pub batches: u64,
    /// How many entries.
    pub entries: u64,
    /// The last landmark.
    pub landmark: Option<Landmark>,
    /// The last exit that is named.
    pub exit: ExitNumber,
    /// The last guest time that was told.
    pub time: GuestTime,
    /// What the guest had executed at the end of the last batch. Zero if the engine counts none.
    pub instructions: InstructionCount,
    /// How the recording ended.
    pub end: Option<EndReason>,
}

/// What is wrong with a log.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum VerifyError {
    /// It cannot be read, or not to its end.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It can be read, but makes no sense.
    #[error("the log makes no sense at byte {offset}, in entry {entry}")]
    Entry {
        /// Where the entry ends in the file, or where the compressed batch begins that it is in.
        offset: u64,
        /// Which entry.
        entry: EntryNumber,
        /// In what way.
        source: Disorder,
    },
    /// The last entry of a closed log is not its end.
    #[error("the log was closed, but its last entry at byte {offset} is not its end")]
    NoEnd {
        /// Where its entries end in the file.
        offset: u64,
    },
    /// The index leads elsewhere.
    #[error("the log's index at byte {offset} disagrees with the batches that are there")]
    Index {
        /// Where it begins in the file.
        offset: u64,
    },
}

impl VerifyError {
    /// The byte of the file at which it was noticed.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Read(error) => error.offset(),
            Self::Entry { offset, .. } | Self::NoEnd { offset } | Self::Index { offset } => *offset,
        }
    }
}

/// An entry that cannot follow those before it.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Disorder {
    /// Time goes back.
    #[error("guest time goes back from {} to {} ns", last.nanoseconds(), next.nanoseconds())]
    Time {
        /// The last time.
        last: GuestTime,
        /// The earlier one behind it.
        next: GuestTime,
    },
    /// The guest would have to go back.
    #[error("landmarks go back from {}+{} to {}+{}", last.0.0, last.1, next.0.0, next.1)]
    Landmark {
        /// The last point.
        last: (ExitNumber, u64),
        /// The earlier one behind it.
        next: (ExitNumber, u64),
    },
    /// Instructions are undone.
    #[error("the count of instructions goes back from {} to {}", last.0, next.0)]
    Instructions {
        /// At the end of the batch before.
        last: InstructionCount,
        /// At the end of this batch.
        next: InstructionCount,
    },
    /// The batch that the entry begins does not go on from the one before.
    #[error("its batch begins with other times or exits than the one before has ended with")]
    Bases,
    /// Something follows the end.
    #[error("it stands behind the end")]
    BehindEnd,
}

/// Checks the log in a file.
///
/// # Errors
/// When it is not a good log: the first thing that is wrong.
pub fn verify(path: &Path) -> Result<Verified, VerifyError> {
    verify_reader(LogReader::open(path)?)
}

/// Checks the log of a reader that has just been opened.
///
/// # Errors
/// As for [`verify`].
pub fn verify_reader<S: Read + Seek>(mut reader: LogReader<S>) -> Result<Verified, VerifyError> {
    let mut order = Order::default();
    loop {
        let (reached, cursor) = (reader.reached(), reader.cursor());
        let Some(entry) = reader.next()? else { break };
        let number = entry.number;
        let begun = (number == EntryNumber(0) || reader.cursor() != cursor).then(|| reader.cursor());
        let order = begun
            .map_or(Ok(()), |begun| order.begin_batch(begun, reached, number, reader.batch_end()))
            .and_then(|()| order.follow(&entry));
        order.map_err(|source| VerifyError::Entry { offset: reader.offset(), entry: number, source })?;
    }
    order.finish(&reader)
}

/// What has been read so far.
#[derive(Default)]
struct Order {
    index: Index,
    entries: u64,
    time: GuestTime,
    point: (ExitNumber, u64),
    landmark: Option<Landmark>,
    instructions: InstructionCount,
    end: Option<EndReason>,
}

impl Order {
    fn begin_batch(
        &mut self,
        begun: Cursor,
        reached: Bases,
        first: EntryNumber,
        instructions: InstructionCount,
    ) -> Result<(), Disorder> {
        self.index.note(begun.offset, first, begun.bases);
        if begun.bases != reached {
            return Err(Disorder::Bases);
        }
        let last = std::mem::replace(&mut self.instructions, instructions);
        if instructions < last {
            return Err(Disorder::Instructions { last, next: instructions });
        }
        Ok(())
    }

    fn follow(&mut self, entry: &NumberedEntry) -> Result<(), Disorder> {
        if self.end.is_some() {
            return Err(Disorder::BehindEnd);
        }
        self.entries += 1;
        match &entry.entry {
            Entry::Time(time) => self.told(*time),
            Entry::Input { at, input } => {
                self.passed(*at)?;
                if let Input::ClockTick(time) = input { self.told(*time) } else { Ok(()) }
            }
            Entry::Interrupt { at, .. } => self.passed(*at),
            Entry::Output { exit, .. } => self.made(*exit),
            Entry::Registers(_) => Ok(()),
            Entry::Digest(digest) => self.passed(digest.at).and_then(|()| self.told(digest.time)),
            Entry::End(end) => {
                if let Some(state) = &end.state {
                    self.passed(state.at)?;
                    self.told(state.time)?;
                }
                self.end = Some(end.reason.clone());
                self.made(end.exit)
            }
        }
    }

    fn told(&mut self, next: GuestTime) -> Result<(), Disorder> {
        let last = std::mem::replace(&mut self.time, next);
        if next < last { Err(Disorder::Time { last, next }) } else { Ok(()) }
    }

    fn passed(&mut self, at: Landmark) -> Result<(), Disorder> {
        self.landmark = Some(at);
        let (last, next) = (std::mem::replace(&mut self.point, at.name()), at.name());
        if next < last { Err(Disorder::Landmark { last, next }) } else { Ok(()) }
    }

    /// An entry that names an exit and no more is somewhere behind that exit.
    fn made(&mut self, exit: ExitNumber) -> Result<(), Disorder> {
        if exit == self.point.0 {
            return Ok(());
        }
        let (last, next) = (std::mem::replace(&mut self.point, (exit, 0)), (exit, 0));
        if next < last { Err(Disorder::Landmark { last, next }) } else { Ok(()) }
    }

    fn finish<S: Read + Seek>(self, reader: &LogReader<S>) -> Result<Verified, VerifyError> {
        let offset = reader.offset();
        if reader.is_closed() && self.end.is_none() {
            return Err(VerifyError::NoEnd { offset });
        }
        if reader.tail().is_some_and(|tail| tail.index != self.index) {
            return Err(VerifyError::Index { offset });
        }
        Ok(Verified {
            closed: reader.is_closed(),
            bytes: reader.progress().1,
            torn_bytes: reader.torn_bytes(),
            batches: self.index.batches(),
            entries: self.entries,
            landmark: self.landmark,
            exit: self.point.0,
            time: self.time,
            instructions: self.instructions,
            end: self.end,
        })
    }
}

#[cfg(test)]
mod tests;
