//! The trait that every engine implements.

use std::sync::Arc;

use crate::{Activity, Capabilities, EngineKind, Exit, GuestPhysical, InstructionCount, VcpuState};

/// How far [`Engine::run`] may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunLimit {
    /// Until an exit or a kick.
    Unlimited,
    /// Also stop with [`Exit::LimitReached`] once [`Engine::retired`] has grown by exactly this much. Only for
    /// engines whose [`Landing`](crate::Landing) is `AnyInstruction`; others return
    /// [`EngineError::Unsupported`].
    Instructions(u64),
}

/// A place in the guest's code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The next instruction's address.
    pub rip: u64,
    /// RCX: the iterations left, where RIP stands on a REP string.
    pub rcx: u64,
}

/// The monitor's answer to an exit that wants one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// What was read. Bits beyond the width of the access are ignored.
    Value(u64),
    /// The write was carried out.
    Done,
    /// The access to a model-specific register faults: #GP(0). Not an answer to anything else.
    GeneralProtection,
}

/// One virtual processor.
///
/// The vCPU thread owns the engine; other threads may hold its [`Kicker`] only. An exit that wants an
/// [`Answer`] must get exactly one before the next [`run`](Self::run): engines assert it.
pub trait Engine {
    /// What this engine promises on this host. Constant for its lifetime.
    fn capabilities(&self) -> Capabilities;

    /// Executes guest instructions until an exit.
    ///
    /// # Errors
    /// When the host refuses to go on, or the limit is not one that this engine can keep.
    fn run(&mut self, limit: RunLimit) -> Result<Exit, EngineError>;

    /// Answers the exit that `run` returned last.
    ///
    /// # Errors
    /// When the host refuses the answer.
    fn answer(&mut self, answer: Answer) -> Result<(), EngineError>;

    /// Whether an external interrupt injected now would be delivered before the next instruction:
    /// RFLAGS.IF is set, no interrupt shadow is open and no other event is pending.
    ///
    /// # Errors
    /// When the host does not tell.
    fn can_take_interrupt(&mut self) -> Result<bool, EngineError>;

    /// Delivers external interrupt `vector` before the next instruction. Only while
    /// [`can_take_interrupt`](Self::can_take_interrupt) holds: engines assert it.
    ///
    /// # Errors
    /// When the host refuses.
    fn inject_interrupt(&mut self, vector: u8) -> Result<(), EngineError>;

    /// Asks for an [`Exit::InterruptWindow`] as soon as an interrupt can be taken, or takes that back.
    fn set_interrupt_window(&mut self, wanted: bool);

    /// Whether the processor executes instructions. It halts by [`Exit::Halt`], unless an exception is pending
    /// behind HLT, and goes on by [`inject_interrupt`](Self::inject_interrupt); a halted engine must not be
    /// [`run`](Self::run): engines assert it.
    fn activity(&self) -> Activity;

    /// Where the processor stands: RIP, and RCX, which tells how far a REP string has got. For a fraction of
    /// what [`state`](Self::state) costs, and under the same conditions.
    ///
    /// # Errors
    /// As for [`state`](Self::state).
    fn position(&mut self) -> Result<Position, EngineError>;

    /// How far execution has got since the engine was made: instructions that completed, each iteration of a REP
    /// string counting, and exceptions and interrupts that were delivered, so that no two places have the same
    /// number. An instruction that waits for an answer has not completed. Always zero on engines whose
    /// [`Landing`](crate::Landing) is `AtExits`.
    fn retired(&self) -> InstructionCount;

    /// The whole architectural state. An exit that was answered is completed first, so that the state is
    /// one between two instructions. An exit that still waits for its answer must get it first: engines assert it.
    ///
    /// # Errors
    /// When the host does not tell, when the guest stands within an instruction that makes several exits,
    /// or when the host holds something that the state cannot express.
    fn state(&mut self) -> Result<VcpuState, EngineError>;

    /// Replaces the whole architectural state.
    ///
    /// # Errors
    /// When the state is not one that a processor can be in.
    fn set_state(&mut self, state: &VcpuState) -> Result<(), EngineError>;

    /// Translates a linear address as the guest would, for reports. `None` if it is not mapped.
    fn translate(&mut self, linear: u64) -> Option<GuestPhysical>;

    /// A handle with which other threads interrupt [`run`](Self::run).
    fn kicker(&self) -> Kicker;
}

/// Makes a running engine return [`Exit::Kicked`] soon. If it is not running, the next
/// [`Engine::run`] returns at once. Kicks do not add up.
#[derive(Clone)]
pub struct Kicker(Arc<dyn Fn() + Send + Sync>);

impl Kicker {
    /// A kicker that calls `kick`, which must be safe to call from any thread at any time.
    pub fn new(kick: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(kick))
    }

    /// Kicks.
    pub fn kick(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Kicker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kicker")
    }
}

/// What can go wrong between an engine and its host.
#[derive(thiserror::Error, Debug)]
pub enum EngineError {
    /// The host refused an operation.
    #[error("the {engine} engine could not {operation}")]
    Host {
        /// Which engine.
        engine: EngineKind,
        /// What was tried, as the end of a sentence.
        operation: &'static str,
        /// What the host said.
        source: std::io::Error,
    },
    /// The engine does not promise what was asked of it.
    #[error("the {engine} engine cannot {operation}")]
    Unsupported {
        /// Which engine.
        engine: EngineKind,
        /// What was asked, as the end of a sentence.
        operation: &'static str,
    },
}
