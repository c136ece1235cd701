//! What an entry's numbers are differences to.

use outlive_engine::{ExitNumber, GuestTime};

use super::DecodeError;
use super::bytes::{Source, put, unzigzag, zigzag};
use super::instruction_pointers::RecentRips;
use crate::entry::Landmark;

/// The step in which a live machine's clock goes, in nanoseconds: what it tells is a multiple of this, or exactly the
/// last time that was told. Other times can be written too, but take more bytes.
pub const TIME_QUANTUM: u64 = 256;

/// Steps up to here fit the leading number of one byte.
const SHORT_STEPS: u64 = 63;

/// Steps up to here fit one byte and another.
const MEDIUM_STEPS: u64 = SHORT_STEPS + 63 * 256;

/// How a time read is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TimeForm {
    /// In the leading number.
    Steps(u64),
    /// In the leading number and the byte that follows.
    MediumSteps(u64, u8),
    /// As a difference to the last time.
    Exact(u64),
}

/// How a landmark is written: the three low bits of its kind.
mod form {
    /// As the last one.
    pub(super) const SAME: u64 = 0;
    /// Behind another exit: right there, with the last RIP.
    pub(super) const EXIT: u64 = 1;
    /// Behind another exit: right there.
    pub(super) const EXIT_RIP: u64 = 2;
    /// Behind another exit, with the last RIP.
    pub(super) const EXIT_SINCE: u64 = 3;
    /// Behind another exit.
    pub(super) const EXIT_SINCE_RIP: u64 = 4;
    /// Behind the same exit, with the last RIP.
    pub(super) const SINCE: u64 = 5;
    /// Behind the same exit.
    pub(super) const SINCE_RIP: u64 = 6;
}

/// The absolute numbers that a batch carries, so that it can be read without those before it: what had been told when
/// it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bases {
    /// The last time.
    pub time: GuestTime,
    /// The last exit that an entry named.
    pub exit: ExitNumber,
    /// The time of the last clock tick.
    pub tick: GuestTime,
    /// How far it was from the one before, in nanoseconds.
    pub tick_distance: u64,
}

/// What both sides know when an entry is written or read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Context {
    bases: Bases,
    since_exit: u64,
    rips: RecentRips,
    pub(super) vector: u8,
    /// The last disk request that was completed.
    pub(super) request: u64,
}

impl Context {
    /// What is known at the beginning of a batch.
    pub(crate) fn new(bases: Bases) -> Self {
        Self { bases, ..Self::default() }
    }

    /// What the next batch would carry if it began here.
    pub(crate) fn bases(&self) -> Bases {
        self.bases
    }

    /// How to write a time read, which becomes the last time.
    pub(super) fn time_form(&mut self, time: GuestTime) -> TimeForm {
        let form =
            self.steps_to(time).map_or_else(|| TimeForm::Exact(self.time_difference(time)), short_form);
        self.bases.time = time;
        form
    }

    /// The time of a time read, which becomes the last time.
    pub(super) fn time_of(&mut self, form: TimeForm) -> Result<GuestTime, DecodeError> {
        let time = match form {
            TimeForm::Steps(steps) => self.after_steps(steps)?,
            TimeForm::MediumSteps(high, low) => {
                self.after_steps(SHORT_STEPS + 256 * high + u64::from(low))?
            }
            TimeForm::Exact(difference) => {
                GuestTime::from_nanoseconds(self.bases.time.nanoseconds().wrapping_add(unzigzag(difference)))
            }
        };
        self.bases.time = time;
        Ok(time)
    }

    /// How many steps lead to a time, if any number does: no step tells the last time again.
    fn steps_to(&self, time: GuestTime) -> Option<u64> {
        let (last, time) = (self.bases.time.nanoseconds(), time.nanoseconds());
        if time == last {
            return Some(0);
        }
        (time > last && time.is_multiple_of(TIME_QUANTUM)).then(|| time / TIME_QUANTUM - last / TIME_QUANTUM)
    }

    fn after_steps(&self, steps: u64) -> Result<GuestTime, DecodeError> {
        let last = self.bases.time.nanoseconds();
        let step = (last / TIME_QUANTUM).checked_add(steps);
        let time = step.and_then(|step| step.checked_mul(TIME_QUANTUM));
        let time = time.ok_or(DecodeError::Range("a time"))?;
        Ok(GuestTime::from_nanoseconds(time.max(last)))
    }

    fn time_difference(&self, time: GuestTime) -> u64 {
        zigzag(time.nanoseconds().wrapping_sub(self.bases.time.nanoseconds()))
    }

    /// By how much a clock tick differs from what was expected. It becomes the last tick and the last time.
    pub(super) fn tick_error(&mut self, tick: GuestTime) -> u64 {
        let error = tick.nanoseconds().wrapping_sub(self.expected_tick());
        self.ticked(tick);
        zigzag(error)
    }

    /// The time of a clock tick, which becomes the last tick and the last time.
    pub(super) fn tick_of(&mut self, error: u64) -> GuestTime {
        let tick = GuestTime::from_nanoseconds(self.expected_tick().wrapping_add(unzigzag(error)));
        self.ticked(tick);
        tick
    }

    fn expected_tick(&self) -> u64 {
        self.bases.tick.nanoseconds().wrapping_add(self.bases.tick_distance)
    }

    fn ticked(&mut self, tick: GuestTime) {
        self.bases.tick_distance = tick.nanoseconds().wrapping_sub(self.bases.tick.nanoseconds());
        self.bases.tick = tick;
        self.bases.time = tick;
    }

    /// Writes a landmark, but for its form, which is returned and fits three bits.
    pub(super) fn encode_landmark(&mut self, at: Landmark, to: &mut Vec<u8>) -> u64 {
        let same_exit = at.exit == self.bases.exit;
        let same_rip = at.rip == self.rips.last();
        let form = match (same_exit, at.since_exit, same_rip) {
            (true, since, true) if since == self.since_exit => return form::SAME,
            (true, _, true) => form::SINCE,
            (true, _, false) => form::SINCE_RIP,
            (false, 0, true) => form::EXIT,
            (false, 0, false) => form::EXIT_RIP,
            (false, _, true) => form::EXIT_SINCE,
            (false, _, false) => form::EXIT_SINCE_RIP,
        };
        if !same_exit {
            put(to, self.exits_to(at.exit));
        }
        match form {
            form::EXIT_SINCE | form::EXIT_SINCE_RIP => put(to, at.since_exit),
            form::SINCE | form::SINCE_RIP => put(to, at.since_exit.wrapping_sub(self.since_exit)),
            _ => {}
        }
        if !same_rip {
            self.rips.encode(at.rip, to);
        }
        self.since_exit = at.since_exit;
        form
    }

    /// Reads a landmark that was written in this form.
    pub(super) fn decode_landmark(
        &mut self,
        form: u64,
        from: &mut Source<'_>,
    ) -> Result<Landmark, DecodeError> {
        let since_exit = match form {
            form::SAME => self.since_exit,
            form::EXIT | form::EXIT_RIP => {
                self.exit_after(from.get()?);
                0
            }
            form::EXIT_SINCE | form::EXIT_SINCE_RIP => {
                self.exit_after(from.get()?);
                from.get()?
            }
            form::SINCE | form::SINCE_RIP => self.since_exit.wrapping_add(from.get()?),
            _ => return Err(DecodeError::Part("landmark", form)),
        };
        let rip = match form {
            form::EXIT_RIP | form::EXIT_SINCE_RIP | form::SINCE_RIP => self.rips.decode(from)?,
            _ => self.rips.last(),
        };
        self.since_exit = since_exit;
        Ok(Landmark { exit: self.bases.exit, since_exit, rip })
    }

    /// How many exits lie between the last one that was named and this one, which becomes the last.
    pub(super) fn exits_to(&mut self, exit: ExitNumber) -> u64 {
        let exits = exit.0.wrapping_sub(self.bases.exit.0);
        self.exit_after(exits);
        exits
    }

    /// The exit so many behind the last one that was named. It becomes the last.
    pub(super) fn exit_after(&mut self, exits: u64) -> ExitNumber {
        if exits != 0 {
            self.bases.exit = ExitNumber(self.bases.exit.0.wrapping_add(exits));
            self.since_exit = 0;
        }
        self.bases.exit
    }
}

fn short_form(steps: u64) -> TimeForm {
    if (SHORT_STEPS..MEDIUM_STEPS).contains(&steps) {
        let beyond = steps - SHORT_STEPS;
        TimeForm::MediumSteps(beyond / 256, (beyond % 256) as u8)
    } else {
        TimeForm::Steps(steps)
    }
}
