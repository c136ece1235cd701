//! The whole state of a machine, hashed: what a recording writes, and what a replay compares with that.

use outlive_engine::{Engine, EngineError};
use outlive_log::entry::{Hash, PageCheck, StateDigest};
use outlive_log::header::Counting;
use outlive_machine::machine::Machine;
use outlive_machine::world::{Place, World};

use crate::checks::Checks;
use crate::place::landmark;

/// A world that checks what its machine does.
pub(crate) trait Checking: World {
    /// What landmarks count.
    fn counting(&self) -> Counting;

    /// The digests of everything that has gone on.
    fn checks(&self) -> &Checks;

    /// Looks at memory: its digest, and the pages that have changed since it was looked at last. Zeros and none if
    /// nobody wants to know.
    fn look_at_memory(&mut self) -> (Hash, Vec<PageCheck>);
}

/// The whole state; `None` where the engine cannot tell it: within an instruction.
pub(crate) fn whole_state<E: Engine, W: Checking>(
    machine: &mut Machine<E, W>,
) -> Result<Option<StateDigest>, EngineError> {
    let counting = machine.world().counting();
    let registers = match machine.place().state() {
        Ok(registers) => registers,
        Err(EngineError::Unsupported { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(at) = landmark(&mut machine.place(), counting)? else { return Ok(None) };
    // Behind the registers: to tell them may complete an instruction that writes to memory.
    let (memory, pages) = machine.world_mut().look_at_memory();
    Ok(Some(StateDigest {
        at,
        time: machine.time(),
        instructions: machine.instructions(),
        running: machine.world().checks().running(),
        registers,
        memory,
        devices: machine.devices_digest().0,
        disks: machine.world().checks().disks(),
        pages,
    }))
}
