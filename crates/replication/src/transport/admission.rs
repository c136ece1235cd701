//! One who connects to the primary: the backup, or a stranger.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connection::{Connection, PrimaryConnection, ReceiveError};
use super::stream::Stream;
use super::{Security, socket};
use crate::message::{FromBackup, FromPrimary, VERSION};
use crate::wire::WireError;

/// One who is turned away gets so much time to read why.
const FAREWELL_TIME: Duration = Duration::from_secs(1);

/// What a stranger sends meanwhile is dropped, up to so many bytes.
const FAREWELL_BYTES: u64 = 64 << 10;

/// Why one is turned away.
#[derive(thiserror::Error, Debug)]
pub(super) enum Refusal {
    #[error("it is on another host, and there are no keys")]
    NotLoopback,
    #[error("its connection is lost: {0}")]
    Lost(io::Error),
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    #[error("it did not say Hello: {}", chain(.0))]
    NoHello(ReceiveError),
    #[error("it speaks version {0} of the protocol, but this Outlive speaks version {VERSION}")]
    Version(u32),
    #[error("it is the backup of the machine {theirs:?}, but this is the primary of {ours:?}")]
    Name { ours: String, theirs: String },
    #[error("it said something before its Hello")]
    Unexpected,
    #[error("it took too long to prove that it is the backup")]
    Slow,
    #[error("too many others have come since")]
    Displaced,
    #[error("{0}")]
    Unwanted(String),
}

/// One who is turned away.
#[derive(Debug)]
pub(super) struct Stranger {
    pub(super) refusal: Refusal,
    connection: Remains,
}

/// What is left of a stranger's connection.
#[derive(Debug)]
enum Remains {
    Nothing,
    /// The alert that says why the handshake failed is on its way.
    Handshake(TcpStream),
    /// It has the key.
    Connection(Box<PrimaryConnection>),
}

impl From<Refusal> for Stranger {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, connection: Remains::Nothing }
    }
}

impl Stranger {
    /// One who has the key.
    pub(super) fn with_key(refusal: Refusal, connection: PrimaryConnection) -> Self {
        Self { refusal, connection: Remains::Connection(Box::new(connection)) }
    }

    /// Ends its connection. If it has the key, it is told why.
    pub(super) async fn dismiss(self) {
        let farewell = async {
            match self.connection {
                Remains::Nothing => Ok(()),
                Remains::Handshake(stream) => drain(stream).await,
                Remains::Connection(mut connection) => {
                    let reason = self.refusal.to_string();
                    let told = connection.sender.queue(&FromPrimary::Refused { reason });
                    debug_assert!(told.is_ok(), "names in a Hello are short, and so are reasons");
                    connection.close().await
                }
            }
        };
        // Whether it hears it is its own affair.
        let _ = timeout(FAREWELL_TIME, farewell).await;
    }
}

/// Ends a connection so that what was written last can arrive: one that is closed with bytes unread is reset.
async fn drain(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut rest = stream.take(FAREWELL_BYTES);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
}

/// Shakes hands, and hears the Hello. The caller sets a time limit.
pub(super) async fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    security: &Security,
    name: &str,
) -> Result<PrimaryConnection, Stranger> {
    let stream = secure(stream, peer, security).await?;
    let mut connection = Connection::new(stream, peer);
    match hear(&mut connection, name).await {
        Ok(()) => {
            connection.receiver.trust();
            Ok(connection)
        }
        Err(refusal) => Err(Stranger::with_key(refusal, connection)),
    }
}

async fn secure(stream: TcpStream, peer: SocketAddr, security: &Security) -> Result<Stream, Stranger> {
    socket::prepare(&stream).map_err(Refusal::Lost)?;
    match security {
        Security::PlainOnLoopback if !socket::is_loopback(&peer) => Err(Refusal::NotLoopback.into()),
        Security::PlainOnLoopback => Ok(Stream::Plain(stream)),
        Security::Tls(keys) => {
            let accept = TlsAcceptor::from(keys.server.clone()).accept(stream).into_fallible();
            match accept.await {
                Ok(stream) => Ok(Stream::Tls(Box::new(stream.into()))),
                Err((error, stream)) => Err(Stranger {
                    refusal: Refusal::Handshake(error),
                    connection: Remains::Handshake(stream),
                }),
            }
        }
    }
}

/// The Hello of the backup, if it is ours.
async fn hear(connection: &mut PrimaryConnection, name: &str) -> Result<(), Refusal> {
    match connection.receiver.receive().await {
        // Its version was looked at when it was decoded.
        Ok(FromBackup::Hello(hello)) if hello.name == name => Ok(()),
        Ok(FromBackup::Hello(hello)) => Err(Refusal::Name { ours: name.to_owned(), theirs: hello.name }),
        Ok(_) => Err(Refusal::Unexpected),
        Err(ReceiveError::Message(WireError::Version(version))) => Err(Refusal::Version(version)),
        Err(error) => Err(Refusal::NoHello(error)),
    }
}

/// An error and its causes as one sentence.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|cause| cause.to_string()).collect::<Vec<_>>().join(": ")
}
