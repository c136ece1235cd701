//! Where operands are: as types, so that a function for each combination costs nothing when it runs.
//!
//! [`Op::a`] is the first register operand and [`Op::b`] the second one. So the register of `ADD [RBX], ECX` is
//! `a`, and those of `ADD EBX, ECX` are `a` and `b`.

use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::flags::Flags;
use crate::memory::Kind;
use crate::op::{Op, Step, address};
use crate::width::Width;

/// Where an operand is read from.
pub(super) trait Source: 'static {
    /// Reads it.
    fn get<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<u64, Abort>;
}

/// Where an operand is read from and written to.
pub(super) trait Place: Source {
    /// Writes it.
    fn put<W: Width>(cpu: &mut Cpu, op: &Op, value: u64) -> Result<Step, Abort>;

    /// Replaces it by what `change` makes of it, which is called only if that cannot fail. Narrower results than
    /// registers are put as by `put`.
    fn update<W: Width>(
        cpu: &mut Cpu,
        op: &Op,
        change: impl FnOnce(&mut Flags, u64) -> u64,
    ) -> Result<Step, Abort>;
}

/// The first register operand.
pub(super) struct First;

/// The second register operand.
pub(super) struct Second;

/// The immediate operand.
pub(super) struct Immediate;

/// The memory operand.
pub(super) struct InMemory;

impl Source for First {
    #[inline]
    fn get<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<u64, Abort> {
        Ok(cpu.get::<W>(op.a))
    }
}

impl Source for Second {
    #[inline]
    fn get<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<u64, Abort> {
        Ok(cpu.get::<W>(op.b))
    }
}

impl Source for Immediate {
    #[inline]
    fn get<W: Width>(_: &mut Cpu, op: &Op) -> Result<u64, Abort> {
        Ok(op.immediate & W::MASK)
    }
}

impl Source for InMemory {
    #[inline]
    fn get<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<u64, Abort> {
        cpu.load_operand::<W>(op)
    }
}

impl Place for First {
    #[inline]
    fn put<W: Width>(cpu: &mut Cpu, op: &Op, value: u64) -> Result<Step, Abort> {
        cpu.set::<W>(op.a, value);
        Ok(Step::Next)
    }

    #[inline]
    fn update<W: Width>(
        cpu: &mut Cpu,
        op: &Op,
        change: impl FnOnce(&mut Flags, u64) -> u64,
    ) -> Result<Step, Abort> {
        let old = cpu.get::<W>(op.a);
        let new = change(&mut cpu.flags, old);
        cpu.set::<W>(op.a, new);
        Ok(Step::Next)
    }
}

impl Place for InMemory {
    #[inline]
    fn put<W: Width>(cpu: &mut Cpu, op: &Op, value: u64) -> Result<Step, Abort> {
        cpu.store_operand::<W>(op, value)
    }

    #[inline]
    fn update<W: Width>(
        cpu: &mut Cpu,
        op: &Op,
        change: impl FnOnce(&mut Flags, u64) -> u64,
    ) -> Result<Step, Abort> {
        let linear = cpu.address(op, W::BYTES, Kind::Write)?;
        cpu.update::<W>(linear, change)
    }
}

impl Cpu {
    /// Replaces a value in memory: see [`Memory::update`](crate::memory::Memory::update).
    #[inline]
    pub(super) fn update<W: Width>(
        &mut self,
        linear: u64,
        change: impl FnOnce(&mut Flags, u64) -> u64,
    ) -> Result<Step, Abort> {
        let flags = &mut self.flags;
        match W::BYTES {
            1 => self.memory.update(linear, |[old]| [change(flags, old.into()) as u8]),
            2 => self
                .memory
                .update(linear, |old| (change(flags, u16::from_le_bytes(old).into()) as u16).to_le_bytes()),
            4 => self
                .memory
                .update(linear, |old| (change(flags, u32::from_le_bytes(old).into()) as u32).to_le_bytes()),
            _ => self.memory.update(linear, |old| change(flags, u64::from_le_bytes(old)).to_le_bytes()),
        }
    }

    /// The linear address of what is at `offset` in the segment that an op's memory operand is in, for an offset
    /// that is not simply the operand's. Cuts it to the width of the op's addresses.
    #[inline]
    pub(super) fn linear_at(&mut self, op: &Op, offset: u64, bytes: usize, kind: Kind) -> Result<u64, Abort> {
        if op.segment == 0 {
            return Ok(offset);
        }
        let offset = offset & address_mask(op);
        match op.segment & address::SEGMENT {
            0 => Ok(offset),
            number => self.linear(number - 1, offset, bytes, kind, op.segment & address::CHECKED != 0),
        }
    }
}

/// The bits that an op's addresses have.
#[inline]
pub(super) fn address_mask(op: &Op) -> u64 {
    match op.segment & (address::DWORD | address::WORD) {
        0 => u64::MAX,
        address::DWORD => 0xffff_ffff,
        _ => 0xffff,
    }
}
