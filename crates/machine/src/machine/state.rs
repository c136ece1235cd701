//! The saved form of a machine, and its digest.
//!
//! Memory is not in it: it is large, and whoever ships or hashes it goes page by page. It belongs to a state
//! as it is right after [`Machine::save`], which may complete an instruction that writes to it.

use outlive_engine::{Engine, EngineError, ExitNumber, GuestTime, InstructionCount, VcpuState};
use serde::{Deserialize, Serialize};

use super::{Here, Machine, Progress};
use crate::board::{self, Board, BoardState};
use crate::digest::{Digest, MachineDigest};
use crate::encoding::{self, DecodeError};
use crate::world::{Place, World};

/// The saved form of a [`Machine`], without its memory.
///
/// Not in here, field by field of what a machine holds:
///
/// * the engine: what guest software can tell of it is `vcpu`. Translations and decoded code are not, nor is an
///   interrupt window that is asked for: each turn asks anew. A kick is nothing that the guest did;
/// * the world: it is what a machine is connected to, and not the machine;
/// * the deadline: the board knows it, and the world of a restored machine is told;
/// * outputs: between two turns the world has all of them. Disk requests that wait for their completion are in
///   the board's state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MachineState {
    /// The processor.
    pub vcpu: VcpuState,
    /// The devices.
    pub board: BoardState,
    /// The last guest time that anybody has seen. From here on it goes.
    pub time: GuestTime,
    /// The last numbered exit.
    pub exits: ExitNumber,
    /// Instructions since then: landmarks count on.
    pub since_exit: InstructionCount,
    /// Instructions since power-on.
    pub instructions: InstructionCount,
    /// Interrupt windows that have opened since the last numbered exit.
    pub windows: u64,
    /// Whether this place has a landmark, so that inputs may land here.
    pub has_landmark: bool,
}

/// Bytes that are no state that this program can restore.
#[derive(thiserror::Error, Debug)]
pub enum StateError {
    /// Another version of the format.
    #[error("the state of a machine has format {found}, but this program knows format {known} only")]
    Version {
        /// That of the bytes.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Damaged.
    #[error("the state of a machine is damaged")]
    Damaged(#[from] DecodeError),
}

/// Why a machine cannot go on from a state.
#[derive(thiserror::Error, Debug)]
pub enum RestoreError {
    /// The devices.
    #[error(transparent)]
    Board(#[from] board::RestoreError),
    /// The processor.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The counts contradict each other.
    #[error("the saved state counts {} instructions since the last exit, but {} in all", since_exit.0, all.0)]
    Counts {
        /// Since the last exit.
        since_exit: InstructionCount,
        /// Since power-on.
        all: InstructionCount,
    },
}

impl MachineState {
    /// The version of the saved form and of everything in it. To be raised whenever a field or the meaning of
    /// one changes in any saved form.
    pub const VERSION: u32 = 2;

    /// The state as bytes: the version, then the state.
    pub fn encode(&self) -> Vec<u8> {
        encoding::encode(&(Self::VERSION, self))
    }

    /// The state that was encoded as `bytes`.
    ///
    /// # Errors
    /// When the bytes are not that, or of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let (found, version_bytes) = encoding::decode_first::<u32>(bytes)?;
        if found != Self::VERSION {
            return Err(StateError::Version { found, known: Self::VERSION });
        }
        Ok(encoding::decode(&bytes[version_bytes..])?)
    }
}

impl<E: Engine, W: World> Machine<E, W> {
    /// The saved form of this machine, as it stands between two turns. Memory must be copied afterwards.
    ///
    /// This machine goes on as one does that is restored from the state: it forgets its translations. A
    /// processor that keeps one does not walk page tables again, hence does not set accessed bits again that
    /// the guest has cleared, and memory would differ. So saving is something that happens to a machine: a
    /// replay must save at the same place. To look without that, take a [`digest`](Self::digest).
    ///
    /// # Errors
    /// When the engine does not stand between two instructions, and otherwise as for [`Engine::state`].
    pub fn save(&mut self) -> Result<MachineState, EngineError> {
        let vcpu = self.engine.state()?;
        self.engine.set_state(&vcpu)?;
        Ok(MachineState {
            vcpu,
            board: self.board.save(),
            time: self.time,
            exits: self.progress.exits(),
            since_exit: self.progress.since_exit(&self.engine),
            instructions: self.progress.instructions(&self.engine),
            windows: self.progress.windows(),
            has_landmark: self.has_landmark,
        })
    }

    /// The machine that was saved as `state`. `board` is one at power-on with the configuration of the machine
    /// that was saved; its memory, which `engine` shares, already has the contents that belong to the state.
    ///
    /// The world is told the deadline, and nothing else: it must know already which disk requests are under
    /// way, or get them [again](Self::reissue_disk_requests).
    ///
    /// # Errors
    /// When no machine of this configuration could have saved that.
    pub fn restore(
        mut engine: E,
        mut world: W,
        board: Board,
        state: MachineState,
    ) -> Result<Self, RestoreError> {
        let MachineState { since_exit, instructions, time, has_landmark, .. } = state;
        if since_exit > instructions {
            return Err(RestoreError::Counts { since_exit, all: instructions });
        }
        engine.set_state(&state.vcpu)?;
        let progress = Progress::going_on(&engine, &state);
        let board = board.restore(state.board)?;
        let deadline = board.deadline();
        world.set_deadline(deadline);
        Ok(Self { engine, world, board, progress, time, deadline, has_landmark })
    }

    /// The digest of this machine, as it stands between two turns. It goes on as if nobody had looked.
    ///
    /// # Errors
    /// As for [`Engine::state`].
    pub fn digest(&mut self) -> Result<MachineDigest, EngineError> {
        // First, for it completes an instruction that waits for that.
        let vcpu = self.engine.state()?;
        Ok(MachineDigest {
            registers: Digest::of_registers(&vcpu),
            memory: Digest::of_memory(self.board.ram()),
            devices: self.devices_digest(),
        })
    }

    /// The digest of the devices alone, as this machine stands between two turns.
    pub fn devices_digest(&self) -> Digest {
        Digest::of_devices(&self.board.save(), self.time)
    }

    /// Where this machine stands.
    pub fn place(&mut self) -> impl Place + '_ {
        Here::of(&mut self.engine, self.progress)
    }
}

#[cfg(test)]
mod tests;
