//! The serial port: a 16550A, after National Semiconductor's data sheet of the PC16550D.
//!
//! There is no line and no baud rate. What the guest transmits is out at once: the transmitter is always
//! empty, and its interrupt comes again with each byte. What the world has typed waits in a queue, and
//! moves on into the receiver's FIFO as the guest makes room there, as long as the guest holds RTS up. That
//! is the flow control by which a guest keeps a terminal from typing before it listens: Linux raises RTS
//! when the port is opened, and clears the FIFO several times before that. A guest that polls has to raise
//! RTS as well (modem control register, bit 1).
//!
//! The interrupt output is a level: high while an enabled cause is there. As on a PC, it reaches IRQ 4 only
//! while the guest holds OUT2 up and does not loop back.
//!
//! Why this is not `vm_superio::Serial`, which is otherwise close: its interrupts are events and not a
//! level, so a receive interrupt is over once IIR was read, though data is left; two pending causes are
//! merged into the code of a third; it ignores FCR, so that a driver cannot clear the FIFO; and restoring
//! its state fires interrupts that had been fired before.
//!
//! Not modelled: parity, framing errors and breaks; the timing of characters, hence the receiver's timeout
//! comes at once; DMA modes; a change of the modem's inputs other than by loopback.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{InvalidState, Line};

mod registers;

use registers::{fcr, ier, iir, lcr, lsr, mcr, msr};

const NAME: &str = "serial port";
/// Bytes that the receiver's FIFO holds.
const FIFO_CAPACITY: usize = 16;
/// Most bytes that wait for room in the FIFO.
pub const QUEUE_CAPACITY: usize = 64 << 10;

/// The port.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Serial {
    divisor: u16,
    interrupt_enable: u8,
    fifo_control: u8,
    line_control: u8,
    modem_control: u8,
    scratch: u8,
    /// A byte came when the receiver was full.
    overrun: bool,
    /// What has changed in the modem's inputs since the guest last looked.
    modem_changes: u8,
    /// The transmitter became empty, and the guest was not told through IIR yet.
    transmitter_emptied: bool,
    /// The interrupt output was low for a moment since the machine last looked.
    dipped: bool,
    fifo: VecDeque<u8>,
    queue: VecDeque<u8>,
    dropped: u64,
}

/// The saved form of [`Serial`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// The divisor latches.
    pub divisor: u16,
    /// IER.
    pub interrupt_enable: u8,
    /// FCR: FIFO enable and receiver trigger level.
    pub fifo_control: u8,
    /// LCR.
    pub line_control: u8,
    /// MCR.
    pub modem_control: u8,
    /// SCR.
    pub scratch: u8,
    /// LSR: overrun error.
    pub overrun: bool,
    /// MSR: the four delta bits.
    pub modem_changes: u8,
    /// The transmitter's interrupt is pending.
    pub transmitter_emptied: bool,
    /// The interrupt output was low for a moment since the machine last looked.
    pub dipped: bool,
    /// What the receiver holds, oldest first.
    pub fifo: Vec<u8>,
    /// What waits for room in the receiver, oldest first.
    pub queue: Vec<u8>,
    /// Bytes that there was no room for.
    pub dropped: u64,
}

impl Serial {
    /// The port after a master reset.
    pub fn new() -> Self {
        Self::default()
    }

    /// A byte read at `offset` (0 to 7) from the first port.
    pub fn read(&mut self, offset: u16) -> u8 {
        let [divisor_low, divisor_high] = self.divisor.to_le_bytes();
        match offset {
            0 if self.divisor_access() => divisor_low,
            1 if self.divisor_access() => divisor_high,
            0 => self.take_received(),
            1 => self.interrupt_enable,
            2 => self.identify_interrupt(),
            3 => self.line_control,
            4 => self.modem_control,
            5 => self.take_line_status(),
            6 => self.modem_inputs() | std::mem::take(&mut self.modem_changes),
            7 => self.scratch,
            _ => super::OPEN_BUS,
        }
    }

    /// A byte written at `offset` (0 to 7) from the first port. Returns the byte that is transmitted, if
    /// that was what the guest wanted.
    #[must_use = "a byte may be transmitted"]
    pub fn write(&mut self, offset: u16, value: u8) -> Option<u8> {
        let [divisor_low, divisor_high] = self.divisor.to_le_bytes();
        match offset {
            0 if self.divisor_access() => self.divisor = u16::from_le_bytes([value, divisor_high]),
            1 if self.divisor_access() => self.divisor = u16::from_le_bytes([divisor_low, value]),
            0 => return self.transmit(value),
            1 => self.enable_interrupts(value),
            2 => self.control_fifo(value),
            3 => self.line_control = value,
            4 => self.control_modem(value),
            7 => self.scratch = value,
            _ => {}
        }
        None
    }

    /// What the world has sent. Bytes that there is no room for are dropped and counted.
    pub fn receive(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(self.room());
        self.queue.extend(&bytes[..taken]);
        self.dropped = self.dropped.saturating_add((bytes.len() - taken) as u64);
        self.refill();
    }

    /// How many bytes [`receive`](Self::receive) will take without dropping any.
    pub fn room(&self) -> usize {
        QUEUE_CAPACITY - self.queue.len()
    }

    /// How many bytes were dropped since power-on.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The level of the line to IRQ 4.
    pub fn interrupt(&self) -> bool {
        let wired = self.modem_control & (mcr::OUT2 | mcr::LOOPBACK) == mcr::OUT2;
        wired && self.interrupt_cause() != iir::NONE
    }

    /// What the line to IRQ 4 did since this was last asked.
    pub fn take_line(&mut self) -> Line {
        match (self.interrupt(), std::mem::take(&mut self.dipped)) {
            (false, _) => Line::Low,
            (true, false) => Line::High,
            (true, true) => Line::Reasserted,
        }
    }

    fn divisor_access(&self) -> bool {
        self.line_control & lcr::DIVISOR_ACCESS != 0
    }

    fn loops_back(&self) -> bool {
        self.modem_control & mcr::LOOPBACK != 0
    }

    fn fifo_enabled(&self) -> bool {
        self.fifo_control & fcr::ENABLE != 0
    }

    /// Without its FIFO, the port is a 16450 with one byte of buffer.
    fn fifo_capacity(&self) -> usize {
        if self.fifo_enabled() { FIFO_CAPACITY } else { 1 }
    }

    /// Lets waiting bytes into the receiver.
    fn refill(&mut self) {
        if self.modem_control & (mcr::REQUEST_TO_SEND | mcr::LOOPBACK) == mcr::REQUEST_TO_SEND {
            let room = self.fifo_capacity() - self.fifo.len();
            self.fifo.extend(self.queue.drain(..room.min(self.queue.len())));
        }
    }

    fn take_received(&mut self) -> u8 {
        let byte = self.fifo.pop_front().unwrap_or(0);
        self.refill();
        byte
    }

    fn transmit(&mut self, byte: u8) -> Option<u8> {
        // For as long as the byte is on its way, the transmitter is not empty.
        let was_high = self.interrupt();
        self.transmitter_emptied = false;
        self.dipped |= was_high && !self.interrupt();
        self.transmitter_emptied = true;
        if !self.loops_back() {
            return Some(byte);
        }
        if self.fifo.len() < self.fifo_capacity() {
            self.fifo.push_back(byte);
        } else {
            self.overrun = true;
        }
        None
    }

    /// IER. Enabling the transmitter's interrupt while the transmitter is empty makes it pending, on which
    /// drivers rely to get going.
    fn enable_interrupts(&mut self, value: u8) {
        let enabled = value & !self.interrupt_enable;
        self.transmitter_emptied |= enabled & ier::TRANSMITTER_EMPTY != 0;
        self.interrupt_enable = value & ier::ALL;
    }

    fn control_fifo(&mut self, value: u8) {
        let switched = (value ^ self.fifo_control) & fcr::ENABLE != 0;
        let clears = value & (fcr::ENABLE | fcr::CLEAR_RECEIVER) == fcr::ENABLE | fcr::CLEAR_RECEIVER;
        if switched || clears {
            self.fifo.clear();
        }
        self.fifo_control = if value & fcr::ENABLE != 0 { value & fcr::KEPT } else { 0 };
        self.refill();
    }

    fn control_modem(&mut self, value: u8) {
        let before = self.modem_inputs();
        self.modem_control = value & mcr::ALL;
        self.modem_changes |= msr::changes(before, self.modem_inputs());
        self.refill();
    }

    /// The upper half of MSR: a modem that is always ready, or what is looped back.
    fn modem_inputs(&self) -> u8 {
        if self.loops_back() { msr::looped_back(self.modem_control) } else { msr::READY }
    }

    fn take_line_status(&mut self) -> u8 {
        let ready = if self.fifo.is_empty() { 0 } else { lsr::DATA_READY };
        let overrun = if std::mem::take(&mut self.overrun) { lsr::OVERRUN } else { 0 };
        ready | overrun | lsr::TRANSMITTER_EMPTY
    }

    /// The most urgent enabled cause, by the data sheet's table of interrupt control functions.
    fn interrupt_cause(&self) -> u8 {
        let enabled = |bit| self.interrupt_enable & bit != 0;
        if enabled(ier::LINE_STATUS) && self.overrun {
            iir::LINE_STATUS
        } else if enabled(ier::DATA_AVAILABLE) && !self.fifo.is_empty() {
            if self.fifo.len() >= self.trigger_level() { iir::DATA_AVAILABLE } else { iir::TIMEOUT }
        } else if enabled(ier::TRANSMITTER_EMPTY) && self.transmitter_emptied {
            iir::TRANSMITTER_EMPTY
        } else if enabled(ier::MODEM_STATUS) && self.modem_changes != 0 {
            iir::MODEM_STATUS
        } else {
            iir::NONE
        }
    }

    fn trigger_level(&self) -> usize {
        if self.fifo_enabled() { fcr::trigger_level(self.fifo_control) } else { 1 }
    }

    /// A read of IIR. It is also the acknowledgement of the transmitter's interrupt, if it reports that.
    fn identify_interrupt(&mut self) -> u8 {
        let cause = self.interrupt_cause();
        if cause == iir::TRANSMITTER_EMPTY {
            self.transmitter_emptied = false;
        }
        cause | if self.fifo_enabled() { iir::FIFO_ENABLED } else { 0 }
    }

    /// The saved form.
    pub fn save(&self) -> State {
        State {
            divisor: self.divisor,
            interrupt_enable: self.interrupt_enable,
            fifo_control: self.fifo_control,
            line_control: self.line_control,
            modem_control: self.modem_control,
            scratch: self.scratch,
            overrun: self.overrun,
            modem_changes: self.modem_changes,
            transmitter_emptied: self.transmitter_emptied,
            dipped: self.dipped,
            fifo: self.fifo.iter().copied().collect(),
            queue: self.queue.iter().copied().collect(),
            dropped: self.dropped,
        }
    }

    /// The port that was saved as `state`.
    ///
    /// # Errors
    /// When no port can be in that state.
    pub fn restore(state: &State) -> Result<Self, InvalidState> {
        let port = Self {
            divisor: state.divisor,
            interrupt_enable: state.interrupt_enable,
            fifo_control: state.fifo_control,
            line_control: state.line_control,
            modem_control: state.modem_control,
            scratch: state.scratch,
            overrun: state.overrun,
            modem_changes: state.modem_changes,
            transmitter_emptied: state.transmitter_emptied,
            dipped: state.dipped,
            fifo: state.fifo.iter().copied().collect(),
            queue: state.queue.iter().copied().collect(),
            dropped: state.dropped,
        };
        port.check()?;
        Ok(port)
    }

    fn check(&self) -> Result<(), InvalidState> {
        let check = |holds, reason| InvalidState::unless(holds, NAME, reason);
        check(self.interrupt_enable & !ier::ALL == 0, "IER has bits that do not exist")?;
        check(self.modem_control & !mcr::ALL == 0, "MCR has bits that do not exist")?;
        check(self.modem_changes & !msr::CHANGES == 0, "MSR has changes that do not exist")?;
        check(self.fifo_control & !fcr::KEPT == 0, "FCR has bits that are not kept")?;
        check(self.fifo_enabled() || self.fifo_control == 0, "a FIFO that is off has a trigger level")?;
        check(self.fifo.len() <= self.fifo_capacity(), "the receiver holds more than it can")?;
        check(self.queue.len() <= QUEUE_CAPACITY, "more bytes wait than can")
    }
}

#[cfg(test)]
mod tests;
