//! Worlds that keep no order: kicks at random places, inputs wherever the machine asks, floods of them, answers of
//! a disk in any order, a stop in between. Whatever comes of it is in the log, and a replay does it again.

use std::convert::Infallible;
use std::time::Duration;

use outlive_engine::{
    Activity, Answer, Capabilities, Engine, EngineError, Exit, GuestPhysical, GuestTime, InstructionCount,
    Kicker, Landing, Position, RunLimit, VcpuState,
};
use outlive_log::LogWriter;
use outlive_log::header::{Counting, Header};
use outlive_machine::machine::Machine;
use outlive_machine::world::{DiskStatus, Input, NetworkIndex, Output, Patience, Place, World};
use outlive_replay::{RecordOptions, Recorder, ReplayEnd, record};
use outlive_soft::{NativeCode, SoftEngine};

use crate::cuts::watched_replay_of;
use crate::guest::Guest;
use crate::random::Random;
use crate::record::header;
use crate::world::carry_out;

/// With how many worlds of each kind each guest is recorded.
const WORLDS: usize = 6;

/// The engine in software, kicked after as many instructions as it is told, and, if it is to be one that counts no
/// steps, without its count.
pub(crate) struct Kicked {
    engine: SoftEngine,
    counting: Counting,
    /// After how many instructions the next kick comes, if there is no exit before.
    next_kick: Box<dyn FnMut() -> u64>,
}

impl Kicked {
    pub(crate) fn new(
        engine: SoftEngine,
        counting: Counting,
        next_kick: impl FnMut() -> u64 + 'static,
    ) -> Self {
        Self { engine, counting, next_kick: Box::new(next_kick) }
    }
}

impl Engine for Kicked {
    fn capabilities(&self) -> Capabilities {
        let landing = match self.counting {
            Counting::Steps => Landing::AnyInstruction,
            Counting::Windows => Landing::AtExits,
        };
        Capabilities { landing, ..self.engine.capabilities() }
    }

    fn run(&mut self, limit: RunLimit) -> Result<Exit, EngineError> {
        let kick = (self.next_kick)();
        match limit {
            RunLimit::Instructions(instructions) if instructions <= kick => self.engine.run(limit),
            _ => match self.engine.run(RunLimit::Instructions(kick))? {
                Exit::LimitReached => Ok(Exit::Kicked),
                exit => Ok(exit),
            },
        }
    }

    fn answer(&mut self, answer: Answer) -> Result<(), EngineError> {
        self.engine.answer(answer)
    }

    fn can_take_interrupt(&mut self) -> Result<bool, EngineError> {
        self.engine.can_take_interrupt()
    }

    fn inject_interrupt(&mut self, vector: u8) -> Result<(), EngineError> {
        self.engine.inject_interrupt(vector)
    }

    fn set_interrupt_window(&mut self, wanted: bool) {
        self.engine.set_interrupt_window(wanted);
    }

    fn activity(&self) -> Activity {
        self.engine.activity()
    }

    fn position(&mut self) -> Result<Position, EngineError> {
        self.engine.position()
    }

    fn retired(&self) -> InstructionCount {
        match self.counting {
            Counting::Steps => self.engine.retired(),
            Counting::Windows => InstructionCount(0),
        }
    }

    fn state(&mut self) -> Result<VcpuState, EngineError> {
        self.engine.state()
    }

    fn set_state(&mut self, state: &VcpuState) -> Result<(), EngineError> {
        self.engine.set_state(state)
    }

    fn translate(&mut self, linear: u64) -> Option<GuestPhysical> {
        self.engine.translate(linear)
    }

    fn kicker(&self) -> Kicker {
        self.engine.kicker()
    }
}

/// The world.
struct Wild {
    random: Random,
    kicker: Kicker,
    /// In nanoseconds; it goes on by something whenever the machine asks.
    now: u64,
    deadline: Option<u64>,
    /// When the machine is stopped.
    stops_at: u64,
    is_over: bool,
    disk: Vec<u8>,
    /// What the disk has still to say.
    answers: Vec<Input>,
    /// How many inputs of a flood are still to come.
    flood: u64,
}

impl Wild {
    fn new(mut random: Random, kicker: Kicker, disk: Vec<u8>) -> Self {
        // One in two is stopped early, at a time of some order of magnitude.
        let stops_at = if random.below(2) == 0 { 1 << (12 + random.below(14)) } else { 60_000_000 };
        let (answers, is_over) = (Vec::new(), false);
        Self { random, kicker, now: 0, deadline: None, stops_at, is_over, disk, answers, flood: 0 }
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.random.below(count) == 0
    }

    fn tick(&self) -> Input {
        Input::ClockTick(GuestTime::from_nanoseconds(self.now))
    }

    /// Something that nobody has asked for.
    fn whim(&mut self) -> Input {
        match self.random.below(4) {
            0 => Input::Console(vec![b'a'; self.random.below(4) as usize]),
            1 => Input::Frame { network: NetworkIndex(0), bytes: vec![0xff; 60] },
            _ => self.tick(),
        }
    }

    fn answer(&mut self) -> Option<Input> {
        let count = self.answers.len() as u64;
        (count > 0).then(|| self.answers.swap_remove(self.random.below(count) as usize))
    }

    /// Whether an input comes out of the blue: now and then, and in a flood many together.
    fn has_whim(&mut self, is_due: bool) -> bool {
        if self.flood > 0 {
            self.flood -= 1;
        } else if self.one_in(5_000) {
            self.flood = 300 + self.random.below(600);
        }
        self.flood > 0 && !is_due || self.one_in(37)
    }
}

impl World for Wild {
    type Error = Infallible;

    fn needs_landmarks(&self) -> bool {
        false
    }

    fn stop_requested(&self) -> bool {
        self.is_over
    }

    fn read_time(&mut self, _: &mut dyn Place) -> Result<GuestTime, Infallible> {
        self.now += self.random.below(2_000);
        Ok(GuestTime::from_nanoseconds(self.now))
    }

    fn next_input(&mut self, _: &mut dyn Place, patience: Patience) -> Result<Option<Input>, Infallible> {
        self.now += self.random.below(300);
        if self.now > self.stops_at {
            self.is_over = true;
            return Ok(None);
        }
        if self.one_in(20) {
            self.kicker.kick();
        }
        let is_due = self.deadline.is_some_and(|deadline| deadline <= self.now);
        if self.has_whim(is_due) {
            return Ok(Some(self.whim()));
        }
        if is_due {
            return Ok(Some(self.tick()));
        }
        if patience == Patience::Wait || self.one_in(3) {
            let answer = self.answer();
            if answer.is_some() {
                return Ok(answer);
            }
        }
        if patience == Patience::Poll {
            return Ok(None);
        }
        self.now = self.deadline.unwrap_or(self.now + 1_000);
        Ok(Some(self.tick()))
    }

    fn set_deadline(&mut self, deadline: Option<GuestTime>) {
        self.deadline = deadline.map(GuestTime::nanoseconds);
    }

    fn output(&mut self, _: &mut dyn Place, output: Output) -> Result<(), Infallible> {
        if let Output::Disk { disk, request, operation } = output {
            let data = carry_out(&mut self.disk, operation);
            self.answers.push(Input::DiskCompletion { disk, request, status: DiskStatus::Done, data });
        }
        if self.one_in(5) {
            self.kicker.kick();
        }
        Ok(())
    }

    fn interrupt(&mut self, _: &mut dyn Place, _: u8) -> Result<(), Infallible> {
        if self.one_in(3) {
            self.kicker.kick();
        }
        Ok(())
    }
}

/// How many instructions until the next kick: often few, and at times none.
fn random_kick(random: &mut Random) -> u64 {
    let most = [1, 2, 4, 100, 100, 100, 5_000, 5_000][random.below(8) as usize];
    random.below(most)
}

fn is_replayed(guest: &Guest, counting: Counting) {
    let mut random = Random::new();
    for world in 0..WORLDS {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let (engine, board, ram) = guest.boot(NativeCode::default());
        let live = Wild::new(random.split(), engine.kicker(), guest.world().disk);
        let mut kicks = random.split();
        let engine = Kicked::new(engine, counting, move || random_kick(&mut kicks));
        let writer = LogWriter::create(&log, &Header { counting, ..header() }, false).unwrap();
        let digest_every = Some(Duration::from_micros(500 + random.below(3_000)));
        let options = RecordOptions { digest_every, registers: random.below(3) == 0 };
        let recorder = Recorder::new(live, writer, counting, ram, options);
        let (recorded, _) = record(Machine::new(engine, recorder, board)).unwrap();
        let replayed = watched_replay_of(guest, &log)
            .unwrap_or_else(|error| panic!("{guest:?}, world {world}, {:?}: {error}", recorded.stop));
        println!("world {world}: {:?} behind {} entries", recorded.stop, recorded.summary.entries);
        let end = &replayed.end;
        assert!(matches!(end, ReplayEnd::Complete(_)), "{guest:?}, world {world}: {end:?}");
        assert_eq!(replayed.summary.entries, recorded.summary.entries, "{guest:?}, world {world}");
        if recorded.summary.digests.is_some() {
            assert_eq!(replayed.summary.digests, recorded.summary.digests, "{guest:?}, world {world}");
        }
    }
}

fn is_replayed_by_steps(guest: &Guest) {
    is_replayed(guest, Counting::Steps);
}

fn is_replayed_by_windows(guest: &Guest) {
    is_replayed(guest, Counting::Windows);
}

mod what_a_wild_world_does_between_any_two_steps_is_replayed {
    every_guest! {
        super::is_replayed_by_steps,
        hello "x", ticks "", exits "", strings "", disk "", hostile "case=all", kv "",
    }
}

mod what_a_wild_world_does_at_exits_and_windows_is_replayed_by_an_engine_that_counts_steps {
    every_guest! {
        super::is_replayed_by_windows,
        hello "x", ticks "", exits "", strings "", disk "", hostile "case=all", kv "",
    }
}
