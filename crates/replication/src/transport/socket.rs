//! Addresses and sockets.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpStream, lookup_host};

/// A peer that acknowledges nothing for so long is gone, as far as the kernel is concerned. The protocol notices much
/// earlier; this ends connections that nobody looks at any more.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// A peer that says nothing for so long is asked whether it is there, as often as that, this many times.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
const KEEP_ALIVE_PROBES: u32 = 3;

/// Messages are to go out at once, and dead peers to be noticed.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_ALIVE)?;
    sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE)?;
    sockopt::set_tcp_keepcnt(stream, KEEP_ALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(stream, USER_TIMEOUT.as_millis() as u32)?;
    Ok(())
}

/// All addresses of `host:port`; at least one.
pub(super) async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    let found = match lookup_host(address).await {
        Ok(found) => found.collect(),
        Err(error) => localhost(address).ok_or(error)?,
    };
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}

/// The addresses of `localhost:port`, which is the loopback on a host without a file of names too (RFC 6761, section 6.3).
fn localhost(address: &str) -> Option<Vec<SocketAddr>> {
    let port = address.strip_prefix("localhost:")?.parse().ok()?;
    Some(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()])
}

/// Whether the address is this host's loopback, in either form.
pub(super) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
