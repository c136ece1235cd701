//! How messages become bytes, and bytes messages.
//!
//! A connection carries *frames*: four bytes of length, little-endian, and so many bytes of content. The content is one
//! [message](crate::message), as bincode 2 writes it in its standard configuration: the number of the variant, then its
//! fields in the order in which they are declared; integers take as many bytes as they need. The layout of every
//! message is frozen by a test; whoever changes one raises [`VERSION`].
//!
//! # Two versions
//!
//! Sides of different versions must be able to tell each other so. Therefore two things stay as they are for ever: variant 0
//! is the Hello of either side and begins with the version, and `Refused` keeps its number and its text. A Hello
//! is looked at no further when its version is not ours ([`WireError::Version`]).
//!
//! # What a stranger can do
//!
//! Nothing but be refused. A frame that claims to be longer than allowed is an error as soon as its four bytes
//! are there. What is allowed depends on how far the peer is trusted: until its Hello was good, no more than a Hello
//! takes ([`Message::HELLO_LIMIT`]), and [`Message::LIMIT`] afterwards. A claimed length allocates nothing, neither that of
//! a frame nor that of a string in it: [`Frames`] holds what has arrived, at most twice as much memory, and a decoded
//! message is not larger than its frame. An unknown variant, a field that is none, and bytes behind the message are
//! errors, and after an error no frame is read any more.

pub(crate) mod borrowed;
mod encoding;
mod frames;

#[cfg(test)]
mod golden;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use outlive_log::file::{FRAME_BYTES, MAXIMUM_BYTES, MAXIMUM_HEADER};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::{FromBackup, FromPrimary, VERSION};

pub use encoding::encode;
pub use frames::Frames;

/// The bytes of a frame before its content.
pub const LENGTH_BYTES: usize = 4;

/// Why bytes are no message, or a message cannot be sent.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum WireError {
    /// The frame is longer than any that is allowed now.
    #[error("a message of {length} bytes is longer than the {limit} that are allowed")]
    TooLong {
        /// The length of its content.
        length: usize,
        /// The longest content that is allowed.
        limit: usize,
    },
    /// The variant is unknown.
    #[error("there is no message of kind {0}")]
    Kind(u32),
    /// A Hello of another version.
    #[error("the other side speaks version {0} of the protocol, but this Outlive speaks version {VERSION}")]
    Version(u32),
    /// Something in the message is not what belongs there, or the frame ends within it.
    #[error("the bytes are no message")]
    Meaningless(#[source] bincode::error::DecodeError),
    /// The frame goes on behind the message.
    #[error("{0} bytes follow behind the message")]
    Trailing(usize),
}

/// What one side of a connection tells the other.
pub trait Message: Serialize + DeserializeOwned + sealed::Sealed {
    /// How many variants there are.
    const KINDS: u32;
    /// The longest content of a frame, in bytes, before the Hello was good.
    const HELLO_LIMIT: usize;
    /// The longest content of a frame, in bytes, afterwards.
    const LIMIT: usize;
}

/// More than all fields of a message take that have a fixed size, and a name.
const MARGIN: usize = 4 << 10;

impl Message for FromPrimary {
    const KINDS: u32 = 5;
    const HELLO_LIMIT: usize = MAXIMUM_HEADER + MARGIN;
    const LIMIT: usize = FRAME_BYTES + MAXIMUM_BYTES + MARGIN;
}

impl Message for FromBackup {
    const KINDS: u32 = 6;
    const HELLO_LIMIT: usize = MARGIN;
    /// The report of a divergence is the longest.
    const LIMIT: usize = 1 << 20;
}

mod sealed {
    /// Keeps [`Message`](super::Message) to the messages of this protocol.
    pub trait Sealed {}
    impl Sealed for crate::message::FromPrimary {}
    impl Sealed for crate::message::FromBackup {}
}
