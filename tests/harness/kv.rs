//! The bare key-value guest on a TAP: it needs ring 0 only, so it runs on every engine.

use std::net::UdpSocket;
use std::time::Duration;

use super::{Engine, Guest};

/// The guest of one test, on a network that no other test has at the same time, and its address.
pub(crate) fn kv(engine: Engine, test: u8) -> (Guest, String) {
    let network = 10 * test + engine as u8;
    let address = format!("10.78.{network}.15");
    let guest = Guest::bare("kv").engine(engine.name()).command_line(&format!("address={address}"));
    (guest.network(&format!("outlivekv{network}"), &format!("10.78.{network}.1/24")), address)
}

/// Asks until there is an answer: UDP may lose either.
pub(crate) fn ask(socket: &UdpSocket, request: &str) -> String {
    let mut answer = [0; 1024];
    for attempt in 0..20 {
        let tagged = format!("#{attempt} {request}");
        socket.send(tagged.as_bytes()).unwrap();
        while let Ok(length) = socket.recv(&mut answer) {
            let text = String::from_utf8_lossy(&answer[..length]).trim_end().to_owned();
            if let Some(text) = text.strip_prefix(&format!("#{attempt} ")) {
                return text.to_owned();
            }
        }
    }
    panic!("no answer to {request:?}");
}

/// A socket that talks to the guest at this address.
pub(crate) fn connect(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.connect((address, 7379)).unwrap();
    socket
}
