//! Whether a history could have been made by one service that does one thing after the other.
//!
//! A history is *linearizable* (Herlihy and Wing, 1990) if each operation can be given one point between its request
//! and its answer at which it takes effect, so that the answers are those of a sequential service. Keys do not depend
//! on each other, so each key is checked for itself, which the property allows (it is *local*).
//!
//! The search is that of Wing and Gong (1993) with the memory of Lowe (2017). Requests and answers stand in a list in
//! the order of their moments. An operation whose request comes before the first answer in the list may be the next
//! one to take effect. If the model agrees with its answer it is taken out of the list, and the search starts again at
//! the list's head; if it comes to an answer, no further operation may be next, and the last choice is undone. A pair
//! of *which operations took effect* and *what value the key has* that was seen before need not be tried again. With
//! few clients the search is close to linear.
//!
//! Operations without an answer may take effect anywhere behind their request, or not at all. Unless that is narrowed
//! down, some repeated requests make the search exponential. Those that nobody can have noticed are left out before the
//! search; of several with the same effect the earlier is tried first; and where nothing is counted, a write without an
//! answer takes effect only for the next operation to read it, since one that is overwritten unread might as well be
//! left out.

use std::collections::HashSet;
use std::fmt;

use crate::history::{Answer, Call, History, Operation};

/// The value of one key.
type Value = Option<u64>;

/// An end of an operation in the list, or one of the list's own ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Request(usize),
    Answer(usize),
    Border,
}

/// The head and the last node of the list.
const HEAD: usize = 0;

/// A history that no sequential service has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The key.
    pub key: String,
    /// How many operations took effect in the longest order that was found.
    pub explained: usize,
    /// How many operations of this key were answered.
    pub answered: usize,
    /// The operation that no order explains, with those about the same time.
    pub around: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, explained, answered, around } = self;
        write!(
            f,
            "{key}: no order explains more than {explained} of {answered} answers: {}",
            around.join("; ")
        )
    }
}

/// Checks every key of a history.
///
/// # Errors
/// The first key, by name, whose operations have no order.
pub fn check(history: &History) -> Result<(), Violation> {
    history.by_key().into_iter().try_for_each(|(key, operations)| check_key(key, &operations))
}

/// Checks the operations of one key; they are in the order of their requests.
fn check_key(key: &str, operations: &[&Operation]) -> Result<(), Violation> {
    let noticed = noticed(operations);
    Search::new(&noticed).run().map_err(|failure| failure.told(key, &noticed))
}

/// Leaves out operations without an answer that no answer can tell of.
fn noticed<'a>(operations: &[&'a Operation]) -> Vec<&'a Operation> {
    let counted = operations.iter().any(|operation| operation.call == Call::Increment);
    let read: HashSet<_> = operations
        .iter()
        .filter_map(|operation| match operation.answer {
            Some((_, Answer::Value(value))) => value,
            _ => None,
        })
        .collect();
    let may_be_noticed = |operation: &&Operation| match operation.call {
        _ if operation.answer.is_some() => true,
        Call::Get => false,
        Call::Set(value) => counted || read.contains(&value),
        Call::Increment => true,
    };
    operations.iter().copied().filter(may_be_noticed).collect()
}

/// What the sequential service does: the value behind the operation, if its answer is right.
fn effect(operation: &Operation, value: Value) -> Option<Value> {
    let (after, right) = match operation.call {
        Call::Set(new) => (Some(new), Answer::Done),
        Call::Get => (value, Answer::Value(value)),
        Call::Increment => {
            let new = Some(value.unwrap_or(0).wrapping_add(1));
            (new, Answer::Value(new))
        }
    };
    operation.answer.is_none_or(|(_, answer)| answer == right).then_some(after)
}

/// A node of the list.
#[derive(Clone, Copy, Debug)]
struct Node {
    end: End,
    previous: usize,
    next: usize,
}

/// What was reached when the search gave up.
struct Failure {
    explained: usize,
    answered: usize,
    stuck: usize,
}

impl Failure {
    fn told(self, key: &str, operations: &[&Operation]) -> Violation {
        let from = self.stuck.saturating_sub(3);
        let around = operations.iter().enumerate().skip(from).take(7);
        let around = around.map(|(index, operation)| {
            format!("{}{operation}", if index == self.stuck { "HERE " } else { "" })
        });
        Violation {
            key: key.to_owned(),
            explained: self.explained,
            answered: self.answered,
            around: around.collect(),
        }
    }
}

/// Which operations took effect, exactly and briefly: all answered ones below the first number, and those listed.
type Progress = (usize, Vec<usize>);

struct Search<'a> {
    operations: &'a [&'a Operation],
    nodes: Vec<Node>,
    /// For each operation: the nodes of its request and of its answer.
    request: Vec<usize>,
    answer: Vec<Option<usize>>,
    /// For one without an answer: the one before that has the same effect.
    twin: Vec<Option<usize>>,
    /// Those without an answer.
    unanswered: Vec<usize>,
    /// Whether a write without an answer must be read by the next operation.
    writes_are_read: bool,
    effective: Vec<bool>,
    /// All answered operations below are effective.
    low: usize,
    /// No operation from here on is effective.
    high: usize,
    /// With the value, and whether the next operation must read it.
    seen: HashSet<(Progress, Value, bool)>,
}

impl<'a> Search<'a> {
    fn new(operations: &'a [&'a Operation]) -> Self {
        let count = operations.len();
        let mut ends = Vec::with_capacity(2 * count);
        for (index, operation) in operations.iter().enumerate() {
            // At one moment requests come first: such operations are concurrent.
            ends.push((operation.invoked, 0, index));
            if let Some((at, _)) = operation.answer {
                ends.push((at, 1, index));
            }
        }
        ends.sort_unstable();
        let last = ends.len() + 1;
        let mut nodes = vec![Node { end: End::Border, previous: last, next: 1 }];
        let (mut request, mut answer) = (vec![0; count], vec![None; count]);
        for (place, (_, kind, index)) in ends.into_iter().enumerate() {
            let node = place + 1;
            let end = if kind == 0 { End::Request(index) } else { End::Answer(index) };
            match end {
                End::Request(_) => request[index] = node,
                _ => answer[index] = Some(node),
            }
            nodes.push(Node { end, previous: node - 1, next: node + 1 });
        }
        nodes.push(Node { end: End::Border, previous: last - 1, next: HEAD });
        let twin = (0..count).map(|index| twin(operations, index)).collect();
        Self {
            operations,
            nodes,
            request,
            answer,
            twin,
            unanswered: (0..count).filter(|&index| operations[index].answer.is_none()).collect(),
            writes_are_read: operations.iter().all(|operation| operation.call != Call::Increment),
            effective: vec![false; count],
            low: 0,
            high: 0,
            seen: HashSet::new(),
        }
    }

    fn run(mut self) -> Result<(), Failure> {
        let answered = self.answer.iter().filter(|answer| answer.is_some()).count();
        let (mut left, mut value): (usize, Value) = (answered, None);
        let mut choices: Vec<(usize, Value)> = Vec::new();
        let mut failure = Failure { explained: 0, answered, stuck: 0 };
        let mut node = self.nodes[HEAD].next;
        while left > 0 {
            if let End::Request(index) = self.nodes[node].end {
                let owed = choices.last().is_some_and(|(last, _)| self.must_be_read(*last));
                if let Some(after) = self.takes_effect(index, value, owed) {
                    choices.push((index, value));
                    value = after;
                    left -= usize::from(self.answer[index].is_some());
                    node = self.nodes[HEAD].next;
                } else {
                    node = self.nodes[node].next;
                }
                continue;
            }
            if let End::Answer(stuck) = self.nodes[node].end
                && answered - left >= failure.explained
            {
                (failure.explained, failure.stuck) = (answered - left, stuck);
            }
            let Some((index, before)) = choices.pop() else { return Err(failure) };
            self.undo(index);
            value = before;
            left += usize::from(self.answer[index].is_some());
            node = self.nodes[self.request[index]].next;
        }
        Ok(())
    }

    /// Whether this is a write without an answer that would be left out if nobody read it.
    fn must_be_read(&self, index: usize) -> bool {
        self.writes_are_read && self.answer[index].is_none()
    }

    /// Lets an operation take effect, if its answer is right and this was not tried before.
    fn takes_effect(&mut self, index: usize, value: Value, owed: bool) -> Option<Value> {
        if owed && self.operations[index].call != Call::Get {
            return None;
        }
        if self.twin[index].is_some_and(|twin| !self.effective[twin]) {
            return None;
        }
        let after = effect(self.operations[index], value)?;
        let (low, high) = (self.low, self.high);
        self.effective[index] = true;
        self.high = self.high.max(index + 1);
        while self.low < self.high && (self.effective[self.low] || self.answer[self.low].is_none()) {
            self.low += 1;
        }
        if !self.seen.insert((self.progress(), after, self.must_be_read(index))) {
            self.effective[index] = false;
            (self.low, self.high) = (low, high);
            return None;
        }
        self.unlink(self.request[index]);
        if let Some(answer) = self.answer[index] {
            self.unlink(answer);
        }
        Some(after)
    }

    fn undo(&mut self, index: usize) {
        if let Some(answer) = self.answer[index] {
            self.link(answer);
        }
        self.link(self.request[index]);
        self.effective[index] = false;
        if self.answer[index].is_some() {
            self.low = self.low.min(index);
        }
        while self.high > 0 && !self.effective[self.high - 1] {
            self.high -= 1;
        }
        self.low = self.low.min(self.high);
    }

    fn progress(&self) -> Progress {
        let unanswered = self.unanswered.iter().copied().take_while(|&index| index < self.low);
        let listed = unanswered.chain(self.low..self.high).filter(|&index| self.effective[index]);
        (self.low, listed.collect())
    }

    fn unlink(&mut self, node: usize) {
        let Node { previous, next, .. } = self.nodes[node];
        self.nodes[previous].next = next;
        self.nodes[next].previous = previous;
    }

    /// Puts a node back, whose own links still tell where it was.
    fn link(&mut self, node: usize) {
        let Node { previous, next, .. } = self.nodes[node];
        self.nodes[previous].next = node;
        self.nodes[next].previous = node;
    }
}

fn twin(operations: &[&Operation], index: usize) -> Option<usize> {
    let operation = operations[index];
    let same =
        |other: &usize| operations[*other].answer.is_none() && operations[*other].call == operation.call;
    operation.answer.is_none().then(|| (0..index).rev().find(same)).flatten()
}

#[cfg(test)]
mod tests;
