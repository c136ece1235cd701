//! A driver's task, which two threads carry on.
//!
//! An output waits until its batch has been sent, acknowledged, and the acknowledgement seen. To wake a thread takes about
//! as long as to send a batch. So the vCPU thread does not wake its driver to have a batch sent: where it has told
//! something, it polls the driver's future itself, once, and goes on with its guest. All that the future waits for still
//! wakes the driver's own thread.
//!
//! The vCPU thread never waits for the task: when the driver is at it already, the driver is told in the ordinary way.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker};

use tokio::runtime::{Handle, Runtime};

use crate::vcpu::CarryOn;

/// What is carried on.
type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A task of a driver's runtime that another thread can carry on too. Clones are handles to the same one.
pub(super) struct Task<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    runtime: Handle,
    /// `None` before it begins, while it is polled, and when it has ended: a panic within drops it, and with it the
    /// connection.
    work: Option<Work<T>>,
    outcome: Option<T>,
    /// Wakes the driver's thread, when that waits.
    waker: Option<Waker>,
}

impl<T> State<T> {
    /// Polls. Whether it goes on.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let Some(mut work) = self.work.take() else { return false };
        // Timers that are made meanwhile belong to the runtime.
        let _entered = self.runtime.enter();
        match work.as_mut().poll(context) {
            Poll::Ready(outcome) => self.outcome = Some(outcome),
            Poll::Pending => self.work = Some(work),
        }
        self.work.is_some()
    }
}

impl<T> Task<T> {
    /// A task of that runtime, which does not begin yet.
    pub(super) fn new(runtime: &Runtime) -> Self {
        let state = State { runtime: runtime.handle().clone(), work: None, outcome: None, waker: None };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Does the work to its end, on this thread and on those that [carry it on](Self::carry_on) meanwhile. `None` if one
    /// of those has panicked over it.
    pub(super) fn run(&self, runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        self.lock().work = Some(Box::pin(work));
        runtime.block_on(poll_fn(|context| {
            let mut state = self.lock();
            if state.poll(context) {
                state.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(state.outcome.take())
        }))
    }

    /// Polls the task on this thread. Whether that was possible: it is not while another thread does it, before the
    /// driver has begun to wait, and behind the end.
    pub(super) fn carry_on(&self) -> bool {
        let mut state = match self.0.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let Some(waker) = state.waker.clone().filter(|_| state.work.is_some()) else { return false };
        let driver = WakeAtEnd { waker, is_over: true };
        let goes_on = state.poll(&mut Context::from_waker(&driver.waker));
        driver.end(!goes_on);
        true
    }

    /// What carries it on.
    pub(super) fn carrier(&self) -> CarryOn
    where
        T: Send + 'static,
    {
        let task = self.clone();
        Arc::new(move || task.carry_on())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Where it panicked the work is gone, and that is a state like others.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Task<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Task")
    }
}

/// Wakes the driver when the work is over, be it by a panic.
struct WakeAtEnd {
    waker: Waker,
    is_over: bool,
}

impl WakeAtEnd {
    fn end(mut self, is_over: bool) {
        self.is_over = is_over;
    }
}

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        if self.is_over {
            self.waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests;
