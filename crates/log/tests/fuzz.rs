//! The bodies of the fuzz targets (`crates/log/fuzz`) with the stable compiler: on random bytes, and on those
//! with which a fuzzer once found something.
//!
//! The tests on random bytes print their seed; with `OUTLIVE_SEED=<seed>` they make the same cases again.
//! `PROPTEST_CASES=<count>` sets how many each of them makes.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;

/// The body of a fuzz target.
type Body = fn(&[u8]);

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

/// Random bytes. A failure tells the fewest that fail.
fn on_random_bytes(name: &str, body: Body) {
    let seed = seed();
    println!("fuzz::{name}: OUTLIVE_SEED={seed:#x}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 3000;
    }
    // Small numbers are lengths and kinds that exist.
    let byte = prop_oneof![any::<u8>(), 0..8u8, Just(b'B')];
    let any_bytes = vec(byte, 0..300).boxed();
    let result = TestRunner::new_with_rng(config, random).run(&any_bytes, |bytes| {
        body(&bytes);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("OUTLIVE_SEED={seed:#x}: {failure}");
    }
}

/// The files in `crates/log/fuzz/regressions/<name>`.
fn on_regressions(name: &str, body: Body) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(name);
    for file in std::fs::read_dir(&folder).expect("the folder is there") {
        let path = file.expect("the folder can be read").path();
        println!("fuzz::{name}: {}", path.display());
        body(&std::fs::read(&path).expect("the file can be read"));
    }
}

#[test]
fn random_files_never_panic_and_errors_stay() {
    on_random_bytes("read_log", bodies::read_log);
}

#[test]
fn random_batches_come_back_or_are_refused() {
    on_random_bytes("decode_batch", bodies::decode_batch);
}

#[test]
fn files_that_a_fuzzer_found_never_panic_and_errors_stay() {
    on_regressions("read_log", bodies::read_log);
}

#[test]
fn batches_that_a_fuzzer_found_come_back_or_are_refused() {
    on_regressions("decode_batch", bodies::decode_batch);
}
