//! Writing a log file.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use outlive_engine::InstructionCount;

use crate::batch::{BatchEncoder, Damage, EntryTooLong};
use crate::entry::{Entry, EntryNumber};
use crate::file::index::{Footer, Index};
use crate::file::prefix::{CLOSED, MAXIMUM_HEADER, Prefix, STATE_AT};
use crate::header::Header;

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

/// Writes a log file, batch by batch.
///
/// One that is dropped writes its last batch as well as it can. The file stays unfinished.
#[derive(Debug)]
pub struct LogWriter {
    file: File,
    /// The length of the file.
    offset: u64,
    batch: BatchEncoder,
    index: Index,
    /// For a batch on its way.
    buffer: Vec<u8>,
    ended: bool,
    failed: bool,
}

impl LogWriter {
    /// Creates the file and writes the header. An existing file is overwritten only if that is asked for.
    ///
    /// # Errors
    /// When the file exists already, when it cannot be made or written to, and when the header has no form as text.
    /// An existing file is not touched before the header is known to have one.
    pub fn create(path: &Path, header: &Header, overwrite: bool) -> Result<Self, WriteError> {
        let header = toml::to_string(header)?;
        if header.len() > MAXIMUM_HEADER {
            return Err(WriteError::HeaderTooLong(header.len()));
        }
        let mut options = OpenOptions::new();
        options.write(true);
        if overwrite {
            options.create(true).truncate(true)
        } else {
            options.create_new(true)
        };
        let file = options.open(path).map_err(WriteError::Create)?;
        let mut writer = Self {
            file,
            offset: 0,
            batch: BatchEncoder::new(EntryNumber(0)),
            index: Index::default(),
            buffer: Prefix::of(&header).to_bytes(),
            ended: false,
            failed: false,
        };
        writer.buffer.extend_from_slice(header.as_bytes());
        writer.write_buffer()?;
        Ok(writer)
    }

    /// Writes an entry. `instructions` is what the guest has executed there, zero if the engine counts none.
    ///
    /// # Errors
    /// When the file does not take a batch that is full, when the entry is too long, behind an end, and after an error.
    pub fn append(&mut self, entry: &Entry, instructions: InstructionCount) -> Result<(), WriteError> {
        if self.failed {
            return Err(WriteError::Failed);
        }
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
        if self.batch.is_empty() {
            return if self.failed { Err(WriteError::Failed) } else { Ok(()) };
        }
        let (offset, first, bases) = (self.offset, self.batch.first(), self.batch.bases());
        self.batch.finish(&mut self.buffer);
        self.write_buffer()?;
        self.index.note(offset, first, bases);
        Ok(())
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
        let size = self.size();
        let footer = Footer { index: self.offset, entries: size.entries, batches: self.index.batches() };
        self.index.encode(&mut self.buffer).map_err(WriteError::Index)?;
        footer.encode(&mut self.buffer);
        self.write_buffer()?;
        // What says that the rest is there must not be there before the rest.
        self.file.sync_all().map_err(WriteError::Sync)?;
        self.mark_closed().map_err(|source| WriteError::Write { offset: STATE_AT as u64, source })?;
        self.file.sync_all().map_err(WriteError::Sync)?;
        Ok(LogSize { bytes: self.offset, ..size })
    }

    fn mark_closed(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(STATE_AT as u64))?;
        self.file.write_all(CLOSED)
    }

    /// How much was written, with the batch that is under way.
    pub fn size(&self) -> LogSize {
        LogSize { entries: self.batch.next().0, bytes: self.offset + self.batch.bytes() as u64 }
    }

    fn write_buffer(&mut self) -> Result<(), WriteError> {
        if self.failed {
            return Err(WriteError::Failed);
        }
        let offset = self.offset;
        if let Err(source) = self.file.write_all(&self.buffer) {
            self.failed = true;
            // A part of a batch would be read as one that was cut off anyway.
            let _ = self.file.set_len(offset);
            return Err(WriteError::Write { offset, source });
        }
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
        Ok(())
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
