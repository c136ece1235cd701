//! One run of a small guest under a time limit.

use std::error::Error;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use outlive_engine::{AccessSize, Answer, Engine, EngineError, Exit, Kicker, RunLimit, VcpuState};

use super::guest::{Guest, Ring, VECTOR_PORT};
use crate::debug::{DebugControl, Stop};
use crate::error::KvmError;
use crate::host::Host;

/// How long a probe's guest may run.
pub const LIMIT: Duration = Duration::from_secs(2);

/// Why a probe did not pass.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    Failed(String),
    Unavailable(String),
}

impl Trouble {
    pub(super) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }

    fn with_causes(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Self::Failed(text)
    }
}

impl From<KvmError> for Trouble {
    fn from(error: KvmError) -> Self {
        Self::with_causes(&error)
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        Self::with_causes(&error)
    }
}

/// A guest, and a watch over its time.
pub(super) struct Trial {
    pub(super) guest: Guest,
    _watch: Watch,
}

impl Trial {
    /// A guest about to execute `code`.
    pub(super) fn new(host: &Host, ring: Ring, code: &[u8]) -> Result<Self, Trouble> {
        let guest = Guest::new(host, ring, code)?;
        let watch = Watch::start(guest.engine.kicker());
        Ok(Self { guest, _watch: watch })
    }

    /// Runs to the next exit. A kick can only come from the watch.
    pub(super) fn run(&mut self) -> Result<Exit, Trouble> {
        in_time(self.guest.engine.run(RunLimit::Unlimited)?)
    }

    /// Runs to the next exit or debug stop.
    pub(super) fn run_debugged(&mut self) -> Result<Stop, Trouble> {
        match self.guest.engine.run_debugged()? {
            Stop::Exit(exit) => Ok(Stop::Exit(in_time(exit)?)),
            stop => Ok(stop),
        }
    }

    /// Runs to the next exit, which must be `wanted`.
    pub(super) fn expect(&mut self, wanted: &Exit) -> Result<(), Trouble> {
        let exit = self.run()?;
        if exit == *wanted { Ok(()) } else { Err(Trouble::Failed(unexpected(&exit, wanted))) }
    }

    /// Runs until the handler of `vector` tells that it was entered.
    pub(super) fn expect_vector(&mut self, vector: u8) -> Result<(), Trouble> {
        self.expect(&Exit::PortWrite { port: VECTOR_PORT, size: AccessSize::Byte, value: vector.into() })
    }

    pub(super) fn answer(&mut self, value: u64) -> Result<(), Trouble> {
        Ok(self.guest.engine.answer(Answer::Value(value))?)
    }

    pub(super) fn state(&mut self) -> Result<VcpuState, Trouble> {
        Ok(self.guest.engine.state()?)
    }

    pub(super) fn debug(&mut self, control: &DebugControl) -> Result<(), Trouble> {
        Ok(self.guest.engine.set_guest_debug(control)?)
    }
}

fn in_time(exit: Exit) -> Result<Exit, Trouble> {
    match exit {
        Exit::Kicked => Err(Trouble::failed(format!("the guest did not stop within {LIMIT:?}"))),
        exit => Ok(exit),
    }
}

/// What was seen, in words for a person.
pub(super) fn unexpected(exit: &Exit, wanted: &Exit) -> String {
    format!("{} instead of {}", describe(exit), describe(wanted))
}

/// An exit in words for a person.
pub(super) fn describe(exit: &Exit) -> String {
    match exit {
        Exit::PortWrite { port: VECTOR_PORT, value, .. } => format!("exception or interrupt {value}"),
        Exit::PortWrite { port, value, .. } => format!("a write of {value:#x} to port {port:#x}"),
        Exit::PortRead { port, .. } => format!("a read of port {port:#x}"),
        Exit::MsrRead { index } => format!("a read of register {index:#x}"),
        Exit::InterruptWindow => "an interrupt window".to_owned(),
        Exit::Halt => "a halt".to_owned(),
        Exit::TimeRead => "a time read".to_owned(),
        Exit::Shutdown => "a triple fault".to_owned(),
        Exit::Unhandled(report) => format!("{} ({})", report.name, report.detail),
        exit => format!("{exit:x?}"),
    }
}

/// Fails with what was found unless it is what was wanted.
pub(super) fn same<T: PartialEq + std::fmt::LowerHex>(
    what: &str,
    found: T,
    wanted: T,
) -> Result<(), Trouble> {
    if found == wanted {
        Ok(())
    } else {
        Err(Trouble::Failed(format!("{what} is {found:#x} instead of {wanted:#x}")))
    }
}

/// Kicks a guest that takes too long.
struct Watch {
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start(kicker: Kicker) -> Self {
        let (done, over) = mpsc::channel::<()>();
        let watch = move || {
            if over.recv_timeout(LIMIT) == Err(RecvTimeoutError::Timeout) {
                kicker.kick();
            }
        };
        // Without a thread the guest goes unwatched, which is the best that can be done.
        let thread = thread::Builder::new().name("probe watch".to_owned()).spawn(watch).ok();
        Self { done: Some(done), thread }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(thread) = self.thread.take() {
            // The watch does nothing that could panic.
            let _ = thread.join();
        }
    }
}
