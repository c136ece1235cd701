//! Strings and bytes that are looked at where they are before anything is allocated for them. What serde does by itself
//! would let bincode allocate the claimed length first.

use serde::{Deserialize, Deserializer};

/// A string.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    <&'de str>::deserialize(deserializer).map(str::to_owned)
}

/// Bytes, as `serde_bytes` writes them.
pub(crate) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    <&'de [u8]>::deserialize(deserializer).map(<[u8]>::to_vec)
}
