//! What a recording or a replay tells in the end.

use std::fmt;

use outlive_engine::{Engine, Landing};
use outlive_log::entry::{End, Hash, StateDigest};
use outlive_machine::digest::Digest;
use outlive_machine::machine::Machine;
use outlive_machine::world::World;
use serde::Serialize;

use crate::place::Goal;

/// What was done, and where it ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Summary {
    /// Where the machine stands: a landmark, as `outlive replay --until` takes it.
    pub landmark: Option<String>,
    /// The numbered exits that the guest has made.
    pub exits: u64,
    /// What the guest has executed, if the engine counts that.
    pub instructions: Option<u64>,
    /// Guest time in nanoseconds.
    pub guest_nanoseconds: u64,
    /// The entries that were written or replayed.
    pub entries: u64,
    /// The length of the log.
    pub log_bytes: u64,
    /// The digests of the state in the end, if they were taken.
    pub digests: Option<Digests>,
    /// How many digests of the whole state were compared and equal, for a replay.
    pub digests_compared: u64,
}

/// Digests of a whole state, as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Digests {
    /// Of the registers.
    pub registers: String,
    /// Of memory, unless the replay was told not to look at it.
    pub memory: Option<String>,
    /// Of the devices.
    pub devices: String,
    /// Of all requests to disks.
    pub disks: String,
}

impl Digests {
    pub(crate) fn of(state: &StateDigest, with_memory: bool) -> Self {
        let text = |hash: Hash| Digest(hash).to_string();
        Self {
            registers: Digest::of_registers(&state.registers).to_string(),
            memory: with_memory.then(|| text(state.memory)),
            devices: text(state.devices),
            disks: text(state.disks),
        }
    }
}

impl Summary {
    pub(crate) fn of_machine<E: Engine, W: World>(machine: &mut Machine<E, W>) -> Self {
        let counts = machine.engine().capabilities().landing == Landing::AnyInstruction;
        Self {
            landmark: None,
            exits: machine.exits().0,
            instructions: counts.then(|| machine.instructions().0),
            guest_nanoseconds: machine.time().nanoseconds(),
            entries: 0,
            log_bytes: 0,
            digests: None,
            digests_compared: 0,
        }
    }

    pub(crate) fn of_recording<E: Engine, W: World>(machine: &mut Machine<E, W>, end: &End) -> Self {
        let mut summary = Self::of_machine(machine);
        summary.landmark = end.state.as_ref().map(|state| Goal::from(state.at).to_string());
        summary.digests = end.state.as_ref().map(|state| Digests::of(state, true));
        summary
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.landmark {
            Some(landmark) => write!(f, "at landmark {landmark}")?,
            None => write!(f, "behind exit {}", self.exits)?,
        }
        write!(f, ", {:.3} s of guest time, {} exits", self.guest_nanoseconds as f64 / 1e9, self.exits)?;
        if let Some(instructions) = self.instructions {
            write!(f, ", {instructions} instructions")?;
        }
        writeln!(f, ", {} entries, {} bytes of log", self.entries, self.log_bytes)?;
        let Some(digests) = &self.digests else {
            return write!(f, "no digests: the guest stands within an instruction");
        };
        writeln!(f, "digest of registers {}", digests.registers)?;
        if let Some(memory) = &digests.memory {
            writeln!(f, "digest of memory {memory}")?;
        }
        writeln!(f, "digest of devices {}", digests.devices)?;
        write!(f, "digest of disk requests {}", digests.disks)
    }
}
