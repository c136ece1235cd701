//! When the alarm of an MC146818 goes off next.

use super::calendar::Format;

/// Both bits set in an alarm register: any value matches.
const ANY: u8 = 0b1100_0000;
const DAY: u32 = 86_400;

/// A time of day; what is `None` matches always.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Alarm {
    hour: Option<u8>,
    minute: Option<u8>,
    second: Option<u8>,
}

impl Alarm {
    /// The alarm in the registers for hours, minutes and seconds.
    pub(super) fn from_registers([hour, minute, second]: [u8; 3], format: Format) -> Self {
        let field = |value: u8, number: u8| (value & ANY != ANY).then_some(number);
        Self {
            hour: field(hour, format.decode_hour(hour)),
            minute: field(minute, format.decode(minute)),
            second: field(second, format.decode(second)),
        }
    }

    /// How many seconds after `unix` the alarm goes off: 1 to a day. `None` if it never does.
    pub(super) fn seconds_from(&self, unix: i64) -> Option<u64> {
        let now = unix.rem_euclid(i64::from(DAY)) as u32;
        let today = self.first_from(now + 1).map(|time| time - now);
        let wait = today.or_else(|| self.first_from(0).map(|time| time + DAY - now))?;
        Some(u64::from(wait))
    }

    /// The first matching second of a day from `start` on.
    fn first_from(&self, start: u32) -> Option<u32> {
        let [hour, minute, second] = [start / 3600, start / 60 % 60, start % 60].map(|part| part as u8);
        if hour >= 24 {
            return None;
        }
        let this_hour = matches(self.hour, hour);
        let (first_minute, first_second) = (first(self.minute, 0, 60)?, first(self.second, 0, 60)?);
        let this_minute = this_hour && matches(self.minute, minute);
        if let Some(second) = first(self.second, second, 60).filter(|_| this_minute) {
            Some(time(hour, minute, second))
        } else if let Some(minute) = first(self.minute, minute + 1, 60).filter(|_| this_hour) {
            Some(time(hour, minute, first_second))
        } else {
            first(self.hour, hour + 1, 24).map(|hour| time(hour, first_minute, first_second))
        }
    }
}

fn time(hour: u8, minute: u8, second: u8) -> u32 {
    u32::from(hour) * 3600 + u32::from(minute) * 60 + u32::from(second)
}

fn matches(field: Option<u8>, value: u8) -> bool {
    field.is_none_or(|wanted| wanted == value)
}

/// The first value from `start` to below `end` that the field matches.
fn first(field: Option<u8>, start: u8, end: u8) -> Option<u8> {
    let value = field.unwrap_or(start);
    (start..end).contains(&value).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(end: u8) -> impl Strategy<Value = Option<u8>> {
        prop::option::of(prop_oneof![9 => 0..end, 1 => any::<u8>()])
    }

    proptest! {
        #[test]
        fn the_alarm_goes_off_at_the_first_second_that_matches(
            hour in field(24), minute in field(60), second in field(60), now in 0..DAY,
        ) {
            let goes_off = |wait: &u64| {
                let time = (u64::from(now) + wait) % u64::from(DAY);
                matches(hour, (time / 3600) as u8)
                    && matches(minute, (time / 60 % 60) as u8)
                    && matches(second, (time % 60) as u8)
            };
            let searched = (1..=u64::from(DAY)).find(goes_off);
            let alarm = Alarm { hour, minute, second };
            prop_assert_eq!(alarm.seconds_from(i64::from(now)), searched);
        }
    }
}
