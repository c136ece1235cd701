//! A connection that may be gone.

use std::convert::Infallible;
use std::future::pending;
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
            biased;
            // What is queued goes out before anything is made of what has come: somebody waits for it.
            never = send(sender) => match never {},
            received = receiver.receive() => came(received),
        }
    }

    /// What has come together with the last message.
    pub(super) fn at_hand(&mut self) -> Option<Came<I>> {
        let at_hand = self.halves.as_mut()?.receiver.at_hand();
        at_hand.transpose().map(came)
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

/// Sends what is queued, and never ends. A connection that takes no more may have brought what nobody has read yet, so
/// that it is lost is told by who receives, behind all that has come.
async fn send<O: Message>(sender: &mut Sender<O>) -> Infallible {
    if sender.queued() > 0
        && let Err(error) = sender.flush().await
    {
        let error: &dyn std::error::Error = &error;
        tracing::debug!(target: crate::TARGET, error, "the connection takes no more");
    }
    pending().await
}
