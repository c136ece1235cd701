//! The log of a side whose machine is live: batches for the other side, and for a file if somebody wants one.

use std::time::{Duration, Instant};

use outlive_engine::InstructionCount;
use outlive_log::batch::FULL_BYTES;
use outlive_log::encoding::Bases;
use outlive_log::entry::{EndReason, EntryNumber};
use outlive_log::{BatchEncoder, Entry, LogFile, LogSize, WriteError};
use outlive_replay::EventLog;

use super::{Pace, ToDriver, VcpuEvent};
use crate::LogPosition;

/// Entries that nobody waits for are sent when they are so old, or when there are [`MANY_BYTES`] of them.
const OLD: Duration = Duration::from_millis(1);
/// The same where only time has passed. A batch costs both hosts some tens of microseconds however little is in it, so a
/// guest that computes, and is interrupted a few hundred times a second, shall not send one for each interrupt.
const OLD_QUIET: Duration = Duration::from_millis(5);
/// See [`OLD`].
const MANY_BYTES: usize = FULL_BYTES / 4;
/// Outputs do not wait, but of a guest that makes many, those of so short a time share a batch. Each batch takes both
/// hosts some tens of microseconds, and no single output of a guest that has little to do is delayed by this.
const DISTANCE: Duration = Duration::from_micros(200);

/// The log of a machine that is live. It is cut where an output has been made, so that this can leave soon; before the
/// guest sleeps; and often enough to keep a backup near. What came in and was not answered is sent within `OLD`: a frame that
/// dies with this host is missed until its sender repeats it, a fifth of a second later or more.
///
/// A file gets the same batches before anybody else, so it holds whatever the backup has. If it takes no more, that is
/// told, and the pair goes on without.
#[derive(Debug)]
pub struct PairLog<S> {
    driver: ToDriver<S>,
    pace: Pace,
    batch: BatchEncoder,
    file: Option<LogFile>,
    /// Whether the batch has something that should not wait: an output.
    is_urgent: bool,
    /// Since when the batch has entries.
    begun: Option<Instant>,
    /// When the last batch was sent.
    sent: Option<Instant>,
    /// How the recording ended.
    end: Option<Ending>,
    size: LogSize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Guest,
    Person,
}

impl<S> PairLog<S> {
    /// A log that begins with entry `first`, behind others that have told `bases`. The `file` has these others already.
    pub fn new(
        driver: ToDriver<S>,
        pace: Pace,
        first: EntryNumber,
        bases: Bases,
        file: Option<LogFile>,
    ) -> Self {
        let size = LogSize { entries: first.0, bytes: 0 };
        let batch = BatchEncoder::going_on(first, bases);
        Self { driver, pace, batch, file, is_urgent: false, begun: None, sent: None, end: None, size }
    }

    /// Finishes the batch, writes it to the file, and returns it with the position behind it.
    fn finish(&mut self) -> Option<(Vec<u8>, LogPosition)> {
        if self.batch.is_empty() {
            return None;
        }
        let (first, bases) = (self.batch.first(), self.batch.bases());
        let mut bytes = Vec::new();
        self.batch.finish(&mut bytes);
        let next = self.batch.first();
        if let Some(file) = &mut self.file
            && let Err(error) = file.append(&bytes, first, bases, next)
        {
            self.lose_file(&error);
        }
        self.size = LogSize { entries: next.0, bytes: self.size.bytes + bytes.len() as u64 };
        (self.is_urgent, self.begun) = (false, None);
        Some((bytes, LogPosition(next.0)))
    }

    fn lose_file(&mut self, error: &WriteError) {
        log_lost(error);
        self.file = None;
    }

    fn send(&mut self) {
        if let Some((bytes, end)) = self.finish() {
            self.sent = Some(Instant::now());
            // Without a driver the machine is about to be stopped.
            self.driver.bring(VcpuEvent::Cut { bytes, end });
        }
    }
}

/// Tells that a log file takes no more.
pub(super) fn log_lost(error: &WriteError) {
    let error: &dyn std::error::Error = error;
    tracing::error!(
        target: crate::TARGET,
        event = "log_lost",
        error,
        "the event log on this side ends here; the pair goes on without it"
    );
}

impl<S> EventLog for PairLog<S> {
    fn append(&mut self, entry: &Entry, instructions: InstructionCount) -> Result<(), WriteError> {
        if self.end.is_some() {
            return Err(WriteError::Ended);
        }
        if let Entry::End(end) = entry {
            self.end = Some(match end.reason {
                EndReason::Requested => Ending::Person,
                _ => Ending::Guest,
            });
        }
        if let Entry::End(end) = entry
            && end.reason == EndReason::Requested
            && end.state.is_some()
        {
            // The guest has not ended: that is for the file only, and the other side goes on from here. Without a
            // state the machine stands where no other can, and the other side goes on from the last cut.
            self.send();
        }
        let number = self.batch.next();
        let pushed = self.batch.push(entry, instructions);
        pushed.map_err(|source| WriteError::Entry { number, source })?;
        self.is_urgent |= matches!(entry, Entry::Output { .. });
        self.begun.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn wants_cut(&self, sleep: Option<Duration>) -> bool {
        let is_due = || self.is_urgent && self.sent.is_none_or(|sent| sent.elapsed() >= DISTANCE);
        let old = if self.batch.is_quiet() { OLD_QUIET } else { OLD };
        let is_old = || self.begun.is_some_and(|begun| begun.elapsed() > old);
        !self.batch.is_empty() && (sleep.is_some() || self.batch.bytes() > MANY_BYTES || is_due() || is_old())
    }

    fn cut(&mut self) -> Result<(), WriteError> {
        self.send();
        self.pace.keep();
        Ok(())
    }

    fn close(mut self) -> Result<LogSize, WriteError> {
        match self.end {
            None => return Err(WriteError::NotEnded),
            Some(Ending::Guest) => {
                self.send();
                self.driver.tell(VcpuEvent::Ended);
            }
            Some(Ending::Person) => {
                self.finish();
                self.driver.tell(VcpuEvent::Stopped);
            }
        }
        let Some(file) = self.file else { return Ok(self.size) };
        file.close().or_else(|error| {
            log_lost(&error);
            Ok(self.size)
        })
    }
}

#[cfg(test)]
mod tests;
