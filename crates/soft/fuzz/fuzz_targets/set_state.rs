//! See [`world::set_state`].

#![no_main]

#[path = "../world/mod.rs"]
#[allow(dead_code, reason = "each target uses its part")]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| world::set_state(bytes));
