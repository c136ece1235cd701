//! Reading a batch.

use outlive_engine::{ExitNumber, GuestTime, InstructionCount};

use super::{COMPRESSED, Damage, Decompressor};
use crate::encoding::{self, Bases, Context, DecodeError, Source};
use crate::entry::{Entry, EntryNumber};
use crate::file::section::{FRAME_BYTES, Frame, Kind};

/// An entry, and where in the log it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumberedEntry {
    /// Its number.
    pub number: EntryNumber,
    /// The entry.
    pub entry: Entry,
    /// Its encoded length, before compression.
    pub bytes: u32,
}

/// How many bytes a batch takes that begins with these [`FRAME_BYTES`], with them: what a channel
/// has to wait for.
///
/// # Errors
/// When that is no beginning of a batch, or it is longer than a batch can be.
pub fn batch_bytes(frame: &[u8; FRAME_BYTES]) -> Result<usize, Damage> {
    let frame = Frame::parse(frame)?;
    if frame.kind != Kind::Batch {
        return Err(Damage::OtherSection);
    }
    Ok(FRAME_BYTES + frame.length)
}

/// Reads one batch.
#[derive(Clone, Debug)]
pub struct BatchDecoder {
    /// The whole section; of a compressed batch, its entries.
    bytes: Vec<u8>,
    /// The noise of a compressed batch's entries.
    noise: Vec<u8>,
    /// The length of the section.
    section_bytes: usize,
    /// The length of its compressed entries, if they are.
    compressed: Option<usize>,
    /// Where the next entry begins.
    at: usize,
    /// Where its noise begins, if that is apart.
    noise_at: usize,
    first: EntryNumber,
    entries: u32,
    read: u32,
    bases: Bases,
    context: Context,
    instructions: InstructionCount,
}

impl BatchDecoder {
    /// Reads the batch that the bytes are: all of them, as [`BatchEncoder`](super::BatchEncoder) has made them.
    ///
    /// # Errors
    /// When they are none, or have changed.
    pub fn new(bytes: Vec<u8>) -> Result<Self, Damage> {
        Self::with_decompressor(bytes, &mut Decompressor::default())
    }

    /// The same, with the memory that another batch was decompressed in.
    pub(crate) fn with_decompressor(bytes: Vec<u8>, decompressor: &mut Decompressor) -> Result<Self, Damage> {
        let (frame, content) = bytes.split_first_chunk().ok_or(Damage::Short)?;
        let frame = Frame::parse(frame)?;
        if frame.kind != Kind::Batch {
            return Err(Damage::OtherSection);
        }
        frame.check(content)?;
        Self::of_content(bytes, decompressor)
    }

    /// Reads the batch behind a frame that was checked.
    fn of_content(mut bytes: Vec<u8>, decompressor: &mut Decompressor) -> Result<Self, Damage> {
        let mut source = Source::new(&bytes[FRAME_BYTES..]);
        let [flags] = source.take().map_err(Damage::Beginning)?;
        if flags & !COMPRESSED != 0 {
            return Err(Damage::Flags(flags));
        }
        let beginning = beginning(&mut source).map_err(Damage::Beginning)?;
        let (entries, first, bases, instructions) = beginning;
        if entries == 0 || first.checked_add(u64::from(entries)).is_none() {
            return Err(Damage::Entries(entries));
        }
        let (section_bytes, left) = (bytes.len(), source.left());
        let (mut at, mut compressed, mut noise) = (section_bytes - left, None, Vec::new());
        if flags & COMPRESSED != 0 {
            (bytes, noise) = decompressor.decompress(bytes, at).map_err(Damage::Compression)?;
            (at, compressed) = (0, Some(left));
        }
        let (first, context) = (EntryNumber(first), Context::new(bases));
        Ok(Self {
            bytes,
            noise,
            section_bytes,
            compressed,
            at,
            noise_at: 0,
            first,
            entries,
            read: 0,
            bases,
            context,
            instructions,
        })
    }

    /// The next entry, `None` behind the last.
    ///
    /// # Errors
    /// When there is none where one should be, or bytes are left over. It stays like that.
    pub fn next_entry(&mut self) -> Result<Option<NumberedEntry>, Damage> {
        if self.read == self.entries {
            return match self.left() {
                0 => Ok(None),
                rest => Err(Damage::Trailing(rest as u64)),
            };
        }
        let number = self.next();
        let mut source = match self.compressed {
            Some(_) => Source::with_noise_apart(&self.bytes[self.at..], &self.noise[self.noise_at..]),
            None => Source::new(&self.bytes[self.at..]),
        };
        let mut context = self.context;
        let entry = encoding::decode(&mut context, &mut source).map_err(|source| Damage::Entry {
            number,
            at: self.offset(),
            source,
        })?;
        let bytes = (self.left() - source.left() - source.noise_left()) as u32;
        self.at = self.bytes.len() - source.left();
        self.noise_at = self.noise.len() - source.noise_left();
        self.context = context;
        self.read += 1;
        Ok(Some(NumberedEntry { number, entry, bytes }))
    }

    /// How many bytes have not been read.
    fn left(&self) -> usize {
        self.bytes.len() - self.at + self.noise.len() - self.noise_at
    }

    /// The number of the entry that comes next.
    pub fn next(&self) -> EntryNumber {
        EntryNumber(self.first.0 + u64::from(self.read))
    }

    /// The number of the first entry.
    pub fn first(&self) -> EntryNumber {
        self.first
    }

    /// The number of the entry that follows behind the batch.
    pub fn end(&self) -> EntryNumber {
        EntryNumber(self.first.0 + u64::from(self.entries))
    }

    /// How many entries there are in all: at least one.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// What had been told when the batch began.
    pub fn bases(&self) -> Bases {
        self.bases
    }

    /// What has been told by now. Behind the last entry, that is what the next batch begins with.
    pub fn reached(&self) -> Bases {
        self.context.bases()
    }

    /// What the guest has executed at the batch's end.
    pub fn instructions(&self) -> InstructionCount {
        self.instructions
    }

    /// Where the next entry begins, in bytes from the beginning of the batch. Zero in a compressed one, whose entries
    /// have no places of their own.
    pub fn offset(&self) -> usize {
        if self.compressed.is_some() { 0 } else { self.at }
    }

    /// How many bytes of the batch have been read. Of compressed entries, that is the same share as of the entries
    /// that they become.
    pub fn bytes_read(&self) -> usize {
        let Some(compressed) = self.compressed else { return self.at };
        let left = compressed as u64 * self.left() as u64;
        let all = (self.bytes.len() + self.noise.len()) as u64;
        self.section_bytes - left.checked_div(all).unwrap_or(0) as usize
    }

    /// The length of the batch.
    pub fn bytes(&self) -> usize {
        self.section_bytes
    }

    /// How much shorter the batch is than without compression. Less than zero if somebody has compressed it without
    /// gain.
    pub fn saved_bytes(&self) -> i64 {
        let all = self.bytes.len() + self.noise.len();
        self.compressed.map_or(0, |compressed| all as i64 - compressed as i64)
    }

    /// The memory that it keeps.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.noise.capacity()
    }

    /// The bytes that were read, so that their memory can be used again.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// How many entries, the first one's number, bases, instructions.
fn beginning(source: &mut Source<'_>) -> Result<(u32, u64, Bases, InstructionCount), DecodeError> {
    let (entries, first, exit, time): (u32, u64, u64, u64) = source.get()?;
    let (before, tick_distance, instructions): (u64, u64, u64) = source.get()?;
    let bases = Bases {
        time: GuestTime::from_nanoseconds(time),
        exit: ExitNumber(exit),
        tick: GuestTime::from_nanoseconds(time.wrapping_sub(before)),
        tick_distance,
    };
    Ok((entries, first, bases, InstructionCount(instructions)))
}
