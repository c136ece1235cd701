//! One run of a counting element: from the tick at which a count was loaded, undisturbed.
//!
//! All questions are answered by arithmetic on tick numbers. They may be asked for ticks from
//! [`Run::from`] on; what was before is the counter's business.

/// The six modes of an 8254.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// 0: low until the count is through.
    InterruptOnTerminalCount,
    /// 1: a low pulse as long as the count, started by the gate.
    OneShot,
    /// 2: low for one tick in each period.
    RateGenerator,
    /// 3: high for one half of each period, low for the other.
    SquareWave,
    /// 4: low for one tick when the count is through.
    SoftwareStrobe,
    /// 5: the same, started by the gate.
    HardwareStrobe,
}

impl Mode {
    /// The mode of three bits of a control word. The highest bit is ignored in modes 2 and 3.
    pub(super) fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::InterruptOnTerminalCount,
            1 => Self::OneShot,
            2 | 6 => Self::RateGenerator,
            3 | 7 => Self::SquareWave,
            4 => Self::SoftwareStrobe,
            _ => Self::HardwareStrobe,
        }
    }

    pub(super) fn bits(self) -> u8 {
        self as u8
    }

    /// Starts over and over again, so that a new count waits for the end of a period.
    pub(super) fn is_periodic(self) -> bool {
        matches!(self, Self::RateGenerator | Self::SquareWave)
    }

    /// Starts with a rising gate, and not with a count being written.
    pub(super) fn waits_for_gate(self) -> bool {
        matches!(self, Self::OneShot | Self::HardwareStrobe)
    }
}

/// A count that runs down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub(super) mode: Mode,
    /// The tick at which the count is in the counting element.
    pub(super) from: u64,
    /// 1 to `modulus`.
    pub(super) count: u32,
    /// 65,536, or 10,000 in BCD: the count of 0.
    pub(super) modulus: u32,
    /// A square wave that starts with its low half.
    pub(super) starts_low: bool,
}

/// A place in a square wave.
struct Phase {
    high: bool,
    /// Ticks since this half began.
    elapsed: u64,
    /// Ticks that this half has left.
    left: u64,
}

impl Run {
    fn period(&self) -> u64 {
        u64::from(self.count)
    }

    fn elapsed(&self, tick: u64) -> u64 {
        tick.saturating_sub(self.from)
    }

    /// Odd counts give the extra tick to the high half.
    fn high_half(&self) -> u64 {
        self.period().div_ceil(2)
    }

    fn phase(&self, tick: u64) -> Phase {
        let head_start = if self.starts_low { self.high_half() } else { 0 };
        let place = (self.elapsed(tick) + head_start) % self.period();
        if place < self.high_half() {
            Phase { high: true, elapsed: place, left: self.high_half() - place }
        } else {
            Phase { high: false, elapsed: place - self.high_half(), left: self.period() - place }
        }
    }

    /// What the counting element holds, 0 to `modulus`, where `modulus` shows as 0.
    pub(super) fn value(&self, tick: u64) -> u32 {
        match self.mode {
            Mode::RateGenerator => self.count - (self.elapsed(tick) % self.period()) as u32,
            // It counts by twos, from an even number.
            Mode::SquareWave => (self.count & !1) - 2 * self.phase(tick).elapsed as u32,
            _ => {
                let gone = (self.elapsed(tick) % u64::from(self.modulus)) as u32;
                (self.count + self.modulus - gone) % self.modulus
            }
        }
    }

    /// The level of the output.
    pub(super) fn output(&self, tick: u64) -> bool {
        let elapsed = self.elapsed(tick);
        match self.mode {
            Mode::InterruptOnTerminalCount | Mode::OneShot => elapsed >= self.period(),
            Mode::RateGenerator => elapsed % self.period() != self.period() - 1,
            Mode::SquareWave => self.phase(tick).high,
            Mode::SoftwareStrobe | Mode::HardwareStrobe => elapsed != self.period(),
        }
    }

    /// The first tick after `tick` at which the output rises.
    pub(super) fn next_rise(&self, tick: u64) -> Option<u64> {
        let after = |rise| (rise > tick).then_some(rise);
        match self.mode {
            Mode::InterruptOnTerminalCount | Mode::OneShot => after(self.from + self.period()),
            Mode::SoftwareStrobe | Mode::HardwareStrobe => after(self.from + self.period() + 1),
            Mode::RateGenerator | Mode::SquareWave => {
                let low_half = self.period() - self.high_half();
                let first = self.from + if self.starts_low { low_half } else { self.period() };
                let whole = tick.checked_sub(first).map_or(0, |since| since / self.period() + 1);
                Some(first + whole * self.period())
            }
        }
    }

    /// The first tick after `tick` at which a periodic mode takes a new count: the end of a period, for a
    /// square wave the end of a half.
    pub(super) fn next_reload(&self, tick: u64) -> u64 {
        match self.mode {
            Mode::SquareWave => tick + self.phase(tick).left,
            _ => tick + self.period() - self.elapsed(tick) % self.period(),
        }
    }
}
