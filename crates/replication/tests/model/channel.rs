//! One direction of the connection.

use std::collections::VecDeque;

/// Messages in flight, in order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Channel<M> {
    in_flight: VecDeque<Delivery<M>>,
    /// Nothing that is sent arrives any more.
    is_dead: bool,
}

/// What arrives.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Delivery<M> {
    Message(M),
    /// The connection's end.
    Lost,
}

impl<M> Default for Channel<M> {
    fn default() -> Self {
        Self { in_flight: VecDeque::new(), is_dead: false }
    }
}

impl<M> Channel<M> {
    pub(crate) fn send(&mut self, message: M) {
        if !self.is_dead {
            self.in_flight.push_back(Delivery::Message(message));
        }
    }

    pub(crate) fn receive(&mut self) -> Option<Delivery<M>> {
        self.in_flight.pop_front()
    }

    pub(crate) fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// The sender closes it, or is gone: what is in flight arrives, and then the end.
    pub(crate) fn close(&mut self) {
        if !self.is_dead {
            self.in_flight.push_back(Delivery::Lost);
            self.is_dead = true;
        }
    }

    /// What is in flight is lost but for so many messages, and the end is told behind them.
    pub(crate) fn cut(&mut self, kept: usize) {
        self.in_flight.truncate(kept);
        self.close();
    }

    /// What is in flight is lost but for so many messages, and nothing is told.
    pub(crate) fn fall_silent(&mut self, kept: usize) {
        self.in_flight.truncate(kept);
        self.is_dead = true;
    }

    /// The receiver reads no more.
    pub(crate) fn abandon(&mut self) {
        self.in_flight.clear();
        self.is_dead = true;
    }
}
