//! Reading a log file.
//!
//! A reader holds one batch at a time. It knows entries from batches only, so it gives none of a batch whose checksum
//! is wrong, and stops there: [`ReadError::Damaged`] tells the part of the file and the byte.
//!
//! In an open log, a batch that the file ends within is the normal end: the monitor died while it wrote. In a closed
//! log it is damage. A closed log's index and footer are looked at when it is opened; if they are damaged, its batches
//! can be read all the same, and the damage is told behind them.

mod batches;
mod error;
mod opening;
mod seeking;

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use outlive_engine::{GuestTime, InstructionCount};

use crate::batch::{BatchDecoder, Decompressor, NumberedEntry};
use crate::encoding::Bases;
use crate::entry::EntryNumber;
use crate::header::Header;

pub use error::ReadError;
pub(crate) use opening::Tail;
pub use seeking::Position;

/// Reads a log.
#[derive(Debug)]
pub struct LogReader<S = File> {
    source: BufReader<S>,
    /// The length of the file when it was opened. What is written behind it later is not read.
    file_bytes: u64,
    header: Header,
    closed: bool,
    /// Where the batches begin.
    start: u64,
    /// Index and footer, if they are there and not damaged.
    tail: Option<Tail>,
    cursor: Cursor,
    /// The batch that is being read.
    batch: Option<BatchDecoder>,
    /// An entry that a seek has found.
    found: Option<NumberedEntry>,
    /// The end of the batch that the last entry belongs to.
    batch_end: InstructionCount,
    torn_bytes: u64,
    buffer: Vec<u8>,
    decompressor: Decompressor,
}

/// Where a reader stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cursor {
    /// Where the batch that is being read begins, or the next one.
    pub(crate) offset: u64,
    /// Its number.
    pub(crate) batch: u64,
    /// The number of its first entry.
    pub(crate) entry: EntryNumber,
    /// What had been told there.
    pub(crate) bases: Bases,
}

impl LogReader<File> {
    /// Opens the log in a file.
    ///
    /// # Errors
    /// When the file cannot be read, is no log, or one of another format, and when its header is damaged.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::new(File::open(path).map_err(ReadError::Open)?)
    }
}

impl<S: Read + Seek> LogReader<S> {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether the log was closed. If not, it is unfinished.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many entries there are in all, if the log was closed and its footer is not damaged.
    pub fn entries(&self) -> Option<u64> {
        self.tail.as_ref().map(|tail| tail.footer.entries)
    }

    /// The next entry; `None` at the end of the log: of a closed one, behind its last entry; of an unfinished one,
    /// behind its last whole batch.
    ///
    /// # Errors
    /// When the log cannot be read, or is damaged here. It stays like that until a [`seek`](Self::seek).
    #[expect(clippy::should_implement_trait, reason = "an iterator would go on behind an error")]
    pub fn next(&mut self) -> Result<Option<NumberedEntry>, ReadError> {
        if let Some(found) = self.found.take() {
            return Ok(Some(found));
        }
        loop {
            if let Some(entry) = self.next_of_batch()? {
                return Ok(Some(entry));
            }
            if !self.load_batch()? {
                return Ok(None);
            }
        }
    }

    /// What the guest has executed at the end of the batch that the last entry belongs to.
    pub fn batch_end(&self) -> InstructionCount {
        self.batch_end
    }

    /// The last guest time that was told, up to and including the last entry.
    pub fn time(&self) -> GuestTime {
        self.reached().time
    }

    /// How far reading has got, and the length of the file, in bytes.
    pub fn progress(&self) -> (u64, u64) {
        let read = self.batch.as_ref().map_or(0, BatchDecoder::bytes_read);
        (self.cursor.offset + read as u64, self.file_bytes)
    }

    /// How many bytes of an unfinished log are behind its last whole batch. Zero before that end has been reached.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Where the next entry begins in the file, or the compressed batch that it is in.
    pub(crate) fn offset(&self) -> u64 {
        self.cursor.offset + self.batch.as_ref().map_or(0, |batch| batch.offset() as u64)
    }

    /// What has been told by now.
    pub(crate) fn reached(&self) -> Bases {
        self.batch.as_ref().map_or(self.cursor.bases, BatchDecoder::reached)
    }

    /// Where the batch stands that the last entry belongs to.
    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// How much shorter compression has made the batch that the last entry belongs to.
    pub(crate) fn batch_saved_bytes(&self) -> i64 {
        self.batch.as_ref().map_or(0, BatchDecoder::saved_bytes)
    }

    /// Index and footer, if they are there and not damaged.
    pub(crate) fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// The memory that it keeps.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        let batch = self.batch.as_ref().map_or(0, BatchDecoder::capacity);
        self.buffer.capacity() + self.decompressor.capacity() + batch
    }

    /// The bytes before the first batch.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }
}

#[cfg(test)]
mod tests;
