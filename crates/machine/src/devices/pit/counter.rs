//! One counter of the 8254: the count register, the counting element, gate and output.
//!
//! A count that is written goes to the count register first and moves to the counting element on a later
//! tick: at once in modes 0 and 4, with a rising gate in modes 1 and 5, at the end of a period in modes 2
//! and 3 unless they have yet to start. The null-count flag is set in between.

use serde::{Deserialize, Serialize};

use super::run::{Mode, Run};
use super::{END_OF_TIME, InvalidState, NAME};

/// What a control word asks of the counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Command {
    mode: Mode,
    bcd: bool,
}

impl Command {
    pub(super) fn from_control_word(value: u8) -> Self {
        Self { mode: Mode::from_bits(value >> 1), bcd: value & 1 != 0 }
    }
}

/// A live counter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Counter {
    command: Command,
    gate: bool,
    /// The count register; empty between a control word and a count.
    register: Option<u32>,
    /// The count register holds what the counting element has not got yet.
    null_count: bool,
    /// What the counting element does; nothing while it waits for a count or for the gate.
    run: Option<Run>,
    /// The tick at which a periodic run takes the new count.
    handover: Option<u64>,
    /// The tick at which a low gate stopped the run.
    stopped: Option<u64>,
    /// What the counting element shows without a run, and before its first tick.
    idle_value: u32,
    /// The output without a run, and before its first tick.
    idle_output: bool,
}

/// The saved form of one counter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// The mode: 0 to 5.
    pub mode: u8,
    /// Counts in binary-coded decimal.
    pub bcd: bool,
    /// The gate.
    pub gate: bool,
    /// The count register, 1 to 65,536 (10,000 in BCD); empty between a control word and a count.
    pub register: Option<u32>,
    /// The count register has not been moved to the counting element yet.
    pub null_count: bool,
    /// The count that runs.
    pub run: Option<RunState>,
    /// What the counting element shows before it runs.
    pub idle_value: u32,
    /// The output before it runs.
    pub idle_output: bool,
}

/// The saved form of a count that runs. Moments are ticks since power-on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunState {
    /// When the count was loaded.
    pub from: u64,
    /// The count, as in the count register.
    pub count: u32,
    /// A square wave that starts with its low half.
    pub starts_low: bool,
    /// When the content of the count register takes over.
    pub handover: Option<u64>,
    /// Since when the gate has stopped it.
    pub stopped: Option<u64>,
}

impl Counter {
    pub(super) fn new(gate: bool) -> Self {
        Self {
            command: Command { mode: Mode::SquareWave, bcd: false },
            gate,
            register: None,
            // Undefined on the chip; but firmware has always used the counters before a kernel sees them,
            // and Linux waits for this flag before it reads one for randomness.
            null_count: false,
            run: None,
            handover: None,
            stopped: None,
            idle_value: 0,
            idle_output: true,
        }
    }

    pub(super) fn gate(&self) -> bool {
        self.gate
    }

    /// The counting element as the data lines show it: binary, or four decimal digits.
    pub(super) fn value(&self, tick: u64) -> u16 {
        let number = self.number(tick) % self.modulus();
        if self.command.bcd { to_bcd(number) } else { number as u16 }
    }

    fn number(&self, tick: u64) -> u32 {
        match self.settled(tick).run {
            Some(run) if tick >= run.from => run.value(self.counted_tick(tick)),
            _ => self.idle_value,
        }
    }

    pub(super) fn output(&self, tick: u64) -> bool {
        match self.settled(tick).run {
            // A low gate forces the output of the periodic modes high.
            Some(run) if run.mode.is_periodic() && !self.gate => true,
            Some(run) if tick >= run.from => run.output(self.counted_tick(tick)),
            _ => self.idle_output,
        }
    }

    /// The status byte without its access bits, which are the byte lanes' own.
    pub(super) fn status(&self, tick: u64) -> u8 {
        let now = self.settled(tick);
        let null_count = now.null_count || now.run.is_some_and(|run| tick < run.from);
        u8::from(self.output(tick)) << 7
            | u8::from(null_count) << 6
            | self.command.mode.bits() << 1
            | u8::from(self.command.bcd)
    }

    /// The first tick after `tick` at which the output rises if nobody touches the counter.
    pub(super) fn next_rise(&self, tick: u64) -> Option<u64> {
        let now = self.settled(tick);
        if now.stopped.is_some() {
            return None;
        }
        let rise = now.run?.next_rise(tick)?;
        match now.handover {
            Some(handover) if handover < rise => self.settled(handover).run?.next_rise(handover),
            _ => Some(rise),
        }
    }

    /// A control word: the run ends, the output takes the mode's idle level at once.
    pub(super) fn program(&mut self, command: Command, tick: u64) {
        let idle_value = self.number(tick);
        let idle_output = command.mode != Mode::InterruptOnTerminalCount;
        *self = Self { command, null_count: true, idle_value, idle_output, ..Self::new(self.gate) };
    }

    /// The first of two bytes: in mode 0 it stops the count and lowers the output at once.
    pub(super) fn first_half_written(&mut self, tick: u64) {
        if self.command.mode == Mode::InterruptOnTerminalCount {
            self.program(self.command, tick);
        }
    }

    /// A whole count, as it was on the data lines.
    pub(super) fn load(&mut self, raw: u16, tick: u64) {
        *self = self.settled(tick);
        let number = if self.command.bcd { from_bcd(raw) } else { u32::from(raw) };
        let count = if number == 0 { self.modulus() } else { number };
        self.register = Some(count);
        match &mut self.run {
            // The tick that moves the register to the counting element is still to come.
            Some(run) if tick < run.from => run.count = count,
            _ if self.command.mode.waits_for_gate() => self.null_count = true,
            Some(run) if run.mode.is_periodic() => {
                self.null_count = true;
                // With the gate low, the rising gate will take the new count.
                self.handover = self.gate.then(|| run.next_reload(tick));
            }
            _ => self.start(tick),
        }
    }

    pub(super) fn set_gate(&mut self, high: bool, tick: u64) {
        if high == self.gate {
            return;
        }
        *self = self.settled(tick);
        let mode = self.command.mode;
        if mode.waits_for_gate() {
            self.gate = high;
            if high {
                self.start(tick);
            }
        } else if high {
            self.gate = high;
            if mode.is_periodic() { self.start(tick) } else { self.resume(tick) }
        } else {
            self.stopped = self.run.map(|run| run.from.max(tick));
            self.handover = None;
            self.gate = high;
        }
    }

    /// Moves the count register to the counting element with the next tick.
    fn start(&mut self, tick: u64) {
        let Some(count) = self.register else { return };
        let mode = self.command.mode;
        self.idle_value = self.number(tick);
        self.idle_output = match mode {
            Mode::InterruptOnTerminalCount => false,
            // Triggered again, the pulse gets longer: the output stays where it is.
            Mode::OneShot => self.output(tick),
            _ => true,
        };
        let from = tick + 1;
        self.run = Some(Run { mode, from, count, modulus: self.modulus(), starts_low: false });
        self.null_count = false;
        self.handover = None;
        self.stopped = (!self.gate && !mode.waits_for_gate()).then_some(from);
    }

    /// Goes on where a low gate has stopped the run.
    fn resume(&mut self, tick: u64) {
        if let (Some(run), Some(stopped)) = (&mut self.run, self.stopped.take()) {
            run.from += tick.saturating_sub(stopped);
        }
    }

    /// The counter with a handover that lies at or before `tick` carried out.
    fn settled(&self, tick: u64) -> Self {
        let mut settled = *self;
        if let (Some(run), Some(handover), Some(count)) = (self.run, self.handover, self.register)
            && handover <= tick
        {
            let starts_low = run.mode == Mode::SquareWave && !run.output(handover);
            settled.run = Some(Run { from: handover, count, starts_low, ..run });
            settled.null_count = false;
            settled.handover = None;
        }
        settled
    }

    /// The tick up to which the run was allowed to count.
    fn counted_tick(&self, tick: u64) -> u64 {
        self.stopped.map_or(tick, |stopped| stopped.min(tick))
    }

    fn modulus(&self) -> u32 {
        if self.command.bcd { 10_000 } else { 0x1_0000 }
    }

    pub(super) fn save(&self) -> State {
        State {
            mode: self.command.mode.bits(),
            bcd: self.command.bcd,
            gate: self.gate,
            register: self.register,
            null_count: self.null_count,
            run: self.run.map(|run| RunState {
                from: run.from,
                count: run.count,
                starts_low: run.starts_low,
                handover: self.handover,
                stopped: self.stopped,
            }),
            idle_value: self.idle_value,
            idle_output: self.idle_output,
        }
    }

    pub(super) fn restore(state: &State) -> Result<Self, InvalidState> {
        let check = |holds, reason| InvalidState::unless(holds, NAME, reason);
        check(state.mode < 6, "a counter is in a mode that does not exist")?;
        check(state.idle_value <= 0x1_0000, "a counting element holds more than 16 bits")?;
        let command = Command { mode: Mode::from_bits(state.mode), bcd: state.bcd };
        let mut counter = Self {
            command,
            register: state.register,
            null_count: state.null_count,
            idle_value: state.idle_value,
            idle_output: state.idle_output,
            ..Self::new(state.gate)
        };
        let counts = 1..=counter.modulus();
        check(state.register.is_none_or(|count| counts.contains(&count)), "a count is out of range")?;
        if let Some(run) = &state.run {
            counter.restore_run(run)?;
        }
        Ok(counter)
    }

    fn restore_run(&mut self, state: &RunState) -> Result<(), InvalidState> {
        let check = |holds, reason| InvalidState::unless(holds, NAME, reason);
        let mode = self.command.mode;
        let modulus = self.modulus();
        check((1..=modulus).contains(&state.count), "a running count is out of range")?;
        check(self.register.is_some(), "a counter runs without a count")?;
        check(!state.starts_low || mode == Mode::SquareWave, "only a square wave has halves")?;
        check(state.handover.is_none() || mode.is_periodic(), "only a periodic mode waits for its end")?;
        check(state.handover.is_none() || self.gate, "a stopped period comes to an end")?;
        let stops = !self.gate && !mode.waits_for_gate();
        check(state.stopped.is_some() == stops, "the gate does not agree with the count")?;
        let later = [state.handover, state.stopped].into_iter().flatten();
        check(later.clone().all(|tick| tick >= state.from), "a count changes before it was loaded")?;
        check(later.chain([state.from]).all(|tick| tick < END_OF_TIME), "it is past the end of time")?;
        let RunState { from, count, starts_low, handover, stopped } = *state;
        self.run = Some(Run { mode, from, count, modulus, starts_low });
        (self.handover, self.stopped) = (handover, stopped);
        Ok(())
    }
}

/// Four digits. `number` is below 10,000.
fn to_bcd(number: u32) -> u16 {
    let digit = |place: u32| (number / 10u32.pow(place) % 10) << (4 * place);
    (0..4).map(digit).sum::<u32>() as u16
}

/// The number of four digits. Digits above 9 count as 9.
fn from_bcd(digits: u16) -> u32 {
    let digit = |place: u32| u32::from(digits >> (4 * place) & 0xf).min(9) * 10u32.pow(place);
    (0..4).map(digit).sum()
}
