//! When a driver wakes up by itself.

use std::future::pending;
use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::Moment;
use crate::clock;

/// An alarm that rings at a moment or before. To set a timer costs something, and deadlines move on with each message:
/// so one that would ring too early is left as it is.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: Pin<Box<Sleep>>,
    /// For when the timer is set, if it has not rung.
    set: Option<Moment>,
}

impl Alarm {
    /// One that is not set. Wants a runtime around it.
    pub(super) fn new() -> Self {
        Self { timer: Box::pin(sleep_until(Instant::now())), set: None }
    }

    /// Rings by `deadline`. Without one it may still ring, if it was set before.
    pub(super) fn set(&mut self, deadline: Option<Moment>) {
        let Some(deadline) = deadline else { return };
        if self.set.is_none_or(|set| deadline < set) {
            self.timer.as_mut().reset(Instant::from_std(clock::instant(deadline)));
            self.set = Some(deadline);
        }
    }

    /// Waits until it rings. May be cancelled.
    pub(super) async fn ring(&mut self) {
        if self.set.is_none() {
            return pending().await;
        }
        self.timer.as_mut().await;
        self.set = None;
    }
}
