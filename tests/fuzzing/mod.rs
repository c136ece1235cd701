//! The bodies of a crate's fuzz targets (`crates/*/fuzz`) with the stable compiler: on random bytes, and on those with
//! which a fuzzer once found something.
//!
//! Tests on random bytes print their seed; with `OUTLIVE_SEED=<seed>` they make the same cases again.
//! `PROPTEST_CASES=<count>` sets how many each of them makes.

use std::path::Path;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

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

/// Random bytes of that kind. A failure tells the fewest that fail.
pub(crate) fn on_random_bytes(name: &str, bytes: impl Strategy<Value = Vec<u8>>, body: Body) {
    let seed = seed();
    println!("fuzz::{name}: OUTLIVE_SEED={seed:#x}");
    let mut random = [0; 32];
    random[..8].copy_from_slice(&seed.to_le_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &random);
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 3000;
    }
    let result = TestRunner::new_with_rng(config, random).run(&bytes, |bytes| {
        body(&bytes);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("OUTLIVE_SEED={seed:#x}: {failure}");
    }
}

/// The files in `fuzz/regressions/<name>` of the crate.
pub(crate) fn on_regressions(name: &str, body: Body) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(name);
    for file in std::fs::read_dir(&folder).expect("the folder is there") {
        let path = file.expect("the folder can be read").path();
        println!("fuzz::{name}: {}", path.display());
        body(&std::fs::read(&path).expect("the file can be read"));
    }
}
