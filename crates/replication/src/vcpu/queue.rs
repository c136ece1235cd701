//! The queue from a vCPU thread to its driver.
//!
//! To wake a thread costs both sides more than most of what goes through here takes to be worked off. So an event is
//! either *put*, and found when the driver looks the next time, or *told*, and the driver wakes up for it. It takes all
//! events at once, in order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::VcpuEvent;

#[derive(Debug)]
struct Shared<S> {
    queue: Mutex<Queue<S>>,
    news: Notify,
}

#[derive(Debug)]
struct Queue<S> {
    events: Vec<VcpuEvent<S>>,
    /// How many ends there are at which events go in.
    senders: usize,
    /// The driver takes no more events.
    is_closed: bool,
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Queue<S>> {
        // Whole even if a thread panicked while it held the lock: nothing that is done under it can.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The vCPU thread's end of the queue to its driver.
#[derive(Debug)]
pub struct ToDriver<S>(Arc<Shared<S>>);

/// The driver's end.
#[derive(Debug)]
pub(crate) struct FromVcpu<S>(Arc<Shared<S>>);

/// A queue to a driver.
pub(crate) fn queue<S>() -> (ToDriver<S>, FromVcpu<S>) {
    let queue = Queue { events: Vec::new(), senders: 1, is_closed: false };
    let shared = Arc::new(Shared { queue: Mutex::new(queue), news: Notify::new() });
    (ToDriver(Arc::clone(&shared)), FromVcpu(shared))
}

impl<S> ToDriver<S> {
    /// Tells the driver. Whether it is still there.
    pub fn tell(&self, event: VcpuEvent<S>) -> bool {
        let is_there = self.put(event);
        self.0.news.notify_one();
        is_there
    }

    /// Leaves something that the driver needs not look at before it wakes up for something else. Whether it is still
    /// there.
    pub fn put(&self, event: VcpuEvent<S>) -> bool {
        let mut queue = self.0.lock();
        if queue.is_closed {
            return false;
        }
        queue.events.push(event);
        true
    }
}

impl<S> Clone for ToDriver<S> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<S> Drop for ToDriver<S> {
    fn drop(&mut self) {
        let left = {
            let mut queue = self.0.lock();
            queue.senders -= 1;
            queue.senders
        };
        if left == 0 {
            self.0.news.notify_one();
        }
    }
}

impl<S> FromVcpu<S> {
    /// Takes all events that are there, into an empty list. Whether more can come.
    pub(crate) fn take(&self, events: &mut Vec<VcpuEvent<S>>) -> bool {
        debug_assert!(events.is_empty(), "what was taken before is worked off first");
        let mut queue = self.0.lock();
        std::mem::swap(&mut queue.events, events);
        queue.senders > 0
    }

    /// Waits until the driver has been told something, or nobody is left who could. May be cancelled.
    pub(crate) async fn news(&self) {
        self.0.news.notified().await;
    }
}

impl<S> Drop for FromVcpu<S> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.is_closed = true;
        // What nobody takes any more may be large, and may be the host's outputs.
        drop(std::mem::take(&mut queue.events));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogPosition;

    fn executed(entries: u64) -> VcpuEvent<()> {
        VcpuEvent::Executed(LogPosition(entries))
    }

    /// Takes what is there: how far the machine has come by each event, and whether more can come.
    fn take(queue: &FromVcpu<()>) -> (Vec<u64>, bool) {
        let mut events = Vec::new();
        let can_come = queue.take(&mut events);
        let positions = events.into_iter().map(|event| match event {
            VcpuEvent::Executed(up_to) => up_to.0,
            other => panic!("{other:?}"),
        });
        (positions.collect(), can_come)
    }

    /// Whether the driver would wake up.
    fn has_news(queue: &FromVcpu<()>) -> bool {
        use std::future::Future;
        use std::task::{Context, Waker};
        let news = std::pin::pin!(queue.news());
        news.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn what_is_put_waits_for_what_is_told_and_comes_before_it() {
        let (driver, queue) = queue();
        assert!(driver.put(executed(1)));
        assert!(!has_news(&queue));
        assert!(driver.tell(executed(2)));
        assert!(has_news(&queue));
        assert!(driver.put(executed(3)));
        assert_eq!(take(&queue), (vec![1, 2, 3], true));
        assert_eq!(take(&queue), (vec![], true));
    }

    #[test]
    fn the_driver_wakes_up_when_the_last_sender_is_gone_and_finds_what_was_left() {
        let (driver, queue) = queue();
        let other = driver.clone();
        driver.put(executed(1));
        drop(driver);
        assert!(!has_news(&queue));
        drop(other);
        assert!(has_news(&queue));
        assert_eq!(take(&queue), (vec![1], false));
    }

    #[test]
    fn a_driver_that_is_gone_takes_nothing() {
        let (driver, queue) = queue();
        drop(queue);
        assert!(!driver.put(executed(1)) && !driver.tell(executed(2)));
    }
}
