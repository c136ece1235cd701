//! One 8259A, after Intel's data sheet (order number 231468).

use serde::{Deserialize, Serialize};

use crate::devices::InvalidState;

/// What differs between the two chips of a PC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wiring {
    /// For messages.
    pub(super) name: &'static str,
    /// Inputs that follow the level of their line whatever ELCR says. The cascade input is one, for the
    /// slave may hold its output high from one request into the next.
    pub(super) hardwired_level: u8,
    /// The bits of ELCR that can be set: IRQ 0, 1, 2, 8 and 13 are edge-triggered by their nature.
    pub(super) elcr_writable: u8,
}

/// Which command word the data port takes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Awaits {
    /// OCW1, the mask: initialisation is over.
    Mask,
    Icw2,
    Icw3,
    Icw4,
}

/// ICW1 rather than OCW2 or OCW3.
const ICW1: u8 = 1 << 4;
/// ICW1: an ICW4 will follow.
const ICW1_ICW4: u8 = 1 << 0;
/// ICW1: a single chip, no ICW3 will follow.
const ICW1_SINGLE: u8 = 1 << 1;
/// ICW4: automatic end of interrupt.
const ICW4_AUTO_EOI: u8 = 1 << 1;
/// ICW4: special fully nested mode.
const ICW4_SPECIAL_NESTED: u8 = 1 << 4;
/// OCW3 rather than OCW2.
const OCW3: u8 = 1 << 3;
/// OCW3: the next read is an answer to a poll.
const OCW3_POLL: u8 = 1 << 2;

/// The live chip.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Chip {
    wiring: Wiring,
    lines: u8,
    /// Lines that rose and have not been acknowledged since. Always a subset of `lines`.
    edges: u8,
    elcr: u8,
    mask: u8,
    in_service: u8,
    vector_base: u8,
    /// The level with the lowest priority; the one after it has the highest.
    lowest: u8,
    awaits: Awaits,
    single: bool,
    icw4_follows: bool,
    auto_eoi: bool,
    rotate_on_auto_eoi: bool,
    special_nested: bool,
    special_mask: bool,
    reads_in_service: bool,
    poll: bool,
}

/// The saved form of one 8259A.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// Levels of the input lines, one bit each.
    pub lines: u8,
    /// Rising edges that have not been acknowledged.
    pub edges: u8,
    /// ELCR: inputs that are level-triggered.
    pub elcr: u8,
    /// IMR, the interrupt mask register.
    pub mask: u8,
    /// ISR, the in-service register.
    pub in_service: u8,
    /// Bits 3 to 7 of the vectors.
    pub vector_base: u8,
    /// The level with the lowest priority.
    pub lowest: u8,
    /// Which initialisation word the data port takes next: 2, 3 or 4; 0 for none.
    pub awaits_icw: u8,
    /// The current initialisation goes without ICW3.
    pub single: bool,
    /// The current initialisation ends with ICW4.
    pub icw4_follows: bool,
    /// Automatic end of interrupt.
    pub auto_eoi: bool,
    /// Rotation of priorities with each automatic end of interrupt.
    pub rotate_on_auto_eoi: bool,
    /// Special fully nested mode.
    pub special_nested: bool,
    /// Special mask mode.
    pub special_mask: bool,
    /// Reads of the command port give ISR instead of IRR.
    pub reads_in_service: bool,
    /// The next read answers a poll command.
    pub poll: bool,
}

impl Chip {
    pub(super) fn new(wiring: Wiring) -> Self {
        Self {
            wiring,
            lines: 0,
            edges: 0,
            elcr: 0,
            // The data sheet says nothing about power-on. Firmware would leave everything masked.
            mask: 0xff,
            in_service: 0,
            vector_base: 0,
            lowest: 7,
            awaits: Awaits::Mask,
            single: false,
            icw4_follows: false,
            auto_eoi: false,
            rotate_on_auto_eoi: false,
            special_nested: false,
            special_mask: false,
            reads_in_service: false,
            poll: false,
        }
    }

    pub(super) fn set_line(&mut self, level: u8, high: bool) {
        let bit = 1 << level;
        if !high {
            self.lines &= !bit;
            self.edges &= !bit;
        } else if self.lines & bit == 0 {
            self.lines |= bit;
            self.edges |= bit;
        }
    }

    pub(super) fn line(&self, level: u8) -> bool {
        self.lines >> level & 1 != 0
    }

    /// IRR, the interrupt request register.
    fn requests(&self) -> u8 {
        self.edges | self.lines & (self.elcr | self.wiring.hardwired_level)
    }

    /// The level for which the INT pin is high.
    pub(super) fn request(&self) -> Option<u8> {
        let candidate = self.most_urgent(self.requests() & !self.mask)?;
        // Special mask mode: a level in service that is masked holds nobody up.
        let blocking = if self.special_mask { self.in_service & !self.mask } else { self.in_service };
        let Some(served) = self.most_urgent(blocking) else { return Some(candidate) };
        // Special fully nested mode: the slave may have something more urgent than what it asked for.
        let nests = self.special_nested && self.wiring.hardwired_level >> candidate & 1 != 0;
        let outranks = self.rank(candidate) < self.rank(served) || nests && candidate == served;
        outranks.then_some(candidate)
    }

    /// An INTA cycle, or a poll that finds something: puts the request in service.
    pub(super) fn acknowledge(&mut self) -> Option<u8> {
        let level = self.request()?;
        self.edges &= !(1 << level);
        if !self.auto_eoi {
            self.in_service |= 1 << level;
        } else if self.rotate_on_auto_eoi {
            self.lowest = level;
        }
        Some(level)
    }

    pub(super) fn vector(&self, level: u8) -> u8 {
        self.vector_base | level
    }

    /// 0 for the level with the highest priority, 7 for the one with the lowest.
    fn rank(&self, level: u8) -> u8 {
        level.wrapping_sub(self.lowest + 1) & 7
    }

    /// The level with the highest priority in `set`.
    fn most_urgent(&self, set: u8) -> Option<u8> {
        let first = self.lowest + 1;
        let ranks = set.rotate_right(u32::from(first));
        (ranks != 0).then(|| (ranks.trailing_zeros() as u8 + first) & 7)
    }

    pub(super) fn elcr(&self) -> u8 {
        self.elcr
    }

    pub(super) fn set_elcr(&mut self, value: u8) {
        self.elcr = value & self.wiring.elcr_writable;
    }

    pub(super) fn read_command_port(&mut self) -> u8 {
        if self.poll {
            self.answer_poll()
        } else if self.reads_in_service {
            self.in_service
        } else {
            self.requests()
        }
    }

    pub(super) fn read_data_port(&mut self) -> u8 {
        if self.poll { self.answer_poll() } else { self.mask }
    }

    fn answer_poll(&mut self) -> u8 {
        self.poll = false;
        self.acknowledge().map_or(0x07, |level| 0x80 | level)
    }

    pub(super) fn write_command_port(&mut self, value: u8) {
        if value & ICW1 != 0 {
            self.initialise(value);
        } else if value & OCW3 != 0 {
            self.write_ocw3(value);
        } else {
            self.write_ocw2(value);
        }
    }

    pub(super) fn write_data_port(&mut self, value: u8) {
        match self.awaits {
            Awaits::Mask => self.mask = value,
            Awaits::Icw2 => {
                self.vector_base = value & 0xf8;
                self.awaits = if self.single { self.after_icw3() } else { Awaits::Icw3 };
            }
            Awaits::Icw3 => self.awaits = self.after_icw3(),
            Awaits::Icw4 => {
                self.auto_eoi = value & ICW4_AUTO_EOI != 0;
                self.special_nested = value & ICW4_SPECIAL_NESTED != 0;
                self.awaits = Awaits::Mask;
            }
        }
    }

    fn after_icw3(&self) -> Awaits {
        if self.icw4_follows { Awaits::Icw4 } else { Awaits::Mask }
    }

    /// ICW1. What it resets is listed in the data sheet, "Initialization Command Words 1 and 2": edges must
    /// come anew, the mask is cleared, input 7 has the lowest priority, special mask mode is off, reads give
    /// IRR, and without an ICW4 to come all its functions are off.
    fn initialise(&mut self, icw1: u8) {
        *self = Self {
            lines: self.lines,
            elcr: self.elcr,
            vector_base: self.vector_base,
            mask: 0,
            awaits: Awaits::Icw2,
            single: icw1 & ICW1_SINGLE != 0,
            icw4_follows: icw1 & ICW1_ICW4 != 0,
            ..Self::new(self.wiring)
        };
    }

    /// OCW2: ends of interrupt and rotation, selected by the bits R, SL and EOI.
    fn write_ocw2(&mut self, value: u8) {
        let level = value & 7;
        match value >> 5 {
            0b001 => drop(self.end_most_urgent()),
            0b011 => self.in_service &= !(1 << level),
            0b101 => self.lowest = self.end_most_urgent().unwrap_or(self.lowest),
            0b111 => {
                self.in_service &= !(1 << level);
                self.lowest = level;
            }
            0b100 => self.rotate_on_auto_eoi = true,
            0b000 => self.rotate_on_auto_eoi = false,
            0b110 => self.lowest = level,
            _ => {}
        }
    }

    /// The non-specific EOI. In special mask mode it does not see levels that are masked.
    fn end_most_urgent(&mut self) -> Option<u8> {
        let visible = if self.special_mask { self.in_service & !self.mask } else { self.in_service };
        let level = self.most_urgent(visible)?;
        self.in_service &= !(1 << level);
        Some(level)
    }

    /// OCW3: special mask mode, poll, which register is read.
    fn write_ocw3(&mut self, value: u8) {
        match value >> 5 & 0b11 {
            0b10 => self.special_mask = false,
            0b11 => self.special_mask = true,
            _ => {}
        }
        self.poll = value & OCW3_POLL != 0;
        match value & 0b11 {
            0b10 => self.reads_in_service = false,
            0b11 => self.reads_in_service = true,
            _ => {}
        }
    }

    pub(super) fn save(&self) -> State {
        State {
            lines: self.lines,
            edges: self.edges,
            elcr: self.elcr,
            mask: self.mask,
            in_service: self.in_service,
            vector_base: self.vector_base,
            lowest: self.lowest,
            awaits_icw: match self.awaits {
                Awaits::Mask => 0,
                Awaits::Icw2 => 2,
                Awaits::Icw3 => 3,
                Awaits::Icw4 => 4,
            },
            single: self.single,
            icw4_follows: self.icw4_follows,
            auto_eoi: self.auto_eoi,
            rotate_on_auto_eoi: self.rotate_on_auto_eoi,
            special_nested: self.special_nested,
            special_mask: self.special_mask,
            reads_in_service: self.reads_in_service,
            poll: self.poll,
        }
    }

    pub(super) fn restore(wiring: Wiring, state: &State) -> Result<Self, InvalidState> {
        let check = |holds, reason| InvalidState::unless(holds, wiring.name, reason);
        check(state.edges & !state.lines == 0, "an edge is remembered of a line that is low")?;
        check(state.elcr & !wiring.elcr_writable == 0, "ELCR has a bit that cannot be set")?;
        check(state.vector_base & 7 == 0, "vectors do not start at a multiple of 8")?;
        check(state.lowest < 8, "a priority is given to a level above 7")?;
        let awaits = match state.awaits_icw {
            0 => Awaits::Mask,
            2 => Awaits::Icw2,
            3 => Awaits::Icw3,
            4 => Awaits::Icw4,
            _ => return Err(InvalidState { device: wiring.name, reason: "it awaits no ICW that there is" }),
        };
        Ok(Self {
            wiring,
            lines: state.lines,
            edges: state.edges,
            elcr: state.elcr,
            mask: state.mask,
            in_service: state.in_service,
            vector_base: state.vector_base,
            lowest: state.lowest,
            awaits,
            single: state.single,
            icw4_follows: state.icw4_follows,
            auto_eoi: state.auto_eoi,
            rotate_on_auto_eoi: state.rotate_on_auto_eoi,
            special_nested: state.special_nested,
            special_mask: state.special_mask,
            reads_in_service: state.reads_in_service,
            poll: state.poll,
        })
    }
}
