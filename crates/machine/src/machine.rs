//! The one vCPU loop.
//!
//! Live, recorded, replayed or going live: it is always this loop, and what differs is the [`World`] behind
//! it. Each turn takes the inputs that land here, delivers an interrupt if one is due, lets the guest run to
//! its next exit and answers that exit. Everything happens on one thread, in one order, so a machine is a
//! function of its initial state and its inputs.
//!
//! **Interrupts.** The 8259s say whether one is pending, the processor says whether it can take one. If it
//! cannot, the engine is asked for an exit at the moment it can (the *interrupt window*), which follows from
//! the guest's state alone.
//!
//! **HLT.** A halted processor does not run; the loop waits for input instead. With interrupts off nothing
//! can ever wake it again, which is how a kernel without power management turns itself off.
//!
//! **Stops.** [`Machine::run_until`] stops at a point that is named by counts, before the inputs that land
//! there; a world stops the machine where it is asked for input, behind the inputs that it gave. That a machine
//! was stopped, looked at and run on changes nothing of what it does, provided that its world hands out inputs by
//! where the guest stands and not by how often it is asked.

use outlive_engine::msr::{self, MsrBehaviour};
use outlive_engine::{
    Activity, Answer, Engine, EngineError, Exit, ExitNumber, GuestTime, InstructionCount, Landing, RunLimit,
};

use crate::board::Board;
use crate::report::GuestReport;
use crate::world::{Input, Patience, Target, World};

mod going_live;
mod place;
mod state;
mod stop;

use place::{Here, Progress};
pub use state::{MachineState, RestoreError, StateError};
pub use stop::{MachineError, Stop};

/// RFLAGS.IF.
const INTERRUPTS_ENABLED: u64 = 1 << 9;
/// Most inputs that are applied between two turns of the guest, so that a flood cannot stop it, unless the world
/// says that they belong here. Not fewer than the requests that one turn can make, so that completions are taken as
/// fast as requests are made.
const INPUTS_PER_TURN: usize = crate::virtio::queue::MAX_SIZE as usize;

/// A computer: an engine, a board, and the world around them.
pub struct Machine<E, W> {
    engine: E,
    world: W,
    board: Board,
    progress: Progress,
    time: GuestTime,
    deadline: Option<GuestTime>,
    has_landmark: bool,
}

/// What a turn of the loop needs to know after an exit.
enum Next {
    Go,
    Stop(Stop),
}

type Outcome<T, W> = Result<T, MachineError<<W as World>::Error>>;

impl<E: Engine, W: World> Machine<E, W> {
    /// A machine at power-on. `engine` stands at the guest's first instruction.
    pub fn new(engine: E, world: W, board: Board) -> Self {
        Self {
            progress: Progress::from_power_on(&engine),
            engine,
            world,
            board,
            time: GuestTime::BOOT,
            deadline: None,
            has_landmark: true,
        }
    }

    /// Runs the guest until it ends, or until the world asks to stop. Can be called again after
    /// [`Stop::Requested`].
    ///
    /// # Errors
    /// When the engine or the world fails.
    pub fn run(&mut self) -> Outcome<Stop, W> {
        self.take_turns(None)
    }

    /// As [`run`](Self::run), but stops with [`Stop::Reached`] at `target`: between two instructions, before the
    /// inputs that land there. If the guest is there or has passed it, the machine stops where it is; so it does
    /// behind an exit that comes where a landmark promises more instructions.
    ///
    /// # Errors
    /// As for [`run`](Self::run); also when the target is not an exit and the engine counts no instructions.
    pub fn run_until(&mut self, target: Target) -> Outcome<Stop, W> {
        self.take_turns(Some(target))
    }

    fn take_turns(&mut self, target: Option<Target>) -> Outcome<Stop, W> {
        loop {
            let is_there = target.is_some_and(|target| self.distance(target) == 0);
            if is_there && self.is_between_instructions()? {
                return Ok(Stop::Reached);
            }
            let limit = if is_there {
                // The last instruction makes further exits; nothing can land before they are made.
                RunLimit::Instructions(0)
            } else {
                self.take_inputs()?;
                if self.world.stop_requested() {
                    return Ok(Stop::Requested);
                }
                self.deliver_interrupt()?;
                if self.world.stop_requested() {
                    return Ok(Stop::Requested);
                }
                match self.limit(target) {
                    Some(limit) if self.engine.activity() == Activity::Running => limit,
                    // Nobody can be asked within an instruction.
                    None if !self.is_between_instructions()? => RunLimit::Instructions(0),
                    _ => continue,
                }
            };
            let exit = self.engine.run(limit)?;
            if let Next::Stop(stop) = self.handle(exit)? {
                return Ok(stop);
            }
        }
    }

    /// How many instructions may be executed at most until the guest is at `target`: no more than that, but
    /// there may be an exit before. Zero if it is there or has passed it.
    fn distance(&self, target: Target) -> u64 {
        self.progress.distance(&self.engine, target)
    }

    /// How far the guest may run in this turn; `None` if it is at the target already, or if the world wants to be
    /// asked once more here: behind an interrupt, or behind more inputs than one turn takes.
    fn limit(&self, target: Option<Target>) -> Option<RunLimit> {
        let distance = |point: Option<Target>| point.map_or(u64::MAX, |point| self.distance(point));
        match distance(target).min(distance(self.world.next_landing())) {
            0 => None,
            u64::MAX => Some(RunLimit::Unlimited),
            left => Some(RunLimit::Instructions(left)),
        }
    }

    fn is_between_instructions(&mut self) -> Outcome<bool, W> {
        match self.engine.position() {
            Ok(_) => Ok(true),
            Err(EngineError::Unsupported { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The engine, for a look at the processor.
    pub fn engine(&mut self) -> &mut E {
        &mut self.engine
    }

    /// The world.
    pub fn world(&self) -> &W {
        &self.world
    }

    /// The world, to be told something.
    pub fn world_mut(&mut self) -> &mut W {
        &mut self.world
    }

    /// The world, now that the machine has come to its end.
    pub fn into_world(self) -> W {
        self.world
    }

    /// The board, for a look at memory and devices.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// How many numbered exits the guest has made.
    pub fn exits(&self) -> ExitNumber {
        self.progress.exits()
    }

    /// How many instructions the guest has executed since power-on: see
    /// [`Place::instructions`](crate::world::Place::instructions).
    pub fn instructions(&self) -> InstructionCount {
        self.progress.instructions(&self.engine)
    }

    /// The last guest time that anybody has seen.
    pub fn time(&self) -> GuestTime {
        self.time
    }

    fn take_inputs(&mut self) -> Outcome<(), W> {
        if !self.has_landmark && self.world.needs_landmarks() {
            return Ok(());
        }
        let mut taken = 0;
        while taken < INPUTS_PER_TURN || self.is_awaited() {
            taken += 1;
            let halted = self.engine.activity() == Activity::Halted;
            let patience =
                if halted && !self.board.interrupt_pending() { Patience::Wait } else { Patience::Poll };
            let mut here = Here::of(&mut self.engine, self.progress);
            let input = self.world.next_input(&mut here, patience).map_err(MachineError::World)?;
            let Some(input) = input else { break };
            self.apply(input)?;
        }
        Ok(())
    }

    /// Whether the world has an input for this very place, so that it has to be asked before anything else happens.
    fn is_awaited(&self) -> bool {
        self.world.next_landing().is_some_and(|landing| self.distance(landing) == 0)
    }

    fn apply(&mut self, input: Input) -> Outcome<(), W> {
        if let Input::ClockTick(time) = input {
            self.advance_time(time)?;
            // The world has disarmed its deadline by ticking.
            self.deadline = None;
        }
        self.board.apply(input).map_err(MachineError::Input)?;
        self.after_device_access()
    }

    /// Guest time never goes back, whoever tells it: a log or a peer may be wrong.
    fn advance_time(&mut self, to: GuestTime) -> Outcome<(), W> {
        if to < self.time {
            return Err(MachineError::TimeWentBack { from: self.time, to });
        }
        self.time = to;
        Ok(())
    }

    fn read_time(&mut self) -> Outcome<GuestTime, W> {
        let mut here = Here::of(&mut self.engine, self.progress);
        let time = self.world.read_time(&mut here).map_err(MachineError::World)?;
        self.advance_time(time)?;
        Ok(time)
    }

    /// Hands outputs to the world, and tells it of a new deadline.
    fn after_device_access(&mut self) -> Outcome<(), W> {
        let mut here = Here::of(&mut self.engine, self.progress);
        for output in self.board.take_outputs() {
            self.world.output(&mut here, output).map_err(MachineError::World)?;
        }
        let deadline = self.board.deadline();
        if deadline != self.deadline {
            self.deadline = deadline;
            self.world.set_deadline(deadline);
        }
        Ok(())
    }

    /// Delivers the pending interrupt, or asks for a window to deliver it in. A kick that is as fast as the window
    /// is no reason to deliver it where no replay can find the place: the window opens as soon as the guest goes on.
    fn deliver_interrupt(&mut self) -> Outcome<(), W> {
        let may_land = self.has_landmark || !self.world.needs_landmarks();
        let pending = self.board.interrupt_pending();
        if pending && may_land && self.engine.can_take_interrupt()? {
            let vector = self.board.acknowledge_interrupt();
            let mut here = Here::of(&mut self.engine, self.progress);
            self.world.interrupt(&mut here, vector).map_err(MachineError::World)?;
            self.engine.inject_interrupt(vector)?;
        }
        self.engine.set_interrupt_window(self.board.interrupt_pending());
        Ok(())
    }

    fn handle(&mut self, exit: Exit) -> Outcome<Next, W> {
        if exit.is_numbered() {
            self.progress.note_exit(&self.engine);
            self.has_landmark = true;
        }
        match exit {
            Exit::PortRead { port, size } => {
                let now = self.time_for(self.board.port_wants_time(port, size))?;
                let value = self.board.port_read(port, size, now);
                self.engine.answer(Answer::Value(value.into()))?;
            }
            Exit::PortWrite { port, size, value } => {
                let now = self.time_for(self.board.port_wants_time(port, size))?;
                if let Some(request) = self.board.port_write(port, size, value, now) {
                    self.after_device_access()?;
                    return Ok(Next::Stop(request.into()));
                }
            }
            Exit::MmioRead { address, bytes } => {
                let value = self.board.mmio_read(address, bytes);
                self.engine.answer(Answer::Value(value))?;
            }
            Exit::MmioWrite { address, bytes, value } => self.board.mmio_write(address, bytes, value),
            Exit::MsrRead { index } => self.read_msr(index)?,
            Exit::MsrWrite { index, .. } => self.write_msr(index)?,
            Exit::TimeRead => {
                let now = self.read_time()?;
                self.engine.answer(Answer::Value(now.nanoseconds()))?;
            }
            Exit::Halt => return self.halt(),
            Exit::Shutdown => return Ok(Next::Stop(Stop::TripleFault(self.report()?))),
            Exit::InterruptWindow => self.note_window(),
            Exit::Kicked => self.has_landmark = self.lands_anywhere(),
            Exit::LimitReached => {}
            Exit::Unhandled(what) => {
                let what = format!("{}: {}", what.name, what.detail);
                return Ok(Next::Stop(Stop::Refused { what, report: self.report()? }));
            }
        }
        self.after_device_access()?;
        Ok(Next::Go)
    }

    /// The guest stands where a window has opened, a place that follows from where the window was asked for, with
    /// or without kicks on the way there. So it can be found again.
    fn note_window(&mut self) {
        self.progress.note_window();
        self.has_landmark = true;
    }

    /// The time for a device access: a fresh one if the device wants it, else the last.
    fn time_for(&mut self, wanted: bool) -> Outcome<GuestTime, W> {
        if wanted { self.read_time() } else { Ok(self.time) }
    }

    fn read_msr(&mut self, index: u32) -> Outcome<(), W> {
        let answer = match msr::behaviour(index) {
            MsrBehaviour::Constant(value) => Answer::Value(value),
            MsrBehaviour::TimeStamp => Answer::Value(self.read_time()?.nanoseconds()),
            // A kept register exits only with a value that the processor refuses.
            MsrBehaviour::Faults | MsrBehaviour::Kept => Answer::GeneralProtection,
        };
        self.answer_msr(answer)
    }

    fn write_msr(&mut self, index: u32) -> Outcome<(), W> {
        let answer = match msr::behaviour(index) {
            MsrBehaviour::Constant(_) => Answer::Done,
            MsrBehaviour::TimeStamp | MsrBehaviour::Faults | MsrBehaviour::Kept => Answer::GeneralProtection,
        };
        self.answer_msr(answer)
    }

    /// A fault may not be delivered before the guest goes on. So an engine that stops at exits stands before the
    /// instruction that faults, and one that stops anywhere in the handler: a place with two names has no landmark.
    fn answer_msr(&mut self, answer: Answer) -> Outcome<(), W> {
        if answer == Answer::GeneralProtection {
            self.has_landmark = self.lands_anywhere();
        }
        Ok(self.engine.answer(answer)?)
    }

    fn lands_anywhere(&self) -> bool {
        self.engine.capabilities().landing == Landing::AnyInstruction
    }

    fn halt(&mut self) -> Outcome<Next, W> {
        if self.engine.activity() == Activity::Running {
            return Ok(Next::Go);
        }
        if self.engine.can_take_interrupt()? || self.engine.state()?.rflags & INTERRUPTS_ENABLED != 0 {
            return Ok(Next::Go);
        }
        Ok(Next::Stop(Stop::PowerOff))
    }

    fn report(&mut self) -> Outcome<Box<GuestReport>, W> {
        Ok(Box::new(GuestReport::new(&mut self.engine, self.board.ram(), self.progress.exits())?))
    }
}

#[cfg(test)]
mod tests;
