//! The body of the fuzz target (`crates/replication/fuzz`) with the stable compiler: see [`fuzzing`].

use fuzzing::{on_random_bytes, on_regressions};
use proptest::collection::vec;
use proptest::prelude::{any, prop_oneof};

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;
#[path = "../../../tests/fuzzing/mod.rs"]
mod fuzzing;

#[test]
fn random_streams_never_panic_and_errors_stay() {
    // Small numbers are lengths, kinds and versions that exist.
    let byte = prop_oneof![any::<u8>(), 0..6u8, 0..2u8];
    on_random_bytes("read_frames", vec(byte, 0..300), bodies::read_frames);
}

#[test]
fn streams_that_a_fuzzer_found_never_panic_and_errors_stay() {
    on_regressions("read_frames", bodies::read_frames);
}
