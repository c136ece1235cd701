//! A replay from power-on to its end.

use outlive_engine::{Engine, ExitNumber, InstructionCount, Landing};
use outlive_log::ReadError;
use outlive_log::entry::{End, EndReason, Entry, StateDigest};
use outlive_log::header::Counting;
use outlive_machine::machine::{Machine, MachineError, Stop};
use outlive_machine::world::{Place, Target};

use crate::conversion::end_reason;
use crate::divergence::PageDifference;
use crate::options::CheckLevel;
use crate::pages::PageHistory;
use crate::place::{Goal, landmark};
use crate::registers;
use crate::replayer::{Pause, ReplayError, Replayer};
use crate::source::EntrySource;
use crate::summary::{Digests, Summary};
use crate::whole_state::{Checking, whole_state};

/// How a replay ended.
#[derive(Debug)]
pub struct Replayed {
    /// Why.
    pub end: ReplayEnd,
    /// What was replayed.
    pub summary: Summary,
}

/// Why a replay ended that met no divergence.
#[derive(Debug)]
pub enum ReplayEnd {
    /// It came to the end of the recording, and all that was compared was equal.
    Complete(EndReason),
    /// The recording was never closed: its monitor died. Everything that it had written was replayed.
    Unfinished,
    /// The log is damaged from here on.
    Damaged(ReadError),
    /// At the landmark that was asked for.
    Goal,
    /// Somebody stopped it.
    Interrupted,
}

/// Replays a log.
///
/// # Errors
/// When the machine does something else than the log says, and when the log or the engine fails.
pub fn replay<E: Engine, S: EntrySource>(
    machine: &mut Machine<E, Replayer<S>>,
) -> Result<Replayed, ReplayError> {
    let capabilities = machine.engine().capabilities();
    if machine.world().counting() == Counting::Steps && capabilities.landing != Landing::AnyInstruction {
        return Err(ReplayError::Landing(capabilities.engine));
    }
    let mut compared = 0;
    loop {
        let stop = match run(machine) {
            Err(ReplayError::EndsWithin) => {
                // An exit may be unanswered, so nobody can tell the state.
                let end = without_end(machine)?;
                let summary = counts(machine, compared);
                return Ok(Replayed { end, summary });
            }
            stop => stop?,
        };
        let pause = machine.world().pause();
        let end = match (&stop, pause) {
            (Stop::Requested, Some(Pause::Digest)) => {
                compare_digest(machine)?;
                compared += 1;
                continue;
            }
            (Stop::Requested, Some(Pause::Goal)) | (Stop::Reached, _) => ReplayEnd::Goal,
            (Stop::Requested, Some(Pause::Interrupted)) => ReplayEnd::Interrupted,
            (Stop::Requested, Some(Pause::Exhausted) | None) => without_end(machine)?,
            (stop, _) => {
                let (reason, has_state) = compare_end(machine, stop)?;
                compared += u64::from(has_state);
                end_or_damage(machine, ReplayEnd::Complete(reason))?
            }
        };
        let summary = summary(machine, compared)?;
        return Ok(Replayed { end, summary });
    }
}

fn run<E: Engine, S: EntrySource>(machine: &mut Machine<E, Replayer<S>>) -> Result<Stop, ReplayError> {
    let goal = machine.world().options().until.filter(|_| machine.world().counting() == Counting::Steps);
    let stop = match goal {
        Some(Goal { exit, since_exit }) => {
            machine.run_until(Target::Landmark { exit, since_exit: InstructionCount(since_exit) })
        }
        None => machine.run(),
    };
    match stop {
        Ok(stop) => Ok(stop),
        Err(MachineError::World(error)) => Err(error),
        Err(MachineError::Engine(error)) => Err(error.into()),
        // The entry that was replayed last cannot have been recorded so.
        Err(error @ (MachineError::TimeWentBack { .. } | MachineError::Input(_))) => {
            let found = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let found = found.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            Err(machine.world_mut().refused(found))
        }
    }
}

/// The log has no more entries, and no end.
fn without_end<E: Engine, S: EntrySource>(
    machine: &mut Machine<E, Replayer<S>>,
) -> Result<ReplayEnd, ReplayError> {
    if machine.world().was_interrupted() {
        return Ok(ReplayEnd::Interrupted);
    }
    end_or_damage(machine, ReplayEnd::Unfinished)
}

/// `end`, unless the log is damaged behind the last entry.
fn end_or_damage<E: Engine, S: EntrySource>(
    machine: &mut Machine<E, Replayer<S>>,
    end: ReplayEnd,
) -> Result<ReplayEnd, ReplayError> {
    let until_damage = machine.world().options().until_damage;
    match machine.world_mut().entries().take_damage() {
        None => Ok(end),
        Some(damage) if until_damage => Ok(ReplayEnd::Damaged(damage)),
        Some(damage) => Err(damage.into()),
    }
}

fn summary<E: Engine, S: EntrySource>(
    machine: &mut Machine<E, Replayer<S>>,
    compared: u64,
) -> Result<Summary, ReplayError> {
    let counting = machine.world().counting();
    let here = landmark(&mut machine.place(), counting)?;
    let state = if machine.world().options().end_digest { whole_state(machine)? } else { None };
    let mut summary = counts(machine, compared);
    summary.landmark = here.map(|here| Goal::from(here).to_string());
    summary.digests = state.as_ref().map(|state| Digests::of(state, machine.world().pages.is_some()));
    Ok(summary)
}

fn counts<E: Engine, S: EntrySource>(machine: &mut Machine<E, Replayer<S>>, compared: u64) -> Summary {
    let mut summary = Summary::of_machine(machine);
    summary.digests_compared = compared;
    summary.entries = machine.world_mut().entries().replayed();
    summary.log_bytes = machine.world_mut().entries().progress().1;
    summary
}

/// Compares the state with the digest that is the next entry.
fn compare_digest<E: Engine, S: EntrySource>(
    machine: &mut Machine<E, Replayer<S>>,
) -> Result<(), ReplayError> {
    if let Some(Entry::Digest(expected)) = machine.world_mut().entries().fetch().cloned() {
        compare_state(machine, &expected)?;
        machine.world_mut().entries().take();
    }
    Ok(())
}

/// Compares how the machine ended with the end that must be the next entry. Whether there was a state to compare.
fn compare_end<E: Engine, S: EntrySource>(
    machine: &mut Machine<E, Replayer<S>>,
    stop: &Stop,
) -> Result<(EndReason, bool), ReplayError> {
    let reason = end_reason(stop);
    let exit = machine.exits();
    match machine.world_mut().entries().fetch().cloned() {
        Some(Entry::End(end)) if (&end.reason, end.exit) == (&reason, exit) => {
            let End { reason, state, .. } = *end;
            if let Some(expected) = &state {
                compare_state(machine, expected)?;
            }
            machine.world_mut().entries().take();
            Ok((reason, state.is_some()))
        }
        _ => {
            let found = Entry::End(Box::new(End { reason, exit, state: None })).to_string();
            Err(diverged(machine, found, exit))
        }
    }
}

fn diverged<E: Engine, S: EntrySource>(
    machine: &mut Machine<E, Replayer<S>>,
    found: String,
    exit: ExitNumber,
) -> ReplayError {
    let state = machine.place().state().ok();
    let place = format!("behind exit {}", exit.0);
    ReplayError::Divergence(machine.world_mut().divergence(found, place, state.as_ref()))
}

fn compare_state<E: Engine, S: EntrySource>(
    machine: &mut Machine<E, Replayer<S>>,
    expected: &StateDigest,
) -> Result<(), ReplayError> {
    let exit = machine.exits();
    let Some(found) = whole_state(machine)? else {
        return Err(diverged(machine, "the guest stands within an instruction".to_owned(), exit));
    };
    if let Some([believed, _]) = &mut machine.world_mut().pages {
        believed.believe(&expected.pages);
    }
    let with_memory = machine.world().options().check >= CheckLevel::Memory;
    let instructions_differ =
        machine.world().counting() == Counting::Steps && found.instructions != expected.instructions;
    let parts = [
        ("the landmark", found.at != expected.at),
        ("guest time", found.time != expected.time),
        ("the number of instructions", instructions_differ),
        ("registers", found.registers != expected.registers),
        ("memory", with_memory && found.memory != expected.memory),
        ("the devices", found.devices != expected.devices),
        ("requests to disks", found.disks != expected.disks),
        ("the running digest", found.running != expected.running),
    ];
    let different: Vec<_> = parts.into_iter().filter(|(_, differs)| *differs).map(|(part, _)| part).collect();
    if different.is_empty() {
        return Ok(());
    }
    let text = format!("another state: {} differ", different.join(", "));
    let place = format!("landmark {}", found.at);
    let world = machine.world_mut();
    let mut divergence = world.divergence(text, place, Some(&found.registers));
    divergence.registers = registers::differences(&expected.registers, &found.registers);
    divergence.pages = world.pages.as_ref().map(page_differences).unwrap_or_default();
    Err(ReplayError::Divergence(divergence))
}

fn page_differences([believed, found]: &[PageHistory; 2]) -> Vec<PageDifference> {
    let differences = believed.differences(found);
    differences
        .map(|(page, expected, found)| PageDifference { address: page * 4096, expected, found })
        .collect()
}
