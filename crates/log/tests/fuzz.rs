//! The bodies of the fuzz targets (`crates/log/fuzz`) with the stable compiler: see [`fuzzing`].

use fuzzing::{on_random_bytes, on_regressions};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;
#[path = "../../../tests/fuzzing/mod.rs"]
mod fuzzing;

/// Small numbers are lengths and kinds that exist.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![any::<u8>(), 0..8u8, Just(b'B')], 0..300)
}

#[test]
fn random_files_never_panic_and_errors_stay() {
    on_random_bytes("read_log", any_bytes(), bodies::read_log);
}

#[test]
fn random_batches_come_back_or_are_refused() {
    on_random_bytes("decode_batch", any_bytes(), bodies::decode_batch);
}

#[test]
fn files_that_a_fuzzer_found_never_panic_and_errors_stay() {
    on_regressions("read_log", bodies::read_log);
}

#[test]
fn batches_that_a_fuzzer_found_come_back_or_are_refused() {
    on_regressions("decode_batch", bodies::decode_batch);
}
