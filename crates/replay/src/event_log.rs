//! Where a recording goes.

use std::time::Duration;

use outlive_engine::InstructionCount;
use outlive_log::entry::Entry;
use outlive_log::{LogSize, LogWriter, WriteError};

/// A guest that will sleep for longer than this has its log written before.
const LONG_SLEEP: Duration = Duration::from_secs(1);

/// Where a recording goes: a log file, or a logging channel.
pub trait EventLog {
    /// Takes an entry. `instructions` is what the guest has executed there, zero if the engine counts none.
    ///
    /// # Errors
    /// When the log cannot take it.
    fn append(&mut self, entry: &Entry, instructions: InstructionCount) -> Result<(), WriteError>;

    /// Whether the log wants to be [cut](Self::cut) where the machine stands now. `sleep` says for how long the guest
    /// will sleep at most, if it is about to: without a device timer that is due, for [`Duration::MAX`].
    fn wants_cut(&self, sleep: Option<Duration>) -> bool;

    /// Lets others have all entries up to here. The machine stands between two turns, at a landmark: who has
    /// replayed these entries stands there too, and can go live.
    ///
    /// # Errors
    /// When the log cannot take it.
    fn cut(&mut self) -> Result<(), WriteError>;

    /// Ends the log. The last entry was its end.
    ///
    /// # Errors
    /// When the log cannot take what is left to be written.
    fn close(self) -> Result<LogSize, WriteError>;
}

impl EventLog for LogWriter {
    fn append(&mut self, entry: &Entry, instructions: InstructionCount) -> Result<(), WriteError> {
        LogWriter::append(self, entry, instructions)
    }

    /// Batches are as long as they may be, but a guest that sleeps for long leaves nothing unwritten.
    fn wants_cut(&self, sleep: Option<Duration>) -> bool {
        sleep.is_some_and(|sleep| sleep > LONG_SLEEP)
    }

    fn cut(&mut self) -> Result<(), WriteError> {
        self.flush()
    }

    fn close(self) -> Result<LogSize, WriteError> {
        LogWriter::close(self)
    }
}
