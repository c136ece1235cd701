//! Where the entries of a machine come from that follows.

use std::collections::VecDeque;
use std::sync::mpsc::Receiver;

use outlive_engine::InstructionCount;
use outlive_log::encoding::Bases;
use outlive_log::entry::EntryNumber;
use outlive_log::header::Counting;
use outlive_log::{BatchDecoder, Damage, LogFile, NumberedEntry, Part, ReadError};
use outlive_replay::EntrySource;

use super::pair_log::log_lost;
use super::{ToDriver, VcpuEvent};
use crate::LogPosition;

/// How many batches are kept for a report: the one that is being executed, and some before.
const KEPT: usize = 8;

/// What the driver gives to a machine that follows.
#[derive(Debug)]
pub enum Fed {
    /// The next batch, and its bytes as they came.
    Batch(Box<BatchDecoder>, Vec<u8>),
    /// There will be no more.
    End,
}

/// The log that comes over the channel, entry by entry. Asking for an entry that has not come waits for it.
#[derive(Debug)]
pub struct Feed<S> {
    fed: Receiver<Fed>,
    driver: ToDriver<S>,
    counting: Counting,
    file: Option<LogFile>,
    batch: Option<BatchDecoder>,
    /// The last batches as they came, for a report.
    kept: VecDeque<BatchDecoder>,
    /// Batches that a report has gone back to.
    again: VecDeque<BatchDecoder>,
    /// The first entry that a report wants.
    from: EntryNumber,
    has_ended: bool,
    batches: u64,
    bytes: u64,
    next: EntryNumber,
    bases: Bases,
}

impl<S> Feed<S> {
    /// A log whose batches come out of `fed`. Each is written to the file, if there is one. The driver is told when
    /// one has been executed.
    pub fn new(fed: Receiver<Fed>, driver: ToDriver<S>, counting: Counting, file: Option<LogFile>) -> Self {
        Self {
            fed,
            driver,
            counting,
            file,
            batch: None,
            kept: VecDeque::new(),
            again: VecDeque::new(),
            from: EntryNumber(0),
            has_ended: false,
            batches: 0,
            bytes: 0,
            next: EntryNumber(0),
            bases: Bases::default(),
        }
    }

    /// What a log that goes on from here begins with: the file, the number of its next entry, and what was told before it.
    pub fn into_parts(self) -> (Option<LogFile>, EntryNumber, Bases) {
        (self.file, self.next, self.bases)
    }

    /// Waits for the next batch. Whether there is one.
    fn load(&mut self) -> bool {
        if let Some(batch) = self.again.pop_front() {
            self.batch = Some(batch);
            return true;
        }
        if self.has_ended {
            return false;
        }
        let Ok(Fed::Batch(batch, bytes)) = self.fed.recv() else {
            self.has_ended = true;
            return false;
        };
        self.write(&batch, &bytes);
        self.batches += 1;
        self.bytes += bytes.len() as u64;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((*batch).clone());
        self.batch = Some(*batch);
        true
    }

    fn write(&mut self, batch: &BatchDecoder, bytes: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.append(bytes, batch.first(), batch.bases(), batch.end())
        {
            log_lost(&error);
            self.file = None;
        }
    }

    /// The next entry of the batch at hand.
    fn next_of_batch(&mut self) -> Result<Option<NumberedEntry>, Damage> {
        let Some(batch) = &mut self.batch else { return Ok(None) };
        if let Some(entry) = batch.next_entry()? {
            return Ok(Some(entry));
        }
        (self.next, self.bases) = (batch.end(), batch.reached());
        self.batch = None;
        Ok(None)
    }

    fn damaged(&self, source: Damage) -> ReadError {
        ReadError::Damaged { offset: self.bytes, part: Part::Batch(self.batches.saturating_sub(1)), source }
    }
}

impl<S> EntrySource for Feed<S> {
    fn counting(&self) -> Counting {
        self.counting
    }

    fn next(&mut self) -> Result<Option<NumberedEntry>, ReadError> {
        loop {
            let had_batch = self.batch.is_some();
            match self.next_of_batch().map_err(|damage| self.damaged(damage))? {
                Some(entry) if entry.number < self.from => {}
                Some(entry) => return Ok(Some(entry)),
                None => {
                    if had_batch && !self.has_ended {
                        // The next acknowledgement tells it. None is sent for this.
                        self.driver.put(VcpuEvent::Executed(LogPosition(self.next.0)));
                    }
                    if !self.load() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn batch_end(&self) -> InstructionCount {
        self.batch.as_ref().map_or(InstructionCount(0), BatchDecoder::instructions)
    }

    fn progress(&self) -> (u64, u64) {
        (self.bytes, self.bytes)
    }

    fn go_back(&mut self, to: EntryNumber) -> Result<(), ReadError> {
        // What is not kept any more is left out of the report.
        self.again = self.kept.iter().filter(|batch| batch.end() > to).cloned().collect();
        self.batch = None;
        self.from = to;
        self.has_ended = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
