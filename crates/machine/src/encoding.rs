//! How saved forms become bytes: for digests, for files, for the wire.
//!
//! The encoding is bincode's, version 2, in its standard configuration: little-endian, integers of variable
//! length, fields in the order in which they are declared, without their names. So the order of fields is part
//! of the format; the golden digests of [`digest`](crate::digest) notice when it changes. Nobody outside of
//! this module knows the choice.

use std::io::Write;

use bincode::config::{Configuration, standard};
use serde::Serialize;
use serde::de::DeserializeOwned;

const CONFIGURATION: Configuration = standard();

/// Bytes that are not what they should be.
#[derive(thiserror::Error, Debug)]
pub enum DecodeError {
    /// They mean nothing.
    #[error("the bytes are no saved form")]
    Meaningless(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There are more than the value has.
    #[error("{0} bytes follow behind the saved form")]
    Trailing(usize),
}

/// The bytes of a saved form.
///
/// # Panics
/// When it has no encoding: saved forms are plain, and all of them have one.
pub fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes);
    bytes
}

/// Feeds the bytes of a saved form to something that takes all of them, such as a hash.
///
/// # Panics
/// As [`encode`], and when `to` does not take them.
pub fn encode_into(value: &impl Serialize, to: &mut impl Write) {
    bincode::serde::encode_into_std_write(value, to, CONFIGURATION).expect("saved forms have an encoding");
}

/// The saved form that was encoded as `bytes`.
///
/// # Errors
/// When the bytes are not exactly one.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (value, used) = decode_first(bytes)?;
    match bytes.len() - used {
        0 => Ok(value),
        rest => Err(DecodeError::Trailing(rest)),
    }
}

/// The saved form that `bytes` begin with, and its length.
pub(crate) fn decode_first<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), DecodeError> {
    bincode::serde::decode_from_slice(bytes, CONFIGURATION)
        .map_err(|error| DecodeError::Meaningless(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(value: (u64, Option<i16>, Vec<u8>, String)) {
            prop_assert_eq!(decode::<(u64, Option<i16>, Vec<u8>, String)>(&encode(&value)).unwrap(), value);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = decode::<crate::board::BoardState>(&bytes);
        }
    }

    #[test]
    fn bytes_that_are_left_over_are_refused() {
        let mut bytes = encode(&7u64);
        bytes.push(0);
        assert!(matches!(decode::<u64>(&bytes), Err(DecodeError::Trailing(1))));
    }
}
