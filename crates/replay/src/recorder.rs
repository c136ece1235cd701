//! The world that records: it asks a live world and writes down what that tells.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use outlive_engine::{EngineError, GuestRam, GuestTime, InstructionCount};
use outlive_log::entry::{Check, End, Entry, Hash, PageCheck, StateDigest};
use outlive_log::header::Counting;
use outlive_log::{LogSize, LogWriter, WriteError};
use outlive_machine::world::{Input, Output, Patience, Place, Target, World};

use crate::checks::Checks;
use crate::conversion::{logged, marker};
use crate::event_log::EventLog;
use crate::pages::PageHistory;
use crate::place::{certain_landmark, landmark};
use crate::whole_state::Checking;

/// A log holds the times of a live world in that world's steps, which is what makes them small.
const _: () = assert!(outlive_machine::host::live::CLOCK_STEP == outlive_log::encoding::TIME_QUANTUM);

/// How long a machine that is to stop may run on to a place that has a landmark.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// What a recording writes besides the events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordOptions {
    /// Guest time from one digest of the whole state to the next; without it there is one in the end only.
    pub digest_every: Option<Duration>,
    /// Whether to write all registers at each interrupt and output, so that a divergence can name the first that
    /// differs. Such a log is many times larger.
    pub registers: bool,
}

/// What can go wrong in a recording.
#[derive(thiserror::Error, Debug)]
pub enum RecordError<L: std::error::Error + 'static> {
    /// The world.
    #[error(transparent)]
    Live(L),
    /// The log.
    #[error("cannot write the log")]
    Log(#[from] WriteError),
    /// The engine does not tell what is to be written.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What there was before a recording begins.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) counting: Counting,
    pub(crate) checks: Checks,
    pub(crate) pages: PageHistory,
    pub(crate) time: GuestTime,
}

/// Why a recording has stopped the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pause {
    /// A digest of the whole state is due.
    Digest,
    /// Somebody wants the machine to stop.
    End,
}

/// The world that records.
#[derive(Debug)]
pub struct Recorder<W, L = LogWriter> {
    live: W,
    log: L,
    counting: Counting,
    options: RecordOptions,
    checks: Checks,
    pages: PageHistory,
    /// An input that came where none can land.
    held: Option<Input>,
    time: GuestTime,
    deadline: Option<GuestTime>,
    next_digest: Option<GuestTime>,
    pause: Option<Pause>,
    stop_seen: OnceLock<Instant>,
}

impl<W: World, L: EventLog> Recorder<W, L> {
    /// Records what `live` tells into `log`. `ram` is the machine's memory as it is at power-on.
    pub fn new(live: W, log: L, counting: Counting, ram: GuestRam, options: RecordOptions) -> Self {
        let beginning = Beginning {
            counting,
            checks: Checks::from_power_on(),
            pages: PageHistory::new(ram),
            time: GuestTime::BOOT,
        };
        Self::going_on(live, log, beginning, options)
    }

    /// Records what `live` tells into `log`, which has entries already.
    pub(crate) fn going_on(live: W, log: L, beginning: Beginning, options: RecordOptions) -> Self {
        let Beginning { counting, checks, pages, time } = beginning;
        Self {
            live,
            log,
            counting,
            options,
            checks,
            pages,
            held: None,
            time,
            deadline: None,
            next_digest: None,
            pause: None,
            stop_seen: OnceLock::new(),
        }
    }

    /// The live world.
    pub fn live(&self) -> &W {
        &self.live
    }

    pub(crate) fn pause(&self) -> Option<Pause> {
        self.pause
    }

    /// Writes the digest that was due, and goes on.
    pub(crate) fn resume(&mut self, state: Option<StateDigest>) -> Result<(), WriteError> {
        if let Some(state) = state {
            let instructions = state.instructions;
            self.log.append(&Entry::Digest(Box::new(state)), instructions)?;
        }
        self.pause = None;
        // Taking a digest may take longer than the time to the next one.
        self.next_digest = None;
        Ok(())
    }

    /// Writes the end, and closes the log.
    pub(crate) fn close(
        mut self,
        end: End,
        instructions: InstructionCount,
    ) -> Result<(W, LogSize), WriteError> {
        self.log.append(&Entry::End(Box::new(end)), instructions)?;
        Ok((self.live, self.log.close()?))
    }

    /// Why the machine should stop here, if it should.
    fn wanted_pause(&self, at: &mut dyn Place) -> Result<Option<Pause>, EngineError> {
        let stop = self.live.stop_requested();
        if !stop && self.next_digest.is_none_or(|next| self.time < next) {
            return Ok(None);
        }
        let pause = if stop { Pause::End } else { Pause::Digest };
        Ok(landmark(at, self.counting)?.map(|_| pause))
    }

    fn append(&mut self, at: &dyn Place, entry: &Entry) -> Result<(), RecordError<W::Error>> {
        Ok(self.log.append(entry, at.instructions())?)
    }

    /// The guest is told the time. The next digest is due so long after the first time that is told.
    fn note_time(&mut self, time: GuestTime) {
        self.time = time;
        if self.next_digest.is_none() {
            self.next_digest = self.options.digest_every.map(|every| time + every);
        }
    }

    /// Cuts the log here if it wants that and if others can find the place again.
    fn cut_log(&mut self, at: &mut dyn Place, patience: Patience) -> Result<(), RecordError<W::Error>> {
        let until_deadline = self.deadline.map_or(Duration::MAX, |deadline| deadline - self.time);
        let sleep = (patience == Patience::Wait).then_some(until_deadline);
        if self.log.wants_cut(sleep) && landmark(at, self.counting)?.is_some() {
            self.log.cut()?;
        }
        Ok(())
    }
}

impl<W: World, L: EventLog> Checking for Recorder<W, L> {
    fn counting(&self) -> Counting {
        self.counting
    }

    fn checks(&self) -> &Checks {
        &self.checks
    }

    fn look_at_memory(&mut self) -> (Hash, Vec<PageCheck>) {
        self.pages.look()
    }
}

impl<W: World, L: EventLog> World for Recorder<W, L> {
    type Error = RecordError<W::Error>;

    fn needs_landmarks(&self) -> bool {
        true
    }

    fn stop_requested(&self) -> bool {
        if self.pause.is_some() {
            return true;
        }
        // A guest that never comes to a place with a landmark is stopped all the same.
        self.live.stop_requested() && self.stop_seen.get_or_init(Instant::now).elapsed() > STOP_PATIENCE
    }

    fn read_time(&mut self, at: &mut dyn Place) -> Result<GuestTime, Self::Error> {
        let time = self.live.read_time(at).map_err(RecordError::Live)?;
        self.note_time(time);
        self.append(at, &Entry::Time(time))?;
        Ok(time)
    }

    fn next_input(&mut self, at: &mut dyn Place, patience: Patience) -> Result<Option<Input>, Self::Error> {
        self.pause = self.wanted_pause(at)?;
        if self.pause.is_some() {
            return Ok(None);
        }
        self.cut_log(at, patience)?;
        let input = match self.held.take() {
            // What was told of the time meanwhile cannot be taken back.
            Some(Input::ClockTick(time)) => Some(Input::ClockTick(time.max(self.time))),
            Some(input) => Some(input),
            None => self.live.next_input(at, patience).map_err(RecordError::Live)?,
        };
        let Some(input) = input else { return Ok(None) };
        let Some(here) = landmark(at, self.counting)? else {
            self.held = Some(input);
            return Ok(None);
        };
        if let Input::ClockTick(time) = input {
            self.note_time(time);
            self.deadline = None;
        }
        self.append(at, &Entry::Input { at: here, input: logged(&input) })?;
        Ok(Some(input))
    }

    fn next_landing(&self) -> Option<Target> {
        // Where an input is held, no other can land.
        if self.held.is_some() { None } else { self.live.next_landing() }
    }

    fn set_deadline(&mut self, deadline: Option<GuestTime>) {
        self.deadline = deadline;
        self.live.set_deadline(deadline);
    }

    fn output(&mut self, at: &mut dyn Place, output: Output) -> Result<(), Self::Error> {
        let registers = match at.state() {
            Ok(registers) => Some(registers),
            Err(EngineError::Unsupported { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let check: Check = self.checks.output(at.exit(), &output, registers.as_ref());
        if let Some(registers) = registers.filter(|_| self.options.registers) {
            self.append(at, &Entry::Registers(Box::new(registers)))?;
        }
        self.append(at, &Entry::Output { exit: at.exit(), output: marker(&output), check })?;
        self.live.output(at, output).map_err(RecordError::Live)
    }

    fn interrupt(&mut self, at: &mut dyn Place, vector: u8) -> Result<(), Self::Error> {
        let registers = at.state()?;
        // Where an interrupt is delivered, the guest stands between two instructions.
        let here = certain_landmark(at, self.counting)?;
        let check = self.checks.interrupt(&here, vector, &registers);
        if self.options.registers {
            self.append(at, &Entry::Registers(Box::new(registers)))?;
        }
        self.append(at, &Entry::Interrupt { at: here, vector, check })?;
        self.live.interrupt(at, vector).map_err(RecordError::Live)
    }
}
