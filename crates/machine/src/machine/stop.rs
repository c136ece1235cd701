//! How a machine comes to its end, and why it cannot go on.

use outlive_engine::{EngineError, GuestTime};

use crate::board::{EndRequest, InputError};
use crate::report::GuestReport;

/// How a machine came to its end.
#[derive(Debug)]
pub enum Stop {
    /// The guest halted its processor with interrupts off.
    PowerOff,
    /// The guest asked for a reset.
    Reset,
    /// A test guest ended itself with this number; 0 means success.
    DebugExit(u8),
    /// The world asked for it.
    Requested,
    /// The machine got where [`Machine::run_until`](super::Machine::run_until) was to bring it.
    Reached,
    /// A triple fault.
    TripleFault(Box<GuestReport>),
    /// The guest did something that the table of non-determinism refuses.
    Refused {
        /// What it was.
        what: String,
        /// Where.
        report: Box<GuestReport>,
    },
}

/// Why a machine cannot go on, through no fault of its guest's.
#[derive(thiserror::Error, Debug)]
pub enum MachineError<W: std::error::Error + 'static> {
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The world.
    #[error(transparent)]
    World(W),
    /// The world told an earlier time than before.
    #[error("guest time cannot go back from {} to {} nanoseconds", from.nanoseconds(), to.nanoseconds())]
    TimeWentBack {
        /// What time it was.
        from: GuestTime,
        /// What the world told.
        to: GuestTime,
    },
    /// An input that does not fit the machine.
    #[error("the machine was given an input that does not fit it")]
    Input(#[source] InputError),
}

impl From<EndRequest> for Stop {
    fn from(request: EndRequest) -> Self {
        match request {
            EndRequest::Reset => Self::Reset,
            EndRequest::DebugExit(number) => Self::DebugExit(number),
        }
    }
}
