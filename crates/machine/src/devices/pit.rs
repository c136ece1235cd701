//! The interval timer: an 8254 at 1,193,182 Hz, after Intel's data sheet (order number 231164).
//!
//! Its clock is guest time cut into *ticks*, numbered from power-on: tick `n` is the moment
//! [`GuestTime::at_tick`]`(n)`. A channel remembers at which tick its count was loaded; count, output and
//! next edge are then plain arithmetic on tick numbers. Nothing is accumulated, so nothing drifts, and an
//! hour is caught up with as cheaply as a microsecond.
//!
//! Two kinds of calls meet here. Accesses carry a `now` that the machine got by a time read, and see
//! counts and outputs of that very moment. IRQ 0, however, is told by [`Pit::advance`] alone, on a clock
//! tick. When a guest reprograms channel 0 between an edge and the clock tick that would have told of it,
//! the edge is kept, as the latch of an 8259 would keep it, and the next `advance` tells. An access may
//! itself make an edge, for some control words raise the output; that one is kept in the same way. Edges
//! that nobody was told of collapse into one.
//!
//! Channel 0's gate is wired high, and so is that of channel 1, whose output drives nothing. Channel 2
//! has its gate and its output at [port 0x61](super::system_control).
//!
//! Not modelled: what the data sheet leaves undefined. A count of 1 in modes 2 and 3, which it forbids,
//! makes an edge on each tick; BCD digits above 9 count as 9.

use outlive_engine::GuestTime;
use serde::{Deserialize, Serialize};

use super::InvalidState;

mod access;
mod counter;
mod run;

use access::{ByteLanes, Written};
use counter::{Command, Counter};

pub use access::State as AccessState;
pub use counter::{RunState, State as CounterState};

/// Ticks per second: a third of NTSC's colour subcarrier, rounded.
pub const FREQUENCY: u64 = 1_193_182;

const NAME: &str = "PIT";

/// The channel whose output is IRQ 0.
const INTERRUPT_CHANNEL: usize = 0;
/// The channel with a gate.
const GATED_CHANNEL: usize = 2;

/// Later than any tick of a `GuestTime`, early enough for sums of ticks not to overflow.
const END_OF_TIME: u64 = 1 << 60;

/// One of the three channels.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Channel {
    counter: Counter,
    lanes: ByteLanes,
}

/// The three channels, and what is known of IRQ 0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pit {
    channels: [Channel; 3],
    /// Up to this tick, channel 0 was searched for rising edges.
    searched: u64,
    /// There was one that `advance` has not told of yet.
    edge: bool,
}

/// The saved form of [`Pit`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// The counting elements of the three channels.
    pub counters: [CounterState; 3],
    /// How far byte-wise accesses to the three channels have got.
    pub accesses: [AccessState; 3],
    /// The tick up to which channel 0 was searched for rising edges.
    pub searched: u64,
    /// A rising edge of channel 0 waits for the next clock tick.
    pub edge: bool,
}

impl Default for Pit {
    fn default() -> Self {
        Self::new()
    }
}

impl Pit {
    /// The timer at power-on: nothing counts until the guest programs it, all outputs are high.
    pub fn new() -> Self {
        let channel = |gate| Channel { counter: Counter::new(gate), lanes: ByteLanes::new() };
        Self { channels: [channel(true), channel(true), channel(false)], searched: 0, edge: false }
    }

    /// A byte written to port 0x40 to 0x43.
    pub fn write(&mut self, port: u16, value: u8, now: GuestTime) {
        match port {
            0x40..=0x42 => self.write_count(usize::from(port - 0x40), value, now),
            0x43 => self.write_control(value, now),
            _ => {}
        }
    }

    /// A byte read from port 0x40 to 0x43. The control word cannot be read.
    pub fn read(&mut self, port: u16, now: GuestTime) -> u8 {
        match port {
            0x40..=0x42 => {
                let Channel { counter, lanes } = &mut self.channels[usize::from(port - 0x40)];
                lanes.read(counter.value(tick(now)))
            }
            _ => super::OPEN_BUS,
        }
    }

    /// Sets the gate of channel 2.
    pub fn set_gate(&mut self, high: bool, now: GuestTime) {
        self.change(GATED_CHANNEL, now, |channel, tick| channel.counter.set_gate(high, tick));
    }

    /// The gate of channel 2.
    pub fn gate(&self) -> bool {
        self.channels[GATED_CHANNEL].counter.gate()
    }

    /// The output of a channel at `now`.
    ///
    /// # Panics
    /// When there is no such channel: the machine asks, not the guest.
    pub fn output(&self, channel: usize, now: GuestTime) -> bool {
        self.channels[channel].counter.output(tick(now))
    }

    /// When [`advance`](Self::advance) will next tell of a rising edge; `None` if nothing is armed.
    pub fn deadline(&self) -> Option<GuestTime> {
        let tick = if self.edge { Some(self.searched) } else { self.interrupt().next_rise(self.searched) };
        tick.map(|tick| GuestTime::at_tick(tick, FREQUENCY))
    }

    /// A clock tick has moved guest time to `now`. Tells whether the output of channel 0 has risen since
    /// the last call, once or often.
    #[must_use = "a rising edge is an interrupt"]
    pub fn advance(&mut self, now: GuestTime) -> bool {
        self.search(tick(now));
        std::mem::take(&mut self.edge)
    }

    /// The saved form.
    pub fn save(&self) -> State {
        State {
            counters: self.channels.each_ref().map(|channel| channel.counter.save()),
            accesses: self.channels.each_ref().map(|channel| channel.lanes.save()),
            searched: self.searched,
            edge: self.edge,
        }
    }

    /// The timer that was saved as `state`.
    ///
    /// # Errors
    /// When no timer can be in that state.
    pub fn restore(state: &State) -> Result<Self, InvalidState> {
        let channel = |index: usize| -> Result<Channel, InvalidState> {
            let counter = Counter::restore(&state.counters[index])?;
            InvalidState::unless(
                counter.gate() || index == GATED_CHANNEL,
                NAME,
                "a gate is low that is wired high",
            )?;
            Ok(Channel { counter, lanes: ByteLanes::restore(&state.accesses[index])? })
        };
        InvalidState::unless(state.searched < END_OF_TIME, NAME, "it is past the end of time")?;
        let channels = [channel(0)?, channel(1)?, channel(2)?];
        Ok(Self { channels, searched: state.searched, edge: state.edge })
    }

    fn interrupt(&self) -> &Counter {
        &self.channels[INTERRUPT_CHANNEL].counter
    }

    /// Looks for rising edges of channel 0 up to `tick`.
    fn search(&mut self, tick: u64) {
        self.edge |= self.interrupt().next_rise(self.searched).is_some_and(|rise| rise <= tick);
        self.searched = self.searched.max(tick);
    }

    /// Reprograms a channel; keeps the edges of channel 0 that lie before, and one that this makes.
    fn change(&mut self, index: usize, now: GuestTime, reprogram: impl FnOnce(&mut Channel, u64)) {
        let tick = tick(now);
        self.search(tick);
        let was_high = self.interrupt().output(tick);
        reprogram(&mut self.channels[index], tick);
        self.edge |= !was_high && self.interrupt().output(tick);
    }

    fn write_count(&mut self, index: usize, value: u8, now: GuestTime) {
        self.change(index, now, |Channel { counter, lanes }, tick| match lanes.write(value) {
            Written::FirstHalf => counter.first_half_written(tick),
            Written::Count(raw) => counter.load(raw, tick),
        });
    }

    fn write_control(&mut self, value: u8, now: GuestTime) {
        let select = usize::from(value >> 6);
        if select == 3 {
            self.read_back(value, tick(now));
        } else if value & 0x30 == 0 {
            let Channel { counter, lanes } = &mut self.channels[select];
            lanes.latch_count(counter.value(tick(now)));
        } else {
            self.change(select, now, |Channel { counter, lanes }, tick| {
                lanes.program(value);
                counter.program(Command::from_control_word(value), tick);
            });
        }
    }

    /// The read-back command: bits 5 and 4, active low, select what is latched, bits 3 to 1 the channels.
    fn read_back(&mut self, value: u8, tick: u64) {
        for (index, Channel { counter, lanes }) in self.channels.iter_mut().enumerate() {
            if value >> (index + 1) & 1 == 0 {
                continue;
            }
            if value & 0x20 == 0 {
                lanes.latch_count(counter.value(tick));
            }
            if value & 0x10 == 0 {
                lanes.latch_status(counter.status(tick));
            }
        }
    }
}

/// The number of the last tick at or before `now`.
fn tick(now: GuestTime) -> u64 {
    now.ticks(FREQUENCY)
}

#[cfg(test)]
mod tests;
