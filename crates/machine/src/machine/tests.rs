use std::collections::VecDeque;
use std::convert::Infallible;

use super::*;
use crate::memory::{RamSize, create_ram};
use crate::world::Place;
use outlive_engine::{
    AccessSize, Capabilities, EngineKind, GuestPhysical, Kicker, Landing, Position, TimeReads, VcpuState,
};

/// What a processor does next, and whether it can take an interrupt then.
type Step = (Exit, bool);

/// A processor that makes exits by a script.
struct Scripted {
    steps: VecDeque<Step>,
    takes_interrupts: bool,
}

impl Engine for Scripted {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            engine: EngineKind::Kvm,
            landing: Landing::AtExits,
            time_reads: TimeReads::MustBeRewritten,
        }
    }

    fn run(&mut self, _limit: RunLimit) -> Result<Exit, EngineError> {
        let (exit, takes_interrupts) = self.steps.pop_front().expect("the script ends the machine");
        self.takes_interrupts = takes_interrupts;
        Ok(exit)
    }

    fn answer(&mut self, _answer: Answer) -> Result<(), EngineError> {
        Ok(())
    }

    fn can_take_interrupt(&mut self) -> Result<bool, EngineError> {
        Ok(self.takes_interrupts)
    }

    fn inject_interrupt(&mut self, _vector: u8) -> Result<(), EngineError> {
        self.takes_interrupts = false;
        Ok(())
    }

    fn set_interrupt_window(&mut self, _wanted: bool) {}

    fn activity(&self) -> Activity {
        Activity::Running
    }

    fn retired(&self) -> InstructionCount {
        InstructionCount::default()
    }

    fn position(&mut self) -> Result<Position, EngineError> {
        Ok(Position { rip: 0, rcx: 0 })
    }

    fn state(&mut self) -> Result<VcpuState, EngineError> {
        Ok(VcpuState::default())
    }

    fn set_state(&mut self, _state: &VcpuState) -> Result<(), EngineError> {
        Ok(())
    }

    fn translate(&mut self, _linear: u64) -> Option<GuestPhysical> {
        None
    }

    fn kicker(&self) -> Kicker {
        Kicker::new(|| {})
    }
}

/// What a world was told, each with the number of the last exit and the windows that have opened since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    MayLand(u64, u64),
    Interrupt(u64, u64),
}

#[test]
fn windows_are_counted_from_each_exit_anew() {
    let steps = [(Exit::InterruptWindow, true), out(0x3f9, 0), (Exit::Kicked, false)];
    assert_eq!(told(steps).last(), Some(&Told::MayLand(8, 0)));
}

/// A world without inputs that needs landmarks. It tells the given times, last one first, then power-on.
#[derive(Default)]
struct Listener(Vec<Told>, Vec<GuestTime>);

impl World for Listener {
    type Error = Infallible;

    fn needs_landmarks(&self) -> bool {
        true
    }

    fn stop_requested(&self) -> bool {
        false
    }

    fn read_time(&mut self, _at: &mut dyn Place) -> Result<GuestTime, Infallible> {
        Ok(self.1.pop().unwrap_or(GuestTime::BOOT))
    }

    fn next_input(&mut self, at: &mut dyn Place, _patience: Patience) -> Result<Option<Input>, Infallible> {
        self.0.push(Told::MayLand(at.exit().0, at.windows()));
        Ok(None)
    }

    fn set_deadline(&mut self, _deadline: Option<GuestTime>) {}

    fn output(&mut self, _at: &mut dyn Place, _output: crate::world::Output) -> Result<(), Infallible> {
        Ok(())
    }

    fn interrupt(&mut self, at: &mut dyn Place, _vector: u8) -> Result<(), Infallible> {
        self.0.push(Told::Interrupt(at.exit().0, at.windows()));
        Ok(())
    }
}

/// Port writes after which the serial port wants an interrupt. The last of them is exit 7.
const WANT_INTERRUPT: [(u16, u32); 7] = [
    // Both 8259s' initialization, as far as the master needs it: vectors from 0x20 on, nothing masked.
    (0x20, 0x11),
    (0x21, 0x20),
    (0x21, 0x04),
    (0x21, 0x01),
    (0x21, 0x00),
    // OUT2, and the transmitter's interrupt.
    (0x3fc, 0x08),
    (0x3f9, 0x02),
];

fn out(port: u16, value: u32) -> Step {
    (Exit::PortWrite { port, size: AccessSize::Byte, value }, false)
}

/// What a world is told from exit 7 on, at which an interrupt is pending and cannot be taken.
fn told(steps: impl IntoIterator<Item = Step>) -> Vec<Told> {
    let script = WANT_INTERRUPT.map(|(port, value)| out(port, value)).into_iter().chain(steps);
    let end = out(outlive_engine::ports::DEBUG_EXIT_PORT, 0);
    let engine = Scripted { steps: script.chain([end]).collect(), takes_interrupts: false };
    let ram = create_ram(RamSize::from_bytes(2 << 20).unwrap()).unwrap();
    let mut machine = Machine::new(engine, Listener::default(), Board::new(ram, 0, Vec::new()));
    assert!(matches!(machine.run(), Ok(Stop::DebugExit(0))));
    let mut told = machine.world.0;
    told.drain(..7);
    told
}

#[test]
fn inputs_land_at_exits_and_where_a_window_opened_and_not_where_a_kick_stopped_the_guest() {
    let at_the_window = [Told::MayLand(7, 0), Told::MayLand(7, 1), Told::Interrupt(7, 1)];
    assert_eq!(told([(Exit::InterruptWindow, true)]), at_the_window);
    assert_eq!(told([(Exit::Kicked, false)]), [Told::MayLand(7, 0)]);
}

#[test]
fn kicks_change_nothing_about_where_inputs_land() {
    let without = told([(Exit::InterruptWindow, true)]);
    let before = [(Exit::Kicked, false), (Exit::InterruptWindow, true)];
    assert_eq!(told(before), without, "a kick on the way to the window");
    let at_it = [(Exit::Kicked, true), (Exit::InterruptWindow, true)];
    assert_eq!(told(at_it), without, "a kick where the window is about to open");
}

#[test]
fn nothing_lands_behind_an_exit_that_the_guest_takes_as_a_fault() {
    // No register has this number.
    let faults = || (Exit::MsrRead { index: 0x140 }, true);
    assert_eq!(told([faults()]), [Told::MayLand(7, 0)]);
    let behind = told([faults(), out(0x3ff, 0)]);
    assert_eq!(behind, [Told::MayLand(7, 0), Told::MayLand(9, 0)]);
}

/// A world that has inputs for the place behind an interrupt, and wants to be asked there.
struct Stubborn {
    inputs: usize,
    is_interrupted: bool,
}

impl World for Stubborn {
    type Error = Infallible;

    fn needs_landmarks(&self) -> bool {
        true
    }

    fn stop_requested(&self) -> bool {
        false
    }

    fn read_time(&mut self, _at: &mut dyn Place) -> Result<GuestTime, Infallible> {
        Ok(GuestTime::BOOT)
    }

    fn next_input(&mut self, _at: &mut dyn Place, _patience: Patience) -> Result<Option<Input>, Infallible> {
        if self.is_interrupted && self.inputs > 0 {
            self.inputs -= 1;
            return Ok(Some(Input::Console(Vec::new())));
        }
        Ok(None)
    }

    fn next_landing(&self) -> Option<Target> {
        (self.is_interrupted && self.inputs > 0).then_some(Target::Instructions(InstructionCount(0)))
    }

    fn set_deadline(&mut self, _deadline: Option<GuestTime>) {}

    fn output(&mut self, _at: &mut dyn Place, _output: crate::world::Output) -> Result<(), Infallible> {
        Ok(())
    }

    fn interrupt(&mut self, _at: &mut dyn Place, _vector: u8) -> Result<(), Infallible> {
        self.is_interrupted = true;
        Ok(())
    }
}

#[test]
fn a_world_is_asked_where_it_wants_to_be_behind_an_interrupt_and_behind_more_inputs_than_a_turn_takes() {
    let script = WANT_INTERRUPT.map(|(port, value)| out(port, value));
    let end = out(outlive_engine::ports::DEBUG_EXIT_PORT, 0);
    let steps = script.into_iter().chain([(Exit::InterruptWindow, true), end]).collect();
    let engine = Scripted { steps, takes_interrupts: false };
    let ram = create_ram(RamSize::from_bytes(2 << 20).unwrap()).unwrap();
    let world = Stubborn { inputs: 3 * INPUTS_PER_TURN, is_interrupted: false };
    let mut machine = Machine::new(engine, world, Board::new(ram, 0, Vec::new()));
    assert!(matches!(machine.run(), Ok(Stop::DebugExit(0))));
    assert_eq!(machine.world().inputs, 0, "before the guest went on");
}

#[test]
fn a_world_whose_time_goes_back_is_an_error_and_no_panic() {
    let steps = [(Exit::TimeRead, false), (Exit::TimeRead, false)];
    let engine = Scripted { steps: steps.into(), takes_interrupts: false };
    let ram = create_ram(RamSize::from_bytes(2 << 20).unwrap()).unwrap();
    let later = GuestTime::from_nanoseconds(5);
    let world = Listener(Vec::new(), vec![later]);
    let mut machine = Machine::new(engine, world, Board::new(ram, 0, Vec::new()));
    let error = machine.run().unwrap_err();
    assert!(
        matches!(error, MachineError::TimeWentBack { from, to: GuestTime::BOOT } if from == later),
        "{error}"
    );
}
