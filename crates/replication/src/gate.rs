//! The output gate: what holds outputs back until they may leave.
//!
//! An output belongs to the batch that was being made when the guest made it, so it is first *held*, and *sealed* when
//! that batch is cut. From then on it may leave with the log position at which the batch ends. The primary lets outputs
//! out of its gate as the backup acknowledges positions; the backup forgets what its gate holds as the primary tells
//! positions as released, and repeats the rest when it goes live.
//!
//! Outputs come out one at a time, because each needs a look at the lease before it leaves.

use std::collections::VecDeque;

use crate::LogPosition;

/// Outputs that wait, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct OutputGate<T> {
    outputs: VecDeque<Held<T>>,
    /// Of how many outputs from the front it is known where their batch ends: those of each batch that has any.
    sealed: VecDeque<Sealed>,
    /// How many outputs belong to the batch that is being made.
    unsealed: usize,
    bytes: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Held<T> {
    output: T,
    bytes: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Sealed {
    end: LogPosition,
    outputs: usize,
}

impl<T> Default for OutputGate<T> {
    fn default() -> Self {
        Self { outputs: VecDeque::new(), sealed: VecDeque::new(), unsealed: 0, bytes: 0 }
    }
}

impl<T> OutputGate<T> {
    /// Holds an output of the batch that is being made. `bytes` is what it counts in [`OutputGate::bytes`].
    pub fn hold(&mut self, output: T, bytes: usize) {
        self.outputs.push_back(Held { output, bytes });
        self.unsealed += 1;
        self.bytes += bytes;
    }

    /// The batch is cut, and ends there.
    ///
    /// # Panics
    ///
    /// If it ends no later than one before that has outputs which still wait.
    pub fn seal(&mut self, end: LogPosition) {
        assert!(self.sealed.back().is_none_or(|last| last.end < end), "batches are cut in order");
        if self.unsealed > 0 {
            self.sealed.push_back(Sealed { end, outputs: self.unsealed });
            self.unsealed = 0;
        }
    }

    /// Takes the oldest output if its batch is cut and ends at `up_to` or before.
    pub fn pop(&mut self, up_to: LogPosition) -> Option<T> {
        let batch = self.sealed.front_mut().filter(|batch| batch.end <= up_to)?;
        batch.outputs -= 1;
        if batch.outputs == 0 {
            self.sealed.pop_front();
        }
        let held = self.outputs.pop_front()?;
        self.bytes -= held.bytes;
        Some(held.output)
    }

    /// Forgets the outputs of all batches that end at `up_to` or before.
    pub fn forget(&mut self, up_to: LogPosition) {
        while self.pop(up_to).is_some() {}
    }

    /// How many outputs wait.
    pub fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Whether no output waits.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// What the outputs that wait count together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_output_of_a_batch_that_is_not_cut_stays() {
        let mut gate = OutputGate::default();
        gate.hold("frame", 5);
        assert_eq!(gate.pop(LogPosition(u64::MAX)), None);
        gate.seal(LogPosition(3));
        assert_eq!(gate.pop(LogPosition(2)), None);
        assert_eq!(gate.pop(LogPosition(3)), Some("frame"));
        assert!(gate.is_empty());
    }

    #[test]
    #[should_panic(expected = "batches are cut in order")]
    fn batches_are_sealed_in_order() {
        let mut gate = OutputGate::default();
        gate.hold((), 0);
        gate.seal(LogPosition(3));
        gate.seal(LogPosition(3));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Hold(usize),
        Seal(u64),
        Pop(u64),
        Forget(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..100_usize).prop_map(Step::Hold),
            2 => (1..5_u64).prop_map(Step::Seal),
            3 => (0..60_u64).prop_map(Step::Pop),
            1 => (0..60_u64).prop_map(Step::Forget),
        ]
    }

    /// What a gate does, told as plainly as possible: each output with its number, its bytes and its batch's end.
    #[derive(Default)]
    struct Plain {
        waiting: Vec<(usize, usize, Option<u64>)>,
    }

    impl Plain {
        fn pop(&mut self, up_to: u64) -> Option<usize> {
            let first = self.waiting.first().filter(|(_, _, end)| end.is_some_and(|end| end <= up_to))?.0;
            self.waiting.remove(0);
            Some(first)
        }
    }

    proptest! {
        #[test]
        fn outputs_leave_in_order_and_only_behind_the_end_of_their_batch(
            steps in prop::collection::vec(step(), 0..100),
        ) {
            let mut gate = OutputGate::default();
            let mut plain = Plain::default();
            let mut end = 0;
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Hold(bytes) => {
                        gate.hold(number, bytes);
                        plain.waiting.push((number, bytes, None));
                    }
                    Step::Seal(entries) => {
                        end += entries;
                        gate.seal(LogPosition(end));
                        plain.waiting.iter_mut().for_each(|output| output.2 = output.2.or(Some(end)));
                    }
                    Step::Pop(up_to) => prop_assert_eq!(gate.pop(LogPosition(up_to)), plain.pop(up_to)),
                    Step::Forget(up_to) => {
                        gate.forget(LogPosition(up_to));
                        while plain.pop(up_to).is_some() {}
                    }
                }
                prop_assert_eq!(gate.len(), plain.waiting.len());
                prop_assert_eq!(gate.bytes(), plain.waiting.iter().map(|output| output.1).sum::<usize>());
            }
        }
    }
}
