//! What an engine can promise.

use std::fmt;

/// Which engine: for log headers and for what a person reads, never for a decision.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EngineKind {
    /// The host's KVM.
    Kvm,
    /// Our own x86-64 processor in software.
    Soft,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Soft => "soft",
        })
    }
}

/// Where an asynchronous input can land so that a replay finds the place again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Landing {
    /// At numbered exits, and where an interrupt window opens that was asked for at one.
    AtExits,
    /// Between any two instructions.
    AnyInstruction,
}

/// What becomes of a guest instruction that reads the time-stamp counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeReads {
    /// Each one is an [`Exit::TimeRead`](crate::Exit::TimeRead).
    Trapped,
    /// The engine cannot see RDTSC. Those in the kernel's text must be rewritten into reads of
    /// [`TIME_READ_PORT`](crate::ports::TIME_READ_PORT) before the guest starts.
    MustBeRewritten,
}

/// The promises of one engine on this host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// The engine's name.
    pub engine: EngineKind,
    /// Where inputs can land.
    pub landing: Landing,
    /// How reads of the time-stamp counter are caught.
    pub time_reads: TimeReads,
}
