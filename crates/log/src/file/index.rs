//! Index and footer: how a reader of a closed log finds an entry or a moment without reading all before it.

use outlive_engine::{ExitNumber, GuestTime};

use super::section::{FRAME_BYTES, Kind, put_section};
use crate::batch::Damage;
use crate::encoding::{Bases, Source, put};
use crate::entry::EntryNumber;

/// How many bytes of batches lie between two places of the index, at least. So the index of a log of a terabyte takes
/// some tens of megabytes, and a reader reads a megabyte or so in vain.
const SPACING: u64 = 1 << 20;

/// The fewest bytes that a place takes.
const PLACE_BYTES: usize = 5;

/// The length of the footer.
pub(crate) const FOOTER_BYTES: usize = FRAME_BYTES + 24;

/// A batch that the index tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// Where its section begins in the file.
    pub(crate) offset: u64,
    /// Its number.
    pub(crate) batch: u64,
    /// The number of its first entry.
    pub(crate) entry: EntryNumber,
    /// The last exit that was named before it.
    pub(crate) exit: ExitNumber,
    /// The last time that was told before it.
    pub(crate) time: GuestTime,
}

/// The batches at which a reader can begin, in order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Index {
    places: Vec<Place>,
    batches: u64,
}

impl Index {
    /// Takes note of the next batch.
    pub(crate) fn note(&mut self, offset: u64, entry: EntryNumber, bases: Bases) {
        let batch = self.batches;
        self.batches += 1;
        if self.places.last().is_none_or(|last| offset - last.offset >= SPACING) {
            self.places.push(Place { offset, batch, entry, exit: bases.exit, time: bases.time });
        }
    }

    /// How many batches there are.
    pub(crate) fn batches(&self) -> u64 {
        self.batches
    }

    /// The last place that is not behind an entry.
    pub(crate) fn before_entry(&self, entry: EntryNumber) -> Option<Place> {
        let behind = self.places.partition_point(|place| place.entry <= entry);
        behind.checked_sub(1).map(|at| self.places[at])
    }

    /// The last place before which nobody has seen this time.
    pub(crate) fn before_time(&self, time: GuestTime) -> Option<Place> {
        let behind = self.places.partition_point(|place| place.time < time);
        behind.checked_sub(1).map(|at| self.places[at])
    }

    /// Appends the index's section. The index of a log of 2 terabytes is refused: see
    /// [`MAXIMUM_BYTES`](super::MAXIMUM_BYTES).
    pub(crate) fn encode(&self, to: &mut Vec<u8>) -> Result<(), Damage> {
        let mut content = Vec::new();
        put(&mut content, self.places.len() as u64);
        for Place { offset, batch, entry, exit, time } in &self.places {
            put(&mut content, (*offset, *batch, entry.0, exit.0, time.nanoseconds()));
        }
        if content.len() > super::MAXIMUM_BYTES {
            return Err(Damage::Length(content.len()));
        }
        put_section(Kind::Index, &[&content], to);
        Ok(())
    }

    /// The index that the content of its section is.
    pub(crate) fn decode(content: &[u8], batches: u64) -> Result<Self, Damage> {
        let mut source = Source::new(content);
        let count: u64 = source.get().map_err(Damage::Index)?;
        if count > (source.left() / PLACE_BYTES) as u64 {
            return Err(Damage::Short);
        }
        let mut places = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (offset, batch, entry, exit, time) = source.get().map_err(Damage::Index)?;
            let time = GuestTime::from_nanoseconds(time);
            places.push(Place { offset, batch, entry: EntryNumber(entry), exit: ExitNumber(exit), time });
        }
        match source.left() {
            0 => Ok(Self { places, batches }),
            rest => Err(Damage::Trailing(rest as u64)),
        }
    }
}

/// The end of a closed log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Footer {
    /// Where the index begins in the file.
    pub(crate) index: u64,
    pub(crate) entries: u64,
    pub(crate) batches: u64,
}

impl Footer {
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        let numbers = [self.index, self.entries, self.batches].map(u64::to_le_bytes);
        put_section(Kind::Footer, &[numbers.as_flattened()], to);
    }

    /// The footer that the content of its section is.
    pub(crate) fn decode(content: &[u8]) -> Result<Self, Damage> {
        let numbers: &[u8; 24] = content.try_into().map_err(|_| Damage::Short)?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let [index, entries, batches] = [0, 1, 2].map(|at| u64::from_le_bytes(numbers[at]));
        Ok(Self { index, entries, batches })
    }
}
