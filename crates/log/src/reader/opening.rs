//! Prefix and header, index and footer.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use outlive_engine::InstructionCount;

use super::{Cursor, LogReader, ReadError};
use crate::batch::{Damage, Decompressor};
use crate::encoding::Bases;
use crate::entry::EntryNumber;
use crate::file::index::{FOOTER_BYTES, Footer, Index};
use crate::file::prefix::{self, FORMAT_END, MAGIC, MAXIMUM_HEADER, PREFIX_BYTES, Prefix};
use crate::file::section::{FRAME_BYTES, Frame, Kind, MAXIMUM_BYTES};
use crate::file::{FORMAT, Part};
use crate::header::Header;

/// What stands behind the batches of a closed log.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) index: Index,
    pub(crate) footer: Footer,
}

impl<S: Read + Seek> LogReader<S> {
    /// Reads the log that a source holds, from its beginning.
    ///
    /// # Errors
    /// As for [`open`](LogReader::open).
    pub fn new(source: S) -> Result<Self, ReadError> {
        let mut source = BufReader::new(source);
        let file_bytes = source.seek(SeekFrom::End(0)).and_then(|bytes| source.rewind().map(|()| bytes));
        let file_bytes = file_bytes.map_err(ReadError::Open)?;
        let prefix = read_prefix(&mut source, file_bytes)?;
        let header = read_header(&mut source, file_bytes, prefix)?;
        let start = (PREFIX_BYTES + prefix.length) as u64;
        let cursor = Cursor { offset: start, batch: 0, entry: EntryNumber(0), bases: Bases::default() };
        let mut reader = Self {
            source,
            file_bytes,
            header,
            closed: prefix.closed,
            start,
            tail: None,
            cursor,
            batch: None,
            found: None,
            batch_end: InstructionCount::default(),
            torn_bytes: 0,
            buffer: Vec::new(),
            decompressor: Decompressor::default(),
        };
        if reader.closed {
            // Batches come first: damage here is told when it is reached.
            reader.tail = reader.read_tail().ok();
            reader.seek_to(start, Part::Batch(0))?;
        }
        Ok(reader)
    }

    /// Reads index and footer of a closed log.
    pub(crate) fn read_tail(&mut self) -> Result<Tail, ReadError> {
        let footer_at = self.file_bytes.saturating_sub(FOOTER_BYTES as u64);
        let bytes = self.read_range(Part::Footer, footer_at, self.file_bytes)?;
        let footer = section(&bytes, Kind::Footer).and_then(Footer::decode);
        let footer = footer.map_err(|source| damaged(Part::Footer, footer_at, source))?;
        if footer.index < self.start || footer.index > footer_at {
            return Err(damaged(Part::Footer, footer_at, Damage::Disagrees));
        }
        // Only an index that can be one is read: a file of holes may claim any length.
        let claimed = usize::try_from(footer_at - footer.index).unwrap_or(usize::MAX);
        if claimed > FRAME_BYTES + MAXIMUM_BYTES {
            return Err(damaged(Part::Index, footer.index, Damage::Length(claimed)));
        }
        let bytes = self.read_range(Part::Index, footer.index, footer_at)?;
        let index = section(&bytes, Kind::Index).and_then(|content| Index::decode(content, footer.batches));
        let index = index.map_err(|source| damaged(Part::Index, footer.index, source))?;
        Ok(Tail { index, footer })
    }

    fn read_range(&mut self, part: Part, from: u64, to: u64) -> Result<Vec<u8>, ReadError> {
        self.seek_to(from, part)?;
        let mut bytes = Vec::new();
        let read = self.source.by_ref().take(to - from).read_to_end(&mut bytes);
        read.map_err(|source| ReadError::Io { offset: from, part, source })?;
        Ok(bytes)
    }

    pub(super) fn seek_to(&mut self, offset: u64, part: Part) -> Result<(), ReadError> {
        let sought = self.source.seek(SeekFrom::Start(offset));
        sought.map(|_| ()).map_err(|source| ReadError::Io { offset, part, source })
    }
}

/// The content of the one section that the bytes are.
fn section(bytes: &[u8], kind: Kind) -> Result<&[u8], Damage> {
    let (frame, content) = bytes.split_first_chunk::<FRAME_BYTES>().ok_or(Damage::Short)?;
    let frame = Frame::parse(frame)?;
    if frame.kind != kind {
        return Err(Damage::OtherSection);
    }
    frame.check(content)?;
    Ok(content)
}

pub(super) fn damaged(part: Part, offset: u64, source: Damage) -> ReadError {
    ReadError::Damaged { offset, part, source }
}

fn read_prefix(source: &mut impl Read, file_bytes: u64) -> Result<Prefix, ReadError> {
    let bytes = read_up_to(source, PREFIX_BYTES).map_err(|source| ReadError::Io {
        offset: 0,
        part: Part::Prefix,
        source,
    })?;
    let magic = bytes.len().min(MAGIC.len());
    if bytes.is_empty() || bytes[..magic] != MAGIC[..magic] {
        return Err(ReadError::NotALog);
    }
    if bytes.len() < FORMAT_END {
        return Err(damaged(Part::Prefix, file_bytes, Damage::Short));
    }
    match prefix::format(&bytes) {
        Some(FORMAT) => {}
        Some(found) => return Err(ReadError::Version { found }),
        None => return Err(damaged(Part::Prefix, MAGIC.len() as u64, Damage::Lines)),
    }
    if bytes.len() < PREFIX_BYTES {
        return Err(damaged(Part::Prefix, file_bytes, Damage::Short));
    }
    Prefix::parse(&bytes).ok_or_else(|| damaged(Part::Prefix, FORMAT_END as u64, Damage::Lines))
}

fn read_header(source: &mut impl Read, file_bytes: u64, prefix: Prefix) -> Result<Header, ReadError> {
    let offset = PREFIX_BYTES as u64;
    if prefix.length > MAXIMUM_HEADER {
        return Err(damaged(Part::Prefix, FORMAT_END as u64, Damage::Length(prefix.length)));
    }
    let bytes = read_up_to(source, prefix.length);
    let bytes = bytes.map_err(|source| ReadError::Io { offset, part: Part::Header, source })?;
    if bytes.len() < prefix.length {
        return Err(damaged(Part::Header, file_bytes, Damage::Short));
    }
    if crc32c::crc32c(&bytes) != prefix.checksum {
        return Err(damaged(Part::Header, offset, Damage::Checksum));
    }
    parse_header(&bytes).map_err(|source| damaged(Part::Header, offset, Damage::Header(source)))
}

fn parse_header(bytes: &[u8]) -> Result<Header, Box<dyn std::error::Error + Send + Sync>> {
    Ok(toml::from_str(std::str::from_utf8(bytes)?)?)
}

/// As many bytes as there are, but no more than these.
fn read_up_to(source: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(most as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
