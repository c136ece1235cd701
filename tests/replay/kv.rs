//! A service on the network, recorded while somebody talks to it.

use std::process::Command;

use crate::harness::{Guest, ask, connect, kv, on_each_engine};
use crate::recording::{Live, Recording};

/// Records the key-value guest while it is pinged and asked, and until it is stopped.
pub(crate) fn recorded_conversation(guest: Guest, address: &str) -> Recording {
    let mut live = Live::start(guest);
    live.machine.wait_for("kv: ready");
    let mut ping = Command::new("ping");
    let ping = ping.args(["-c", "5", "-i", "0.2", address]).output().unwrap();
    assert!(String::from_utf8_lossy(&ping.stdout).contains(" 0% packet loss"), "{ping:?}");
    talk(address, 50);
    connect(address).send(b"STOP").unwrap();
    let recording = live.finish();
    assert_eq!(recording.status, Some(0), "{}{}", recording.console(), recording.errors);
    recording
}

/// Sets and gets this many keys.
pub(crate) fn talk(address: &str, keys: u32) {
    let socket = connect(address);
    for number in 0..keys {
        assert_eq!(ask(&socket, &format!("SET key{number} value{number}")), "OK");
    }
    for number in 0..keys {
        assert_eq!(ask(&socket, &format!("GET key{number}")), format!("VALUE value{number}"));
    }
    assert!(ask(&socket, "TIME").starts_with("TIME "));
}

on_each_engine! {
    fn a_conversation_over_the_network_is_replayed(engine: Engine) {
        if !engine.records() {
            return;
        }
        let (guest, address) = kv(engine, 11);
        recorded_conversation(guest, &address).is_replayed();
    }

    fn a_service_that_is_stopped_by_a_signal_is_replayed_up_to_there(engine: Engine) {
        if !engine.records() {
            return;
        }
        let (guest, address) = kv(engine, 12);
        // As a person records, without more than the default.
        let mut live = Live::start_with(guest, &[]);
        live.machine.wait_for("kv: ready");
        talk(&address, 20);
        live.signal("TERM");
        let recording = live.finish();
        assert_eq!(recording.status, Some(128 + 15), "{}", recording.errors);
        assert_eq!(recording.summary["end"], "requested");
        recording.is_replayed();
    }
}
