//! Where a machine stands: the counts that name a point of the guest's execution.

use outlive_engine::{Engine, EngineError, ExitNumber, InstructionCount, Landmark, VcpuState};

use super::MachineState;
use crate::world::{Place, Target};

/// How far the guest has got. An engine counts from when it was made, a machine from power-on, which may have
/// been on another host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    exits: ExitNumber,
    /// The instructions at the last numbered exit, since power-on.
    at_exit: u64,
    /// The interrupt windows that have opened since the last numbered exit.
    windows: u64,
    /// What the guest had executed when the engine's count was zero. Less than nothing, modulo 2^64, if the
    /// engine has run something else before.
    origin: u64,
}

impl Progress {
    /// Nothing has been executed.
    pub(super) fn from_power_on(engine: &impl Engine) -> Self {
        Self {
            exits: ExitNumber::default(),
            at_exit: 0,
            windows: 0,
            origin: engine.retired().0.wrapping_neg(),
        }
    }

    /// The guest has got to where `state` was saved, on another engine.
    pub(super) fn going_on(engine: &impl Engine, state: &MachineState) -> Self {
        Self {
            exits: state.exits,
            at_exit: state.instructions.0 - state.since_exit.0,
            windows: state.windows,
            origin: state.instructions.0.wrapping_sub(engine.retired().0),
        }
    }

    pub(super) fn exits(&self) -> ExitNumber {
        self.exits
    }

    pub(super) fn instructions(&self, engine: &impl Engine) -> InstructionCount {
        InstructionCount(self.origin.wrapping_add(engine.retired().0))
    }

    pub(super) fn since_exit(&self, engine: &impl Engine) -> InstructionCount {
        InstructionCount(self.instructions(engine).0 - self.at_exit)
    }

    /// The guest has made a numbered exit.
    pub(super) fn note_exit(&mut self, engine: &impl Engine) {
        self.exits = self.exits.next();
        self.at_exit = self.instructions(engine).0;
        self.windows = 0;
    }

    /// How many interrupt windows have opened since the last numbered exit.
    pub(super) fn windows(&self) -> u64 {
        self.windows
    }

    /// The guest stands where an interrupt window that was asked for is open.
    pub(super) fn note_window(&mut self) {
        self.windows += 1;
    }

    /// How many instructions are left to the target at most, zero if it is reached or passed. As many as there
    /// can be if there are exits left.
    pub(super) fn distance(&self, engine: &impl Engine, target: Target) -> u64 {
        match target {
            Target::Instructions(count) => count.0.saturating_sub(self.instructions(engine).0),
            Target::Landmark { exit, .. } if exit > self.exits => u64::MAX,
            Target::Landmark { exit, .. } if exit < self.exits => 0,
            Target::Landmark { since_exit, .. } => since_exit.0.saturating_sub(self.since_exit(engine).0),
        }
    }
}

/// Where the machine stands when it talks to the world.
pub(super) struct Here<'a, E> {
    engine: &'a mut E,
    progress: Progress,
}

impl<'a, E> Here<'a, E> {
    pub(super) fn of(engine: &'a mut E, progress: Progress) -> Self {
        Self { engine, progress }
    }
}

impl<E: Engine> Place for Here<'_, E> {
    fn exit(&self) -> ExitNumber {
        self.progress.exits()
    }

    fn instructions(&self) -> InstructionCount {
        self.progress.instructions(self.engine)
    }

    fn windows(&self) -> u64 {
        self.progress.windows()
    }

    fn landmark(&mut self) -> Result<Landmark, EngineError> {
        // First, for it completes an instruction that waits for that.
        let position = self.engine.position()?;
        let since_exit = self.progress.since_exit(self.engine);
        Ok(Landmark { exit: self.exit(), since_exit, rip: position.rip, rcx: position.rcx })
    }

    fn state(&mut self) -> Result<VcpuState, EngineError> {
        self.engine.state()
    }
}
