//! From batch to batch.

use std::io::{Read, Seek};

use super::opening::damaged;
use super::{Cursor, LogReader, ReadError};
use crate::batch::{BatchDecoder, Damage, NumberedEntry};
use crate::file::Part;
use crate::file::section::{FRAME_BYTES, Frame, Kind};

/// How much of the buffer for a batch is kept.
const KEPT_BYTES: usize = 256 << 10;

/// What stands where a batch could begin.
enum Found {
    /// A batch, with its frame.
    Batch([u8; FRAME_BYTES], usize),
    /// The index.
    Index,
    /// The end of the file, or a section that it ends within.
    FileEnd,
}

impl<S: Read + Seek> LogReader<S> {
    /// The next entry of the batch that is being read.
    pub(super) fn next_of_batch(&mut self) -> Result<Option<NumberedEntry>, ReadError> {
        let Some(batch) = &mut self.batch else { return Ok(None) };
        let Cursor { offset, batch: number, .. } = self.cursor;
        let entry = batch.next_entry().map_err(|source| {
            let at = if let Damage::Entry { at, .. } = source { at } else { batch.offset() };
            damaged(Part::Batch(number), offset + at as u64, source)
        })?;
        if entry.is_some() {
            self.batch_end = batch.instructions();
        }
        Ok(entry)
    }

    /// Goes behind the batch that is being read, and loads the next one. False at the end of the log.
    pub(super) fn load_batch(&mut self) -> Result<bool, ReadError> {
        self.leave_batch();
        match self.look()? {
            Found::Batch(frame, bytes) => {
                self.read_batch(frame, bytes)?;
                Ok(true)
            }
            Found::Index => self.end_of_batches().map(|()| false),
            Found::FileEnd if self.closed => Err(self.damaged_here(Damage::Short)),
            Found::FileEnd => {
                self.torn_bytes = self.file_bytes - self.cursor.offset;
                Ok(false)
            }
        }
    }

    /// Goes behind the batch that is being read.
    fn leave_batch(&mut self) {
        let Some(batch) = self.batch.take() else { return };
        self.cursor = Cursor {
            offset: self.cursor.offset + batch.bytes() as u64,
            batch: self.cursor.batch.saturating_add(1),
            entry: batch.end(),
            bases: batch.reached(),
        };
        self.buffer = batch.into_bytes();
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BYTES);
    }

    /// Looks what comes next.
    fn look(&mut self) -> Result<Found, ReadError> {
        let left = self.file_bytes.saturating_sub(self.cursor.offset);
        if left < FRAME_BYTES as u64 {
            return Ok(Found::FileEnd);
        }
        let mut bytes = [0; FRAME_BYTES];
        self.read_exactly(0, &mut bytes)?;
        let frame = Frame::parse(&bytes).map_err(|source| self.damaged_here(source))?;
        let length = FRAME_BYTES + frame.length;
        match frame.kind {
            Kind::Index => Ok(Found::Index),
            Kind::Footer => Err(self.damaged_here(Damage::OtherSection)),
            Kind::Batch if length as u64 > left => Ok(Found::FileEnd),
            Kind::Batch => Ok(Found::Batch(bytes, length)),
        }
    }

    fn read_batch(&mut self, frame: [u8; FRAME_BYTES], length: usize) -> Result<(), ReadError> {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.clear();
        bytes.extend_from_slice(&frame);
        bytes.resize(length, 0);
        self.read_exactly(FRAME_BYTES, &mut bytes[FRAME_BYTES..])?;
        let batch = BatchDecoder::with_decompressor(bytes, &mut self.decompressor);
        let batch = batch.map_err(|source| self.damaged_here(source))?;
        let (found, expected) = (batch.first(), self.cursor.entry);
        if found != expected {
            return Err(self.damaged_here(Damage::Numbering { found, expected }));
        }
        self.cursor.bases = batch.bases();
        self.batch = Some(batch);
        Ok(())
    }

    /// Fills the bytes from the file, from there on behind the beginning of the batch.
    fn read_exactly(&mut self, behind: usize, bytes: &mut [u8]) -> Result<(), ReadError> {
        let (offset, part) = (self.cursor.offset + behind as u64, Part::Batch(self.cursor.batch));
        self.source_at(offset, part)?;
        self.source.read_exact(bytes).map_err(|source| ReadError::Io { offset, part, source })
    }

    /// Goes to a place of the file. Mostly it is where the source stands, and then what was read ahead is kept.
    fn source_at(&mut self, offset: u64, part: Part) -> Result<(), ReadError> {
        let io = |source| ReadError::Io { offset, part, source };
        let here = self.source.stream_position().map_err(io)?;
        let distance = offset.wrapping_sub(here) as i64;
        self.source.seek_relative(distance).map_err(io)
    }

    /// An index stands here. In a closed log, it must be the one that the footer tells. An open log has one if the
    /// monitor died while it closed it, and ends here.
    fn end_of_batches(&mut self) -> Result<(), ReadError> {
        let here = self.cursor.offset;
        if !self.closed {
            self.torn_bytes = self.file_bytes - here;
            return Ok(());
        }
        if self.tail.is_none() {
            self.tail = Some(self.read_tail()?);
        }
        match &self.tail {
            Some(tail) if tail.footer.index == here && tail.footer.entries == self.cursor.entry.0 => Ok(()),
            _ => Err(damaged(Part::Footer, self.file_bytes, Damage::Disagrees)),
        }
    }

    fn damaged_here(&self, source: Damage) -> ReadError {
        damaged(Part::Batch(self.cursor.batch), self.cursor.offset, source)
    }
}
