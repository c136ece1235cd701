//! A log that was never closed, because its monitor died, is replayed as far as it goes.

use crate::harness::{Engine, finish, kv, linux, on_each_engine, redis};
use crate::kv::talk;
use crate::recording::{Live, Recording};
use crate::replaying::replay;

/// Replays what is there, on an engine.
fn is_replayed_to_its_last_whole_batch(recording: &Recording, engine: Engine, known: &str) {
    let first = recording.replayed(engine, &[]);
    assert_eq!(first.finished.status, Some(0), "{:?}", first.finished);
    assert_eq!(first.summary["end"], "unfinished", "{:?}", first.finished);
    assert!(recording.console.starts_with(&first.finished.output), "{:?}", first.finished);
    assert!(first.finished.console.contains(known), "{:?}", first.finished);
    let second = recording.replayed(engine, &[]);
    assert_eq!(second.summary, first.summary, "{:?}", second.finished);
    let told = finish(replay(recording.log.path(), &[]).args(["--engine", engine.name()]));
    assert!(told.status == Some(0) && told.console.contains("unfinished"), "{told:?}");
}

fn killed(live: Live) -> Recording {
    live.signal("KILL");
    let recording = live.finish();
    assert_eq!(recording.status, None, "{}", recording.errors);
    recording
}

on_each_engine! {
    fn a_monitor_that_is_killed_leaves_what_it_had_written(engine: Engine) {
        if !engine.records() {
            return;
        }
        let (guest, address) = kv(engine, 17);
        let mut live = Live::start(guest);
        live.machine.wait_for("kv: ready");
        talk(&address, 20);
        let recording = killed(live);
        is_replayed_to_its_last_whole_batch(&recording, engine, "kv: ready");
        if recording.other_engine_agrees() {
            is_replayed_to_its_last_whole_batch(&recording, Engine::Soft, "kv: ready");
        }
    }
}

#[test]
fn linux_that_is_killed_in_the_middle_of_its_work_is_replayed_as_far_as_it_was_written() {
    let guest = linux(Engine::Soft, 16);
    let mut live = Live::start(guest.guest);
    live.machine.wait_for("outlive: ready");
    assert_eq!(redis(&guest.address, &["set", "key", "value"]), "OK");
    live.machine.type_line("while :; do date >>/data/dates; done");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    is_replayed_to_its_last_whole_batch(&killed(live), Engine::Soft, "outlive: ready");
}
