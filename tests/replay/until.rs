//! A replay stops where it is told, and the machine there is always the same.

use std::process::Command;

use serde_json::Value;

use crate::harness::{Engine, Guest, OUTLIVE, finish, on_each_engine};
use crate::random::Random;
use crate::recording::Recording;

/// The landmarks that `outlive log show` tells of inputs and interrupts, each once.
fn landmarks(recording: &Recording) -> Vec<String> {
    let mut show = Command::new(OUTLIVE);
    show.args(["log", "show", "--json", "--kind", "clock-tick,interrupt"]).arg(recording.log.path());
    let shown = finish(&mut show);
    assert_eq!(shown.status, Some(0), "{shown:?}");
    let rows = shown.console.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut landmarks: Vec<_> = rows.map(|row| format!("{}+{}", row["exit"], row["since_exit"])).collect();
    landmarks.dedup();
    landmarks
}

/// Stops a replay at a landmark, and tells the digests there.
fn stopped_at(recording: &Recording, engine: Engine, landmark: &str) -> Value {
    let replayed = recording.replayed(engine, &["--until", landmark]);
    assert_eq!(replayed.finished.status, Some(0), "{landmark}: {:?}", replayed.finished);
    assert_eq!(replayed.summary["end"], "goal", "{landmark}: {:?}", replayed.finished);
    assert_eq!(replayed.summary["landmark"], landmark, "{:?}", replayed.finished);
    assert!(recording.console.starts_with(&replayed.finished.output), "{landmark}: {:?}", replayed.finished);
    let digests = replayed.summary["digests"].clone();
    assert!(digests["memory"].is_string(), "{landmark}: {:?}", replayed.finished);
    digests
}

on_each_engine! {
    fn a_replay_stops_at_the_landmark_of_any_input(engine: Engine) {
        if !engine.records() {
            return;
        }
        let recording = Recording::of(Guest::bare("ticks").engine(engine.name()));
        assert_eq!(recording.status, Some(0), "{}", recording.errors);
        let landmarks = landmarks(&recording);
        for place in Random::new().places(4, landmarks.len() as u64) {
            let landmark = &landmarks[place as usize - 1];
            let digests = stopped_at(&recording, engine, landmark);
            assert_eq!(stopped_at(&recording, engine, landmark), digests, "{landmark}");
            if recording.other_engine_agrees() {
                assert_eq!(stopped_at(&recording, Engine::Soft, landmark), digests, "{landmark} on soft");
            }
            assert_ne!(digests, recording.summary["digests"], "{landmark} is before the end");
        }
    }
}

#[test]
fn a_landmark_behind_the_end_is_never_reached_and_the_summary_tells() {
    let recording = Recording::of(Guest::bare("hello"));
    let replayed = recording.log.replayed(Engine::Soft, &["--until", "999999999+1"]);
    assert_eq!(replayed.finished.status, Some(0), "{:?}", replayed.finished);
    assert_eq!(replayed.summary["end"], "complete", "{:?}", replayed.finished);
}

#[test]
fn what_is_no_landmark_is_refused() {
    let recording = Recording::of(Guest::bare("hello"));
    for bad in ["", "x", "1+", "-1", "1+2+3"] {
        let finished = recording.log.replayed(Engine::Soft, &[&format!("--until={bad}")]).finished;
        assert_eq!(finished.status, Some(2), "{bad:?}: {finished:?}");
        assert!(
            finished.errors.contains("landmark") || finished.errors.contains("--until"),
            "{bad:?}: {finished:?}"
        );
    }
}
