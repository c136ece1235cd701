//! Batches: entries under one checksum.
//!
//! A batch can be read without those before it. It says which entry is its first and carries the absolute numbers that
//! its entries are differences to. Files consist of batches, and a logging channel can carry the same ones.
//!
//! Within its [section](crate::file), a batch is: a byte of flags, then as bincode's variable numbers how many
//! entries it has, the number of the first, the [`Bases`] (exit, time, last tick as a distance before that time,
//! distance of ticks), how many instructions the guest has executed at its end, and then the entries. The lowest flag
//! says that the entries are compressed. A reader refuses flags that it does not know.
//!
//! # Compression
//!
//! Entries are short because each is a difference to those before, but they repeat each other as a guest repeats
//! itself: an idle one does the same at every tick, and what arrives by network or disk is often text. So the entries
//! of a batch, and only they, can be one zstd frame, without their [noise](crate::encoding#noise), which follows as it
//! is. What finds a batch and says where it belongs stays readable without decompressing.
//!
//! It is done where it pays: not for a batch of less than [`COMPRESSED_FROM`] bytes of entries, as a logging channel
//! sends them with each output, and not if nothing becomes shorter. It is zstd's fastest level, for the guest waits
//! meanwhile; but a slower one for the quiet batches of a second and more that an idle guest's log consists of. The frame has
//! no checksum of its own, because the section has one, and it says how long the entries are: a reader takes memory for
//! no more than a batch may have, and for no more than a frame of that length can hold.
//!
//! Entries in a compressed batch have no place in the file. Whatever is wrong with one is told at the beginning of
//! the batch.

mod compression;
mod decoder;

use outlive_engine::{GuestTime, InstructionCount};

use self::compression::{Compressor, LEVEL, Noise, THOROUGH_LEVEL};
use crate::encoding::{self, Bases, Context, DecodeError, put};
use crate::entry::{Entry, EntryNumber, Input};
use crate::file::section::{FRAME_BYTES, Kind, MAXIMUM_BYTES, put_section};

pub(crate) use compression::Decompressor;
pub use compression::{COMPRESSED_FROM, CompressionError};
pub use decoder::{BatchDecoder, NumberedEntry, batch_bytes};

/// A batch with so many bytes of entries is full.
pub const FULL_BYTES: usize = 64 << 10;

/// A batch that goes on for so long, in nanoseconds of guest time, is full: what happened a second ago is in the file.
pub const FULL_TIME: u64 = 1_000_000_000;

/// The same for a *quiet* batch, which holds nothing but the passing of time: ticks, time reads and interrupts. Whoever
/// loses one loses little, and longer batches compress better.
pub const FULL_QUIET_TIME: u64 = 10_000_000_000;

/// The longest entry, once encoded. It fits any batch that is not full.
pub const MAXIMUM_ENTRY: usize = MAXIMUM_BYTES - FULL_BYTES - MAXIMUM_BEGINNING;

/// What stands before the entries is never longer.
const MAXIMUM_BEGINNING: usize = 128;

/// The flag of a batch whose entries are compressed.
const COMPRESSED: u8 = 1;

/// What can be wrong with a batch, or with another section of a log.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum Damage {
    /// It ends too early.
    #[error("it is cut off")]
    Short,
    /// Kind or length have changed.
    #[error("the checksum of its kind and length is wrong")]
    FrameChecksum,
    /// Something has changed.
    #[error("its checksum is wrong")]
    Checksum,
    /// Longer than anything can be.
    #[error("it claims a length of {0} bytes")]
    Length(usize),
    /// No kind of section.
    #[error("there is no section of kind {0:#x}")]
    SectionKind(u8),
    /// A section of another kind.
    #[error("something else stands here")]
    OtherSection,
    /// A flag that nobody has defined.
    #[error("it has the unknown flags {0:#x}")]
    Flags(u8),
    /// It does not follow the batch before.
    #[error("it begins with entry {found}, but entry {expected} is next")]
    Numbering {
        /// Its first entry.
        found: EntryNumber,
        /// What would follow.
        expected: EntryNumber,
    },
    /// It has no entries, or more than its numbers can name.
    #[error("it claims {0} entries")]
    Entries(u32),
    /// What stands before its entries is meaningless.
    #[error("the numbers at its beginning are meaningless")]
    Beginning(#[source] DecodeError),
    /// Its entries cannot be decompressed.
    #[error("its entries cannot be decompressed")]
    Compression(#[source] CompressionError),
    /// An entry is meaningless.
    #[error("entry {number} is meaningless")]
    Entry {
        /// Which.
        number: EntryNumber,
        /// Where it begins, in bytes from the beginning of the batch. Zero in a compressed batch.
        at: usize,
        /// In what way.
        source: DecodeError,
    },
    /// More bytes than entries.
    #[error("{0} bytes follow behind its end")]
    Trailing(u64),
    /// The index is meaningless.
    #[error("its numbers are meaningless")]
    Index(#[source] DecodeError),
    /// The lines at the beginning of a file are not as they must be.
    #[error("the lines there are not those of a log")]
    Lines,
    /// The header is no header.
    #[error("the header is not understood")]
    Header(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Index or footer tell something else than what is there.
    #[error("it disagrees with the batches that are there")]
    Disagrees,
}

/// An entry that is too long for a batch.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
#[error("an entry of {0} bytes is too long: {MAXIMUM_ENTRY} are possible")]
pub struct EntryTooLong(pub usize);

/// Makes batches.
#[derive(Clone, Debug)]
pub struct BatchEncoder {
    /// The number of the first entry of the batch.
    first: EntryNumber,
    entries: u32,
    bases: Bases,
    context: Context,
    body: Vec<u8>,
    /// Where in the body there is noise.
    noise: Vec<Noise>,
    compressor: Compressor,
    /// The time behind the first entry.
    begun: GuestTime,
    /// Whether it holds nothing but the passing of time.
    is_quiet: bool,
    instructions: InstructionCount,
}

impl BatchEncoder {
    /// Begins with the entry of this number, before which nothing was told.
    pub fn new(first: EntryNumber) -> Self {
        Self::going_on(first, Bases::default())
    }

    /// Begins with the entry of this number, behind others that have told `bases`.
    pub fn going_on(first: EntryNumber, bases: Bases) -> Self {
        Self {
            first,
            entries: 0,
            bases,
            context: Context::new(bases),
            body: Vec::new(),
            noise: Vec::new(),
            compressor: Compressor::default(),
            begun: GuestTime::BOOT,
            is_quiet: true,
            instructions: InstructionCount::default(),
        }
    }

    /// Adds an entry, and tells what the guest has executed there. Returns the length of the entry in bytes.
    ///
    /// # Errors
    /// When the entry is too long, or the batch has been full for long. The batch is as it was.
    pub fn push(&mut self, entry: &Entry, instructions: InstructionCount) -> Result<usize, EntryTooLong> {
        let (start, before) = (self.body.len(), self.context);
        let noise = encoding::encode(&mut self.context, entry, &mut self.body);
        let length = self.body.len() - start;
        if self.body.len() > MAXIMUM_BYTES - MAXIMUM_BEGINNING {
            self.body.truncate(start);
            self.context = before;
            return Err(EntryTooLong(length));
        }
        if noise > 0 {
            self.noise.push(Noise { end: self.body.len(), bytes: noise });
        }
        if self.entries == 0 {
            self.begun = self.context.bases().time;
            self.is_quiet = true;
        }
        self.is_quiet &= tells_time(entry);
        self.entries += 1;
        self.instructions = instructions;
        Ok(length)
    }

    /// Whether the batch should end here.
    pub fn is_full(&self) -> bool {
        let full_time = if self.is_quiet { FULL_QUIET_TIME } else { FULL_TIME };
        self.body.len() >= FULL_BYTES || self.entries > 0 && self.lasted() >= full_time
    }

    /// How long it has gone on, in nanoseconds of guest time, if there is an entry in it.
    fn lasted(&self) -> u64 {
        self.context.bases().time.nanoseconds().saturating_sub(self.begun.nanoseconds())
    }

    /// Whether nothing but the passing of time is in the batch: ticks, time reads and interrupts.
    pub fn is_quiet(&self) -> bool {
        self.entries == 0 || self.is_quiet
    }

    /// Whether there is no entry in the batch.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The number of the next entry.
    pub fn next(&self) -> EntryNumber {
        EntryNumber(self.first.0.wrapping_add(u64::from(self.entries)))
    }

    /// The number of the batch's first entry.
    pub fn first(&self) -> EntryNumber {
        self.first
    }

    /// What had been told when the batch began.
    pub fn bases(&self) -> Bases {
        self.bases
    }

    /// How many bytes the batch would take at most if it ended here: as many as without compression.
    pub fn bytes(&self) -> usize {
        if self.entries == 0 { 0 } else { FRAME_BYTES + self.beginning().len() + self.body.len() }
    }

    /// Appends the batch, if it has entries, and begins the next one.
    pub fn finish(&mut self, to: &mut Vec<u8>) {
        if self.entries == 0 {
            return;
        }
        let mut beginning = self.beginning();
        let mut entries = &self.body[..];
        // One that took that long comes seldom.
        let level = if self.is_quiet && self.lasted() >= FULL_TIME { THOROUGH_LEVEL } else { LEVEL };
        if let Some(frame) = self.compressor.compress(&self.body, &self.noise, level) {
            beginning[0] |= COMPRESSED;
            entries = frame;
        }
        put_section(Kind::Batch, &[&beginning, entries], to);
        self.first = self.next();
        self.entries = 0;
        self.bases = self.context.bases();
        self.context = Context::new(self.bases);
        self.body.clear();
        self.body.shrink_to(2 * FULL_BYTES);
        self.noise.clear();
        self.noise.shrink_to(FULL_BYTES);
    }

    /// The memory that it keeps.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.body.capacity() + self.compressor.capacity()
    }

    /// What stands before the entries, if these are not compressed.
    fn beginning(&self) -> Vec<u8> {
        let Bases { time, exit, tick, tick_distance } = self.bases;
        let mut beginning = vec![0];
        put(&mut beginning, (self.entries, self.first.0, exit.0, time.nanoseconds()));
        let before = time.nanoseconds().wrapping_sub(tick.nanoseconds());
        put(&mut beginning, (before, tick_distance, self.instructions.0));
        beginning
    }
}

/// Whether an entry is no more than the passing of time.
fn tells_time(entry: &Entry) -> bool {
    match entry {
        Entry::Time(_) | Entry::Interrupt { .. } => true,
        Entry::Input { input, .. } => matches!(input, Input::ClockTick(_)),
        Entry::Output { .. } | Entry::Registers(_) | Entry::Digest(_) | Entry::End(_) => false,
    }
}

#[cfg(test)]
mod tests;
