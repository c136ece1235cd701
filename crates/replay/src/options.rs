//! How a log is to be replayed, and where its outputs go.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use outlive_machine::world::{DiskIndex, DiskRequestId, Output};

use crate::place::Goal;

/// How much of a replay is checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CheckLevel {
    /// Registers at each interrupt and output, and whatever goes out; registers and devices at each digest.
    Registers,
    /// Memory at each digest too.
    Memory,
}

/// How a log is to be replayed.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// What is checked.
    pub check: CheckLevel,
    /// Where to stop: before the inputs that land there.
    pub until: Option<Goal>,
    /// Whether a damaged log ends at its last whole batch instead of being an error.
    pub until_damage: bool,
    /// Whether to take digests of the state where the replay ends, for the summary. That takes a while: all of memory
    /// is hashed.
    pub end_digest: bool,
    /// Stops the replay when it is set. Who sets it kicks the engine too.
    pub stop: Arc<AtomicBool>,
}

/// Where the outputs of a replay go.
pub trait Outputs {
    /// Takes an output, which was found to be the recorded one.
    ///
    /// # Errors
    /// When it cannot.
    fn output(&mut self, output: &Output) -> io::Result<()>;

    /// Takes note of what a disk has answered: the log has it, with the data that were read.
    ///
    /// # Errors
    /// When it cannot.
    fn disk_completion(&mut self, disk: DiskIndex, request: DiskRequestId, data: &[u8]) -> io::Result<()>;
}
