//! Batches that wait for something.

use std::collections::VecDeque;

use crate::{LogPosition, Moment};

/// Batches that wait to be acknowledged, or to be executed, in order.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub(super) struct Backlog {
    batches: VecDeque<Batch>,
    bytes: usize,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Batch {
    end: LogPosition,
    bytes: usize,
    since: Moment,
}

impl Backlog {
    /// One more batch waits, since now.
    pub(super) fn push(&mut self, end: LogPosition, bytes: usize, since: Moment) {
        assert!(self.batches.back().is_none_or(|last| last.end < end), "batches come in order");
        self.batches.push_back(Batch { end, bytes, since });
        self.bytes += bytes;
    }

    /// What lies up to here waits no longer.
    pub(super) fn settle(&mut self, up_to: LogPosition) {
        let settled = self.batches.partition_point(|batch| batch.end <= up_to);
        self.bytes -= self.batches.drain(..settled).map(|batch| batch.bytes).sum::<usize>();
    }

    /// Whether one of them ends there.
    pub(super) fn ends_at(&self, position: LogPosition) -> bool {
        self.batches.binary_search_by_key(&position, |batch| batch.end).is_ok()
    }

    /// How many bytes they have.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when the oldest of them waits.
    pub(super) fn oldest(&self) -> Option<Moment> {
        self.batches.front().map(|batch| batch.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_settled_from_the_oldest_and_only_as_a_whole() {
        let mut backlog = Backlog::default();
        backlog.push(LogPosition(3), 100, Moment(1));
        backlog.push(LogPosition(7), 10, Moment(2));
        assert!(backlog.ends_at(LogPosition(7)) && !backlog.ends_at(LogPosition(5)));
        backlog.settle(LogPosition(6));
        assert_eq!((backlog.bytes(), backlog.oldest()), (10, Some(Moment(2))));
        backlog.settle(LogPosition(7));
        assert_eq!((backlog.bytes(), backlog.oldest()), (0, None));
    }
}
