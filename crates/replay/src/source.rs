//! Where the entries of a replay come from.

use outlive_engine::InstructionCount;
use outlive_log::entry::EntryNumber;
use outlive_log::header::Counting;
use outlive_log::{LogReader, NumberedEntry, Position, ReadError};

/// Where the entries of a replay come from: a log file, or a logging channel at whose other end the guest still runs.
pub trait EntrySource {
    /// What landmarks count.
    fn counting(&self) -> Counting;

    /// The next entry, `None` if there will be no more. Where the log is still being made this waits, and the guest
    /// stands still meanwhile: it must not run beyond what is known. That an entry is asked for says that the guest
    /// has executed all those before.
    ///
    /// # Errors
    /// When the log is damaged there.
    fn next(&mut self) -> Result<Option<NumberedEntry>, ReadError>;

    /// How many instructions the guest has executed at the end of the batch that the last entry belongs to, if its
    /// engine counts them.
    fn batch_end(&self) -> InstructionCount;

    /// How many bytes have been read, and how many there are as far as that is known.
    fn progress(&self) -> (u64, u64);

    /// Goes back to an entry, for a report that ends the replay. From then on [`next`](Self::next) waits for nothing.
    ///
    /// # Errors
    /// When the entry is not at hand any more.
    fn go_back(&mut self, to: EntryNumber) -> Result<(), ReadError>;
}

impl EntrySource for LogReader {
    fn counting(&self) -> Counting {
        self.header().counting
    }

    fn next(&mut self) -> Result<Option<NumberedEntry>, ReadError> {
        LogReader::next(self)
    }

    fn batch_end(&self) -> InstructionCount {
        LogReader::batch_end(self)
    }

    fn progress(&self) -> (u64, u64) {
        LogReader::progress(self)
    }

    fn go_back(&mut self, to: EntryNumber) -> Result<(), ReadError> {
        self.seek(Position::Entry(to))
    }
}
