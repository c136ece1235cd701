//! Random numbers that tell processes apart.

use std::fmt;
use std::io;
use std::str::FromStr;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::text::as_text;

/// 128 random bits. As text, 32 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(pub u128);

/// A text is no identity.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
#[error("32 hexadecimal digits in lower case were expected")]
pub struct InvalidIdentity;

impl Identity {
    /// Draws one that nobody else has.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        // So few bytes are given all at once or not at all.
        getrandom(&mut bytes, GetRandomFlags::empty())?;
        Ok(Self(u128::from_le_bytes(bytes)))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(InvalidIdentity);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| InvalidIdentity)
    }
}

as_text!(Identity);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_identity_is_read_as_it_was_written(number: u128) {
            prop_assert_eq!(Identity(number).to_string().parse(), Ok(Identity(number)));
        }
    }

    #[test]
    fn only_32_digits_in_lower_case_are_an_identity() {
        let good = "0123456789abcdef".repeat(2);
        assert_eq!(good.parse(), Ok(Identity(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)));
        for bad in ["", &good[1..], &format!("0{good}"), &good.to_uppercase(), &format!("+{}", &good[1..])] {
            assert_eq!(bad.parse::<Identity>(), Err(InvalidIdentity), "{bad}");
        }
    }

    #[test]
    fn two_identities_differ() {
        assert_ne!(Identity::random().unwrap(), Identity::random().unwrap());
    }
}
