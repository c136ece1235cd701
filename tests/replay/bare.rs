//! Every bare guest, recorded on each engine at hand and replayed on each that can.

use crate::harness::{Engine, Guest, faults_words};
use crate::recording::Recording;

/// What must hold of a guest besides what must hold of all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Faults {
    None,
    Some,
}

/// Makes a test on either engine of each line: the guest's name, whether it takes faults, and its words; what
/// follows them is done to it before it is started.
macro_rules! guests {
    ($($name:ident $faults:ident $words:expr $(, $more:expr)?;)*) => {
        mod on_kvm {
            $(#[test] fn $name() { super::$name($crate::harness::Engine::Kvm); })*
        }

        mod on_soft {
            $(#[test] fn $name() { super::$name($crate::harness::Engine::Soft); })*
        }

        $(fn $name(engine: Engine) {
            let words: fn(Engine) -> &'static str = $words;
            let more: &[fn(Guest, Engine) -> Guest] = &[$($more)?];
            let guest = bare(engine, stringify!($name)).command_line(words(engine));
            let guest = more.iter().fold(guest, |guest, more| more(guest, engine));
            succeeds_again(engine, guest, Faults::$faults);
        })*
    };
}

guests! {
    hello None |_| "one two=3";
    ticks None |_| "";
    time None |_| "print=1";
    compute None |_| "";
    exits None |_| "ticks=1";
    strings Some |_| "ticks=1";
    smc None |_| "";
    faults Some faults_words;
    disk None |_| "", |guest, _| guest.with_disk(128, false).0;
    hostile None |_| "case=all", with_devices;
}

fn bare(engine: Engine, name: &str) -> Guest {
    Guest::bare(name).engine(engine.name())
}

fn with_devices(guest: Guest, engine: Engine) -> Guest {
    let number = 10 + engine as u8;
    let guest = guest.with_disk(128, false).0;
    guest.network(&format!("outliverogue{number}"), &format!("10.82.{number}.1/24"))
}

/// Records a guest that must say of itself that all went well, and replays it.
fn succeeds_again(engine: Engine, guest: Guest, faults: Faults) {
    if !engine.records() {
        return;
    }
    let recording = Recording::of(guest);
    assert_eq!(recording.status, Some(0), "{}{}", recording.console(), recording.errors);
    assert!(recording.console().ends_with(": ok\n"), "{}", recording.console());
    match faults {
        Faults::None => recording.is_replayed(),
        Faults::Some => recording.is_replayed_with_faults(),
    }
}
