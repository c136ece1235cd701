//! Values in a configuration that are more than a string.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

use outlive_arbiter::{InvalidName, MachineName};
use outlive_machine::host::tap::{InterfaceName, InvalidInterfaceName};
use outlive_machine::memory::{MemoryError, RamSize};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Reads a value from a string in the file, with an error that says what a right one looks like.
fn from_string<'de, D, T>(deserializer: D, expected: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct Visitor<T>(&'static str, std::marker::PhantomData<T>);
    impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Visitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Visitor(expected, std::marker::PhantomData))
}

/// Implements `Deserialize` by `FromStr`.
macro_rules! read_from_string {
    ($type:ty, $expected:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_string(deserializer, $expected)
            }
        }
    };
}

/// Guest memory, in units of 1024: `K`, `M`, `G`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MemorySize(pub(crate) RamSize);
read_from_string!(MemorySize, "a size with its unit as a string, such as \"64M\" or \"1G\"");

/// A stretch of time: a number and `ms` or `s`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span(pub(crate) Duration);
read_from_string!(Span, "a time with its unit as a string, such as \"200ms\" or \"1.5s\"");

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let invalid = || InvalidSpan(text.to_owned());
        let (number, unit) = match text.strip_suffix("ms") {
            Some(number) => (number, 1e-3),
            None => (text.strip_suffix('s').ok_or_else(invalid)?, 1.0),
        };
        let number = decimal(number).ok_or_else(invalid)?;
        Duration::try_from_secs_f64(number * unit).map(Self).map_err(|_| invalid())
    }
}

/// Reads digits, perhaps with a point between them: Rust's own numbers have many more forms.
fn decimal(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = [whole, fraction].into_iter().all(is_digits);
    text.parse().ok().filter(|_| is_number)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}ms", self.0.as_secs_f64() * 1e3))
    }
}

/// Not a stretch of time.
#[derive(thiserror::Error, Debug)]
#[error("`{0}` is no time: give a number and its unit, such as \"200ms\" or \"1.5s\"")]
pub(crate) struct InvalidSpan(String);

/// The name of a virtual machine in an arbiter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PairName(pub(crate) MachineName);
read_from_string!(PairName, "the name of a virtual machine as a string, such as \"redis\"");

impl FromStr for PairName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.parse().map(Self)
    }
}

/// The name of a network interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TapName(pub(crate) InterfaceName);
read_from_string!(TapName, "the name of a network interface as a string, such as \"outlive0\"");

/// A MAC address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MacAddress(pub(crate) [u8; 6]);
read_from_string!(MacAddress, "a MAC address as a string, such as \"52:54:00:12:34:56\"");

/// An IPv4 address with the length of its network's prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HostAddress {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
}
read_from_string!(HostAddress, "an address and its prefix as a string, such as \"10.0.2.1/24\"");

/// A seed of 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seed(pub(crate) [u8; 32]);
read_from_string!(Seed, "a string of 64 hexadecimal digits");

/// Why a value is not acceptable.
#[derive(thiserror::Error, Debug)]
pub(crate) enum ValueError {
    #[error("`{0}` is no size: give a number with a unit, such as \"64M\" or \"1G\"")]
    Size(String),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Interface(#[from] InvalidInterfaceName),
    #[error("`{0}` is no MAC address: give six pairs of hexadecimal digits, such as \"52:54:00:12:34:56\"")]
    Mac(String),
    #[error("`{0}` is no address of one interface: its first byte must be even, and not all may be zero")]
    GroupMac(String),
    #[error("`{0}` is no address with a prefix: give one such as \"10.0.2.1/24\"")]
    HostAddress(String),
    #[error("a seed is a string of 64 hexadecimal digits")]
    Seed,
}

impl FromStr for MemorySize {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let no_size = || ValueError::Size(text.to_owned());
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let shift = match text[digits.len()..].trim_start_matches(' ') {
            "K" | "KiB" => 10,
            "M" | "MiB" => 20,
            "G" | "GiB" => 30,
            _ => return Err(no_size()),
        };
        if !is_digits(digits) {
            return Err(no_size());
        }
        let number: u64 = digits.parse().map_err(|_| no_size())?;
        let bytes = number.checked_mul(1 << shift).ok_or_else(no_size)?;
        Ok(Self(RamSize::from_bytes(bytes)?))
    }
}

impl FromStr for TapName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Ok(Self(text.parse()?))
    }
}

impl FromStr for MacAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let is_pair = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let pair = |text: &str| is_pair(text).then(|| u8::from_str_radix(text, 16).ok()).flatten();
        let bytes: Option<Vec<u8>> = text.split(':').map(pair).collect();
        let bytes: Option<[u8; 6]> = bytes.and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.ok_or_else(|| ValueError::Mac(text.to_owned()))?;
        if bytes[0] & 1 != 0 || bytes == [0; 6] {
            return Err(ValueError::GroupMac(text.to_owned()));
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

impl FromStr for HostAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let is_number = is_digits(prefix) && !prefix.starts_with('0');
            let prefix = prefix.parse().ok().filter(|prefix| is_number && (1..=32).contains(prefix))?;
            Some(Self { address: address.parse().ok()?, prefix })
        });
        parsed.ok_or_else(|| ValueError::HostAddress(text.to_owned()))
    }
}

impl FromStr for Seed {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ValueError::Seed);
        }
        let mut seed = [0; 32];
        for (byte, at) in seed.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| ValueError::Seed)?;
        }
        Ok(Self(seed))
    }
}
