//! See [`world::decode_and_execute`].

#![no_main]

#[path = "../world/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| world::decode_and_execute(bytes));
