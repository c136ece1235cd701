//! A recording, to its end.

use outlive_engine::{Engine, EngineError};
use outlive_log::WriteError;
use outlive_log::entry::{End, StateDigest};
use outlive_log::header::Counting;
use outlive_machine::machine::{Machine, MachineError, Stop};
use outlive_machine::world::World;

use crate::conversion::end_reason;
use crate::event_log::EventLog;
use crate::recorder::{Pause, RecordError, Recorder};
use crate::summary::Summary;
use crate::whole_state::{Checking, whole_state};

/// How a recording ended.
#[derive(Debug)]
pub struct Recorded {
    /// How the machine came to its end.
    pub stop: Stop,
    /// What was recorded.
    pub summary: Summary,
}

/// Runs a machine to its end and closes the log. Gives back the live world too, for what it has to tell.
///
/// # Errors
/// When the engine, the world or the log fails. The log is left unfinished then, and replays up to there.
pub fn record<E: Engine, W: World, L: EventLog>(
    mut machine: Machine<E, Recorder<W, L>>,
) -> Result<(Recorded, W), MachineError<RecordError<W::Error>>> {
    let stop = loop {
        let stop = machine.run()?;
        match (&stop, machine.world().pause()) {
            (Stop::Requested, Some(Pause::Digest)) => {
                let state = whole_state(&mut machine)?;
                machine.world_mut().resume(state).map_err(failed)?;
            }
            _ => break stop,
        }
    };
    let state = state_at_end(&mut machine, &stop)?;
    let end = End { reason: end_reason(&stop), exit: machine.exits(), state };
    let mut summary = Summary::of_recording(&mut machine, &end);
    let instructions = machine.instructions();
    let (live, size) = machine.into_world().close(end, instructions).map_err(failed)?;
    summary.entries = size.entries;
    summary.log_bytes = size.bytes;
    Ok((Recorded { stop, summary }, live))
}

/// The state of a machine that has come to its end; `None` where an engine cannot tell, or no replay could.
fn state_at_end<E: Engine, W: World, L: EventLog>(
    machine: &mut Machine<E, Recorder<W, L>>,
    stop: &Stop,
) -> Result<Option<StateDigest>, EngineError> {
    let counting = machine.world().counting();
    // A machine that was stopped where it found no landmark stands nowhere that a replay could find. And a host may
    // reset a processor that meets a triple fault (AMD APM volume 2, 15.14.3), so it stands elsewhere than on other hosts.
    let is_shut_down = matches!(stop, Stop::TripleFault(_)) && counting == Counting::Windows;
    let is_lost = matches!(stop, Stop::Requested) && machine.world().pause().is_none();
    if is_lost || is_shut_down { Ok(None) } else { whole_state(machine) }
}

fn failed<L: std::error::Error + 'static>(error: WriteError) -> MachineError<RecordError<L>> {
    MachineError::World(RecordError::Log(error))
}
