//! A connection that may be gone.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::time::timeout;

use crate::transport::{Connection, ReceiveError, Sender};
use crate::wire::Message;

/// The other side gets so much time to take our last words.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What came of waiting for a connection.
#[derive(Debug)]
pub(super) enum Came<I> {
    /// A message.
    Message(I),
    /// The connection is lost.
    Lost(String),
}

/// A connection to the other side, until it is closed.
#[derive(Debug)]
pub(super) struct Link<O, I> {
    halves: Option<Connection<O, I>>,
}

impl<O: Message, I: Message> Link<O, I> {
    pub(super) fn new(connection: Connection<O, I>) -> Self {
        Self { halves: Some(connection) }
    }

    /// Queues a message. One that is too long is no message, and that is a mistake of ours.
    pub(super) fn queue(&mut self, message: &O) {
        if let Some(connection) = &mut self.halves
            && let Err(error) = connection.sender.queue(message)
        {
            let error: &dyn std::error::Error = &error;
            tracing::error!(target: crate::TARGET, error, "a message cannot be sent; the connection is given up");
            self.halves = None;
        }
    }

    /// Sends what is queued, and waits for a message, or for the connection's end. Waits for ever without a connection.
    /// May be cancelled.
    pub(super) async fn work(&mut self) -> Came<I> {
        let Some(Connection { sender, receiver, .. }) = &mut self.halves else { return pending().await };
        tokio::select! {
            received = receiver.receive() => came(received),
            sent = send(sender) => Came::Lost(sent.to_string()),
        }
    }

    /// Gives the connection up.
    pub(super) fn close(&mut self) {
        self.halves = None;
    }

    /// Sends what is queued and closes the connection in good order, if the other side lets us.
    pub(super) async fn close_behind_last_words(&mut self) {
        if let Some(connection) = self.halves.take() {
            // Who does not take them learns it by the connection's end.
            let _ = timeout(LAST_WORDS, connection.close()).await;
        }
    }
}

fn came<I: Message>(received: Result<I, ReceiveError>) -> Came<I> {
    received.map_or_else(|error| Came::Lost(error.to_string()), Came::Message)
}

/// Sends what is queued, and then never ends but by an error.
async fn send<O: Message>(sender: &mut Sender<O>) -> io::Error {
    if sender.queued() > 0
        && let Err(error) = sender.flush().await
    {
        return error;
    }
    pending().await
}
