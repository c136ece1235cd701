//! Messages and the content of frames. Nobody outside of this module knows bincode.

use bincode::config::{Configuration, Limit, LittleEndian, Varint, standard};

use super::{LENGTH_BYTES, Message, WireError};
use crate::message::{FromPrimary, VERSION};

/// No message asks for more when it is decoded: numbers are counted with the bytes that they take in memory.
const DECODE_LIMIT: usize = <FromPrimary as Message>::LIMIT + 256;

const CONFIGURATION: Configuration<LittleEndian, Varint, Limit<DECODE_LIMIT>> =
    standard().with_limit::<DECODE_LIMIT>();

/// The number of the variant that is a Hello, on both sides and in all versions.
const HELLO: u32 = 0;

/// Appends a frame.
///
/// # Errors
/// [`WireError::TooLong`] when the message is longer than [`Message::LIMIT`]: nothing was appended then.
pub fn encode<M: Message>(message: &M, to: &mut Vec<u8>) -> Result<(), WireError> {
    let start = to.len();
    to.extend_from_slice(&[0; LENGTH_BYTES]);
    bincode::serde::encode_into_std_write(message, to, CONFIGURATION)
        .expect("messages have an encoding, and a vector takes all bytes");
    let length = to.len() - start - LENGTH_BYTES;
    if length > M::LIMIT {
        to.truncate(start);
        return Err(WireError::TooLong { length, limit: M::LIMIT });
    }
    let length = u32::try_from(length).expect("limits are below 4 GiB");
    to[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

/// The message that is the content of a frame.
pub(super) fn decode<M: Message>(content: &[u8]) -> Result<M, WireError> {
    check_kind(content, M::KINDS)?;
    let (message, read) =
        bincode::serde::borrow_decode_from_slice(content, CONFIGURATION).map_err(WireError::Meaningless)?;
    match content.len() - read {
        0 => Ok(message),
        trailing => Err(WireError::Trailing(trailing)),
    }
}

/// Checks the variant, and the version of a Hello, before anything behind them is looked at.
fn check_kind(content: &[u8], kinds: u32) -> Result<(), WireError> {
    let (kind, rest) = number(content)?;
    if kind >= kinds {
        return Err(WireError::Kind(kind));
    }
    if kind == HELLO {
        let (version, _) = number(rest)?;
        if version != VERSION {
            return Err(WireError::Version(version));
        }
    }
    Ok(())
}

/// The number at the beginning, and what is behind it.
fn number(bytes: &[u8]) -> Result<(u32, &[u8]), WireError> {
    let (number, read) = bincode::decode_from_slice(bytes, CONFIGURATION).map_err(WireError::Meaningless)?;
    Ok((number, &bytes[read..]))
}
