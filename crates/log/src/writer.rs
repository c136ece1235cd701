//! Writing a log file.

mod log_file;

use std::io;
use std::path::Path;

use outlive_engine::InstructionCount;

use crate::batch::{BatchEncoder, Damage, EntryTooLong};
use crate::entry::{Entry, EntryNumber};
use crate::file::prefix::MAXIMUM_HEADER;
use crate::header::Header;

pub use log_file::LogFile;

/// How much of the buffer for a batch is kept.
const KEPT_BYTES: usize = 256 << 10;

/// Why a log cannot be written.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// The file cannot be made.
    #[error("cannot create the log")]
    Create(#[source] io::Error),
    /// The header has no form as text: a path that is no Unicode, or a number that is too large.
    #[error("the log's header cannot be written as TOML")]
    Header(#[from] toml::ser::Error),
    /// The header is too long.
    #[error("the log's header takes {0} bytes: {MAXIMUM_HEADER} are possible")]
    HeaderTooLong(usize),
    /// The file does not take it. It has been cut back to the last whole batch, if the system could do that.
    #[error("cannot write to the log at byte {offset}")]
    Write {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be made durable.
    #[error("cannot make the log durable")]
    Sync(#[source] io::Error),
    /// An entry is too long.
    #[error("cannot write entry {number} to the log")]
    Entry {
        /// Its number.
        number: EntryNumber,
        /// Its length.
        source: EntryTooLong,
    },
    /// The index is too long.
    #[error("the log is too long for an index")]
    Index(#[source] Damage),
    /// Nothing can follow the end.
    #[error("an entry was to be written behind the log's end")]
    Ended,
    /// The last entry is not the end.
    #[error("a log without an end was to be closed")]
    NotEnded,
    /// A batch does not follow those before.
    #[error("a batch that begins with entry {found} was to be written, but entry {expected} is next")]
    Numbering {
        /// Its first entry.
        found: EntryNumber,
        /// What would follow.
        expected: EntryNumber,
    },
    /// An earlier write has failed.
    #[error("writing to the log has failed before")]
    Failed,
}

/// How much was written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LogSize {
    /// How many entries.
    pub entries: u64,
    /// The length of the file.
    pub bytes: u64,
}

/// Writes a log file, entry by entry.
///
/// One that is dropped writes its last batch as well as it can. The file stays unfinished.
#[derive(Debug)]
pub struct LogWriter {
    file: LogFile,
    batch: BatchEncoder,
    /// For a batch on its way.
    buffer: Vec<u8>,
    ended: bool,
}

impl LogWriter {
    /// Creates the file and writes the header, as [`LogFile::create`] does.
    ///
    /// # Errors
    /// As there.
    pub fn create(path: &Path, header: &Header, overwrite: bool) -> Result<Self, WriteError> {
        let file = LogFile::create(path, header, overwrite)?;
        Ok(Self { file, batch: BatchEncoder::new(EntryNumber(0)), buffer: Vec::new(), ended: false })
    }

    /// Writes an entry. `instructions` is what the guest has executed there, zero if the engine counts none.
    ///
    /// # Errors
    /// When the file does not take a batch that is full, when the entry is too long, behind an end, and after an error.
    pub fn append(&mut self, entry: &Entry, instructions: InstructionCount) -> Result<(), WriteError> {
        self.file.check()?;
        if self.ended {
            return Err(WriteError::Ended);
        }
        let number = self.batch.next();
        let pushed = self.batch.push(entry, instructions);
        pushed.map_err(|source| WriteError::Entry { number, source })?;
        self.ended = matches!(entry, Entry::End(_));
        if self.batch.is_full() { self.flush() } else { Ok(()) }
    }

    /// Ends the batch that is under way and writes it.
    ///
    /// # Errors
    /// When the file does not take it, and after an error.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.file.check()?;
        if self.batch.is_empty() {
            return Ok(());
        }
        let (first, bases) = (self.batch.first(), self.batch.bases());
        self.batch.finish(&mut self.buffer);
        let written = self.file.append(&self.buffer, first, bases, self.batch.first());
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        written
    }

    /// Writes batch, index and footer, makes them durable, and then marks the file as closed. The last entry must be
    /// an end.
    ///
    /// # Errors
    /// When it is not, when the file does not take all that, and after an error. The file stays unfinished.
    pub fn close(mut self) -> Result<LogSize, WriteError> {
        self.flush()?;
        if !self.ended {
            return Err(WriteError::NotEnded);
        }
        self.file.finish()
    }

    /// How much was written, with the batch that is under way.
    pub fn size(&self) -> LogSize {
        let LogSize { bytes, .. } = self.file.size();
        LogSize { entries: self.batch.next().0, bytes: bytes + self.batch.bytes() as u64 }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests;
