//! The permission to write to disks that two machines share.
//!
//! Both hosts of a pair see the same disks, and only the side that is live may write them. A primary that is dead
//! writes nothing. A primary that was only *frozen* is the dangerous one: stopped by a signal, by a debugger, by a host
//! without memory, it wakes up seconds later in the middle of whatever it did, maybe right before a write. By then the
//! backup may have gone live, done that very write, and let its guest write something else to the same sector. The late
//! write would destroy it, and nobody would ever know why.
//!
//! So a primary writes only while it holds a *lease*: each acknowledgement of the backup renews it for some
//! milliseconds, and a backup does not go live before it must have ended. A [`Fence`] is that lease as the threads see
//! that write. It is open until an instant, and **the clock is looked at again right before each write**, for the clock
//! goes on while a process is frozen. A thread that wakes up late finds the fence closed, waits, and finally learns
//! that it is over.
//!
//! Reads pass, since they harm nobody.
//!
//! **What a fence cannot close.** Between the look at the clock and the system call some instructions are executed. A
//! process that is frozen for a whole lease exactly there writes once, late. No program can close that gap from its own
//! side; storage that refuses the old owner could (SCSI-3 persistent reservations). Nor does a fence see two more
//! things: a write that the host's kernel has taken but keeps for longer than the lease, as it may on a network file
//! system whose server is away; and a host that was suspended as a whole, whose monotonic clock stood still.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Who may write, and until when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Permission {
    Closed,
    Until(Instant),
    ForEver,
    Over,
}

#[derive(Debug)]
struct State {
    permission: Permission,
    /// Nobody will open it again: whoever would wait gives up.
    is_last: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A shared permission to write. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Fence(Arc<Shared>);

/// Nothing may be written any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FenceIsOver;

impl Fence {
    /// One that is closed until it is opened: for a machine in a pair.
    pub fn new_closed() -> Self {
        Self::new(Permission::Closed)
    }

    /// One that is open for ever: for a machine that shares its disks with nobody.
    pub fn new_open() -> Self {
        Self::new(Permission::ForEver)
    }

    fn new(permission: Permission) -> Self {
        let state = Mutex::new(State { permission, is_last: false });
        Self(Arc::new(Shared { state, changed: Condvar::new() }))
    }

    /// Opens it until that instant; where it was open until another one, this one counts.
    pub fn open_until(&self, end: Instant) {
        self.permit(Permission::Until(end));
    }

    /// Opens it with no end: the other side is known to be gone.
    pub fn open_for_ever(&self) {
        self.permit(Permission::ForEver);
    }

    /// Closes it; it can be opened again. A write that has begun is still carried out.
    pub fn close(&self) {
        self.permit(Permission::Closed);
    }

    /// Closes it for good: the machine stands down. Whoever waits for it gives up, and it never opens again.
    pub fn end(&self) {
        self.permit(Permission::Over);
    }

    fn permit(&self, permission: Permission) {
        let mut state = self.lock();
        if state.permission != Permission::Over {
            state.permission = permission;
            self.0.changed.notify_all();
        }
    }

    /// From now on whoever finds it closed gives up instead of waiting.
    pub(super) fn expect_no_opening(&self) {
        self.lock().is_last = true;
        self.0.changed.notify_all();
    }

    /// Waits until it is open. To be called right before each system call that writes.
    pub(super) fn pass(&self) -> Result<(), FenceIsOver> {
        let mut state = self.lock();
        loop {
            match state.permission {
                Permission::ForEver => return Ok(()),
                Permission::Until(end) if Instant::now() < end => return Ok(()),
                Permission::Over => return Err(FenceIsOver),
                Permission::Closed | Permission::Until(_) if state.is_last => return Err(FenceIsOver),
                Permission::Closed | Permission::Until(_) => {
                    state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment: the state is whole even if a thread panicked while it held the lock.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Whether one may write right now.
    fn is_open(fence: &Fence) -> bool {
        fence.expect_no_opening();
        fence.pass().is_ok()
    }

    #[test]
    fn a_fence_is_open_when_it_was_opened_and_its_end_has_not_come() {
        let hour = Instant::now() + HOUR;
        let permissions = [
            (Permission::Closed, false),
            (Permission::Until(hour), true),
            (Permission::Until(Instant::now()), false),
            (Permission::ForEver, true),
            (Permission::Over, false),
        ];
        for (permission, open) in permissions {
            let fence = Fence::new_closed();
            match permission {
                Permission::Closed => fence.close(),
                Permission::Until(end) => fence.open_until(end),
                Permission::ForEver => fence.open_for_ever(),
                Permission::Over => fence.end(),
            }
            assert_eq!(is_open(&fence), open, "{permission:?}");
        }
        assert!(!is_open(&Fence::new_closed()));
        assert!(is_open(&Fence::new_open()));
    }

    #[test]
    fn the_clock_is_looked_at_again_each_time() {
        let fence = Fence::new_closed();
        fence.open_until(Instant::now() + Duration::from_millis(50));
        fence.expect_no_opening();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(fence.pass(), Err(FenceIsOver), "nobody has closed it, but its end has come");
    }

    #[test]
    fn what_is_over_never_opens_again() {
        let fence = Fence::new_open();
        fence.end();
        fence.open_for_ever();
        fence.open_until(Instant::now() + HOUR);
        fence.close();
        assert_eq!(fence.pass(), Err(FenceIsOver));
    }

    #[test]
    fn who_waits_passes_when_it_opens_and_gives_up_when_it_is_over() {
        for (open, outcome) in [(true, Ok(())), (false, Err(FenceIsOver))] {
            let fence = Fence::new_closed();
            let other = fence.clone();
            let waits = std::thread::spawn(move || other.pass());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!waits.is_finished(), "it is closed");
            match open {
                true => fence.open_until(Instant::now() + HOUR),
                false => fence.end(),
            }
            assert_eq!(waits.join().unwrap(), outcome);
        }
    }
}
