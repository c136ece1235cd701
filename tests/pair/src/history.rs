//! What clients asked of a service and what it answered: the evidence that a rehearsal is judged by.
//!
//! Each *operation* has the moment of its request, and if there was an answer, that and its moment. One without an
//! answer may have taken effect at any time after its request, or never: nobody knows. A client that repeats a
//! request makes a *new* operation, since both requests may reach the service.

use std::collections::BTreeMap;
use std::fmt;

use crate::moment::Moment;

/// What a client asked of one key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// To be set to this number.
    Set(u64),
    /// Its value.
    Get,
    /// To be raised by one; a key without a value counts as 0.
    Increment,
}

/// What the service answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It was done.
    Done,
    /// The value of the key, if it has one: for an increment, the one behind it.
    Value(Option<u64>),
}

/// One request about one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// Which client asked.
    pub client: usize,
    /// Of which key.
    pub key: String,
    /// What.
    pub call: Call,
    /// When the request was made.
    pub invoked: Moment,
    /// The answer, and when the client had it.
    pub answer: Option<(Moment, Answer)>,
}

impl Operation {
    /// Whether this operation was over when `other` began, so that no order of effects may turn them round.
    pub fn is_before(&self, other: &Self) -> bool {
        self.answer.is_some_and(|(at, _)| at < other.invoked)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, key, call, .. } = self;
        match call {
            Call::Set(value) => write!(f, "client {client}: set {key} to {value}")?,
            Call::Get => write!(f, "client {client}: get {key}")?,
            Call::Increment => write!(f, "client {client}: increment {key}")?,
        }
        match self.answer {
            None => write!(f, ", no answer"),
            Some((_, Answer::Done)) => write!(f, ", done"),
            Some((_, Answer::Value(None))) => write!(f, ", no value"),
            Some((_, Answer::Value(Some(value)))) => write!(f, ", value {value}"),
        }
    }
}

/// All operations of a rehearsal, in no order.
#[derive(Clone, Default, Debug)]
pub struct History {
    /// The operations.
    pub operations: Vec<Operation>,
}

impl History {
    /// Puts another history to this one.
    pub fn extend(&mut self, other: Self) {
        self.operations.extend(other.operations);
    }

    /// The operations of each key, in the order of their requests.
    pub fn by_key(&self) -> BTreeMap<&str, Vec<&Operation>> {
        let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        for operation in &self.operations {
            keys.entry(&operation.key).or_default().push(operation);
        }
        for operations in keys.values_mut() {
            operations.sort_by_key(|operation| operation.invoked);
        }
        keys
    }

    /// How many operations were answered.
    pub fn answered(&self) -> usize {
        self.operations.iter().filter(|operation| operation.answer.is_some()).count()
    }

    /// The moments of all answers, in order.
    pub fn answers(&self) -> Vec<Moment> {
        let mut moments: Vec<_> =
            self.operations.iter().filter_map(|operation| Some(operation.answer?.0)).collect();
        moments.sort_unstable();
        moments
    }

    /// The longest time without any answer, of those that had begun when the service had recovered from a failure, and
    /// ended behind the failure: the last answer before it and the first one behind it.
    pub fn pause_between(&self, failure: Moment, recovered: Moment) -> Option<(Moment, Moment)> {
        let answers = self.answers();
        let gaps = answers.windows(2).map(|pair| (pair[0], pair[1]));
        gaps.filter(|gap| gap.1 > failure && gap.0 < recovered).max_by_key(|gap| gap.0.until(gap.1))
    }

    /// Acknowledged writes that are lost, told in words.
    ///
    /// Looks at keys that one client alone sets, to numbers that grow. The last value that was read of such a key must
    /// be no older than the last write that was acknowledged before that reading, and one that was asked for at all.
    /// This follows from linearizability too; it is checked by itself because it is what people want to know, and
    /// takes no search.
    pub fn lost_writes(&self) -> Vec<String> {
        self.by_key().into_iter().filter_map(|(key, operations)| lost_write(key, &operations)).collect()
    }
}

fn lost_write(key: &str, operations: &[&Operation]) -> Option<String> {
    let writes: Vec<_> = operations
        .iter()
        .filter_map(|operation| match operation.call {
            Call::Set(value) => Some((operation, value)),
            _ => None,
        })
        .collect();
    let (first, _) = writes.first()?;
    let grows = writes.windows(2).all(|pair| pair[0].1 <= pair[1].1);
    if !grows || writes.iter().any(|(write, _)| write.client != first.client) {
        return None;
    }
    let reading = operations.iter().rev().find_map(|operation| match (operation.call, operation.answer) {
        (Call::Get, Some((_, Answer::Value(value)))) => Some((operation, value)),
        _ => None,
    });
    let (reading, found) = reading?;
    let acknowledged =
        writes.iter().filter(|(write, _)| write.is_before(reading)).map(|write| write.1).max()?;
    match found {
        None => Some(format!("{key}: {acknowledged} was acknowledged, and there is no value")),
        // A repetition without an answer may come late.
        Some(value)
            if value < acknowledged
                && writes.iter().all(|(write, set)| *set != value || write.answer.is_some()) =>
        {
            Some(format!("{key}: {acknowledged} was acknowledged, but the value is {value}"))
        }
        Some(value) if writes.iter().all(|write| write.1 != value) => {
            Some(format!("{key}: the value is {value}, which nobody has written"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(client: usize, call: Call, from: u64, answer: Option<(u64, Answer)>) -> Operation {
        let answer = answer.map(|(at, answer)| (Moment(at), answer));
        Operation { client, key: "k".to_owned(), call, invoked: Moment(from), answer }
    }

    fn set(value: u64, from: u64, to: u64) -> Operation {
        operation(0, Call::Set(value), from, Some((to, Answer::Done)))
    }

    fn get(value: Option<u64>, from: u64, to: u64) -> Operation {
        operation(1, Call::Get, from, Some((to, Answer::Value(value))))
    }

    fn lost(operations: &[Operation]) -> usize {
        History { operations: operations.to_vec() }.lost_writes().len()
    }

    #[test]
    fn an_acknowledged_write_that_is_not_read_in_the_end_is_lost() {
        assert_eq!(lost(&[set(1, 0, 1), set(2, 2, 3), get(Some(2), 4, 5)]), 0);
        assert_eq!(lost(&[set(1, 0, 1), set(2, 2, 3), get(Some(1), 4, 5)]), 1, "an older value");
        assert_eq!(lost(&[set(1, 0, 1), get(None, 4, 5)]), 1, "no value");
        assert_eq!(lost(&[set(1, 0, 1), get(Some(7), 4, 5)]), 1, "a value from nowhere");
    }

    #[test]
    fn a_repetition_that_came_late_is_no_lost_write() {
        let repeated = operation(0, Call::Set(1), 0, None);
        assert_eq!(lost(&[repeated, set(1, 0, 1), set(2, 2, 3), get(Some(1), 4, 5)]), 0);
    }

    #[test]
    fn a_write_without_an_answer_may_be_there_or_not() {
        let pending = operation(0, Call::Set(2), 2, None);
        assert_eq!(lost(&[set(1, 0, 1), pending.clone(), get(Some(1), 4, 5)]), 0);
        assert_eq!(lost(&[set(1, 0, 1), pending, get(Some(2), 4, 5)]), 0);
    }

    #[test]
    fn the_pause_is_the_longest_silence_that_ends_behind_the_failure() {
        let history = History {
            operations: vec![
                set(1, 0, 10),
                set(2, 11, 60),
                set(3, 61, 70),
                set(4, 71, 110),
                set(5, 111, 112),
            ],
        };
        assert_eq!(history.pause_between(Moment(65), Moment(80)), Some((Moment(70), Moment(110))));
        assert_eq!(history.pause_between(Moment(65), Moment(70)), Some((Moment(60), Moment(70))));
        assert_eq!(history.pause_between(Moment(112), Moment(120)), None);
    }
}
