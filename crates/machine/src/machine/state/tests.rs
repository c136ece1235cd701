use std::convert::Infallible;

use super::*;
use crate::machine::Stop;
use crate::memory::{RamSize, create_ram};
use crate::virtio::Block;
use crate::world::{DiskIndex, Input, Output, Patience, Place, Target};
use outlive_engine::{
    AccessSize, Activity, Answer, Capabilities, EngineKind, Exit, GuestPhysical, Kicker, Landing, Position,
    RunLimit, TimeReads,
};

mod going_live;

const ORDINARY: u64 = 1000;

/// A processor whose RIP counts the instructions of its program: most do nothing, each tenth writes a letter to
/// the serial port, each seventh reads the time, and the last one of a thousand ends the machine.
#[derive(Default)]
struct Counting {
    state: VcpuState,
    retired: u64,
    answered: bool,
    /// How often translations were forgotten.
    forgotten: u32,
}

impl Counting {
    fn retire(&mut self) {
        self.answered = false;
        self.state.rip += 1;
        self.retired += 1;
    }

    fn complete(&mut self) {
        if self.answered {
            self.retire();
        }
    }
}

impl Engine for Counting {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            engine: EngineKind::Soft,
            landing: Landing::AnyInstruction,
            time_reads: TimeReads::Trapped,
        }
    }

    fn run(&mut self, limit: RunLimit) -> Result<Exit, EngineError> {
        let end = match limit {
            RunLimit::Unlimited => u64::MAX,
            RunLimit::Instructions(count) => self.retired + count,
        };
        while self.retired < end {
            if !self.answered && self.state.rip % 7 == 6 {
                return Ok(Exit::TimeRead);
            }
            self.retire();
            if self.state.rip == ORDINARY {
                return Ok(Exit::PortWrite { port: 0xf4, size: AccessSize::Byte, value: 0 });
            }
            if self.state.rip.is_multiple_of(10) {
                let value = u32::from(b'a') + (self.state.rip / 10 % 26) as u32;
                return Ok(Exit::PortWrite { port: 0x3f8, size: AccessSize::Byte, value });
            }
        }
        Ok(Exit::LimitReached)
    }

    fn answer(&mut self, _answer: Answer) -> Result<(), EngineError> {
        self.answered = true;
        Ok(())
    }

    fn can_take_interrupt(&mut self) -> Result<bool, EngineError> {
        self.complete();
        Ok(false)
    }

    fn inject_interrupt(&mut self, _vector: u8) -> Result<(), EngineError> {
        unreachable!("no interrupt can be taken")
    }

    fn set_interrupt_window(&mut self, _wanted: bool) {}

    fn activity(&self) -> Activity {
        Activity::Running
    }

    fn retired(&self) -> InstructionCount {
        InstructionCount(self.retired)
    }

    fn position(&mut self) -> Result<Position, EngineError> {
        self.complete();
        Ok(Position { rip: self.state.rip, rcx: 0 })
    }

    fn state(&mut self) -> Result<VcpuState, EngineError> {
        self.complete();
        Ok(self.state.clone())
    }

    fn set_state(&mut self, state: &VcpuState) -> Result<(), EngineError> {
        self.state = state.clone();
        self.forgotten += 1;
        Ok(())
    }

    fn translate(&mut self, _linear: u64) -> Option<GuestPhysical> {
        None
    }

    fn kicker(&self) -> Kicker {
        Kicker::new(|| {})
    }
}

/// A world that types one byte at each of the given counts, and writes down everything.
#[derive(Clone, Default)]
struct Typist {
    /// Counts at which it types, the last one first.
    types_at: Vec<u64>,
    /// Where it has typed.
    typed_at: Vec<u64>,
    outputs: Vec<Output>,
    deadlines: Vec<Option<GuestTime>>,
}

impl World for Typist {
    type Error = Infallible;

    fn needs_landmarks(&self) -> bool {
        true
    }

    fn stop_requested(&self) -> bool {
        false
    }

    fn read_time(&mut self, at: &mut dyn Place) -> Result<GuestTime, Infallible> {
        Ok(GuestTime::from_nanoseconds(at.instructions().0))
    }

    fn next_input(&mut self, at: &mut dyn Place, _patience: Patience) -> Result<Option<Input>, Infallible> {
        let now = at.instructions().0;
        let due = self.types_at.pop_if(|count| *count <= now);
        self.typed_at.extend(due.map(|_| now));
        Ok(due.map(|_| Input::Console(b"!".to_vec())))
    }

    fn next_landing(&self) -> Option<Target> {
        self.types_at.last().map(|&count| Target::Instructions(InstructionCount(count)))
    }

    fn set_deadline(&mut self, deadline: Option<GuestTime>) {
        self.deadlines.push(deadline);
    }

    fn output(&mut self, _at: &mut dyn Place, output: Output) -> Result<(), Infallible> {
        self.outputs.push(output);
        Ok(())
    }

    fn interrupt(&mut self, _at: &mut dyn Place, _vector: u8) -> Result<(), Infallible> {
        Ok(())
    }
}

fn power_on() -> Board {
    let ram = create_ram(RamSize::from_bytes(2 << 20).unwrap()).unwrap();
    let disk = |number| Block::new(DiskIndex(number), 64, false, "disk").into();
    Board::new(ram, 0, vec![disk(0), disk(1)])
}

fn machine() -> Machine<Counting, Typist> {
    let world = Typist { types_at: vec![777, 333, 331, 5], ..Typist::default() };
    Machine::new(Counting::default(), world, power_on())
}

fn count(instructions: u64) -> Target {
    Target::Instructions(InstructionCount(instructions))
}

/// Runs a machine on to its end and returns everything that can be seen of it.
fn end(mut machine: Machine<Counting, Typist>) -> (MachineDigest, Vec<Output>, Vec<u64>, ExitNumber) {
    assert!(matches!(machine.run(), Ok(Stop::DebugExit(0))));
    let digest = machine.digest().unwrap();
    let exits = machine.exits();
    (digest, machine.world.outputs, machine.world.typed_at, exits)
}

#[test]
fn a_world_is_asked_where_it_wants_to_be_asked() {
    let (_, _, typed_at, _) = end(machine());
    assert_eq!(typed_at, [5, 331, 333, 777]);
}

#[test]
fn a_machine_stops_at_any_count_exactly() {
    for target in 0..ORDINARY {
        let mut machine = machine();
        assert!(matches!(machine.run_until(count(target)), Ok(Stop::Reached)));
        assert_eq!(machine.instructions().0, target);
        assert_eq!(machine.engine.state().unwrap().rip, target);
        assert!(
            machine.world.typed_at.iter().all(|&at| at < target),
            "inputs that land at {target} come later"
        );
    }
}

#[test]
fn a_landmark_is_found_again() {
    for target in 0..ORDINARY {
        let mut first = machine();
        first.run_until(count(target)).unwrap();
        let landmark = Here::of(&mut first.engine, first.progress).landmark().unwrap();
        let mut second = machine();
        assert!(matches!(second.run_until(landmark.into()), Ok(Stop::Reached)));
        assert_eq!(Here::of(&mut second.engine, second.progress).landmark().unwrap(), landmark);
        assert_eq!(second.instructions().0, target);
    }
}

#[test]
fn stopping_everywhere_changes_nothing() {
    let mut stopped = machine();
    for target in 1..ORDINARY {
        assert!(matches!(stopped.run_until(count(target)), Ok(Stop::Reached)));
        stopped.digest().unwrap();
    }
    assert_eq!(end(stopped), end(machine()));
}

#[test]
fn a_target_behind_the_guest_stops_it_where_it_is() {
    let mut machine = machine();
    machine.run_until(count(500)).unwrap();
    assert!(matches!(machine.run_until(count(499)), Ok(Stop::Reached)));
    let passed = Target::Landmark { exit: ExitNumber(1), since_exit: InstructionCount(0) };
    assert!(matches!(machine.run_until(passed), Ok(Stop::Reached)));
    assert_eq!(machine.instructions().0, 500);
}

#[test]
fn a_restored_machine_goes_on_as_the_saved_one_does() {
    for place in 0..ORDINARY {
        let mut saved = machine();
        saved.run_until(count(place)).unwrap();
        let state = MachineState::decode(&saved.save().unwrap().encode()).unwrap();
        // An engine that has run something else before.
        let engine = Counting { retired: 12_345, ..Counting::default() };
        let mut restored = Machine::restore(engine, saved.world.clone(), power_on(), state).unwrap();
        assert_eq!(restored.instructions(), saved.instructions());
        assert_eq!(restored.digest().unwrap(), saved.digest().unwrap());
        assert_eq!(restored.save().unwrap(), saved.save().unwrap());
        assert_eq!(end(restored), end(saved));
    }
}

#[test]
fn saving_forgets_translations_and_taking_a_digest_does_not() {
    let mut machine = machine();
    machine.digest().unwrap();
    assert_eq!(machine.engine.forgotten, 0);
    machine.save().unwrap();
    assert_eq!(machine.engine.forgotten, 1);
}

fn state_at_power_on() -> MachineState {
    machine().save().unwrap()
}

fn restored(state: MachineState) -> Result<Machine<Counting, Typist>, RestoreError> {
    Machine::restore(Counting::default(), Typist::default(), power_on(), state)
}

/// A board whose first timer is due soon.
fn board_with_deadline() -> Board {
    let mut board = power_on();
    for (port, value) in [(0x43, 0x34), (0x40, 0), (0x40, 0x80)] {
        let _ = board.port_write(port, AccessSize::Byte, value, GuestTime::BOOT);
    }
    assert!(board.deadline().is_some());
    board
}

#[test]
fn the_world_of_a_restored_machine_is_told_when_the_next_timer_is_due() {
    let board = board_with_deadline();
    let state = MachineState { board: board.save(), ..state_at_power_on() };
    assert_eq!(restored(state).unwrap().world.deadlines, [board.deadline()]);
}

#[test]
fn states_that_contradict_themselves_are_refused() {
    let state = MachineState { since_exit: InstructionCount(1), ..state_at_power_on() };
    assert!(matches!(restored(state), Err(RestoreError::Counts { .. })));
    let mut state = state_at_power_on();
    state.board.slots.clear();
    assert!(matches!(restored(state), Err(RestoreError::Board(_))));
}

#[test]
fn bytes_of_another_version_or_with_damage_are_refused_by_name() {
    let mut bytes = state_at_power_on().encode();
    assert!(matches!(MachineState::decode(&bytes[..bytes.len() - 1]), Err(StateError::Damaged(_))));
    bytes[0] += 1;
    let error = MachineState::decode(&bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the state of a machine has format 3, but this program knows format 2 only"
    );
}
