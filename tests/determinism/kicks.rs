//! Kicks stop a guest wherever they come, and inputs land there. A replay finds every such place again.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use outlive_engine::{Engine, GuestTime, Kicker};
use outlive_log::LogWriter;
use outlive_log::header::Counting;
use outlive_machine::machine::Machine;
use outlive_machine::world::{Input, Output, Patience, Place, Target, World};
use outlive_replay::{RecordOptions, Recorder, ReplayEnd, record};
use outlive_soft::NativeCode;

use crate::guest::Guest;
use crate::record::{header, options, replaying};
use crate::world::ScriptedWorld;

/// A world in which somebody types whenever he is told to.
struct Fidgety {
    world: ScriptedWorld,
    /// Whether he is to type at the next place.
    types: Arc<AtomicBool>,
    /// How often he has.
    typed: usize,
    /// Makes him type as soon as an interrupt has been delivered.
    kicker: Option<Kicker>,
}

impl World for Fidgety {
    type Error = Infallible;

    fn needs_landmarks(&self) -> bool {
        true
    }

    fn stop_requested(&self) -> bool {
        self.world.stop_requested()
    }

    fn read_time(&mut self, at: &mut dyn Place) -> Result<GuestTime, Infallible> {
        self.world.read_time(at)
    }

    fn next_input(&mut self, at: &mut dyn Place, patience: Patience) -> Result<Option<Input>, Infallible> {
        if self.types.swap(false, Ordering::Acquire) {
            self.typed += 1;
            return Ok(Some(Input::Console(b"!".to_vec())));
        }
        self.world.next_input(at, patience)
    }

    fn next_landing(&self) -> Option<Target> {
        self.world.next_landing()
    }

    fn set_deadline(&mut self, deadline: Option<GuestTime>) {
        self.world.set_deadline(deadline);
    }

    fn output(&mut self, at: &mut dyn Place, output: Output) -> Result<(), Infallible> {
        self.world.output(at, output)
    }

    fn interrupt(&mut self, at: &mut dyn Place, vector: u8) -> Result<(), Infallible> {
        if let Some(kicker) = &self.kicker {
            self.types.store(true, Ordering::Release);
            kicker.kick();
        }
        self.world.interrupt(at, vector)
    }
}

/// Kicks, and makes somebody type, again and again until this is dropped.
struct Kicks {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Kicks {
    fn start(kicker: Kicker, types: Arc<AtomicBool>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                types.store(true, Ordering::Release);
                kicker.kick();
                std::thread::sleep(Duration::from_micros(20));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Kicks {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// When somebody types.
#[derive(Clone, Copy, PartialEq)]
enum Typing {
    BehindEachInterrupt,
    AtAnyTime,
}

/// Records the guest and replays it. Tells how often somebody has typed.
fn is_replayed(guest: &Guest, typing: Typing, log: &Path) -> usize {
    let (engine, board, ram) = guest.boot(NativeCode::default());
    let writer = LogWriter::create(log, &header(), true).unwrap();
    let types = Arc::new(AtomicBool::new(false));
    let kicker = engine.kicker();
    let kicks = (typing == Typing::AtAnyTime).then(|| Kicks::start(kicker.clone(), Arc::clone(&types)));
    let kicker = (typing == Typing::BehindEachInterrupt).then_some(kicker);
    let world = Fidgety { world: guest.world(), types, typed: 0, kicker };
    let recording = RecordOptions { digest_every: None, registers: true };
    let recorder = Recorder::new(world, writer, Counting::Steps, ram, recording);
    let (recorded, world) = record(Machine::new(engine, recorder, board)).unwrap();
    drop(kicks);
    let (replayed, console) = replaying(guest, log, NativeCode::default(), options());
    assert!(matches!(replayed.end, ReplayEnd::Complete(_)), "{guest:?}: {:?}", replayed.end);
    assert_eq!(replayed.summary.digests, recorded.summary.digests, "{guest:?}");
    assert_eq!(console, world.world.console, "{guest:?}");
    world.typed
}

const BARE: [(&str, &str); 5] =
    [("ticks", ""), ("exits", "ticks=1"), ("strings", "ticks=1"), ("faults", "step=1 shadow=1"), ("kv", "")];

#[test]
fn inputs_that_land_on_the_first_instruction_of_an_interrupt_handler_are_replayed_there() {
    let folder = tempfile::tempdir().unwrap();
    for (name, words) in BARE.into_iter().take(3) {
        let guest = Guest::new(name, words);
        let typed = is_replayed(&guest, Typing::BehindEachInterrupt, &folder.path().join("log"));
        assert!(typed > 3, "{name}: {typed} times");
    }
}

#[test]
fn inputs_that_land_anywhere_are_replayed_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut typed = 0;
    for _ in 0..10 {
        for (name, words) in BARE {
            typed += is_replayed(&Guest::new(name, words), Typing::AtAnyTime, &folder.path().join("log"));
        }
    }
    assert!(typed > 100, "{typed} times");
}

#[test]
fn a_linux_that_is_kicked_all_the_time_is_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let guest = Guest::linux().stopped_after(3_000_000_000);
    let typed = is_replayed(&guest, Typing::AtAnyTime, &folder.path().join("log"));
    assert!(typed > 1000, "{typed} times");
}
