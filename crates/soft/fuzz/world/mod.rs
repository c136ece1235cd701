//! What the fuzzer's bytes become: a processor, a small memory, code, and all that comes from outside.
//!
//! The same bodies run under `cargo fuzz`, which chooses the bytes by the branches that they reach, and in the
//! ordinary test `fuzz`, which takes random ones and those that once found something (`regressions`).
//!
//! Each body plays the same input twice ([`play`]): once as a monitor records, once as one replays, which
//! stops at steps of its own choice. Whatever the bytes are, nothing may panic, every instruction must come to
//! an end, and both must have seen the same and leave the same behind.

mod input;
mod play;
mod stage;
mod state;

use outlive_engine::Engine;
use outlive_soft::SoftEngine;

use input::Input;
use play::Story;
use stage::Stage;

/// Arbitrary code with arbitrary registers, in any ring, in 64-bit and in compatibility mode. Tables of pages,
/// gates and segments work but for what the input changes in them.
pub(crate) fn decode_and_execute(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let state = state::likely(&mut input);
    let mut stage = Stage::new(&mut input);
    let story = Story::new(&mut input, bytes);
    stage.set_code(state.rip, input.rest());
    play::twice(&stage, &state, &story);
}

/// An arbitrary state: it is refused, or the processor runs from there, and tells a state that it takes over
/// unchanged.
pub(crate) fn set_state(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let state = state::any(&mut input);
    let mut stage = Stage::new(&mut input);
    let story = Story::new(&mut input, bytes);
    stage.set_code(stage::CODE, input.rest());
    let mut engine = SoftEngine::new(&stage.ram());
    if engine.set_state(&state).is_err() {
        return;
    }
    let told = engine.state().expect("it stands between two instructions");
    engine.set_state(&told).expect("a processor was in this state");
    let again = engine.state().expect("it stands between two instructions");
    assert_eq!(told, again, "a state that was told is taken over unchanged");
    play::twice(&stage, &state, &story);
}
