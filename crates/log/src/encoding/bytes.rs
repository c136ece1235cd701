//! Numbers and strings of bytes as bincode writes them, version 2 in its standard configuration.
//!
//! A number takes one byte up to 250, three up to 65 535, then five, nine and seventeen. Nobody outside of this
//! module knows bincode.

use bincode::config::{Configuration, standard};
use bincode::{Decode, Encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::DecodeError;

const CONFIGURATION: Configuration = standard();

/// Appends a number, or a tuple of some.
pub(crate) fn put(to: &mut Vec<u8>, value: impl Encode) {
    bincode::encode_into_std_write(value, to, CONFIGURATION).expect("a vector takes all bytes");
}

/// Appends a length and so many bytes.
pub(crate) fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

/// Appends a plain structure, its fields in the order in which they are declared.
pub(crate) fn put_structure(to: &mut Vec<u8>, value: &impl Serialize) {
    bincode::serde::encode_into_std_write(value, to, CONFIGURATION)
        .expect("plain structures have an encoding");
}

/// A signed difference as a number that is small if the difference is, whatever its sign.
pub(crate) fn zigzag(difference: u64) -> u64 {
    let signed = difference as i64;
    ((signed << 1) ^ (signed >> 63)) as u64
}

/// The difference that [`zigzag`] made the number from.
pub(crate) fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

/// Bytes that are being decoded, from the front.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    rest: &'a [u8],
    /// Where [noise](super#noise) is, if not among the rest.
    noise: Option<&'a [u8]>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, noise: None }
    }

    /// Bytes whose noise is elsewhere.
    pub(crate) fn with_noise_apart(bytes: &'a [u8], noise: &'a [u8]) -> Self {
        Self { rest: bytes, noise: Some(noise) }
    }

    /// How many bytes are left, but for noise that is elsewhere.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// How many bytes of noise are left elsewhere.
    pub(crate) fn noise_left(&self) -> usize {
        self.noise.map_or(0, <[u8]>::len)
    }

    /// What [`put`] has written. Only for types of fixed size: others could ask for any amount of memory.
    pub(crate) fn get<T: Decode<()>>(&mut self) -> Result<T, DecodeError> {
        let decoded = bincode::decode_from_slice(self.rest, CONFIGURATION);
        self.advance(decoded)
    }

    /// What [`put_structure`] has written. Only for types of fixed size, likewise.
    pub(crate) fn structure<T: DeserializeOwned>(&mut self) -> Result<T, DecodeError> {
        let decoded = bincode::serde::decode_from_slice(self.rest, CONFIGURATION);
        self.advance(decoded)
    }

    /// Bytes as they are.
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        take(&mut self.rest)
    }

    /// Bytes that are noise.
    pub(crate) fn take_noise<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        take(self.noise.as_mut().unwrap_or(&mut self.rest))
    }

    /// What [`put_bytes`] has written. Nothing is copied before it is known to be there.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length: u64 = self.get()?;
        let length = usize::try_from(length).map_err(|_| DecodeError::Short)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn advance<T>(
        &mut self,
        decoded: Result<(T, usize), bincode::error::DecodeError>,
    ) -> Result<T, DecodeError> {
        let (value, used) = decoded.map_err(|error| match error {
            bincode::error::DecodeError::UnexpectedEnd { .. } => DecodeError::Short,
            other => DecodeError::Value(Box::new(other)),
        })?;
        self.rest = self.rest.get(used..).ok_or(DecodeError::Short)?;
        Ok(value)
    }
}

fn take<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (first, rest) = from.split_first_chunk().ok_or(DecodeError::Short)?;
    *from = rest;
    Ok(*first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn zigzag_can_be_undone(difference: u64) {
            prop_assert_eq!(unzigzag(zigzag(difference)), difference);
        }

        #[test]
        fn bytes_come_back_and_nothing_behind_them(bytes: Vec<u8>, more: Vec<u8>) {
            let mut encoded = Vec::new();
            put_bytes(&mut encoded, &bytes);
            encoded.extend(&more);
            let mut source = Source::new(&encoded);
            prop_assert_eq!(source.bytes().unwrap(), &bytes);
            prop_assert_eq!(source.left(), more.len());
        }
    }

    #[test]
    fn small_differences_of_both_signs_are_small_numbers() {
        let numbers = [0i64, -1, 1, -2, 2, i64::MAX, i64::MIN].map(|difference| zigzag(difference as u64));
        assert_eq!(numbers, [0, 1, 2, 3, 4, u64::MAX - 1, u64::MAX]);
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        for length in [1, 250, 1 << 40, u64::MAX] {
            let mut encoded = Vec::new();
            put(&mut encoded, length);
            assert!(matches!(Source::new(&encoded).bytes(), Err(DecodeError::Short)), "{length}");
        }
    }
}
