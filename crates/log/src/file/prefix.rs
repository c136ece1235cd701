//! The lines that a log file begins with, and its header.

use super::FORMAT;

/// What every log begins with, of whatever format.
pub(crate) const MAGIC: &[u8] = b"outlive event log\n";

/// Magic and the line of the format.
pub(crate) const FORMAT_END: usize = MAGIC.len() + "format 00002\n".len();

/// Where the state is.
pub(crate) const STATE_AT: usize = FORMAT_END + "state ".len();

/// The states, of the same length, and different in each letter.
pub(crate) const OPEN: &[u8; 6] = b"open  ";
pub(crate) const CLOSED: &[u8; 6] = b"closed";

/// The length of the prefix.
pub(crate) const PREFIX_BYTES: usize =
    FORMAT_END + "state open  \nheader 00001234 bytes, crc32c 1a2b3c4d\n".len();

/// The longest header that a log may have, in bytes.
pub const MAXIMUM_HEADER: usize = 1 << 20;

/// What a prefix says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Prefix {
    pub(crate) closed: bool,
    /// Of the header.
    pub(crate) length: usize,
    /// Of the header.
    pub(crate) checksum: u32,
}

impl Prefix {
    /// The prefix of an open log with this header.
    pub(crate) fn of(header: &str) -> Self {
        Self { closed: false, length: header.len(), checksum: crc32c::crc32c(header.as_bytes()) }
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let state = if self.closed { CLOSED } else { OPEN };
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(format!("format {FORMAT:05}\nstate ").as_bytes());
        bytes.extend_from_slice(state);
        let header = format!("\nheader {:08} bytes, crc32c {:08x}\n", self.length, self.checksum);
        bytes.extend_from_slice(header.as_bytes());
        bytes
    }

    /// The prefix that the bytes are, if they are one, to the last byte.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let closed = bytes.get(STATE_AT..)?.starts_with(CLOSED);
        let header = bytes.get(STATE_AT + OPEN.len()..)?;
        let length = text(header, "\nheader ".len(), 8)?.parse().ok()?;
        let checksum = text(header, "\nheader 00001234 bytes, crc32c ".len(), 8)?;
        let checksum = u32::from_str_radix(checksum, 16).ok()?;
        let prefix = Self { closed, length, checksum };
        (prefix.to_bytes() == bytes).then_some(prefix)
    }
}

/// The format that the line behind the magic tells.
pub(crate) fn format(bytes: &[u8]) -> Option<u32> {
    let line = bytes.get(MAGIC.len()..FORMAT_END)?;
    let digits = line.strip_prefix(b"format ")?.strip_suffix(b"\n")?;
    digits.iter().all(u8::is_ascii_digit).then_some(())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn text(bytes: &[u8], from: usize, length: usize) -> Option<&str> {
    std::str::from_utf8(bytes.get(from..from + length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_its_length_and_comes_back() {
        for closed in [false, true] {
            let prefix = Prefix { closed, length: 634, checksum: 0x1a2b_3c4d };
            let bytes = prefix.to_bytes();
            assert_eq!(bytes.len(), PREFIX_BYTES);
            assert_eq!(Prefix::parse(&bytes), Some(prefix));
            assert_eq!(format(&bytes), Some(FORMAT));
        }
    }

    #[test]
    fn a_prefix_is_frozen() {
        let bytes = Prefix { closed: false, length: 634, checksum: 0x1a2b_3c4d }.to_bytes();
        let frozen =
            "outlive event log\nformat 00002\nstate open  \nheader 00000634 bytes, crc32c 1a2b3c4d\n";
        assert_eq!(bytes, frozen.as_bytes());
        assert_eq!(&bytes[STATE_AT..STATE_AT + 6], OPEN);
    }

    #[test]
    fn no_single_byte_makes_another_state_of_a_prefix() {
        let prefix = Prefix { closed: false, length: 634, checksum: 0x1a2b_3c4d };
        for closed in [false, true] {
            let bytes = Prefix { closed, ..prefix }.to_bytes();
            for at in 0..bytes.len() {
                for value in 0..=255 {
                    let mut changed = bytes.clone();
                    changed[at] = value;
                    // Another length or checksum is for the header's checksum to find.
                    let state = Prefix::parse(&changed).map(|changed| changed.closed);
                    assert!(state.is_none() || state == Some(closed), "{at} {value}");
                }
            }
        }
    }

    #[test]
    fn numbers_that_are_written_in_another_way_are_refused() {
        let good = "outlive event log\nformat 00002\nstate open  \nheader 00000634 bytes, crc32c 1a2b3c4d\n";
        for (from, to) in [("00000634", "+0000634"), ("1a2b3c4d", "1A2b3c4d"), ("00002", "+0002")] {
            assert_eq!(Prefix::parse(good.replace(from, to).as_bytes()), None, "{to}");
        }
    }
}
