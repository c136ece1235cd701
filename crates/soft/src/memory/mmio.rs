//! What the monitor must be asked or told within an instruction: accesses outside of RAM, and other reads.
//!
//! A write is easy: it is put into a queue, the instruction completes, and the monitor gets it as an exit.
//! A read needs its answer within the instruction. So the instruction is given up, the monitor answers, and
//! the instruction is executed again from its beginning, finding the answers that it has got so far. That
//! works for any instruction, whatever it reads and however often, because one that is given up has changed
//! nothing.

use std::collections::VecDeque;

use outlive_engine::{Answer, Exit, GuestPhysical};

use crate::fault::Reason;

/// A write that the monitor has not been told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Write {
    pub(crate) address: GuestPhysical,
    pub(crate) bytes: u8,
    pub(crate) value: u64,
}

/// Answers for the instruction under way, and writes of the one that has completed.
#[derive(Debug, Default)]
pub(crate) struct Mmio {
    /// Answers in the order of the reads.
    answers: Vec<Answer>,
    /// How many of them this execution has used.
    used: usize,
    /// Whether the monitor was asked and has not answered.
    waiting: bool,
    writes: VecDeque<Write>,
}

impl Mmio {
    /// The instruction begins, maybe again.
    pub(crate) fn begin(&mut self) {
        self.used = 0;
    }

    /// The instruction has completed or faulted: its answers are spent.
    pub(crate) fn finish(&mut self) {
        self.answers.clear();
        self.used = 0;
    }

    /// Whether an instruction is under way that has got answers.
    pub(crate) fn is_answered(&self) -> bool {
        !self.answers.is_empty()
    }

    /// The monitor is asked.
    pub(crate) fn wait(&mut self) {
        self.waiting = true;
    }

    /// Whether the monitor was asked and has not answered.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// The monitor answers the read that was asked last.
    pub(crate) fn answer(&mut self, answer: Answer) {
        assert!(self.waiting, "an answer comes where one was asked for");
        self.waiting = false;
        self.answers.push(answer);
    }

    /// The answer to the next question of this execution, if the monitor has given it.
    pub(crate) fn next_answer(&mut self) -> Option<Answer> {
        let answer = self.answers.get(self.used).copied();
        self.used += usize::from(answer.is_some());
        answer
    }

    /// Reads up to 8 bytes at a time.
    pub(super) fn read(&mut self, address: GuestPhysical, part: &mut [u8]) -> Result<(), Reason> {
        for (at, piece) in part.chunks_mut(8).enumerate() {
            let address = GuestPhysical(address.0 + 8 * at as u64);
            let Some(answer) = self.next_answer() else {
                return Err(Reason::Exit(Exit::MmioRead { address, bytes: piece.len() as u8 }));
            };
            let Answer::Value(value) = answer else { panic!("a read of memory was answered by {answer:?}") };
            piece.copy_from_slice(&value.to_le_bytes()[..piece.len()]);
        }
        Ok(())
    }

    /// Notes a write.
    pub(super) fn write(&mut self, address: GuestPhysical, part: &[u8]) {
        for (at, piece) in part.chunks(8).enumerate() {
            let mut value = [0; 8];
            value[..piece.len()].copy_from_slice(piece);
            let address = GuestPhysical(address.0 + 8 * at as u64);
            self.writes.push_back(Write {
                address,
                bytes: piece.len() as u8,
                value: u64::from_le_bytes(value),
            });
        }
    }

    /// Whether there are writes that the monitor has not been told of.
    pub(crate) fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    /// The next write that the monitor has to be told of.
    pub(crate) fn next_write(&mut self) -> Option<Write> {
        self.writes.pop_front()
    }
}
