//! The bodies of the fuzz targets (`crates/soft/fuzz`) with the stable compiler: see [`fuzzing`].

use fuzzing::{on_random_bytes, on_regressions};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};

#[path = "../../../tests/fuzzing/mod.rs"]
mod fuzzing;
#[path = "../fuzz/world/mod.rs"]
mod world;

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 60..600)
}

#[test]
fn random_code_never_panics_and_replays() {
    on_random_bytes("decode_and_execute", any_bytes(), world::decode_and_execute);
}

#[test]
fn random_states_are_refused_or_run_and_replay() {
    on_random_bytes("set_state", any_bytes(), world::set_state);
}

#[test]
fn code_that_a_fuzzer_found_never_panics_and_replays() {
    on_regressions("decode_and_execute", world::decode_and_execute);
}

#[test]
fn states_that_a_fuzzer_found_are_refused_or_run_and_replay() {
    on_regressions("set_state", world::set_state);
}
