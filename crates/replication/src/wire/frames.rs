//! Bytes as they come, and the messages in them.

use std::marker::PhantomData;

use super::encoding::decode;
use super::{LENGTH_BYTES, Message, WireError};

/// A buffer that is larger when it becomes empty is given back.
const KEPT_BYTES: usize = 1 << 20;

/// The messages in a stream of bytes, however it is cut into pieces.
#[derive(Debug)]
pub struct Frames<M> {
    /// What has arrived.
    bytes: Vec<u8>,
    /// Where the next frame begins in it.
    at: usize,
    limit: usize,
    messages: PhantomData<fn() -> M>,
}

impl<M: Message> Frames<M> {
    /// Frames of a peer whose Hello is still to come. They have to be short: [`Message::HELLO_LIMIT`].
    pub fn of_stranger() -> Self {
        Self { bytes: Vec::new(), at: 0, limit: M::HELLO_LIMIT, messages: PhantomData }
    }

    /// From now on frames can be as long as [`Message::LIMIT`]: the Hello was good.
    pub fn trust(&mut self) {
        self.limit = M::LIMIT;
    }

    /// Takes the bytes that come next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, if all of it has arrived.
    ///
    /// # Errors
    /// When the bytes are no message. Asking again gives the same error.
    pub fn next_message(&mut self) -> Result<Option<M>, WireError> {
        let rest = &self.bytes[self.at..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > self.limit {
            return Err(WireError::TooLong { length, limit: self.limit });
        }
        let Some(content) = rest.get(..length) else { return Ok(None) };
        let message = decode(content)?;
        self.at += LENGTH_BYTES + length;
        self.release();
        Ok(Some(message))
    }

    /// Whether bytes are left that are no whole message.
    pub fn is_within_message(&self) -> bool {
        self.at < self.bytes.len()
    }

    /// How many bytes of memory are taken.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Forgets the bytes if all were read.
    fn release(&mut self) {
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.at = 0;
        }
    }
}
