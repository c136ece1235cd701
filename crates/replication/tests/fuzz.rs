//! The body of the fuzz target (`crates/replication/fuzz`) with the stable compiler: on random bytes, and on those with
//! which a fuzzer once found something.
//!
//! The test on random bytes prints its seed; with `OUTLIVE_SEED=<seed>` it makes the same cases again.
//! `PROPTEST_CASES=<count>` sets how many it makes.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;

/// The seed that the environment names, or a new one.
fn seed() -> u64 {
    match std::env::var("OUTLIVE_SEED") {
        Ok(text) => {
            let digits = text.strip_prefix("0x").expect("OUTLIVE_SEED begins with 0x");
            u64::from_str_radix(digits, 16).expect("OUTLIVE_SEED is a hexadecimal number")
        }
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.expect("the clock is right").as_nanos() as u64
        }
    }
}

#[test]
fn random_streams_never_panic_and_errors_stay() {
    let seed = seed();
    println!("fuzz::read_frames: OUTLIVE_SEED={seed:#x}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 3000;
    }
    // Small numbers are lengths, kinds and versions that exist.
    let byte = prop_oneof![any::<u8>(), 0..6u8, 0..2u8];
    let any_bytes = vec(byte, 0..300).boxed();
    let result = TestRunner::new_with_rng(config, random).run(&any_bytes, |bytes| {
        bodies::read_frames(&bytes);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("OUTLIVE_SEED={seed:#x}: {failure}");
    }
}

#[test]
fn streams_that_a_fuzzer_found_never_panic_and_errors_stay() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions/read_frames");
    for file in std::fs::read_dir(&folder).expect("the folder is there") {
        let path = file.expect("the folder can be read").path();
        println!("fuzz::read_frames: {}", path.display());
        bodies::read_frames(&std::fs::read(&path).expect("the file can be read"));
    }
}
