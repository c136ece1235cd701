//! The world that replays: it tells what a log says, and checks that the machine does what the log says.

mod reporting;

use std::cmp::Ordering;
use std::io;
use std::sync::Arc;
use std::sync::atomic;

use outlive_engine::{EngineError, GuestRam, GuestTime, VcpuState};
use outlive_log::entry::{Check, EndReason, Entry, Hash, Landmark, PageCheck};
use outlive_log::header::Counting;
use outlive_log::{LogReader, ReadError};
use outlive_machine::world::{Input, Output, Patience, Place, Target, World};

use crate::checks::Checks;
use crate::conversion::{marker, replayed};
use crate::divergence::Divergence;
use crate::entries::Entries;
use crate::options::{CheckLevel, Outputs, ReplayOptions};
use crate::pages::PageHistory;
use crate::place::{certain_landmark, landmark};
use crate::progress::Progress;
use crate::recorder::Beginning;
use crate::source::EntrySource;
use crate::whole_state::Checking;

/// Why a replay cannot go on.
#[derive(thiserror::Error, Debug)]
pub enum ReplayError {
    /// The machine does something else than the log says.
    #[error("{0}")]
    Divergence(Box<Divergence>),
    /// The log is damaged.
    #[error("cannot read the log any further")]
    Log(#[from] ReadError),
    /// The outputs could not be written.
    #[error("cannot write what the guest puts out")]
    Outputs(#[source] io::Error),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The log ends in the midst of what the guest does at one exit.
    #[error("the log ends in the midst of an exit")]
    EndsWithin,
    /// The landmarks of the log are not among the places at which the engine can stop.
    #[error(
        "the log counts single instructions between exits, and the {0} engine does not: replay it on soft"
    )]
    Landing(outlive_engine::EngineKind),
}

/// Why a replay has stopped the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pause {
    /// At a digest of the whole state.
    Digest,
    /// At the end of the recording.
    End,
    /// There are no more entries.
    Exhausted,
    /// At the goal.
    Goal,
    /// Somebody wants to stop.
    Interrupted,
}

/// The world that replays.
pub struct Replayer<S = LogReader> {
    entries: Entries<S>,
    counting: Counting,
    outputs: Box<dyn Outputs>,
    options: ReplayOptions,
    checks: Checks,
    /// The pages as the log tells, and as they are.
    pub(crate) pages: Option<[PageHistory; 2]>,
    exit: outlive_engine::ExitNumber,
    pause: Option<Pause>,
    progress: Arc<Progress>,
}

impl<S: EntrySource> Replayer<S> {
    /// Replays `log`. `ram` is the machine's memory as it is at power-on.
    pub fn new(log: S, outputs: Box<dyn Outputs>, ram: GuestRam, options: ReplayOptions) -> Self {
        let entries = Entries::new(log);
        let pages = (options.check >= CheckLevel::Memory).then(|| PageHistory::new(ram));
        let progress = Arc::new(Progress::default());
        progress.begin(entries.progress().1);
        Self {
            counting: entries.counting(),
            entries,
            outputs,
            options,
            checks: Checks::from_power_on(),
            pages: pages.map(|pages| [pages.clone(), pages]),
            exit: outlive_engine::ExitNumber::default(),
            pause: None,
            progress,
        }
    }

    /// How far the replay has got.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    pub(crate) fn pause(&self) -> Option<Pause> {
        self.pause
    }

    pub(crate) fn entries(&mut self) -> &mut Entries<S> {
        &mut self.entries
    }

    /// The source of the entries, and what has gone on, for a recording that goes on from here.
    pub(crate) fn into_parts(self, ram: GuestRam, time: GuestTime) -> (S, Beginning) {
        let pages = self.pages.map(|[_, found]| found).unwrap_or_else(|| PageHistory::new(ram));
        let beginning = Beginning { counting: self.counting, checks: self.checks, pages, time };
        (self.entries.into_source(), beginning)
    }

    pub(crate) fn options(&self) -> &ReplayOptions {
        &self.options
    }

    /// Why the machine should stop here, if it should. `here` is `None` where there is no landmark.
    fn wanted_pause(&self, here: Option<&Landmark>) -> Option<Pause> {
        if self.options.stop.load(atomic::Ordering::Acquire) {
            return Some(Pause::Interrupted);
        }
        if let (Some(goal), Some(here)) = (self.options.until, here)
            && goal.seen_from(here) != Ordering::Greater
        {
            return Some(Pause::Goal);
        }
        match self.entries.fetched() {
            None => Some(Pause::Exhausted),
            // The machine was stopped behind this exit, where no replay can find it.
            Some(Entry::End(end)) if end.reason == EndReason::Requested && end.state.is_none() => {
                (self.exit >= end.exit).then_some(Pause::End)
            }
            Some(_) => None,
        }
    }

    /// Takes the next entry, whose time becomes the time that others see.
    fn take(&mut self) -> Option<Entry> {
        let entry = self.entries.take();
        if let Some(
            Entry::Time(time) | Entry::Input { input: outlive_log::entry::Input::ClockTick(time), .. },
        ) = &entry
        {
            self.progress.note(self.entries.progress().0, *time);
        }
        entry
    }

    /// Whether somebody wants the replay to stop.
    pub(crate) fn was_interrupted(&self) -> bool {
        self.options.stop.load(atomic::Ordering::Acquire)
    }

    /// Where the next entry's landmark is, seen from here.
    fn look_ahead(
        &mut self,
        at: &mut dyn Place,
        here: Option<&Landmark>,
        wanted: Landmark,
    ) -> Result<Ordering, ReplayError> {
        let order = match here {
            Some(here) => wanted.name().cmp(&here.name()),
            // No landmark is within an instruction, so this is before it, or the guest is lost.
            None if wanted.exit >= at.exit() => Ordering::Greater,
            None => Ordering::Less,
        };
        if order == Ordering::Less {
            return Err(self.misplaced(at, "the guest has passed the landmark"));
        }
        if order == Ordering::Equal && here.is_some_and(|here| here.rip != wanted.rip) {
            return Err(self.misplaced(at, "another instruction is next at this landmark"));
        }
        Ok(order)
    }

    /// The landmark at which the next entry wants the machine to be asked for input.
    fn awaited(&self) -> Option<Landmark> {
        match self.entries.fetched()? {
            Entry::Input { at, .. } => Some(*at),
            Entry::Digest(state) => Some(state.at),
            Entry::End(end) if end.reason == EndReason::Requested => end.state.as_ref().map(|state| state.at),
            _ => None,
        }
    }

    /// The guest has run further than it did before the next entry.
    fn has_run_away(&self, at: &dyn Place) -> bool {
        let last_exit = match self.entries.fetched() {
            Some(Entry::Output { exit, .. }) => Some(*exit),
            Some(Entry::Interrupt { at, .. }) => Some(at.exit),
            Some(Entry::End(end)) => Some(end.exit),
            _ => None,
        };
        last_exit.is_some_and(|last| at.exit() > last)
            || self.counting == Counting::Steps && at.instructions() > self.entries.most_instructions()
    }

    /// The next entry lands here: an input, or a stop.
    fn land(&mut self) -> Result<Option<Input>, ReplayError> {
        match self.entries.fetched() {
            Some(Entry::Digest(_)) => self.pause = Some(Pause::Digest),
            Some(Entry::End(_)) => self.pause = Some(Pause::End),
            _ => {
                if let Some(Entry::Input { input, .. }) = self.take() {
                    let input = replayed(input);
                    if let Input::DiskCompletion { disk, request, data, .. } = &input {
                        self.outputs.disk_completion(*disk, *request, data).map_err(ReplayError::Outputs)?;
                    }
                    return Ok(Some(input));
                }
            }
        }
        Ok(None)
    }

    /// Takes the registers from the log that the next entry is to be compared with.
    fn expected_registers(&mut self) -> Option<Box<VcpuState>> {
        match self.entries.fetch() {
            Some(Entry::Registers(_)) => match self.take() {
                Some(Entry::Registers(registers)) => Some(registers),
                _ => None,
            },
            _ => None,
        }
    }
}

impl<S: EntrySource> Checking for Replayer<S> {
    fn counting(&self) -> Counting {
        self.counting
    }

    fn checks(&self) -> &Checks {
        &self.checks
    }

    fn look_at_memory(&mut self) -> (Hash, Vec<PageCheck>) {
        match &mut self.pages {
            Some([_, found]) => found.look(),
            None => ([0; 32], Vec::new()),
        }
    }
}

impl<S: EntrySource> World for Replayer<S> {
    type Error = ReplayError;

    fn needs_landmarks(&self) -> bool {
        true
    }

    fn stop_requested(&self) -> bool {
        self.pause.is_some() || self.entries.has_ended() || self.options.stop.load(atomic::Ordering::Acquire)
    }

    fn read_time(&mut self, at: &mut dyn Place) -> Result<GuestTime, ReplayError> {
        match self.entries.fetch() {
            Some(&Entry::Time(time)) => {
                self.take();
                Ok(time)
            }
            None => Err(ReplayError::EndsWithin),
            // The exit that reads the time is not answered yet, so the processor cannot be looked at.
            _ => {
                let place = format!("at exit {}", at.exit().0);
                let found = "the guest reads the time".to_owned();
                Err(ReplayError::Divergence(self.divergence(found, place, None)))
            }
        }
    }

    fn next_input(&mut self, at: &mut dyn Place, patience: Patience) -> Result<Option<Input>, ReplayError> {
        self.exit = at.exit();
        self.entries.fetch();
        let is_near = |landmark: Landmark| landmark.exit <= at.exit();
        let needs_landmark = self.awaited().is_some_and(is_near)
            || self.options.until.is_some_and(|goal| goal.exit <= at.exit());
        let here = if needs_landmark { landmark(at, self.counting)? } else { None };
        self.pause = self.wanted_pause(here.as_ref());
        if self.pause.is_some() {
            return Ok(None);
        }
        if let Some(wanted) = self.awaited().filter(|_| needs_landmark) {
            let order = self.look_ahead(at, here.as_ref(), wanted)?;
            if order == Ordering::Equal {
                return self.land();
            }
        }
        if self.has_run_away(at) {
            return Err(self.misplaced(at, "the guest runs on beyond it"));
        }
        if patience == Patience::Wait {
            return Err(self.misplaced(at, "the guest sleeps, and nothing wakes it"));
        }
        Ok(None)
    }

    fn next_landing(&self) -> Option<Target> {
        if self.entries.is_open() {
            // Whether there is something to be done here is not known: ask once more.
            return Some(Target::Instructions(outlive_engine::InstructionCount(0)));
        }
        if self.counting != Counting::Steps {
            return None;
        }
        match self.awaited() {
            Some(wanted) if wanted.exit == self.exit => Some(Target::Landmark {
                exit: wanted.exit,
                since_exit: outlive_engine::InstructionCount(wanted.since_exit),
            }),
            // So far and no further, that a guest which is lost cannot run for ever.
            _ => Some(Target::Instructions(outlive_engine::InstructionCount(
                self.entries.most_instructions().0.saturating_add(1),
            ))),
        }
    }

    fn set_deadline(&mut self, _deadline: Option<GuestTime>) {}

    fn output(&mut self, at: &mut dyn Place, output: Output) -> Result<(), ReplayError> {
        let state = match at.state() {
            Ok(state) => Some(state),
            Err(EngineError::Unsupported { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let expected = self.expected_registers();
        let found: Check = self.checks.output(at.exit(), &output, state.as_ref());
        let same_kind = match self.entries.fetch() {
            Some(Entry::Output { exit, output: wanted, check }) => {
                let same_kind = *exit == at.exit() && *wanted == marker(&output);
                if same_kind && *check == found && has(expected.as_deref(), state.as_ref()) {
                    self.take();
                    return self.outputs.output(&output).map_err(ReplayError::Outputs);
                }
                same_kind
            }
            Some(_) => false,
            None => return Err(ReplayError::EndsWithin),
        };
        let found = Entry::Output { exit: at.exit(), output: marker(&output), check: found };
        let difference = if same_kind { ", with other registers or contents" } else { "" };
        Err(self.different(at, format!("{found}{difference}"), expected.as_deref(), state.as_ref()))
    }

    fn interrupt(&mut self, at: &mut dyn Place, vector: u8) -> Result<(), ReplayError> {
        let state = at.state()?;
        let here = certain_landmark(at, self.counting)?;
        let expected = self.expected_registers();
        let check = self.checks.interrupt(&here, vector, &state);
        let found = Entry::Interrupt { at: here, vector, check };
        match self.entries.fetch() {
            Some(entry) if *entry == found && has(expected.as_deref(), Some(&state)) => {
                self.take();
                return Ok(());
            }
            None => return Err(ReplayError::EndsWithin),
            _ => {}
        }
        Err(self.different(at, found.to_string(), expected.as_deref(), Some(&state)))
    }
}

/// Whether the processor has the registers that a log tells, if it tells them.
fn has(expected: Option<&VcpuState>, state: Option<&VcpuState>) -> bool {
    expected.is_none() || expected == state
}
