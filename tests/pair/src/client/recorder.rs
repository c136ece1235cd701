//! What one client writes down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::history::{Answer, Call, History, Operation};
use crate::moment::Moment;

/// The operations of one client.
#[derive(Debug)]
pub struct Recorder {
    client: usize,
    history: History,
    answered: Arc<AtomicU64>,
}

/// An operation that has begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Begun(usize);

impl Recorder {
    /// Begins the record of a client of this number. Answers are counted in `answered`, for others to see.
    pub fn new(client: usize, answered: Arc<AtomicU64>) -> Self {
        Self { client, history: History::default(), answered }
    }

    /// A request is about to be made.
    pub fn begin(&mut self, key: &str, call: Call) -> Begun {
        let operation = Operation {
            client: self.client,
            key: key.to_owned(),
            call,
            invoked: Moment::now(),
            answer: None,
        };
        self.history.operations.push(operation);
        Begun(self.history.operations.len() - 1)
    }

    /// The answer to a request is there.
    pub fn end(&mut self, begun: Begun, answer: Answer) {
        self.history.operations[begun.0].answer = Some((Moment::now(), answer));
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// What was written down.
    pub fn finish(self) -> History {
        self.history
    }
}
