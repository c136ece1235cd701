//! The clock of a side.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::Moment;

/// Now. This clock goes on while the process is frozen, and while the host sleeps.
pub(crate) fn now() -> Moment {
    let now = clock_gettime(ClockId::Boottime);
    // It counts from the host's start.
    Moment(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// The same moment by the clock that sleeping threads go by.
pub(crate) fn instant(moment: Moment) -> Instant {
    let (now, instant) = (now(), Instant::now());
    instant.checked_add(moment.since(now)).unwrap_or(instant)
}
