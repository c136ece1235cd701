//! Newtypes for numbers that must not be mixed up.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An address in the guest's physical address space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct GuestPhysical(pub u64);

impl fmt::Debug for GuestPhysical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for GuestPhysical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Guest time: nanoseconds since the guest was powered on.
///
/// It is the only clock in the machine. Everything that tells the time (TSC, PIT, ACPI PM timer, RTC) is
/// a function of it, and it moves only when an input source says so. It never goes back; a `u64` of
/// nanoseconds lasts for 584 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct GuestTime(u64);

impl GuestTime {
    /// The moment of power-on.
    pub const BOOT: Self = Self(0);

    /// The time `nanoseconds` after power-on.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since power-on.
    pub const fn nanoseconds(self) -> u64 {
        self.0
    }

    /// How many periods of a clock of `hertz` have passed since power-on, rounded down.
    ///
    /// Exact for every time and every frequency below 2^64 Hz whose count fits a `u64`.
    pub fn ticks(self, hertz: u64) -> u64 {
        (u128::from(self.0) * u128::from(hertz) / 1_000_000_000) as u64
    }

    /// The first moment at which a clock of `hertz` has counted `ticks` periods since power-on, so that
    /// `at_tick(n, hz).ticks(hz) == n` for every clock slower than 1 GHz. Saturates at the end of time.
    pub fn at_tick(ticks: u64, hertz: u64) -> Self {
        let nanoseconds = (u128::from(ticks) * 1_000_000_000).div_ceil(u128::from(hertz));
        Self(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// The time between `earlier` and this moment, zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for GuestTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanoseconds))
    }
}

impl Sub for GuestTime {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_tick_is_the_first_moment_with_that_count() {
        for hertz in [1, 100, 32_768, 1_193_182, 3_579_545, 999_999_999] {
            for tick in [1, 2, 3, 1_000, 123_456_789] {
                let moment = GuestTime::at_tick(tick, hertz);
                assert_eq!(moment.ticks(hertz), tick, "{hertz} Hz");
                let before = GuestTime::from_nanoseconds(moment.nanoseconds() - 1);
                assert_eq!(before.ticks(hertz), tick - 1, "{hertz} Hz");
            }
        }
    }

    #[test]
    fn ticks_do_not_overflow_after_centuries() {
        let end = GuestTime::from_nanoseconds(u64::MAX);
        assert_eq!(end.ticks(1_000_000_000), u64::MAX);
        assert_eq!(GuestTime::at_tick(u64::MAX, 1), end);
    }
}
