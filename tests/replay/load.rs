//! Recorded while the host is busy with other things, and while the monitor itself stands still now and then.

use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Duration;

use crate::harness::{Engine, kv, linux, on_each_engine, redis, shell};
use crate::kv::talk;
use crate::recording::Live;

/// A process that does nothing, as fast as it can. Dropping it ends it.
struct Spinning(Child);

impl Spinning {
    fn start() -> Self {
        Self(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap())
    }
}

impl Drop for Spinning {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Stops the monitor for a moment, as the host does that runs out of something.
fn stand_still(live: &Live) {
    live.signal("STOP");
    sleep(Duration::from_millis(400));
    live.signal("CONT");
}

on_each_engine! {
    fn a_monitor_that_waits_for_its_host_records_all_the_same(engine: Engine) {
        if !engine.records() {
            return;
        }
        let (guest, address) = kv(engine, 14);
        let mut live = Live::start(guest);
        live.machine.wait_for("kv: ready");
        let load = [Spinning::start(), Spinning::start()];
        for _ in 0..3 {
            talk(&address, 5);
            stand_still(&live);
        }
        talk(&address, 5);
        drop(load);
        live.signal("TERM");
        let recording = live.finish();
        assert_eq!(recording.status, Some(128 + 15), "{}", recording.errors);
        recording.is_replayed();
    }
}

#[test]
fn linux_on_a_busy_host_that_stops_the_monitor_is_replayed() {
    let guest = linux(Engine::Soft, 14);
    let mut live = Live::start(guest.guest);
    let _load = [Spinning::start(), Spinning::start()];
    live.machine.wait_for("outlive: ready");
    for round in ["one", "two", "three"] {
        assert_eq!(redis(&guest.address, &["set", "round", round]), "OK");
        stand_still(&live);
        assert_eq!(redis(&guest.address, &["get", "round"]), round);
        shell(&mut live.machine, &format!("echo {round} >>/data/rounds"), &format!("WRITTEN {round}"));
    }
    live.machine.type_line("poweroff");
    let recording = live.finish();
    assert_eq!(recording.status, Some(0), "{}{}", recording.console(), recording.errors);
    recording.is_replayed();
}
