//! Dates and times as the registers of an MC146818 show them.

use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const WEEKDAY: u8 = 0x06;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const CENTURY: u8 = 0x32;

/// In 12-hour format: after noon.
const AFTERNOON: u8 = 1 << 7;

/// The registers that the time is in.
pub(super) const REGISTERS: [u8; 8] = [SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY];

/// Unix time of the first and of the last second that the registers can show.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

/// Whether register `index` is one that the time is in.
pub(super) fn is_time(index: u8) -> bool {
    REGISTERS.contains(&index)
}

/// How numbers stand in registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Format {
    binary: bool,
    hours_24: bool,
}

impl Format {
    /// The bits DM and 24/12 of register B.
    pub(super) fn from_register_b(b: u8) -> Self {
        Self { binary: b & 0x04 != 0, hours_24: b & 0x02 != 0 }
    }

    /// `number` is below 100.
    fn encode(self, number: u8) -> u8 {
        if self.binary { number } else { ((number / 10) << 4) | (number % 10) }
    }

    /// What a register means. May be more than any clock shows.
    pub(super) fn decode(self, value: u8) -> u8 {
        if self.binary { value } else { (value >> 4) * 10 + (value & 0x0f) }
    }

    fn encode_hour(self, hour: u8) -> u8 {
        if self.hours_24 {
            return self.encode(hour);
        }
        let afternoon = if hour >= 12 { AFTERNOON } else { 0 };
        afternoon | self.encode((hour + 11) % 12 + 1)
    }

    /// What a register with an hour means, 12 o'clock being the first hour of each half of a day.
    pub(super) fn decode_hour(self, value: u8) -> u8 {
        if self.hours_24 {
            return self.decode(value);
        }
        let afternoon = if value & AFTERNOON != 0 { 12 } else { 0 };
        afternoon + self.decode(value & !AFTERNOON) % 12
    }
}

/// A date and a time. Each field is in its range, but the day may be one that the month has not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Calendar {
    second: u8,
    minute: u8,
    hour: u8,
    /// 1 is Sunday.
    weekday: u8,
    day: u8,
    month: u8,
    year: u8,
    century: u8,
}

impl Calendar {
    /// Years 0 to 9999; other times give the nearest.
    pub(super) fn from_unix(seconds: i64) -> Self {
        let time = OffsetDateTime::from_unix_timestamp(seconds.clamp(FIRST, LAST))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        Self {
            second: time.second(),
            minute: time.minute(),
            hour: time.hour(),
            weekday: time.weekday().number_from_sunday(),
            day: time.day(),
            month: u8::from(time.month()),
            year: time.year().rem_euclid(100) as u8,
            century: time.year().div_euclid(100) as u8,
        }
    }

    /// The first day of a month too short gives its last one.
    pub(super) fn to_unix(self) -> i64 {
        let year = i32::from(self.century) * 100 + i32::from(self.year);
        let month = Month::try_from(self.month).unwrap_or(Month::January);
        let day = self.day.min(month.length(year));
        let date = Date::from_calendar_date(year, month, day).unwrap_or(Date::MIN);
        let time = Time::from_hms(self.hour, self.minute, self.second).unwrap_or(Time::MIDNIGHT);
        OffsetDateTime::new_in_offset(date, time, UtcOffset::UTC).unix_timestamp()
    }

    /// What all registers together say.
    pub(super) fn from_registers(register: impl Fn(u8) -> u8, format: Format) -> Self {
        let mut calendar = Self::from_unix(0);
        REGISTERS.iter().for_each(|&index| calendar.set_register(index, register(index), format));
        calendar
    }

    /// What register `index` shows, one of [`REGISTERS`].
    pub(super) fn register(&self, index: u8, format: Format) -> u8 {
        match index {
            SECONDS => format.encode(self.second),
            MINUTES => format.encode(self.minute),
            HOURS => format.encode_hour(self.hour),
            WEEKDAY => format.encode(self.weekday),
            DAY => format.encode(self.day),
            MONTH => format.encode(self.month),
            YEAR => format.encode(self.year),
            _ => format.encode(self.century),
        }
    }

    /// Sets what register `index` stands for, one of [`REGISTERS`]. Out of range means the nearest.
    pub(super) fn set_register(&mut self, index: u8, value: u8, format: Format) {
        let number = format.decode(value);
        match index {
            SECONDS => self.second = number.min(59),
            MINUTES => self.minute = number.min(59),
            HOURS => self.hour = format.decode_hour(value).min(23),
            DAY => self.day = number.clamp(1, 31),
            MONTH => self.month = number.clamp(1, 12),
            YEAR => self.year = number.min(99),
            CENTURY => self.century = number.min(99),
            // The weekday follows from the date.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn format() -> impl Strategy<Value = Format> {
        any::<u8>().prop_map(Format::from_register_b)
    }

    #[test]
    fn hours_stand_in_registers_as_the_data_sheet_says() {
        let twelve = Format { binary: false, hours_24: false };
        let shown = [0, 1, 11, 12, 13, 23].map(|hour| twelve.encode_hour(hour));
        assert_eq!(shown, [0x12, 0x01, 0x11, 0x92, 0x81, 0x91]);
    }

    #[test]
    fn the_ends_of_time_are_shown() {
        let shown = |seconds| {
            let calendar = Calendar::from_unix(seconds);
            REGISTERS.map(|index| calendar.register(index, Format { binary: true, hours_24: true }))
        };
        assert_eq!(shown(i64::MIN), [0, 0, 0, 7, 1, 1, 0, 0]);
        assert_eq!(shown(i64::MAX), [59, 59, 23, 6, 31, 12, 99, 99]);
    }

    #[test]
    fn a_day_that_the_month_has_not_becomes_its_last() {
        let mut calendar = Calendar::from_unix(951_782_400);
        calendar.set_register(DAY, 0x31, Format { binary: false, hours_24: true });
        assert_eq!(calendar.to_unix(), 951_782_400, "29 February 2000");
    }

    proptest! {
        #[test]
        fn registers_hold_the_time(seconds in FIRST..=LAST, format in format()) {
            let calendar = Calendar::from_unix(seconds);
            let read = Calendar::from_registers(|index| calendar.register(index, format), format);
            prop_assert_eq!(read.to_unix(), seconds);
        }

        #[test]
        fn any_registers_mean_some_time(registers: [u8; 0x33], format in format()) {
            let calendar = Calendar::from_registers(|index| registers[usize::from(index)], format);
            prop_assert!((FIRST..=LAST).contains(&calendar.to_unix()));
        }
    }
}
