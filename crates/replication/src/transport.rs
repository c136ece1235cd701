//! How the two sides find each other, and who may be one of them.
//!
//! The primary [listens](Listener), the backup [connects](connect). On a connection, in this order:
//!
//! 1. The TLS handshake. Both sides show a certificate, and both verify the other's.
//! 2. The backup says who it is ([`BackupHello`](crate::message::BackupHello)).
//! 3. The primary answers with what is to be replicated ([`PrimaryHello`](crate::message::PrimaryHello)), or refuses.
//!
//! The backup speaks first, so that a primary tells its machine, with the guest's command line and random seed, to
//! nobody who is not the backup of that very machine.
//!
//! # Keys
//!
//! A pair has one [key file](PairKeys), the same on both hosts. It holds a certificate authority that was made for this pair
//! and whose own key was thrown away when it had signed one certificate, that certificate, which serves either side, and
//! its key. So whoever has the file is a side, and nobody else can ever be. TLS 1.3 is the only version; nothing is
//! resumed, nothing is sent early. The certificates are valid from 1970 to the end of 9999, so no clock that a host can
//! have makes them invalid.
//!
//! Without keys ([`Security::PlainOnLoopback`]) everything on this host can be a side, so addresses of other hosts
//! are refused, for listening as for connecting, and the peer's address is looked at too.
//!
//! # Strangers
//!
//! A port is open to everybody who can reach it. Strangers cannot do more than cost little: at most
//! [`MOST_HANDSHAKES`] have not been told from the backup yet, each for at most [`HANDSHAKE_TIME`], and a newcomer
//! displaces the oldest of them, so that silent connections do not keep the backup out. What is read from one is
//! [bounded](crate::wire). While there is a backup, [`PACE`] lies between two strangers. They are turned away, and those with
//! the right key are told why. The log tells of them at a bounded rate.
//!
//! # How to use a connection
//!
//! Everything happens on one task, in one `select!`: [`Receiver::receive`] and [`Sender::flush`] may be cancelled at any
//! point and lose nothing. [`Sender::queue`] never waits; who queues more than flows away sees it in [`Sender::queued`].
//! Nothing here waits for ever if the other branches of the `select!` have a deadline:
//!
//! ```no_run
//! # use outlive_replication::message::FromPrimary;
//! # use outlive_replication::transport::PrimaryConnection;
//! # use outlive_replication::{LogPosition, Moment};
//! # async fn run(connection: PrimaryConnection) -> Result<(), Box<dyn std::error::Error>> {
//! # let heartbeat = || FromPrimary::Heartbeat { sent: Moment(1), released: LogPosition(0) };
//! let (mut sender, mut receiver) = (connection.sender, connection.receiver);
//! loop {
//!     tokio::select! {
//!         message = receiver.receive() => println!("{:?}", message?),
//!         flushed = sender.flush(), if sender.queued() > 0 => flushed?,
//!         () = tokio::time::sleep(std::time::Duration::from_millis(10)) => sender.queue(&heartbeat())?,
//!     }
//! }
//! # }
//! ```

mod admission;
mod connect;
mod connection;
mod error;
mod keys;
mod listener;
mod refusals;
mod socket;
mod stream;
mod tls;

#[cfg(test)]
mod tests;

pub use connect::{CONNECT_TIME, HELLO_TIME, connect, introduce};
pub use connection::{BackupConnection, Connection, PrimaryConnection, ReceiveError, Receiver, Sender};
pub use error::{ConnectError, KeyError, ListenError};
pub use keys::PairKeys;
pub use listener::{HANDSHAKE_TIME, Listener, MOST_HANDSHAKES, PACE};

/// How the sides know each other.
#[derive(Clone, Debug)]
pub enum Security {
    /// By the keys of the pair.
    Tls(PairKeys),
    /// Not at all; only for sides on one host.
    PlainOnLoopback,
}
