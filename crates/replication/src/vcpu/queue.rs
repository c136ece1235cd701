//! The queue from a vCPU thread to its driver.
//!
//! To wake a thread costs both sides more than most of what goes through here takes to be worked off. So an event is
//! *put*, and found when the driver looks the next time; or *told*, and the driver wakes up for it; or *brought*, and the
//! vCPU thread does at once what the driver would, if it can. Events are taken all at once, in order.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

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
    /// Whether one of them was brought: whoever looks next takes them.
    is_brought: bool,
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

/// Does what a driver would do, on the calling thread. Whether that was possible.
pub(crate) type CarryOn = Arc<dyn Fn() -> bool + Send + Sync>;

/// The vCPU thread's end of the queue to its driver.
pub struct ToDriver<S> {
    shared: Arc<Shared<S>>,
    carry_on: CarryOn,
}

/// The driver's end.
#[derive(Debug)]
pub(crate) struct FromVcpu<S>(Arc<Shared<S>>);

/// A queue to a driver, whose work others do by `carry_on`.
pub(crate) fn queue<S>(carry_on: CarryOn) -> (ToDriver<S>, FromVcpu<S>) {
    let queue = Queue { events: Vec::new(), is_brought: false, senders: 1, is_closed: false };
    let shared = Arc::new(Shared { queue: Mutex::new(queue), news: Notify::new() });
    (ToDriver { shared: Arc::clone(&shared), carry_on }, FromVcpu(shared))
}

impl<S> ToDriver<S> {
    /// Tells the driver. Whether it is still there.
    pub fn tell(&self, event: VcpuEvent<S>) -> bool {
        let is_there = self.put(event);
        self.shared.news.notify_one();
        is_there
    }

    /// Does what the driver does about this event, on this thread, and tells the driver if that is not possible. Whether it
    /// is still there.
    pub fn bring(&self, event: VcpuEvent<S>) -> bool {
        let is_there = self.push(event, true);
        if !(self.carry_on)() {
            self.shared.news.notify_one();
        }
        is_there
    }

    /// Leaves something that the driver needs not look at before it wakes up for something else. Whether it is still
    /// there.
    pub fn put(&self, event: VcpuEvent<S>) -> bool {
        self.push(event, false)
    }

    fn push(&self, event: VcpuEvent<S>, is_brought: bool) -> bool {
        let mut queue = self.shared.lock();
        if queue.is_closed {
            return false;
        }
        queue.events.push(event);
        queue.is_brought |= is_brought;
        true
    }
}

impl<S> Clone for ToDriver<S> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self { shared: Arc::clone(&self.shared), carry_on: Arc::clone(&self.carry_on) }
    }
}

impl<S> fmt::Debug for ToDriver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToDriver")
    }
}

impl<S> Drop for ToDriver<S> {
    fn drop(&mut self) {
        let left = {
            let mut queue = self.shared.lock();
            queue.senders -= 1;
            queue.senders
        };
        if left == 0 {
            self.shared.news.notify_one();
        }
    }
}

impl<S> FromVcpu<S> {
    /// Takes all events that are there, into an empty list. Whether more can come.
    pub(crate) fn take(&self, events: &mut Vec<VcpuEvent<S>>) -> bool {
        debug_assert!(events.is_empty(), "what was taken before is worked off first");
        let mut queue = self.0.lock();
        std::mem::swap(&mut queue.events, events);
        queue.is_brought = false;
        queue.senders > 0
    }

    /// Waits until the driver has been told or brought something, or nobody is left who could. May be cancelled. Only what
    /// is told wakes who waits.
    pub(crate) async fn news(&self) {
        let mut told = pin!(self.0.news.notified());
        poll_fn(|context| match self.0.lock().is_brought {
            true => Poll::Ready(()),
            false => told.as_mut().poll(context),
        })
        .await;
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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Wake, Waker};

    use crate::LogPosition;

    fn executed(entries: u64) -> VcpuEvent<()> {
        VcpuEvent::Executed(LogPosition(entries))
    }

    /// One who can never do the driver's work.
    fn nobody() -> CarryOn {
        Arc::new(|| false)
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

    /// Whether somebody was woken.
    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the driver would wake up.
    fn has_news(queue: &FromVcpu<()>) -> bool {
        let news = std::pin::pin!(queue.news());
        news.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn what_is_put_waits_for_what_is_told_and_comes_before_it() {
        let (driver, queue) = queue(nobody());
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
        let (driver, queue) = queue(nobody());
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
        let (driver, queue) = queue(nobody());
        drop(queue);
        assert!(!driver.put(executed(1)) && !driver.tell(executed(2)));
    }

    #[test]
    fn what_is_brought_is_done_at_once_or_told() {
        let can = Arc::new(AtomicBool::new(true));
        let (driver, queue) = queue({
            let can = Arc::clone(&can);
            Arc::new(move || can.load(Ordering::Relaxed))
        });
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut waits = Box::pin(queue.news());
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(driver.bring(executed(1)));
        assert!(!woken.0.load(Ordering::Relaxed), "the work is done already");
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_ready(), "who looks finds it");
        assert_eq!(take(&queue), (vec![1], true));

        let mut waits = Box::pin(queue.news());
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        can.store(false, Ordering::Relaxed);
        assert!(driver.bring(executed(2)));
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        assert_eq!(take(&queue), (vec![2], true));
    }
}
