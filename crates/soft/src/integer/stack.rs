//! The stack as instructions use it without naming it.
//!
//! In 64-bit mode the stack pointer is RSP and the stack segment does not matter. In compatibility mode the
//! stack segment's base and limit count, and its B flag decides whether the pointer is ESP or SP (Intel SDM
//! volume 1, 6.2.3 and 6.2.5).

use crate::cpu::{Cpu, number};
use crate::fault::{Abort, Exception, Reason};
use crate::memory::Kind;
use crate::op::{Step, segment};
use crate::width::Width;

/// The D/B flag of a segment's attributes.
const BIG: u16 = 1 << 14;

impl Cpu {
    /// Pushes a value: nothing changes unless it can be written. Operands of 64 bits exist in 64-bit mode only.
    #[inline]
    pub(crate) fn push<W: Width>(&mut self, value: u64) -> Result<Step, Abort> {
        let pointer = self.stack_offset::<W>(W::BYTES.wrapping_neg() as u64);
        let step = self.stack_store::<W>(pointer, value)?;
        self.set_stack_pointer::<W>(pointer);
        Ok(step)
    }

    /// Pops a value: the stack pointer advances if it can be read.
    #[inline]
    pub(crate) fn pop<W: Width>(&mut self) -> Result<u64, Abort> {
        let value = self.stack_load::<W>(self.stack_offset::<W>(0))?;
        let pointer = self.stack_offset::<W>(W::BYTES as u64);
        self.set_stack_pointer::<W>(pointer);
        Ok(value)
    }

    /// Which bits of RSP make up the stack pointer, for an instruction with operands of this width.
    #[inline]
    pub(crate) fn stack_mask<W: Width>(&self) -> u64 {
        if W::BITS == 64 || self.is_long() {
            u64::MAX
        } else if self.segments.ss.attributes & BIG != 0 {
            0xffff_ffff
        } else {
            0xffff
        }
    }

    /// The stack pointer plus `distance`, as an offset into the stack segment.
    #[inline]
    pub(crate) fn stack_offset<W: Width>(&self, distance: u64) -> u64 {
        self.register(number::RSP).wrapping_add(distance) & self.stack_mask::<W>()
    }

    /// Sets the stack pointer. ESP clears the upper half of RSP, as any register of 32 bits does; SP leaves the
    /// rest.
    #[inline]
    pub(crate) fn set_stack_pointer<W: Width>(&mut self, pointer: u64) {
        let mask = self.stack_mask::<W>();
        let kept = if mask == 0xffff { self.register(number::RSP) & !0xffff } else { 0 };
        *self.register_mut(number::RSP) = kept | pointer & mask;
    }

    /// Reads an operand at an offset into the stack segment.
    #[inline]
    pub(crate) fn stack_load<W: Width>(&mut self, offset: u64) -> Result<u64, Abort> {
        let linear = self.stack_address::<W>(offset, Kind::Read)?;
        match self.load::<W>(linear) {
            Ok(value) => Ok(value),
            Err(Abort) => self.stack_abort(),
        }
    }

    /// Writes an operand at an offset into the stack segment.
    #[inline]
    pub(crate) fn stack_store<W: Width>(&mut self, offset: u64, value: u64) -> Result<Step, Abort> {
        let linear = self.stack_address::<W>(offset, Kind::Write)?;
        match self.store::<W>(linear, value) {
            Ok(step) => Ok(step),
            Err(Abort) => self.stack_abort(),
        }
    }

    /// Checks that an operand can be written at an offset into the stack segment.
    pub(crate) fn check_stack_store<W: Width>(&mut self, offset: u64) -> Result<(), Abort> {
        let linear = self.stack_address::<W>(offset, Kind::Write)?;
        match self.memory.check_write(linear, W::BYTES) {
            Ok(()) => Ok(()),
            Err(Abort) => self.stack_abort(),
        }
    }

    #[inline]
    fn stack_address<W: Width>(&mut self, offset: u64, kind: Kind) -> Result<u64, Abort> {
        if W::BITS == 64 || self.is_long() {
            return Ok(offset);
        }
        self.linear(segment::SS, offset, W::BYTES, kind, true)
    }

    /// An address of the stack that is not canonical raises #SS(0), whatever other operand the instruction has.
    #[cold]
    fn stack_abort<T>(&mut self) -> Result<T, Abort> {
        if self.memory.reason == Some(Reason::NotCanonical) {
            self.memory.reason = Some(Reason::Exception(Exception::STACK));
        }
        Err(Abort)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{STACK, Trial, state};
    use crate::width::{Dword, Qword, Word};

    /// Compatibility mode, with a stack segment that begins at `base`.
    fn compatibility(base: u64, limit: u32, is_big: bool) -> Trial {
        let mut state = state();
        state.segments.cs.attributes = 0xc09b;
        state.segments.ss.base = base;
        state.segments.ss.limit = limit;
        state.segments.ss.attributes = if is_big { 0x4093 } else { 0x93 };
        Trial::with(&state)
    }

    #[test]
    fn what_is_pushed_is_popped() {
        let mut trial = Trial::new();
        assert_eq!(trial.cpu.push::<Qword>(0x1122_3344_5566_7788), Ok(Step::Next));
        assert_eq!(trial.cpu.push::<Word>(0xabcd), Ok(Step::Next));
        assert_eq!(trial.cpu.register(number::RSP), STACK - 10);
        assert_eq!(trial.cpu.pop::<Word>(), Ok(0xabcd));
        assert_eq!(trial.cpu.pop::<Qword>(), Ok(0x1122_3344_5566_7788));
        assert_eq!(trial.cpu.register(number::RSP), STACK);
    }

    #[test]
    fn a_stack_address_that_is_not_canonical_is_a_stack_fault() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RSP) = 1 << 63;
        assert_eq!(trial.fault(&[0x50]), Exception::STACK);
        assert_eq!(trial.fault(&[0x58]), Exception::STACK);
        assert_eq!(trial.fault(&[0xc3]), Exception::STACK);
        assert_eq!(trial.cpu.register(number::RSP), 1 << 63);
    }

    #[test]
    fn in_compatibility_mode_base_and_limit_of_the_stack_count() {
        let mut trial = compatibility(0x2_0000, 0xfff, true);
        *trial.cpu.register_mut(number::RSP) = 0xdead_0000_1000;
        assert_eq!(trial.cpu.push::<Dword>(0x1234_5678), Ok(Step::Next));
        assert_eq!(trial.read(0x2_0ffc), 0x1234_5678u32.to_le_bytes());
        assert_eq!(trial.cpu.register(number::RSP), 0xffc, "ESP is a register of 32 bits");
        *trial.cpu.register_mut(number::RSP) = 0x1001;
        assert_eq!(trial.cpu.pop::<Dword>(), Err(Abort));
        assert_eq!(trial.cpu.memory.reason.take(), Some(Reason::Exception(Exception::STACK)));
    }

    #[test]
    fn a_small_stack_moves_only_16_bits_of_the_pointer() {
        let mut trial = compatibility(0x2_0000, 0xffff, false);
        *trial.cpu.register_mut(number::RSP) = 0x7777_0002;
        assert_eq!(trial.cpu.push::<Dword>(1), Err(Abort), "it would wrap around");
        trial.cpu.memory.reason = None;
        *trial.cpu.register_mut(number::RSP) = 0x7777_0000;
        assert_eq!(trial.cpu.push::<Dword>(0x1234_5678), Ok(Step::Next));
        assert_eq!(trial.cpu.register(number::RSP), 0x7777_fffc);
        assert_eq!(trial.read(0x2_fffc), 0x1234_5678u32.to_le_bytes());
    }
}
