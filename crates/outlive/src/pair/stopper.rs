//! What a signal stops, which changes as a side goes on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is to be stopped at present.
type Target = Box<dyn Fn() + Send>;

/// Stops what is there to be stopped when it is called. Clones stop the same.
#[derive(Clone, Default)]
pub(super) struct Stopper(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    target: Option<Target>,
    was_called: bool,
}

impl Stopper {
    /// From now on this is to be stopped; at once if somebody has wanted a stop before.
    pub(super) fn set(&self, target: impl Fn() + Send + 'static) {
        let mut state = self.lock();
        if state.was_called {
            target();
        }
        state.target = Some(Box::new(target));
    }

    /// Stops what is there.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.was_called = true;
        if let Some(target) = &state.target {
            target();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // It is whole even if a target panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_stop_that_came_early_reaches_what_comes_later() {
        let stopper = Stopper::default();
        let counts = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
        let target = |index: usize| {
            let count = Arc::clone(&counts[index]);
            move || {
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        stopper.set(target(0));
        stopper.clone().stop();
        stopper.set(target(1));
        stopper.stop();
        assert_eq!(counts.map(|count| count.load(Ordering::Relaxed)), [1, 2]);
    }
}
