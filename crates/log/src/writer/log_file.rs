//! A log file that takes finished batches.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use super::{LogSize, WriteError};
use crate::encoding::Bases;
use crate::entry::EntryNumber;
use crate::file::index::{Footer, Index};
use crate::file::prefix::{CLOSED, MAXIMUM_HEADER, Prefix, STATE_AT};
use crate::header::Header;

/// A log file that is being written, batch by batch: those that a [`BatchEncoder`](crate::BatchEncoder) has made here,
/// or those that have come over a logging channel. Each is in the file when it was appended, so that who kills this
/// process loses none.
#[derive(Debug)]
pub struct LogFile {
    pub(super) file: File,
    /// The length of the file.
    offset: u64,
    /// The entry that comes next.
    next: EntryNumber,
    index: Index,
    failed: bool,
}

impl LogFile {
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
        let index = Index::default();
        let mut created = Self { file, offset: 0, next: EntryNumber(0), index, failed: false };
        let mut beginning = Prefix::of(&header).to_bytes();
        beginning.extend_from_slice(header.as_bytes());
        created.write(&beginning)?;
        Ok(created)
    }

    /// Writes a batch whose first entry is number `first`, with what had been told before it; `next` is the number of
    /// the entry behind its last.
    ///
    /// # Errors
    /// When it does not follow what was written, when the file does not take it, and after an error.
    pub fn append(
        &mut self,
        batch: &[u8],
        first: EntryNumber,
        bases: Bases,
        next: EntryNumber,
    ) -> Result<(), WriteError> {
        self.check()?;
        if first != self.next {
            return Err(WriteError::Numbering { found: first, expected: self.next });
        }
        let offset = self.offset;
        self.write(batch)?;
        self.index.note(offset, first, bases);
        self.next = next;
        Ok(())
    }

    /// Writes index and footer, makes everything durable, and then marks the file as closed. The last entry must have
    /// been an end.
    ///
    /// # Errors
    /// When the file does not take all that, and after an error. The file stays unfinished.
    pub fn close(mut self) -> Result<LogSize, WriteError> {
        self.finish()
    }

    /// As [`close`](Self::close), for a writer that others can look at meanwhile. Nothing may be written behind that.
    pub(super) fn finish(&mut self) -> Result<LogSize, WriteError> {
        self.check()?;
        let footer = Footer { index: self.offset, entries: self.next.0, batches: self.index.batches() };
        let mut tail = Vec::new();
        self.index.encode(&mut tail).map_err(WriteError::Index)?;
        footer.encode(&mut tail);
        self.write(&tail)?;
        // What says that the rest is there must not be there before the rest.
        self.file.sync_all().map_err(WriteError::Sync)?;
        self.mark_closed().map_err(|source| WriteError::Write { offset: STATE_AT as u64, source })?;
        self.file.sync_all().map_err(WriteError::Sync)?;
        Ok(self.size())
    }

    /// How much was written.
    pub fn size(&self) -> LogSize {
        LogSize { entries: self.next.0, bytes: self.offset }
    }

    /// Whether more can be written.
    pub(super) fn check(&self) -> Result<(), WriteError> {
        if self.failed { Err(WriteError::Failed) } else { Ok(()) }
    }

    fn mark_closed(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(STATE_AT as u64))?;
        self.file.write_all(CLOSED)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let offset = self.offset;
        if let Err(source) = self.file.write_all(bytes) {
            self.failed = true;
            // A part of a batch would be read as one that was cut off anyway.
            let _ = self.file.set_len(offset);
            return Err(WriteError::Write { offset, source });
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
