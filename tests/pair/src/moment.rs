//! One time line for everything that happens on this host.

use std::ops::Add;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point of time: nanoseconds since 1970. Within this process it never runs backwards, and it can be compared with
/// the timestamps of other processes on this host, as long as nobody sets the host's clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Moment(pub u64);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        static ORIGIN: OnceLock<(Instant, Duration)> = OnceLock::new();
        let (began, at) = *ORIGIN.get_or_init(|| {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            (Instant::now(), since_1970)
        });
        Self((at + began.elapsed()).as_nanos() as u64)
    }

    /// Reads a timestamp such as `2026-01-02T03:04:05.678901Z`.
    ///
    /// # Errors
    /// When the text is no such timestamp, or of a time before 1970.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let time =
            OffsetDateTime::parse(text, &Rfc3339).with_context(|| format!("`{text}` is no timestamp"))?;
        let nanoseconds = u64::try_from(time.unix_timestamp_nanos());
        Ok(Self(nanoseconds.with_context(|| format!("`{text}` is out of range"))?))
    }

    /// Milliseconds from `other` to this; negative if this is the earlier one.
    pub fn milliseconds_after(self, other: Self) -> f64 {
        (self.0 as f64 - other.0 as f64) / 1e6
    }

    /// How long before `later` this was; nothing if it was not.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_of_other_processes_are_on_the_same_line() {
        let text = OffsetDateTime::now_utc().format(&Rfc3339).unwrap();
        let (told, now) = (Moment::parse(&text).unwrap(), Moment::now());
        assert!(now.milliseconds_after(told).abs() < 60_000.0, "{text} and {now:?}");
        assert_eq!(Moment::parse("1970-01-01T00:00:01.5Z").unwrap(), Moment(1_500_000_000));
    }

    #[test]
    fn what_is_no_timestamp_is_refused() {
        for text in ["", "yesterday", "1969-12-31T23:59:59Z"] {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
    }
}
