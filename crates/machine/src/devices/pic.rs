//! The interrupt controllers: two 8259As, the slave's output on the master's input 2, as on every PC.
//!
//! An interrupt takes this way. A device raises its line; the chip that the line hangs on remembers the
//! edge (or follows the level, as ELCR says), and if the request is not masked and nothing of the same or
//! a higher priority is in service, the master raises INTR: [`InterruptController::pending`]. The
//! processor answers with an INTA cycle, [`InterruptController::acknowledge`], and gets a vector; the
//! level is then in service until the guest sends an EOI.
//!
//! A line must stay high until it is acknowledged, else there is nothing left to serve when the processor
//! asks, and the master answers with its input 7 without having it in service: a *spurious* interrupt,
//! which Linux tells from a real one by reading the in-service register. A spurious interrupt of the
//! slave (IRQ 15) cannot happen here: it takes a line that falls in the middle of an INTA cycle.
//!
//! Not modelled: MCS-80 mode, buffered mode, and cascades other than the one that is wired (ICW3 is
//! accepted and ignored). The LTIM bit of ICW1 is ignored, as on every chipset with ELCR registers.

use serde::{Deserialize, Serialize};

use super::{InvalidState, Line};

mod chip;

pub use chip::State as ChipState;
use chip::{Chip, Wiring};

/// The input of the master that the slave hangs on.
const CASCADE: u8 = 2;
/// What a chip answers with when its request has gone away before the INTA cycle.
const SPURIOUS: u8 = 7;

const MASTER: Wiring = Wiring { name: "master PIC", hardwired_level: 1 << CASCADE, elcr_writable: 0xf8 };
const SLAVE: Wiring = Wiring { name: "slave PIC", hardwired_level: 0, elcr_writable: 0xde };

/// Both 8259As with their ELCR registers. Sixteen inputs, of which 2 is taken by the cascade.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterruptController {
    master: Chip,
    slave: Chip,
}

/// The saved form of [`InterruptController`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// The chip with IRQ 0 to 7.
    pub master: ChipState,
    /// The chip with IRQ 8 to 15.
    pub slave: ChipState,
}

impl Default for InterruptController {
    fn default() -> Self {
        Self::new()
    }
}

impl InterruptController {
    /// The controllers at power-on: all inputs masked until the guest initialises them.
    pub fn new() -> Self {
        Self { master: Chip::new(MASTER), slave: Chip::new(SLAVE) }
    }

    /// Sets the line of `irq`.
    ///
    /// # Panics
    /// When there is no such line: `irq` comes from the machine's wiring, not from the guest.
    pub fn set_line(&mut self, irq: u8, high: bool) {
        assert!(irq < 16 && irq != CASCADE, "no device hangs on IRQ {irq}");
        if irq < 8 {
            self.master.set_line(irq, high);
        } else {
            self.slave.set_line(irq - 8, high);
            self.update_cascade();
        }
    }

    /// The level of the line of `irq`.
    ///
    /// # Panics
    /// As for [`set_line`](Self::set_line).
    pub fn line(&self, irq: u8) -> bool {
        assert!(irq < 16 && irq != CASCADE, "no device hangs on IRQ {irq}");
        if irq < 8 { self.master.line(irq) } else { self.slave.line(irq - 8) }
    }

    /// Makes a rising edge on the line of `irq` and leaves it high, as the output of a timer does. For
    /// edge-triggered inputs: a level-triggered one would go on asking for service.
    ///
    /// # Panics
    /// As for [`set_line`](Self::set_line).
    pub fn pulse(&mut self, irq: u8) {
        self.set_line(irq, false);
        self.set_line(irq, true);
    }

    /// Carries what a device's line did to the input of `irq`.
    ///
    /// # Panics
    /// As for [`set_line`](Self::set_line).
    pub fn drive(&mut self, irq: u8, line: Line) {
        match line {
            Line::Low => self.set_line(irq, false),
            Line::High => self.set_line(irq, true),
            Line::Reasserted => self.pulse(irq),
        }
    }

    /// Whether the processor's INTR pin is high.
    pub fn pending(&self) -> bool {
        self.master.request().is_some()
    }

    /// The processor's INTA cycle: puts the most urgent request in service and returns its vector, that of
    /// a spurious interrupt if there is none (any more).
    pub fn acknowledge(&mut self) -> u8 {
        match self.master.acknowledge() {
            None => self.master.vector(SPURIOUS),
            Some(CASCADE) => {
                let level = self.slave.acknowledge().unwrap_or(SPURIOUS);
                self.update_cascade();
                self.slave.vector(level)
            }
            Some(level) => self.master.vector(level),
        }
    }

    /// A byte read from one of the six ports. A read that answers a poll command counts as an INTA cycle.
    pub fn read(&mut self, port: u16) -> u8 {
        let value = match port {
            0x20 => self.master.read_command_port(),
            0x21 => self.master.read_data_port(),
            0xa0 => self.slave.read_command_port(),
            0xa1 => self.slave.read_data_port(),
            0x4d0 => self.master.elcr(),
            0x4d1 => self.slave.elcr(),
            _ => super::OPEN_BUS,
        };
        self.update_cascade();
        value
    }

    /// A byte written to one of the six ports.
    pub fn write(&mut self, port: u16, value: u8) {
        match port {
            0x20 => self.master.write_command_port(value),
            0x21 => self.master.write_data_port(value),
            0xa0 => self.slave.write_command_port(value),
            0xa1 => self.slave.write_data_port(value),
            0x4d0 => self.master.set_elcr(value),
            0x4d1 => self.slave.set_elcr(value),
            _ => {}
        }
        self.update_cascade();
    }

    /// The saved form.
    pub fn save(&self) -> State {
        State { master: self.master.save(), slave: self.slave.save() }
    }

    /// The controllers that were saved as `state`.
    ///
    /// # Errors
    /// When no controllers can be in that state.
    pub fn restore(state: &State) -> Result<Self, InvalidState> {
        let master = Chip::restore(MASTER, &state.master)?;
        let slave = Chip::restore(SLAVE, &state.slave)?;
        let connected = master.line(CASCADE) == slave.request().is_some();
        InvalidState::unless(connected, MASTER.name, "its cascade input is not the slave's output")?;
        Ok(Self { master, slave })
    }

    fn update_cascade(&mut self) {
        self.master.set_line(CASCADE, self.slave.request().is_some());
    }
}

#[cfg(test)]
mod tests;
