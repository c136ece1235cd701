//! CMOS RAM and real-time clock: an MC146818 (Motorola's data sheet of 1984) at ports 0x70 and 0x71.
//!
//! While the clock runs, no register holds the time: it is wall clock at power-on plus guest time plus
//! whatever the guest added by setting the clock, computed when it is read. The *divider* that makes
//! seconds is guest time shifted by a phase, so that the guest decides when a second begins, as Linux does
//! when it sets the clock with the divider in reset. While the guest holds the clock (register B, SET) or
//! its divider (register A), the time stands in CMOS RAM as it was shown or written, and is taken from
//! there when the clock goes on.
//!
//! All three interrupts (periodic, alarm, update-ended) are modelled. Their flags follow from the time that
//! has passed since the clock was last looked at: by a clock tick, a read of register C or a write. The
//! line to IRQ 8 is high while an enabled flag is set, until the guest reads register C.
//!
//! Not as on the chip: a date that does not exist becomes the nearest one that does, at once when it is
//! written to a running clock; the weekday follows from the date and ignores what is written; the century
//! is in register 0x32, where PCs keep it. Daylight saving, the square-wave pin and the NMI mask in port
//! 0x70 do nothing. Time ends with the year 9999.

use outlive_engine::GuestTime;
use serde::{Deserialize, Serialize};

use super::InvalidState;

mod alarm;
mod calendar;

use alarm::Alarm;
use calendar::{Calendar, Format};

const NAME: &str = "real-time clock";
const NANOSECONDS: u64 = 1_000_000_000;
/// How long before a second turns the update-in-progress bit warns of it (t_BUC).
const UPDATE_WARNING: u64 = 244_000;
/// From the divider's release to the first second.
const FIRST_SECOND: u64 = NANOSECONDS / 2;

const SECONDS_ALARM: u8 = 0x01;
const MINUTES_ALARM: u8 = 0x03;
const HOURS_ALARM: u8 = 0x05;
const REGISTER_A: u8 = 0x0a;
const REGISTER_B: u8 = 0x0b;
const REGISTER_C: u8 = 0x0c;
const REGISTER_D: u8 = 0x0d;

/// Register A: the time is about to change.
const A_UPDATE_IN_PROGRESS: u8 = 1 << 7;
/// Register A: both bits set hold the divider in reset.
const A_DIVIDER_RESET: u8 = 0b110 << 4;
/// Register A at power-on: a 32,768 Hz crystal, a periodic rate of 1,024 Hz. What firmware sets.
const A_AT_POWER_ON: u8 = 0x26;
/// Register B: the guest sets the time.
const B_SET: u8 = 1 << 7;
/// Register B: the update-ended interrupt is enabled.
const B_UPDATE_ENABLE: u8 = 1 << 4;
/// Register B at power-on: BCD, 24 hours. What firmware sets.
const B_AT_POWER_ON: u8 = 0x02;
/// Register C: an enabled flag is set. The flags' enable bits are at the same places in register B.
const C_INTERRUPT: u8 = 1 << 7;
const C_PERIODIC: u8 = 1 << 6;
const C_ALARM: u8 = 1 << 5;
const C_UPDATE: u8 = 1 << 4;
const C_FLAGS: u8 = C_PERIODIC | C_ALARM | C_UPDATE;
/// Register D: RAM and time are valid, the battery is good.
const D_VALID: u8 = 1 << 7;

/// The chip.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rtc {
    index: u8,
    ram: [u8; 128],
    /// Unix time at the divider's zero.
    epoch: i64,
    /// The divider's time at power-on, below a second.
    phase: u64,
    /// Up to this moment, the flags are set as they should be.
    searched: GuestTime,
    flags: u8,
}

/// The saved form of [`Rtc`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// The register that port 0x71 gives access to.
    pub index: u8,
    /// CMOS RAM with registers A and B. The time is in it only while the clock is held.
    #[serde(with = "serde_bytes")]
    pub ram: [u8; 128],
    /// Unix time when the divider stood at zero.
    pub epoch: i64,
    /// Nanoseconds that the divider had counted at power-on.
    pub phase: u64,
    /// The moment up to which the flags are accounted for.
    pub searched: GuestTime,
    /// The flags of register C.
    pub flags: u8,
}

impl Rtc {
    /// The clock of a machine that is powered on at `unix_seconds`.
    pub fn new(unix_seconds: i64) -> Self {
        let mut ram = [0; 128];
        ram[usize::from(REGISTER_A)] = A_AT_POWER_ON;
        ram[usize::from(REGISTER_B)] = B_AT_POWER_ON;
        Self { index: 0, ram, epoch: unix_seconds, phase: 0, searched: GuestTime::BOOT, flags: 0 }
    }

    /// A byte read from port 0x70, which cannot be read, or 0x71.
    pub fn read(&mut self, port: u16, now: GuestTime) -> u8 {
        if port == 0x71 { self.read_register(now) } else { super::OPEN_BUS }
    }

    /// A byte written to port 0x70 or 0x71.
    pub fn write(&mut self, port: u16, value: u8, now: GuestTime) {
        match port {
            0x70 => self.index = value & 0x7f,
            0x71 => self.write_register(value, now),
            _ => {}
        }
    }

    /// The level of the line to IRQ 8.
    pub fn interrupt(&self) -> bool {
        self.flags & self.register(REGISTER_B) != 0
    }

    /// When [`advance`](Self::advance) will next raise the line; `None` if nothing is armed.
    pub fn deadline(&self) -> Option<GuestTime> {
        let enabled = self.register(REGISTER_B) & C_FLAGS;
        // A line that is high cannot rise.
        if enabled == 0 || self.interrupt() {
            return None;
        }
        let due = [C_PERIODIC, C_ALARM, C_UPDATE]
            .into_iter()
            .filter(|flag| enabled & flag != 0)
            .filter_map(|flag| self.next_event(flag))
            .min()?;
        Some(GuestTime::from_nanoseconds(due.nanoseconds().saturating_sub(self.phase)))
    }

    /// When the divider will have counted to where `flag` is set next.
    fn next_event(&self, flag: u8) -> Option<GuestTime> {
        let (wait, hertz) = match flag {
            C_PERIODIC => (1, self.rate()?),
            _ if self.is_held() => return None,
            C_ALARM => (self.until_alarm()?, 1),
            _ => (1, 1),
        };
        Some(GuestTime::at_tick(self.divider(self.searched).ticks(hertz) + wait, hertz))
    }

    /// A clock tick has moved guest time to `now`. May raise the line.
    pub fn advance(&mut self, now: GuestTime) {
        self.search(now);
    }

    /// The saved form.
    pub fn save(&self) -> State {
        State {
            index: self.index,
            ram: self.ram,
            epoch: self.epoch,
            phase: self.phase,
            searched: self.searched,
            flags: self.flags,
        }
    }

    /// The clock that was saved as `state`.
    ///
    /// # Errors
    /// When no clock can be in that state.
    pub fn restore(state: &State) -> Result<Self, InvalidState> {
        let check = |holds, reason| InvalidState::unless(holds, NAME, reason);
        let State { index, ram, epoch, phase, searched, flags } = *state;
        check(index < 128, "it has no register of that index")?;
        check(phase < NANOSECONDS, "its divider is past the second")?;
        check(flags & !C_FLAGS == 0, "it has flags that do not exist")?;
        check(
            ram[usize::from(REGISTER_A)] & A_UPDATE_IN_PROGRESS == 0,
            "an update was saved as in progress",
        )?;
        let read_only = [REGISTER_C, REGISTER_D].map(|register| ram[usize::from(register)]);
        check(read_only == [0, 0], "a register was written that cannot be")?;
        Ok(Self { index, ram, epoch, phase, searched, flags })
    }

    fn register(&self, index: u8) -> u8 {
        self.ram[usize::from(index)]
    }

    fn read_register(&mut self, now: GuestTime) -> u8 {
        match self.index {
            REGISTER_A => self.register(REGISTER_A) | self.update_in_progress(now),
            REGISTER_C => self.take_flags(now),
            REGISTER_D => D_VALID,
            index => self.shown(index, now),
        }
    }

    fn write_register(&mut self, value: u8, now: GuestTime) {
        self.search(now);
        match self.index {
            REGISTER_A => self.control(value & !A_UPDATE_IN_PROGRESS, self.register(REGISTER_B), now),
            REGISTER_B => {
                let disabled = if value & B_SET != 0 { B_UPDATE_ENABLE } else { 0 };
                self.control(self.register(REGISTER_A), value & !disabled, now);
            }
            REGISTER_C | REGISTER_D => {}
            index if calendar::is_time(index) && !self.is_held() => self.adjust(index, value, now),
            index => self.ram[usize::from(index)] = value,
        }
    }

    /// Takes new contents of registers A and B: holds the clock or lets it go.
    fn control(&mut self, a: u8, b: u8, now: GuestTime) {
        let before = self.clone();
        self.ram[usize::from(REGISTER_A)] = a;
        self.ram[usize::from(REGISTER_B)] = b;
        if before.divider_is_reset() && !self.divider_is_reset() {
            let place = now.nanoseconds() % NANOSECONDS;
            self.phase = (FIRST_SECOND + NANOSECONDS - place) % NANOSECONDS;
        }
        match (before.is_held(), self.is_held()) {
            (false, true) => self.hold(before.calendar(now), before.format()),
            (true, false) => self.let_go(now),
            _ => {}
        }
    }

    /// Puts the time into CMOS RAM, as the registers showed it.
    fn hold(&mut self, shown: Calendar, format: Format) {
        for index in calendar::REGISTERS {
            self.ram[usize::from(index)] = shown.register(index, format);
        }
    }

    /// Goes on from the time in CMOS RAM.
    fn let_go(&mut self, now: GuestTime) {
        let written = Calendar::from_registers(|index| self.register(index), self.format());
        self.set_time(written, now);
    }

    /// Writes one register of the running clock.
    fn adjust(&mut self, index: u8, value: u8, now: GuestTime) {
        let mut calendar = self.calendar(now);
        calendar.set_register(index, value, self.format());
        self.set_time(calendar, now);
    }

    fn set_time(&mut self, calendar: Calendar, now: GuestTime) {
        self.epoch = calendar.to_unix().saturating_sub(self.divider(now).ticks(1) as i64);
    }

    fn calendar(&self, now: GuestTime) -> Calendar {
        Calendar::from_unix(self.unix(now))
    }

    fn shown(&self, index: u8, now: GuestTime) -> u8 {
        if calendar::is_time(index) && !self.is_held() {
            self.calendar(now).register(index, self.format())
        } else {
            self.register(index)
        }
    }

    fn update_in_progress(&self, now: GuestTime) -> u8 {
        let left = NANOSECONDS - self.divider(now).nanoseconds() % NANOSECONDS;
        if left <= UPDATE_WARNING && !self.is_held() { A_UPDATE_IN_PROGRESS } else { 0 }
    }

    fn take_flags(&mut self, now: GuestTime) -> u8 {
        self.search(now);
        let interrupt = if self.interrupt() { C_INTERRUPT } else { 0 };
        interrupt | std::mem::take(&mut self.flags)
    }

    /// Sets the flags of all that has happened up to `now`.
    fn search(&mut self, now: GuestTime) {
        let passed =
            |hertz| self.divider(now).ticks(hertz).saturating_sub(self.divider(self.searched).ticks(hertz));
        let seconds = if self.is_held() { 0 } else { passed(1) };
        let mut flags = self.flags;
        if seconds > 0 {
            flags |= C_UPDATE;
        }
        if self.until_alarm().is_some_and(|wait| wait <= seconds) {
            flags |= C_ALARM;
        }
        if self.rate().is_some_and(|hertz| passed(hertz) > 0) {
            flags |= C_PERIODIC;
        }
        self.flags = flags;
        self.searched = self.searched.max(now);
    }

    /// Seconds from `searched` to the next alarm.
    fn until_alarm(&self) -> Option<u64> {
        let registers = [HOURS_ALARM, MINUTES_ALARM, SECONDS_ALARM].map(|index| self.register(index));
        Alarm::from_registers(registers, self.format()).seconds_from(self.unix(self.searched))
    }

    /// The periodic rate in hertz, from the rate bits of register A. The two fastest that a 32,768 Hz crystal
    /// cannot make are replaced by slower ones, as on the chip.
    fn rate(&self) -> Option<u64> {
        match self.register(REGISTER_A) & 0x0f {
            _ if self.divider_is_reset() => None,
            0 => None,
            select @ (1 | 2) => Some(512 >> select),
            select => Some(65_536 >> select),
        }
    }

    /// The guest sets the time: it does not move by itself.
    fn is_held(&self) -> bool {
        self.register(REGISTER_B) & B_SET != 0 || self.divider_is_reset()
    }

    fn divider_is_reset(&self) -> bool {
        self.register(REGISTER_A) & A_DIVIDER_RESET == A_DIVIDER_RESET
    }

    fn format(&self) -> Format {
        Format::from_register_b(self.register(REGISTER_B))
    }

    /// The time that the divider has counted.
    fn divider(&self, now: GuestTime) -> GuestTime {
        GuestTime::from_nanoseconds(now.nanoseconds().saturating_add(self.phase))
    }

    fn unix(&self, now: GuestTime) -> i64 {
        self.epoch.saturating_add(self.divider(now).ticks(1) as i64)
    }
}

#[cfg(test)]
mod tests;
