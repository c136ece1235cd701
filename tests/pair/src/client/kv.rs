//! A client of the bare key-value guest, on UDP.
//!
//! A datagram may be lost, so a request without an answer is made again. Each time is an operation of its own in the
//! history, with a name of its own on the wire: an answer tells which of them took effect, and of the others nobody
//! knows whether and when they do.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::recorder::Begun;
use super::{Connection, PATIENCE, Recorder};
use crate::history::{Answer, Call};

/// Where the guest listens.
const PORT: u16 = 7379;
/// How long an answer is waited for before the request is made again.
const REPEAT: Duration = Duration::from_millis(20);

/// A socket that talks to the guest.
pub(super) struct Kv {
    socket: UdpSocket,
    serial: u64,
}

impl Kv {
    pub(super) fn connect(address: Ipv4Addr) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("0.0.0.0:0").context("cannot open a socket")?;
        socket.connect((address, PORT)).with_context(|| format!("there is no way to {address}"))?;
        socket.set_read_timeout(Some(REPEAT)).context("cannot set a timeout")?;
        Ok(Self { socket, serial: 0 })
    }

    /// Sends a request under a name of its own. An error that a socket tells is of an earlier datagram, or passes.
    fn send(&mut self, request: &str) -> String {
        self.serial += 1;
        let name = format!("#{} ", self.serial);
        let _ = self.socket.send(format!("{name}{request}").as_bytes());
        name
    }

    /// Waits for an answer to one of the requests of these names, until it is time to repeat.
    fn receive(&self, names: &[(String, Begun)]) -> anyhow::Result<Option<(Begun, String)>> {
        let (mut datagram, until) = ([0; 1024], Instant::now() + REPEAT);
        while Instant::now() < until {
            let length = match self.socket.recv(&mut datagram) {
                Ok(length) => length,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                // What ICMP tells: nobody is there yet.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) if matches!(error.kind(), ErrorKind::HostUnreachable | ErrorKind::Interrupted) => {
                    continue;
                }
                Err(error) => return Err(error).context("the socket broke"),
            };
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            let answered =
                names.iter().find_map(|(name, begun)| Some((*begun, text.strip_prefix(name.as_str())?)));
            if let Some((begun, answer)) = answered {
                return Ok(Some((begun, answer.trim_end().to_owned())));
            }
        }
        Ok(None)
    }
}

impl Connection for Kv {
    fn ask(&mut self, key: &str, call: Call, recorder: &mut Recorder) -> anyhow::Result<Answer> {
        let request = match call {
            Call::Set(value) => format!("SET {key} {value}"),
            Call::Get => format!("GET {key}"),
            Call::Increment => bail!("the key-value guest cannot count"),
        };
        let (began, mut names) = (Instant::now(), Vec::new());
        while began.elapsed() < PATIENCE {
            let begun = recorder.begin(key, call);
            names.push((self.send(&request), begun));
            if let Some((begun, text)) = self.receive(&names)? {
                let answer = parse(&text).with_context(|| format!("the guest answered `{text}`"))?;
                recorder.end(begun, answer);
                return Ok(answer);
            }
        }
        bail!("no answer to `{request}` for {} s, asked {} times", PATIENCE.as_secs(), names.len())
    }

    fn identity(&mut self) -> anyhow::Result<Option<u64>> {
        Ok(None)
    }
}

fn parse(text: &str) -> anyhow::Result<Answer> {
    match text {
        "OK" => Ok(Answer::Done),
        "NONE" => Ok(Answer::Value(None)),
        _ => {
            let value = text.strip_prefix("VALUE ").context("this is no answer")?;
            Ok(Answer::Value(Some(value.parse().context("this is no number")?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    #[test]
    fn answers_of_the_guest_are_understood_and_others_are_refused() {
        assert_eq!(parse("OK").unwrap(), Answer::Done);
        assert_eq!(parse("NONE").unwrap(), Answer::Value(None));
        assert_eq!(parse("VALUE 12").unwrap(), Answer::Value(Some(12)));
        for bad in ["", "VALUE", "VALUE x", "ERROR full"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repeated_request_is_a_new_operation_and_the_answer_tells_which_was_done() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.local_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(REPEAT)).unwrap();
        let mut client = Kv { socket, serial: 0 };
        // Loses the first request, and answers the second one with what is no answer to it before what is.
        let server = thread::spawn(move || {
            let mut datagram = [0; 64];
            let (mut length, mut from) = (0, server.local_addr().unwrap());
            for _ in 0..2 {
                (length, from) = server.recv_from(&mut datagram).unwrap();
            }
            assert_eq!(&datagram[..length], b"#2 SET k 5");
            server.send_to(b"#9 OK", from).unwrap();
            server.send_to(b"#2 OK", from).unwrap();
        });
        let mut recorder = Recorder::new(0, Arc::default());
        assert_eq!(client.ask("k", Call::Set(5), &mut recorder).unwrap(), Answer::Done);
        server.join().unwrap();
        let operations = recorder.finish().operations;
        let answered: Vec<_> = operations.iter().map(|operation| operation.answer.is_some()).collect();
        assert!(answered.len() >= 2 && !answered[0] && answered[1], "{operations:?}");
    }
}
