//! See [`bodies::read_log`].

#![no_main]

#[path = "../bodies/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::read_log(bytes));
