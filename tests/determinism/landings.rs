//! Inputs land in awkward places: more of them at one landmark than a turn of the machine takes, within an
//! instruction, or where no landmark will ever be. Each is a place that a replay must find, or say that it cannot.

use std::cell::Cell;
use std::convert::Infallible;

use outlive_engine::{Engine, ExitNumber, GuestRam, GuestTime, InterruptShadow, Kicker};
use outlive_log::LogWriter;
use outlive_log::entry::{self, EndReason, Entry};
use outlive_log::header::{Counting, Header};
use outlive_machine::board::Board;
use outlive_machine::machine::{Machine, Stop};
use outlive_machine::world::{Input, Output, Patience, Place, Target, World};
use outlive_replay::{RecordOptions, Recorder, ReplayEnd, record};
use outlive_soft::{NativeCode, SoftEngine};
use vm_memory::{Bytes, GuestAddress};

use crate::cuts::{read, watched_replay, watched_replay_of};
use crate::guest::Guest;
use crate::record::header;
use crate::wild::Kicked;
use crate::world::ScriptedWorld;

/// RFLAGS.IF.
const INTERRUPTS_ENABLED: u64 = 1 << 9;
/// More inputs than one turn takes.
const FLOOD: u32 = 300;
/// The one of them that lets a timer fire.
const TIMER_FIRES: u32 = 100;

const WITHOUT_DIGESTS: RecordOptions = RecordOptions { digest_every: None, registers: false };

/// What a [`Flooding`] world is about to do.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Stage {
    /// It waits for a place at which the guest could take an interrupt.
    Calm,
    /// There, it gives so many ticks, and then ends the turn by a kick.
    Drizzle { left: u32 },
    /// Still there, it gives so many ticks in the turns that follow.
    Flood { given: u32 },
    /// It has done all that.
    Over,
}

/// A world in which very many clock ticks land at one landmark.
struct Flooding {
    world: ScriptedWorld,
    kicker: Kicker,
    stage: Stage,
    /// How many ticks come in a turn before that with the flood.
    drizzle: u32,
    /// How many interrupts the guest has got.
    interrupts: u32,
}

impl Flooding {
    /// Whether this is a place for a flood: the guest waits for a timer, and would take its interrupt.
    fn fits(&self, at: &mut dyn Place, patience: Patience, now: u64) -> bool {
        let is_idle = self.world.next_time().is_none_or(|time| time > now);
        let takes_interrupts = |place: &mut dyn Place| {
            place.state().is_ok_and(|state| {
                state.rflags & INTERRUPTS_ENABLED != 0 && state.shadow == InterruptShadow::None
            })
        };
        let waits_for_timer = self.interrupts >= 3 && self.world.deadline.is_some();
        patience == Patience::Poll && is_idle && waits_for_timer && takes_interrupts(at)
    }

    /// A tick of the flood. One of them comes at the time for which the guest has set its timer.
    fn flood(&mut self, given: u32, now: u64) -> Input {
        self.stage = Stage::Flood { given: given + 1 };
        let time = match self.world.deadline {
            Some(deadline) if given == TIMER_FIRES => {
                self.world.deadline = None;
                self.world.ahead += deadline.saturating_sub(now);
                deadline.max(now)
            }
            _ => now,
        };
        tick(time)
    }
}

fn tick(nanoseconds: u64) -> Input {
    Input::ClockTick(GuestTime::from_nanoseconds(nanoseconds))
}

impl World for Flooding {
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
        let now = self.world.now(at.instructions());
        if self.stage == Stage::Calm && self.fits(at, patience, now) {
            self.stage = Stage::Drizzle { left: self.drizzle };
        }
        match self.stage {
            Stage::Drizzle { left: 0 } => {
                self.stage = Stage::Flood { given: 0 };
                self.kicker.kick();
                Ok(None)
            }
            Stage::Drizzle { left } => {
                self.stage = Stage::Drizzle { left: left - 1 };
                Ok(Some(tick(now)))
            }
            Stage::Flood { given } if given < FLOOD => Ok(Some(self.flood(given, now))),
            Stage::Flood { .. } => {
                self.stage = Stage::Over;
                self.world.next_input(at, patience)
            }
            Stage::Calm | Stage::Over => self.world.next_input(at, patience),
        }
    }

    fn next_landing(&self) -> Option<Target> {
        match self.stage {
            Stage::Calm | Stage::Over => self.world.next_landing(),
            Stage::Drizzle { .. } | Stage::Flood { .. } => None,
        }
    }

    fn set_deadline(&mut self, deadline: Option<GuestTime>) {
        self.world.set_deadline(deadline);
    }

    fn output(&mut self, at: &mut dyn Place, output: Output) -> Result<(), Infallible> {
        self.world.output(at, output)
    }

    fn interrupt(&mut self, at: &mut dyn Place, vector: u8) -> Result<(), Infallible> {
        self.interrupts += 1;
        self.world.interrupt(at, vector)
    }
}

/// Records the guest in a flood, and replays it.
fn is_replayed_with_a_flood_behind(drizzle: u32, guest: &Guest) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (engine, board, ram) = guest.boot(NativeCode::default());
    let kicker = engine.kicker();
    let world = Flooding { world: guest.world(), kicker, stage: Stage::Calm, drizzle, interrupts: 0 };
    let writer = LogWriter::create(&log, &header(), false).unwrap();
    let recorder = Recorder::new(world, writer, Counting::Steps, ram, WITHOUT_DIGESTS);
    let (recorded, world) = record(Machine::new(engine, recorder, board)).unwrap();
    assert_eq!(world.stage, Stage::Over, "{guest:?}");
    let replayed = watched_replay_of(guest, &log)
        .unwrap_or_else(|error| panic!("{guest:?}, behind {drizzle} ticks: {error}"));
    assert!(matches!(replayed.end, ReplayEnd::Complete(_)), "{guest:?}: {:?}", replayed.end);
    assert_eq!(replayed.summary.digests, recorded.summary.digests, "{guest:?}");
}

#[test]
fn more_inputs_at_a_landmark_than_a_turn_takes_are_replayed_though_the_turns_end_elsewhere() {
    for (name, words) in [("ticks", ""), ("exits", "ticks=1"), ("strings", "")] {
        for drizzle in [0, 1] {
            is_replayed_with_a_flood_behind(drizzle, &Guest::new(name, words));
        }
    }
}

/// A machine whose guest is this code.
pub(crate) fn boot_code(code: &[u8]) -> (SoftEngine, Board, GuestRam) {
    let (mut engine, board, ram) = Guest::new("hello", "").boot(NativeCode::default());
    let start = engine.state().unwrap().rip;
    ram.write_slice(code, GuestAddress(start)).unwrap();
    (engine, board, ram)
}

/// A world that ticks at each second place at which it is asked, between instructions or not, and tells a later
/// time at each read.
struct Ticking {
    now: u64,
    /// How often it may still be asked.
    left: u32,
    /// How many ticks came within an instruction.
    within: u32,
}

impl World for Ticking {
    type Error = Infallible;

    fn needs_landmarks(&self) -> bool {
        false
    }

    fn stop_requested(&self) -> bool {
        self.left == 0
    }

    fn read_time(&mut self, _: &mut dyn Place) -> Result<GuestTime, Infallible> {
        self.now += 256;
        Ok(GuestTime::from_nanoseconds(self.now))
    }

    fn next_input(&mut self, at: &mut dyn Place, _: Patience) -> Result<Option<Input>, Infallible> {
        self.left = self.left.saturating_sub(1);
        if self.left.is_multiple_of(2) {
            return Ok(None);
        }
        self.now += 256;
        self.within += u32::from(at.landmark().is_err());
        Ok(Some(tick(self.now)))
    }

    fn set_deadline(&mut self, _: Option<GuestTime>) {}

    fn output(&mut self, _: &mut dyn Place, _: Output) -> Result<(), Infallible> {
        Ok(())
    }

    fn interrupt(&mut self, _: &mut dyn Place, _: u8) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn a_tick_that_comes_within_an_instruction_that_reads_the_time_lands_behind_it() {
    // mov esi, 0xd0000000; mov dx, 0x43; outsb, which reads a device's memory and then commands the timer, for
    // which the machine reads the time; jmp to the start.
    let code = [0xbe, 0, 0, 0, 0xd0, 0x66, 0xba, 0x43, 0, 0x6e, 0xeb, 0xf4];
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (engine, board, ram) = boot_code(&code);
    let writer = LogWriter::create(&log, &header(), false).unwrap();
    let world = Ticking { now: 0, left: 400, within: 0 };
    let recorder = Recorder::new(world, writer, Counting::Steps, ram, WITHOUT_DIGESTS);
    let (recorded, world) = record(Machine::new(engine, recorder, board)).unwrap();
    assert!(matches!(recorded.stop, Stop::Requested), "{:?}", recorded.stop);
    assert!(world.within > 10, "{} ticks within an instruction", world.within);
    let entries = read(&log);
    assert!(entries.iter().any(|entry| matches!(entry, Entry::Time(_))), "the guest reads the time");
    let replayed = watched_replay(move || boot_code(&code), &log).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(replayed.end, ReplayEnd::Complete(EndReason::Requested)), "{:?}", replayed.end);
    assert_eq!(replayed.summary.digests, recorded.summary.digests);
}

/// A world in which nothing happens, and in which somebody stops the machine after a while.
struct Silent {
    /// How often the machine has asked whether it is to stop.
    asked: Cell<u32>,
}

impl World for Silent {
    type Error = Infallible;

    fn needs_landmarks(&self) -> bool {
        false
    }

    fn stop_requested(&self) -> bool {
        self.asked.set(self.asked.get().saturating_add(1));
        self.asked.get() > 100
    }

    fn read_time(&mut self, _: &mut dyn Place) -> Result<GuestTime, Infallible> {
        Ok(GuestTime::BOOT)
    }

    fn next_input(&mut self, _: &mut dyn Place, _: Patience) -> Result<Option<Input>, Infallible> {
        Ok(None)
    }

    fn set_deadline(&mut self, _: Option<GuestTime>) {}

    fn output(&mut self, _: &mut dyn Place, _: Output) -> Result<(), Infallible> {
        Ok(())
    }

    fn interrupt(&mut self, _: &mut dyn Place, _: u8) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn a_recording_that_was_stopped_where_no_landmark_is_is_replayed_to_its_last_exit() {
    // in al, 0x60 five times, none of which makes an entry; then a loop without exits.
    let code = [0xe4, 0x60, 0xe4, 0x60, 0xe4, 0x60, 0xe4, 0x60, 0xe4, 0x60, 0xeb, 0xfe];
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let (engine, board, ram) = boot_code(&code);
    let counting = Counting::Windows;
    let writer = LogWriter::create(&log, &Header { counting, ..header() }, false).unwrap();
    let recorder = Recorder::new(Silent { asked: Cell::new(0) }, writer, counting, ram, WITHOUT_DIGESTS);
    let engine = Kicked::new(engine, counting, || 100_000);
    let (recorded, _) = record(Machine::new(engine, recorder, board)).unwrap();
    assert_eq!(recorded.summary.exits, 5);
    let end = entry::End { reason: EndReason::Requested, exit: ExitNumber(5), state: None };
    assert_eq!(read(&log), [Entry::End(Box::new(end))]);
    let replayed = watched_replay(move || boot_code(&code), &log).unwrap_or_else(|error| panic!("{error}"));
    assert!(matches!(replayed.end, ReplayEnd::Complete(EndReason::Requested)), "{:?}", replayed.end);
    assert_eq!(replayed.summary.exits, 5);
}
