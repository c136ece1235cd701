//! The entries of a log, at most one ahead of the replay.
//!
//! An entry is fetched when the machine needs it and no earlier. A log that is still being made has no next entry yet
//! while the guest at its other end computes, and what the entry before has brought must reach the guest all the same.

use outlive_engine::InstructionCount;
use outlive_log::entry::{Entry, EntryNumber};
use outlive_log::header::Counting;
use outlive_log::{NumberedEntry, ReadError};

use crate::source::EntrySource;

/// How many entries before and behind the bad one a report shows.
const AROUND: u64 = 6;

/// A log that is being replayed.
#[derive(Debug)]
pub(crate) struct Entries<S> {
    source: S,
    next: Option<NumberedEntry>,
    /// There are no entries behind `next`.
    ended: bool,
    /// Why there are none, if that is not the log's end.
    damage: Option<ReadError>,
    replayed: u64,
}

impl<S: EntrySource> Entries<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, next: None, ended: false, damage: None, replayed: 0 }
    }

    pub(crate) fn into_source(self) -> S {
        self.source
    }

    pub(crate) fn counting(&self) -> Counting {
        self.source.counting()
    }

    /// The entry that the replay must come to next; `None` at the end of what there is. Waits until that is known.
    pub(crate) fn fetch(&mut self) -> Option<&Entry> {
        if self.next.is_none() && !self.ended {
            match self.source.next() {
                Ok(next) => self.next = next,
                Err(error) => self.damage = Some(error),
            }
            self.ended = self.next.is_none();
        }
        self.fetched()
    }

    /// The same, if it has been fetched.
    pub(crate) fn fetched(&self) -> Option<&Entry> {
        self.next.as_ref().map(|next| &next.entry)
    }

    /// Whether the next entry, or that there is none, is not known yet.
    pub(crate) fn is_open(&self) -> bool {
        self.next.is_none() && !self.ended
    }

    /// Whether it is known that there are no more entries.
    pub(crate) fn has_ended(&self) -> bool {
        self.next.is_none() && self.ended
    }

    /// The number of the next entry, or of the one that would follow.
    pub(crate) fn number(&self) -> EntryNumber {
        self.next.as_ref().map_or(EntryNumber(self.replayed), |next| next.number)
    }

    /// The replay has come to the entry that was fetched.
    pub(crate) fn take(&mut self) -> Option<Entry> {
        let taken = self.next.take()?;
        self.replayed = taken.number.0 + 1;
        Some(taken.entry)
    }

    /// Makes the entry that was taken last the next one again, for a report.
    pub(crate) fn step_back(&mut self) {
        let last = EntryNumber(self.replayed.saturating_sub(1));
        if self.source.go_back(last).is_ok() {
            (self.next, self.ended) = (None, false);
            self.fetch();
        }
    }

    /// How many instructions the guest executes at most until the entry that was fetched.
    pub(crate) fn most_instructions(&self) -> InstructionCount {
        self.source.batch_end()
    }

    /// How many entries have been replayed.
    pub(crate) fn replayed(&self) -> u64 {
        self.replayed
    }

    /// The damage that ended the log, if one did.
    pub(crate) fn take_damage(&mut self) -> Option<ReadError> {
        self.damage.take()
    }

    /// Bytes of the log that have been read, and its length.
    pub(crate) fn progress(&self) -> (u64, u64) {
        self.source.progress()
    }

    /// The entries around the next one, for a report: those before and those behind. This ends the replay.
    pub(crate) fn around(&mut self) -> [Vec<(EntryNumber, String)>; 2] {
        let bad = self.number();
        let from = EntryNumber(bad.0.saturating_sub(AROUND));
        let mut around = [Vec::new(), Vec::new()];
        if self.source.go_back(from).is_err() {
            return around;
        }
        // Damage behind the bad entry is no matter of this report.
        while let Ok(Some(entry)) = self.source.next() {
            if entry.number.0 > bad.0 + AROUND {
                break;
            }
            if entry.number != bad {
                around[usize::from(entry.number > bad)].push((entry.number, entry.entry.to_string()));
            }
        }
        around
    }
}
