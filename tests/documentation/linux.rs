//! The commands that run, record and replay Linux with redis, on several pages.

use rustix::process::Signal;

use crate::surroundings::Surroundings;

fn surroundings() -> Option<Surroundings> {
    let surroundings = Surroundings::new(&["host"])?;
    surroundings.run("cp --sparse=always target/guests/linux/disk.img disk.img");
    Some(surroundings)
}

/// Redis answers at the address that the pages tell.
fn ask(surroundings: &Surroundings) {
    let host = surroundings.namespace("host");
    surroundings.prepare(&format!("[[ $(ip netns exec {host} redis-cli -h 10.0.2.15 ping) == PONG ]]"));
}

#[test]
fn linux_runs_and_redis_answers() {
    let Some(surroundings) = surroundings() else { return };
    let mut guest = surroundings.start("target/release/outlive run guest-images/linux.toml");
    guest.wait_for("outlive: ready");
    ask(&surroundings);
    guest.type_in("poweroff\n");
    assert!(guest.end().status.success());
}

#[test]
fn a_run_of_linux_is_recorded_replayed_and_looked_into() {
    let Some(surroundings) = surroundings() else { return };
    let mut guest = surroundings.start("target/release/outlive record guest-images/linux.toml --log run.log");
    guest.wait_for("outlive: ready");
    ask(&surroundings);
    guest.signal(Signal::INT);
    assert_eq!(guest.end().status.code(), Some(130));
    let replayed = surroundings.run("target/release/outlive replay run.log");
    assert!(replayed.contains("all equal"), "{replayed}");
    let statistics = surroundings.run("target/release/outlive log stat run.log");
    assert!(statistics.contains("frame-input"), "{statistics}");
    let entries = surroundings.run("target/release/outlive log show run.log");
    assert!(entries.contains("interrupt 0x"), "no interrupt is shown");
    surroundings.run("target/release/outlive log report run.log -o run.html");
    assert!(std::fs::read_to_string(surroundings.path("run.html")).unwrap().contains("<svg"));
}
