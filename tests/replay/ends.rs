//! A machine's end is a part of its recording, whichever it is.

use crate::harness::{Engine, Guest, on_each_engine};
use crate::recording::Recording;

/// Records the guest `ends` with the end that it is told.
fn recorded(engine: Engine, how: &str, status: i32, name: &str) -> Option<Recording> {
    if !engine.records() {
        return None;
    }
    let guest = Guest::bare("ends").engine(engine.name());
    let recording = Recording::of(guest.command_line(&format!("how={how}")));
    assert_eq!(recording.status, Some(status), "{}", recording.errors);
    assert_eq!(recording.summary["end"], name, "{}", recording.summary);
    Some(recording)
}

/// Records the guest with this end, and replays it.
fn ends_again(engine: Engine, how: &str, status: i32, name: &str) {
    if let Some(recording) = recorded(engine, how, status, name) {
        recording.is_replayed();
    }
}

on_each_engine! {
    fn power_off_is_replayed(engine: Engine) {
        ends_again(engine, "halt", 0, "power-off");
    }

    fn a_reset_is_replayed(engine: Engine) {
        ends_again(engine, "reset", 0, "reset");
    }

    fn a_failure_of_the_guest_is_replayed_and_none_of_the_replay(engine: Engine) {
        ends_again(engine, "failure", 1, "debug-exit");
    }

    fn a_triple_fault_is_replayed(engine: Engine) {
        // On KVM nothing is known of the processor after a triple fault, for AMD's leave the guest's registers undefined
        // and KVM resets them (APM volume 2, 15.14.3). So the log tells where it was, and no more.
        if let Some(recording) = recorded(engine, "triple", 1, "triple-fault") {
            match engine {
                Engine::Soft => recording.is_replayed(),
                Engine::Kvm => recording.ends_likewise(),
            }
        }
    }
}
