//! Guest time while a machine is live.
//!
//! Guest time follows the host's monotonic clock from where it stood when the machine went live. Between the two
//! stands a rule of what is *told*, for each time that a guest hears costs a recording some bytes:
//!
//! * **A time read** is told in steps of [`CLOCK_STEP`], rounded down. A log holds the steps since the last time.
//! * **A clock tick** is told with its deadline, not with the moment at which the machine got round to it: the timer
//!   was due then. So a periodic timer ticks at nearly constant distances in the log, however late the host is.
//! * **Never backwards.** Where a rule gives less than what was told last, such as a step that begins before the
//!   deadline of the last tick, the last time is told again.
//!
//! **Missed periods.** A host that has been away for ten seconds has missed a thousand ticks of a 100 Hz timer. To
//! make up for each is of no use, for all edges that a guest has not yet seen collapse into one interrupt, and the
//! machine would be asked for nothing else meanwhile. So the exact deadline is told once only: if the next one that
//! the machine sets has passed already, that tick is told with the step of now, which skips the rest: three ticks at
//! most, whatever the timer's rate. The longest delay that is told as a deadline is below [`LONGEST_DELAY`].
//!
//! No time that was told is ahead of the host's clock.

use std::time::{Duration, Instant};

use outlive_engine::GuestTime;

/// The step of guest time while a machine is live, in nanoseconds. A log holds a time as the number of steps since
/// the last one, so that most take a byte instead of three. No clock of the PC shows the difference, but for the
/// time-stamp counter, which its CPUID does not offer: the next finest counts every 279 ns.
pub const CLOCK_STEP: u64 = 256;

/// From this delay on, a clock tick is told with the time of now. A busy host delays a process by milliseconds, a
/// very busy one by tenths of a second: still a tick that came late. A second is a process that was stopped, and a
/// tick of before it would only stand alone in the past.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// When the next device timer is due.
#[derive(Clone, Copy, Debug)]
struct Deadline {
    at: GuestTime,
    /// It had passed already when it was set.
    missed: bool,
}

/// A deadline that has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DueTick {
    /// The time to tell.
    pub(super) time: GuestTime,
    /// How long ago the timer was due.
    pub(super) delay: Duration,
}

/// What was told of guest time, and when the next tick is due. It is handed the exact time.
#[derive(Debug)]
struct ToldTime {
    last: GuestTime,
    deadline: Option<Deadline>,
}

impl ToldTime {
    fn read(&mut self, now: GuestTime) -> GuestTime {
        let step = now.nanoseconds() / CLOCK_STEP;
        self.tell(GuestTime::from_nanoseconds(step * CLOCK_STEP))
    }

    fn tell(&mut self, time: GuestTime) -> GuestTime {
        self.last = self.last.max(time);
        self.last
    }

    fn set_deadline(&mut self, at: Option<GuestTime>, now: GuestTime) {
        self.deadline = at.map(|at| Deadline { at, missed: at < now });
    }

    fn take_due(&mut self, now: GuestTime) -> Option<DueTick> {
        let deadline = self.deadline.take_if(|deadline| deadline.at <= now)?;
        let delay = now - deadline.at;
        // The step of now may begin before the deadline, and a tick before the deadline would fire nothing.
        let time = if deadline.missed || delay >= LONGEST_DELAY { self.read(now) } else { self.last };
        Some(DueTick { time: self.tell(time.max(deadline.at)), delay })
    }
}

/// The clock of a live machine.
#[derive(Debug)]
pub(super) struct Clock {
    base: GuestTime,
    started: Instant,
    told: ToldTime,
}

impl Clock {
    /// Goes on from `base`, now.
    pub(super) fn start(base: GuestTime) -> Self {
        Self { base, started: Instant::now(), told: ToldTime { last: base, deadline: None } }
    }

    /// Reads the clock.
    pub(super) fn read(&mut self) -> GuestTime {
        self.told.read(self.now())
    }

    /// Sets the next deadline. Tells at which moment of the host that is.
    pub(super) fn set_deadline(&mut self, deadline: Option<GuestTime>) -> Option<Instant> {
        self.told.set_deadline(deadline, self.now());
        // A moment that the host cannot name never comes.
        deadline.and_then(|deadline| self.started.checked_add(deadline - self.base))
    }

    /// The tick that is due, if one is. The deadline is then disarmed: the machine sets the next one.
    pub(super) fn take_due(&mut self) -> Option<DueTick> {
        self.told.deadline?;
        self.told.take_due(self.now())
    }

    /// How long until the deadline; `None` if there is none.
    pub(super) fn until_deadline(&self) -> Option<Duration> {
        self.told.deadline.map(|deadline| deadline.at - self.now())
    }

    /// The exact time, which nobody is told.
    fn now(&self) -> GuestTime {
        self.base + self.started.elapsed()
    }
}

#[cfg(test)]
mod tests;
