//! Linux with redis, recorded while everything happens to it that can happen to a server.
//!
//! How long it is recorded, in seconds, is told by the environment variable `OUTLIVE_RECORD_SECONDS`, and how many
//! times that is replayed by `OUTLIVE_REPLAYS`.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Engine, Linux, linux, redis, seconds_to_record, shell};
use crate::recording::{Live, Recording};

/// Clients of a guest, that are at work until this is dropped.
struct Clients(Vec<Child>);

impl Clients {
    fn start(address: &str) -> Self {
        let benchmark = ["redis-benchmark", "-h", address, "-l", "-c", "20", "-t", "set,get,lpush", "-q"];
        let ping = ["ping", "-i", "0.05", address];
        let start = |words: &[&str]| {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        Self(vec![start(&benchmark), start(&ping)])
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        for client in &mut self.0 {
            let _ = client.kill();
            let _ = client.wait();
        }
    }
}

/// Starts to record a Linux guest, and waits until redis is ready.
fn start(guest: Linux) -> Live {
    let mut live = Live::start(guest.guest);
    live.machine.wait_for("outlive: ready");
    live
}

/// Lets clients work, somebody type, and files be written, for so long.
fn keep_busy(live: &mut Live, address: &str, duration: Duration) {
    let clients = Clients::start(address);
    let begun = Instant::now();
    // What was printed once already is nothing to wait for.
    for round in 1.. {
        let write = "dd if=/dev/urandom of=/data/noise bs=64k count=8 conv=fsync";
        shell(&mut live.machine, write, &format!("WRITTEN {round}"));
        let read = "md5sum /data/noise && date && ps >/dev/null";
        shell(&mut live.machine, read, &format!("READ {round}"));
        if begun.elapsed() > duration {
            break;
        }
    }
    drop(clients);
}

/// How often the long recording is replayed.
fn replays() -> usize {
    std::env::var("OUTLIVE_REPLAYS").map_or(2, |number| number.parse().expect("OUTLIVE_REPLAYS is a number"))
}

fn ended_with(live: Live, status: i32) -> Recording {
    let recording = live.finish();
    assert_eq!(recording.status, Some(status), "{}{}", recording.console(), recording.errors);
    recording
}

#[test]
fn a_busy_server_is_replayed_exactly_each_time() {
    let guest = linux(Engine::Soft, 11);
    let address = guest.address.clone();
    let mut live = start(guest);
    keep_busy(&mut live, &address, seconds_to_record());
    assert_eq!(redis(&address, &["ping"]), "PONG");
    live.machine.type_line("poweroff");
    let recording = ended_with(live, 0);
    for _ in 0..replays() {
        recording.is_replayed();
    }
}

#[test]
fn a_busy_server_that_a_signal_stops_is_replayed_up_to_there() {
    for (signal, status) in [("TERM", 128 + 15), ("INT", 128 + 2)] {
        let guest = linux(Engine::Soft, 12);
        let address = guest.address.clone();
        let mut live = start(guest);
        let clients = Clients::start(&address);
        shell(&mut live.machine, "dd if=/dev/urandom of=/data/noise bs=64k count=8 conv=fsync", "WRITTEN");
        live.signal(signal);
        let recording = ended_with(live, status);
        drop(clients);
        recording.is_replayed();
    }
}

mod on_kvm {
    use super::*;

    /// The lab takes more than a second to hash all of memory.
    const RARE_DIGESTS: &[&str] = &["--registers", "--digest-every", "10"];

    #[test]
    fn redis_is_replayed_on_kvm_and_on_soft() {
        if !Engine::Kvm.runs_linux() {
            return;
        }
        let guest = linux(Engine::Kvm, 13);
        let mut live = Live::start_with(guest.guest, RARE_DIGESTS);
        live.machine.wait_for("outlive: ready");
        assert_eq!(redis(&guest.address, &["set", "key", "value"]), "OK");
        shell(&mut live.machine, "echo kept >/data/file && sync", "WRITTEN");
        assert_eq!(redis(&guest.address, &["get", "key"]), "value");
        live.machine.type_line("poweroff");
        ended_with(live, 0).is_replayed_with_faults();
    }
}
