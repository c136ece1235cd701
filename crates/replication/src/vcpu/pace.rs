//! How fast the primary's guest may run.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So long a guest that is to be slowed down stands still where its log is cut. It executes a turn between two such
/// pauses, so it goes on at a fraction of its speed and can still be stopped.
const PAUSE: Duration = Duration::from_millis(20);

/// Slows the guest down when the backup falls behind: the driver says when, the vCPU thread obeys.
#[derive(Clone, Debug, Default)]
pub struct Pace(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    is_slow: Mutex<bool>,
    changed: Condvar,
}

impl Pace {
    fn lock(&self) -> MutexGuard<'_, bool> {
        // It is one word: whole even if a thread panicked while it held the lock.
        self.0.is_slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Slows the guest down, or lets it run. Whether that is news.
    pub fn set_slow(&self, is_slow: bool) -> bool {
        let mut slow = self.lock();
        let is_news = *slow != is_slow;
        *slow = is_slow;
        if is_news {
            self.0.changed.notify_all();
        }
        is_news
    }

    /// Pauses, if the guest is to be slowed down.
    pub fn keep(&self) {
        let slow = self.lock();
        if *slow {
            let waited = self.0.changed.wait_timeout_while(slow, PAUSE, |slow| *slow);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }
}
