//! A guest that ends ends its pair, whatever becomes of the primary meanwhile, and nothing that it let out is lost.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use outlive_rehearsal::checkout::obstacle;
use outlive_rehearsal::client::Service;
use outlive_rehearsal::event::EventKind;
use outlive_rehearsal::pair::{Channel, Engine, Folder, PATIENCE, Pair, Settings};
use outlive_rehearsal::proxy::{Direction, Proxy};
use outlive_rehearsal::replay;
use outlive_rehearsal::topology::GUEST;
use rustix::process::Signal;

/// How long an answer is waited for before the guest is asked again.
const REPEAT: Duration = Duration::from_millis(50);
/// Nobody is suspected of silence: what is lost tells that a process is gone.
const PATIENT: Duration = Duration::from_secs(60);

/// What asks the guest to end, and its last words.
const STOP: &str = "#1 STOP";
const BYE: &str = "#1 BYE";

/// A pair with the key-value guest, whose relay knows what goes to the backup.
fn pair() -> Option<Pair> {
    if let Some(obstacle) = obstacle() {
        eprintln!("SKIPPED: {obstacle}");
        return None;
    }
    let settings = Settings {
        channel: Channel::Read,
        suspect_after: PATIENT,
        lag_limit: PATIENT,
        ..Settings::new(Engine::Soft, Service::Kv)
    };
    Some(Pair::start(&settings, Folder::new(None, "ends").unwrap()).unwrap())
}

/// A client that asks the guest to end.
struct Client(UdpSocket);

impl Client {
    fn of(pair: &Pair) -> Self {
        let socket = pair.topology.client().within(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
        socket.connect((GUEST, 7379)).unwrap();
        socket.set_read_timeout(Some(REPEAT)).unwrap();
        let client = Self(socket);
        // From now on the client's host knows the guest's hardware address.
        client.ask_until("PING", || client.hears("PONG"));
        client
    }

    /// Asks until something has come of it: a datagram may be lost.
    fn ask_until(&self, request: &str, mut has_come: impl FnMut() -> bool) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            // That nobody is there any more is told by the answer that does not come.
            let _ = self.0.send(request.as_bytes());
            if has_come() {
                return;
            }
        }
        panic!("nothing came of `{request}` within {PATIENCE:?}");
    }

    /// Whether such an answer comes. Others are late answers to what was asked before.
    fn hears(&self, expected: &str) -> bool {
        let mut datagram = [0; 64];
        while let Ok(length) = self.0.recv(&mut datagram) {
            if &datagram[..length] == expected.as_bytes() {
                return true;
            }
        }
        false
    }
}

fn relay(pair: &Pair) -> &Proxy {
    pair.proxy.as_ref().unwrap()
}

/// The guest ends on the primary, and nobody has told the primary that the backup knows.
fn end_unacknowledged(pair: &Pair, client: &Client) {
    relay(pair).hold(Direction::ToPrimary);
    client.ask_until(STOP, || {
        assert!(!client.hears(BYE), "an output has left that nobody has acknowledged");
        relay(pair).has_carried_the_end()
    });
}

/// Both logs tell one run of the guest, to its end.
fn logs_tell_the_same_end(pair: &Pair) {
    let [primary, backup] = [pair.log(), pair.backup_log()].map(|log| replay::replay(&log).unwrap());
    assert_eq!(primary["end"], "complete");
    for fact in ["end", "reason", "entries", "landmark", "digests"] {
        assert_eq!(primary[fact], backup[fact], "{fact}");
    }
}

/// What the guest has printed is what the primary let out, and what the backup let out behind it. Only what the backup
/// was not told of is let out twice.
fn console_is_whole(pair: &Pair) {
    let all = replay::console(&pair.backup_log()).unwrap();
    let (first, second) = (pair.primary.printed().unwrap(), pair.backup.printed().unwrap());
    let told = || [&all, &first, &second].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(all.starts_with(&first) && all.ends_with(&second), "{:?}", told());
    assert!(first.len() + second.len() >= all.len(), "{:?}", told());
}

/// The backup has let out what the primary could not, and ends with the guest.
fn finishes(mut pair: Pair, client: &Client) {
    client.0.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(client.hears(BYE), "{}", pair.backup.last_words());
    assert_eq!(pair.backup.wait_for_end(PATIENCE).unwrap(), 0, "{}", pair.backup.last_words());
    assert_eq!(pair.winner().unwrap().as_deref(), Some("backup"));
    console_is_whole(&pair);
    logs_tell_the_same_end(&pair);
}

#[test]
fn both_sides_end_with_their_guest_and_nobody_claims() {
    let Some(mut pair) = pair() else { return };
    let client = Client::of(&pair);
    client.ask_until(STOP, || client.hears(BYE));
    for side in [&mut pair.primary, &mut pair.backup] {
        assert_eq!(side.wait_for_end(PATIENCE).unwrap(), 0, "{}", side.last_words());
        for unwanted in [EventKind::Suspected, EventKind::Claiming] {
            assert_eq!(side.event(&unwanted).unwrap(), None);
        }
    }
    assert_eq!(pair.winner().unwrap(), None);
    assert_eq!(pair.primary.printed().unwrap(), replay::console(&pair.log()).unwrap());
    assert_eq!(pair.backup.printed().unwrap(), b"");
    logs_tell_the_same_end(&pair);
}

#[test]
fn a_backup_lets_the_last_outputs_out_of_a_guest_that_has_ended_when_its_primary_dies() {
    let Some(mut pair) = pair() else { return };
    let client = Client::of(&pair);
    end_unacknowledged(&pair, &client);
    pair.backup.wait_for(&EventKind::Ended, PATIENCE).unwrap();
    pair.primary.signal(Signal::KILL).unwrap();
    finishes(pair, &client);
}

#[test]
fn a_backup_that_is_behind_when_the_primary_dies_executes_the_guest_to_its_end() {
    let Some(mut pair) = pair() else { return };
    let client = Client::of(&pair);
    pair.backup.signal(Signal::STOP).unwrap();
    end_unacknowledged(&pair, &client);
    pair.primary.signal(Signal::KILL).unwrap();
    pair.primary.wait_for_end(PATIENCE).unwrap();
    assert_eq!(pair.backup.event(&EventKind::Ended).unwrap(), None);
    pair.backup.signal(Signal::CONT).unwrap();
    finishes(pair, &client);
}
