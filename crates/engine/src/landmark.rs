//! Points of the guest's execution that can be found again.
//!
//! A replay must apply each input exactly where the recording applied it. Wall-clock time cannot say
//! where, so a point is named by what the guest itself did: how many numbered exits it had made, and how
//! many instructions it had retired since the last of them. RIP and, inside a REP string, RCX are kept
//! beside that. They are implied by the counts when all is well, hence a check that costs nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many numbered exits the guest has made since power-on. See [`Exit::is_numbered`].
///
/// [`Exit::is_numbered`]: crate::Exit::is_numbered
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct ExitNumber(pub u64);

impl ExitNumber {
    /// The number of the exit after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A number of retired guest instructions, as [`Engine::retired`](crate::Engine::retired) counts them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct InstructionCount(pub u64);

/// A point of the guest's execution.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Landmark {
    /// The last numbered exit before this point.
    pub exit: ExitNumber,
    /// Steps since that exit, as [`Engine::retired`](crate::Engine::retired) counts them: instructions, iterations of
    /// REP strings, exceptions, interrupts. Zero on engines that can stop at exits only.
    pub since_exit: InstructionCount,
    /// RIP at this point: a check, not part of the name.
    pub rip: u64,
    /// RCX at this point: how far a REP string still has to go, where RIP stands on one. A check.
    pub rcx: u64,
}

impl fmt::Display for Landmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{} (rip {:#x})", self.exit.0, self.since_exit.0, self.rip)
    }
}
