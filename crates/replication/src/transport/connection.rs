//! Both directions of a connection.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};

use super::stream::Stream;
use crate::message::{FromBackup, FromPrimary};
use crate::wire::{self, Frames, Message, WireError};

/// So much is read at once.
const READ_BYTES: usize = 64 << 10;

/// A buffer that is larger when it becomes empty is given back.
const KEPT_BYTES: usize = 1 << 20;

/// A connection to the other side. Its directions do not depend on each other; it ends when both are dropped.
#[derive(Debug)]
pub struct Connection<Outgoing, Incoming> {
    /// To the peer.
    pub sender: Sender<Outgoing>,
    /// From the peer.
    pub receiver: Receiver<Incoming>,
    /// The peer's address.
    pub peer: SocketAddr,
}

/// The primary's connection to its backup.
pub type PrimaryConnection = Connection<FromPrimary, FromBackup>;

/// The backup's connection to its primary.
pub type BackupConnection = Connection<FromBackup, FromPrimary>;

impl<Outgoing: Message, Incoming: Message> Connection<Outgoing, Incoming> {
    pub(super) fn new(stream: Stream, peer: SocketAddr) -> Self {
        let (from, to) = split(stream);
        let receiver =
            Receiver { stream: from, frames: Frames::of_stranger(), chunk: vec![0; READ_BYTES].into() };
        Self { sender: Sender::new(to), receiver, peer }
    }

    /// Sends what is queued, says that nothing follows, and waits until the peer has ended its direction too: whatever it
    /// sends meanwhile is read and dropped. A connection that is simply dropped while bytes of the peer are unread is
    /// reset, and the peer may lose what was sent last.
    ///
    /// Waits as long as the peer likes: the caller sets a time limit.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn close(mut self) -> io::Result<()> {
        self.sender.finish().await?;
        while self.receiver.read().await? > 0 {}
        Ok(())
    }
}

/// Sends messages.
pub struct Sender<M> {
    stream: WriteHalf<Stream>,
    /// Frames.
    bytes: Vec<u8>,
    /// So many bytes of them were given to the stream. They are forgotten when it has been flushed.
    written: usize,
    messages: PhantomData<fn(M)>,
}

impl<M: Message> Sender<M> {
    fn new(stream: WriteHalf<Stream>) -> Self {
        Self { stream, bytes: Vec::new(), written: 0, messages: PhantomData }
    }

    /// Puts a message behind those that are queued. It goes out when [`flush`](Self::flush) is polled, and what is
    /// queued by then goes out together.
    ///
    /// # Errors
    /// [`WireError::TooLong`], and then nothing was queued.
    pub fn queue(&mut self, message: &M) -> Result<(), WireError> {
        // What is written but not flushed stays: an empty buffer says that nothing is left to do.
        if self.written > self.bytes.len() / 2 && self.written < self.bytes.len() {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        wire::encode(message, &mut self.bytes)
    }

    /// How many bytes are queued. Zero when everything is in the hands of the kernel, and not before: what TLS still holds
    /// counts as one.
    pub fn queued(&self) -> usize {
        if self.bytes.is_empty() { 0 } else { (self.bytes.len() - self.written).max(1) }
    }

    /// Sends all that is queued. May be cancelled at any point, and goes on from there when it is called again.
    ///
    /// Ends only when the peer takes the bytes: to be used in a `select!` with something that ends.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn flush(&mut self) -> io::Result<()> {
        while self.written < self.bytes.len() {
            match self.stream.write(&self.bytes[self.written..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.written += count,
            }
        }
        self.stream.flush().await?;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.written = 0;
        Ok(())
    }

    /// Sends all that is queued, and says that nothing follows. May be cancelled like [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.flush().await?;
        self.stream.shutdown().await
    }
}

impl<M> fmt::Debug for Sender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("queued", &(self.bytes.len() - self.written)).finish_non_exhaustive()
    }
}

/// Why there is no next message.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The peer has ended the connection, between two messages.
    #[error("the other side has closed the connection")]
    Closed,
    /// The connection has ended within a message.
    #[error("the connection ended in the middle of a message")]
    Cut,
    /// The connection is lost.
    #[error("the connection is lost")]
    Io(#[source] io::Error),
    /// What arrived is no message. Nothing can be read from this connection any more.
    #[error("the other side does not keep to the protocol")]
    Message(#[from] WireError),
}

/// Receives messages.
pub struct Receiver<M> {
    stream: ReadHalf<Stream>,
    frames: Frames<M>,
    chunk: Box<[u8]>,
}

impl<M: Message> Receiver<M> {
    /// The next message. May be cancelled at any point: what has arrived is kept.
    ///
    /// # Errors
    /// When the connection has ended, or what arrives is no message.
    pub async fn receive(&mut self) -> Result<M, ReceiveError> {
        loop {
            if let Some(message) = self.frames.next_message()? {
                return Ok(message);
            }
            match self.read().await.map_err(ReceiveError::Io)? {
                0 if self.frames.is_within_message() => return Err(ReceiveError::Cut),
                0 => return Err(ReceiveError::Closed),
                count => self.frames.push(&self.chunk[..count]),
            }
        }
    }

    /// The next message, if it has arrived with others that were received before. Does not look at the connection.
    ///
    /// # Errors
    /// When what has arrived is no message.
    pub fn at_hand(&mut self) -> Result<Option<M>, ReceiveError> {
        Ok(self.frames.next_message()?)
    }

    /// The peer's Hello was good: from now on messages can be long.
    pub(super) fn trust(&mut self) {
        self.frames.trust();
    }

    /// Reads what has arrived: how many bytes, and none at the end.
    async fn read(&mut self) -> io::Result<usize> {
        match self.stream.read(&mut self.chunk).await {
            // TLS has not said that it ends: the peer's process was killed. Frames tell whether anything is missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    }
}

impl<M> fmt::Debug for Receiver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
