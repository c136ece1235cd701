//! The entries of a log, one ahead of the replay.

use outlive_engine::InstructionCount;
use outlive_log::entry::{Entry, EntryNumber};
use outlive_log::header::Counting;
use outlive_log::{LogReader, NumberedEntry, Position, ReadError};

/// How many entries before and behind the bad one a report shows.
const AROUND: u64 = 6;

/// A log that is being replayed.
#[derive(Debug)]
pub(crate) struct Entries {
    log: LogReader,
    next: Option<NumberedEntry>,
    /// Why there is no next entry, if that is not the log's end.
    damage: Option<ReadError>,
    replayed: u64,
}

impl Entries {
    pub(crate) fn new(log: LogReader) -> Self {
        let mut entries = Self { log, next: None, damage: None, replayed: 0 };
        entries.advance();
        entries
    }

    pub(crate) fn counting(&self) -> Counting {
        self.log.header().counting
    }

    /// The entry that the replay must come to next; `None` at the end of what there is.
    pub(crate) fn next(&self) -> Option<&Entry> {
        self.next.as_ref().map(|next| &next.entry)
    }

    /// The number of that entry, or of the one that would follow.
    pub(crate) fn number(&self) -> EntryNumber {
        self.next.as_ref().map_or(EntryNumber(self.replayed), |next| next.number)
    }

    /// The replay has come to the next entry.
    pub(crate) fn take(&mut self) -> Option<Entry> {
        let taken = self.next.take()?;
        self.replayed = taken.number.0 + 1;
        self.advance();
        Some(taken.entry)
    }

    fn advance(&mut self) {
        match self.log.next() {
            Ok(next) => self.next = next,
            Err(error) => self.damage = Some(error),
        }
    }

    /// Makes the entry that was taken last the next one again, for a report.
    pub(crate) fn step_back(&mut self) {
        let last = EntryNumber(self.replayed.saturating_sub(1));
        if self.log.seek(Position::Entry(last)).is_ok() {
            self.advance();
        }
    }

    /// How many instructions the guest executes at most until the next entry.
    pub(crate) fn most_instructions(&self) -> InstructionCount {
        self.log.batch_end()
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
        self.log.progress()
    }

    /// The entries around the next one, for a report: those before and those behind. This ends the replay.
    pub(crate) fn around(&mut self) -> [Vec<(EntryNumber, String)>; 2] {
        let bad = self.number();
        let from = EntryNumber(bad.0.saturating_sub(AROUND));
        let mut around = [Vec::new(), Vec::new()];
        if self.log.seek(Position::Entry(from)).is_err() {
            return around;
        }
        // Damage behind the bad entry is no matter of this report.
        while let Ok(Some(entry)) = self.log.next() {
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
