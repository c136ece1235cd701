//! The backup's side.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::AlertDescription;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::{BackupConnection, Connection, ReceiveError};
use super::error::ConnectError;
use super::stream::Stream;
use super::{PairKeys, Security, socket, tls};
use crate::message::{BackupHello, FromBackup, FromPrimary, PrimaryHello, VERSION};

/// Each address gets so much time for the connection, and as much for the TLS handshake.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);

/// The primary gets so much time for its Hello. It may have to ask the arbiter's storage first.
pub const HELLO_TIME: Duration = Duration::from_secs(30);

/// Connects to `host:port`, and shakes hands if there are keys. Of a name with several addresses each is tried until one
/// takes the connection.
///
/// # Errors
/// See [`ConnectError`]; [`Unreachable`](ConnectError::Unreachable) when nobody listens there, or not yet.
pub async fn connect(address: &str, security: &Security) -> Result<BackupConnection, ConnectError> {
    let resolved = timeout(CONNECT_TIME, socket::resolve(address)).await;
    let resolved = resolved.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let addresses =
        resolved.map_err(|source| ConnectError::Resolve { address: address.to_owned(), source })?;
    let stream = match security {
        Security::PlainOnLoopback => {
            check_loopback(&addresses)?;
            any(address, &addresses).await?
        }
        Security::Tls(_) => any(address, &addresses).await?,
    };
    let peer = stream.peer_addr().and_then(|peer| socket::prepare(&stream).map(|()| peer));
    let peer = peer.map_err(|source| ConnectError::Unreachable { address: address.to_owned(), source })?;
    let stream = match security {
        Security::PlainOnLoopback => {
            check_loopback(&[peer])?;
            Stream::Plain(stream)
        }
        Security::Tls(keys) => shake_hands(stream, keys).await?,
    };
    Ok(Connection::new(stream, peer))
}

fn check_loopback(addresses: &[SocketAddr]) -> Result<(), ConnectError> {
    match addresses.iter().find(|address| !socket::is_loopback(address)) {
        Some(&address) => Err(ConnectError::NotLoopback { address }),
        None => Ok(()),
    }
}

/// A connection to the first address that takes one.
async fn any(address: &str, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut last = io::ErrorKind::NotFound.into();
    for candidate in addresses {
        match timeout(CONNECT_TIME, TcpStream::connect(candidate)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(ConnectError::Unreachable { address: address.to_owned(), source: last })
}

async fn shake_hands(stream: TcpStream, keys: &PairKeys) -> Result<Stream, ConnectError> {
    let connector = TlsConnector::from(keys.client.clone());
    match timeout(CONNECT_TIME, connector.connect(tls::server_name(), stream)).await {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream.into()))),
        Ok(Err(error)) => Err(match tls_error(&error) {
            Some(rustls::Error::InvalidCertificate(_)) => ConnectError::ForeignPrimary(error),
            Some(rustls::Error::AlertReceived(alert)) if is_about_keys(*alert) => {
                ConnectError::KeyRefused(error)
            }
            _ => ConnectError::Handshake(error),
        }),
        Err(_) => Err(ConnectError::Handshake(io::ErrorKind::TimedOut.into())),
    }
}

/// Says who we are, and waits for what the primary wants to have replicated, at most [`HELLO_TIME`].
///
/// # Errors
/// When the primary refuses, answers anything else, or does not answer in time.
pub async fn introduce(
    mut connection: BackupConnection,
    name: &str,
) -> Result<(BackupConnection, PrimaryHello), ConnectError> {
    let hello = FromBackup::Hello(BackupHello { version: VERSION, name: name.to_owned() });
    connection.sender.queue(&hello).map_err(ConnectError::Hello)?;
    let answer = timeout(HELLO_TIME, exchange(&mut connection));
    let hello = match answer.await.map_err(|_| ConnectError::Silent)?? {
        FromPrimary::Hello(hello) => *hello,
        FromPrimary::Refused { reason } => return Err(ConnectError::Refused { reason }),
        _ => return Err(ConnectError::Unexpected),
    };
    if hello.name != name {
        return Err(ConnectError::Name { ours: name.to_owned(), theirs: hello.name });
    }
    connection.receiver.trust();
    Ok((connection, hello))
}

/// Sends what is queued, and receives. In TLS 1.3 the backup's handshake is over before the primary has seen its
/// certificate, so this is where it learns that its key is refused.
async fn exchange(connection: &mut BackupConnection) -> Result<FromPrimary, ConnectError> {
    // If the primary has closed, it has said why before.
    let sent = connection.sender.flush().await;
    let answer = connection.receiver.receive().await;
    answer.map_err(|error| match (error, sent) {
        (ReceiveError::Io(error), _) if refuses_key(&error) => ConnectError::KeyRefused(error),
        (ReceiveError::Closed, Err(error)) => ConnectError::Answer(ReceiveError::Io(error)),
        (error, _) => ConnectError::Answer(error),
    })
}

fn refuses_key(error: &io::Error) -> bool {
    matches!(tls_error(error), Some(rustls::Error::AlertReceived(alert)) if is_about_keys(*alert))
}

/// Whether an alert says that the certificate was not accepted (RFC 8446, section 6.2).
fn is_about_keys(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    let alerts = [
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
        Alert::UnknownCA,
        Alert::AccessDenied,
        Alert::DecryptError,
        Alert::CertificateRequired,
    ];
    alerts.contains(&alert)
}

/// What TLS says, if it was TLS.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}
