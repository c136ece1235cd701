//! Dates, for people to read.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use time::{Month, OffsetDateTime};

use crate::text::as_text;

/// A date and time of day in UTC, in whole seconds, of the years 0 to 9999, by the clock of the host that wrote it.
///
/// Nothing is decided by it, because clocks of hosts differ. As text it is `2026-11-21T11:27:21Z` (RFC 3339).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Date(OffsetDateTime);

/// A text is no date.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
#[error("a date such as 2026-11-21T11:27:21Z was expected")]
pub struct InvalidDate;

impl Date {
    /// Now.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_unix(i64::try_from(since.as_secs()).unwrap_or_default())
    }

    /// A number of seconds since the beginning of 1970; that beginning itself if the year is out of range.
    pub fn from_unix(seconds: i64) -> Self {
        let date = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        Self(if date.year() < 0 { OffsetDateTime::UNIX_EPOCH } else { date })
    }

    /// Seconds since the beginning of 1970.
    pub fn unix(self) -> i64 {
        self.0.unix_timestamp()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.0.to_calendar_date();
        let (hour, minute, second) = self.0.to_hms();
        let month = u8::from(month);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for Date {
    type Err = InvalidDate;

    fn from_str(text: &str) -> Result<Self, InvalidDate> {
        let parsed = parse(text).ok_or(InvalidDate)?;
        // There is one way only to write a date.
        if parsed.to_string() == text { Ok(parsed) } else { Err(InvalidDate) }
    }
}

fn parse(text: &str) -> Option<Date> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u16>().ok();
    let short = |from: usize| number(from, from + 2).and_then(|number| u8::try_from(number).ok());
    let month = Month::try_from(short(5)?).ok()?;
    let date = time::Date::from_calendar_date(i32::from(number(0, 4)?), month, short(8)?).ok()?;
    let clock = time::Time::from_hms(short(11)?, short(14)?, short(17)?).ok()?;
    Some(Date(OffsetDateTime::new_utc(date, clock)))
}

as_text!(Date);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_date_is_read_as_it_was_written(seconds in 0..253_402_300_800_i64) {
            let date = Date::from_unix(seconds);
            prop_assert_eq!(date.to_string().parse(), Ok(date));
            prop_assert_eq!(date.unix(), seconds);
        }

        #[test]
        fn no_text_that_is_another_form_of_a_date_is_taken(text in "\\PC{0,24}") {
            if let Ok(date) = text.parse::<Date>() {
                prop_assert_eq!(date.to_string(), text);
            }
        }
    }

    #[test]
    fn dates_are_written_as_rfc_3339_says() {
        assert_eq!(Date::from_unix(1_700_000_000).to_string(), "2023-11-14T22:13:20Z");
        for bad in
            ["", "2023-11-14", "2023-11-14 22:13:20Z", "2023-13-14T22:13:20Z", "2023-11-14T22:13:20+01:00"]
        {
            assert_eq!(bad.parse::<Date>(), Err(InvalidDate), "{bad}");
        }
    }

    #[test]
    fn a_clock_out_of_range_gives_a_date_all_the_same() {
        assert_eq!(Date::from_unix(i64::MAX).unix(), 0);
        assert_eq!(Date::from_unix(-99_999_999_999).unix(), 0);
    }
}
