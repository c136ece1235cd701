//! Going to an entry or to a moment.

use std::io::{Read, Seek};

use outlive_engine::GuestTime;

use super::{Cursor, LogReader, ReadError};
use crate::encoding::Bases;
use crate::entry::EntryNumber;
use crate::file::Part;
use crate::file::index::{Index, Place};

/// A place of a log that a reader can go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// This entry.
    Entry(EntryNumber),
    /// The first entry that tells this guest time or a later one.
    Time(GuestTime),
}

impl<S: Read + Seek> LogReader<S> {
    /// Goes to a place: [`next`](Self::next) then gives the first entry there or behind it, or `None` if the log ends
    /// before.
    ///
    /// A closed log has an index for that. Any other one is read from its beginning.
    ///
    /// # Errors
    /// When the log cannot be read, or is damaged on the way. The reader then stands at the damage.
    pub fn seek(&mut self, to: Position) -> Result<(), ReadError> {
        self.begin_at(self.nearest_before(to))?;
        loop {
            if self.is_before(to) {
                self.batch_end = self.batch.as_ref().map_or(self.batch_end, |batch| batch.instructions());
            } else {
                while let Some(entry) = self.next_of_batch()? {
                    if self.has_reached(to, entry.number) {
                        self.found = Some(entry);
                        return Ok(());
                    }
                }
            }
            if !self.load_batch()? {
                return Ok(());
            }
        }
    }

    fn nearest_before(&self, to: Position) -> Option<Place> {
        let index: &Index = &self.tail.as_ref()?.index;
        match to {
            Position::Entry(entry) => index.before_entry(entry),
            Position::Time(time) => index.before_time(time),
        }
    }

    fn begin_at(&mut self, place: Option<Place>) -> Result<(), ReadError> {
        self.cursor = match place {
            Some(Place { offset, batch, entry, exit, time }) => {
                Cursor { offset, batch, entry, bases: Bases { exit, time, ..Bases::default() } }
            }
            None => Cursor { offset: self.start, batch: 0, entry: EntryNumber(0), bases: Bases::default() },
        };
        (self.batch, self.found, self.torn_bytes) = (None, None, 0);
        self.seek_to(self.cursor.offset, Part::Batch(self.cursor.batch))
    }

    /// Whether the whole batch that was loaded is before the place.
    fn is_before(&self, to: Position) -> bool {
        match (to, &self.batch) {
            (Position::Entry(entry), Some(batch)) => batch.end() <= entry,
            _ => false,
        }
    }

    /// Whether the entry that was read last is at the place or behind it.
    fn has_reached(&self, to: Position, entry: EntryNumber) -> bool {
        match to {
            Position::Entry(number) => entry >= number,
            Position::Time(time) => self.time() >= time,
        }
    }
}
