//! The x87 floating-point unit, whose registers MMX shares.
//!
//! Everything is computed in integers, so that results are the same on every host; where Intel defines results
//! exactly, they are those of its processors, bit by bit.
//!
//! * [`number`] takes the formats apart; [`rounding`] and [`narrow`] put results together and find exceptions.
//! * [`arithmetic`], [`integral`] and [`compare`] are the operations between, [`decimal`] the BCD format.
//! * [`elementary`] holds the transcendental functions.
//! * [`instructions`] are the ops; [`mod@select`] chooses them.
//!
//! **Exceptions.** An instruction computes in a [`Context`], which collects what it finds, and ends with
//! [`X87::settle`]. If an exception is not masked, the result is withheld or delivered as the manual says, and
//! the *next* instruction that waits raises #MF: [`guard`].
//!
//! **Pointers.** FIP, FDP and FOP are those of the last instruction that is no control instruction, whether it
//! found an exception or not; FDP is that of the last one with a memory operand. (Current processors may keep
//! FDP and FOP of instructions with unmasked exceptions only, Intel SDM volume 1, 8.1.8 and 8.1.9; software
//! that wants them wants them after those.) FCS and FDS are stored as 0, as current processors do.

mod arithmetic;
mod compare;
mod decimal;
mod elementary;
mod guard;
#[cfg(test)]
mod hardware;
mod instructions;
mod integral;
mod narrow;
mod number;
mod rounding;
mod select;
mod status;
#[cfg(test)]
mod tests;

pub(crate) use guard::check_pending;
pub(crate) use select::select;

use outlive_engine::FloatingPointState;

use number::{Extended, Number};
use rounding::Context;
use status::{C1, CONTROL, CONTROL_FIXED, CONTROL_RESET, EXCEPTIONS, SUMMARY, TOP, TOP_SHIFT};

/// All 80 bits of a register.
const REGISTER: u128 = (1 << 80) - 1;

/// The x87's registers.
#[derive(Clone, Debug)]
pub(crate) struct X87 {
    /// R0 to R7, by their physical numbers: ST(i) is `registers[(top + i) % 8]`. 80 bits each.
    pub(crate) registers: [u128; 8],
    /// Which of them is ST(0). 0 to 7.
    pub(crate) top: u8,
    /// Bit n set: physical register n is not empty.
    pub(crate) valid: u8,
    /// FCW.
    pub(crate) control: u16,
    /// FSW, without the field TOP.
    pub(crate) status: u16,
    /// FOP.
    pub(crate) opcode: u16,
    /// FIP.
    pub(crate) instruction: u64,
    /// FDP.
    pub(crate) operand: u64,
}

impl Default for X87 {
    fn default() -> Self {
        Self::from_state(&FloatingPointState::default())
    }
}

impl X87 {
    /// Takes the registers of a state.
    pub(crate) fn from_state(state: &FloatingPointState) -> Self {
        let top = (state.status >> TOP_SHIFT & 7) as u8;
        let mut x87 = Self {
            registers: std::array::from_fn(|at| state.stack[(at + 8 - usize::from(top)) % 8] & REGISTER),
            top,
            valid: state.tags,
            control: state.control,
            status: 0,
            opcode: state.opcode,
            instruction: state.instruction,
            operand: state.operand,
        };
        x87.set_control(state.control);
        x87.set_status(state.status);
        x87
    }

    /// The registers as a state tells them; those of SSE are left alone.
    pub(crate) fn save(&self, state: &mut FloatingPointState) {
        state.stack = std::array::from_fn(|at| self.registers[(at + usize::from(self.top)) % 8]);
        state.tags = self.valid;
        state.control = self.control;
        state.status = self.status_word();
        state.opcode = self.opcode;
        state.instruction = self.instruction;
        state.operand = self.operand;
    }

    /// Reads an MMX register.
    #[inline]
    pub(crate) fn mmx(&self, register: u8) -> u64 {
        self.registers[usize::from(register) % 8] as u64
    }

    /// Writes an MMX register: exponent and sign become all ones (Intel SDM volume 3, 14.2).
    #[inline]
    pub(crate) fn set_mmx(&mut self, register: u8, value: u64) {
        self.registers[usize::from(register) % 8] = 0xffff << 64 | u128::from(value);
    }

    /// What every MMX instruction except EMMS does: TOP becomes 0, and all registers valid (Intel SDM
    /// volume 3, 14.2).
    #[inline]
    pub(crate) fn enter_mmx(&mut self) {
        self.top = 0;
        self.valid = 0xff;
    }

    /// FSW, with TOP.
    pub(crate) fn status_word(&self) -> u16 {
        self.status | u16::from(self.top) << TOP_SHIFT
    }

    /// Replaces FSW and TOP. ES and B follow from the exceptions.
    pub(crate) fn set_status(&mut self, word: u16) {
        self.top = (word >> TOP_SHIFT & 7) as u8;
        self.status = word & !TOP;
        self.summarise();
    }

    /// Replaces FCW. Reserved bits stay as they are.
    pub(crate) fn set_control(&mut self, word: u16) {
        self.control = word & CONTROL | CONTROL_FIXED;
        self.summarise();
    }

    /// Whether an exception is not masked: the next instruction that waits raises it.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.status & !self.control & EXCEPTIONS != 0
    }

    /// ES and B follow from exceptions and masks.
    fn summarise(&mut self) {
        self.status &= !SUMMARY;
        if self.is_pending() {
            self.status |= SUMMARY;
        }
    }

    /// FNINIT. The registers keep their values and become empty.
    fn initialise(&mut self) {
        *self = Self {
            registers: self.registers,
            top: 0,
            valid: 0,
            control: CONTROL_RESET,
            status: 0,
            opcode: 0,
            instruction: 0,
            operand: 0,
        };
    }

    /// What an instruction computes in.
    #[inline]
    fn context(&self) -> Context {
        Context::new(self.control)
    }

    #[inline]
    fn physical(&self, register: u8) -> u8 {
        (self.top + register) & 7
    }

    #[inline]
    fn is_empty(&self, register: u8) -> bool {
        self.valid >> self.physical(register) & 1 == 0
    }

    /// ST(i), even if it is empty.
    #[inline]
    fn st(&self, register: u8) -> Extended {
        Extended::from_bits(self.registers[usize::from(self.physical(register))])
    }

    /// ST(i), if it is not empty.
    #[inline]
    fn number(&self, register: u8) -> Option<Number> {
        (!self.is_empty(register)).then(|| Number::from_extended(self.st(register)))
    }

    /// Writes ST(i), which is not empty from now on.
    #[inline]
    fn set(&mut self, register: u8, value: Extended) {
        let physical = self.physical(register);
        self.registers[usize::from(physical)] = value.bits();
        self.valid |= 1 << physical;
    }

    /// ST(i) becomes empty.
    #[inline]
    fn free(&mut self, register: u8) {
        self.valid &= !(1 << self.physical(register));
    }

    #[inline]
    fn pop(&mut self) {
        self.free(0);
        self.top = (self.top + 1) & 7;
    }

    /// Pushes, if there is room or not.
    #[inline]
    fn push(&mut self, value: Extended) {
        self.top = (self.top + 7) & 7;
        self.set(0, value);
    }

    /// Whether a push overflows the stack.
    #[inline]
    fn is_full(&self) -> bool {
        !self.is_empty(7)
    }

    /// Takes over the exceptions and C1 of an instruction.
    #[inline]
    fn settle(&mut self, context: &Context) {
        self.status = self.status & !C1 | context.found();
        if context.unmasked() != 0 {
            self.status |= SUMMARY;
        }
    }
}
