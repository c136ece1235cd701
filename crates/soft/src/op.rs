//! Decoded instructions: small words with everything that execution needs.
//!
//! An instruction is decoded once into an [`Op`], which names the function that executes it (specialised by
//! operation, width and kinds of operands) and holds its operands. So executing is one indirect call, with
//! nothing left to find out.

use crate::cpu::Cpu;
use crate::fault::Abort;

/// Executes an op.
///
/// It must not change anything that software can see before the last thing that can abort. What it returns
/// tells how to go on. The calling convention is spelled out because [`native`](crate::native) code calls these
/// functions too.
pub(crate) type Execute = extern "sysv64-unwind" fn(&mut Cpu, &Op) -> Result<Step, Abort>;

/// How to go on behind an instruction that completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Step {
    /// With the next op of the block.
    Next,
    /// With the instruction at [`Cpu::rip`], which the op has set: a jump was taken.
    Jump,
    /// With the instruction behind this one, but out of this block: the op changed what blocks depend on
    /// (paging, privilege, code), interrupts must be looked at, or the monitor must be told something
    /// ([`Cpu::exit`], a write outside of RAM).
    Leave,
    /// With the same instruction: one iteration of a REP string is done, and another one comes.
    Again,
}

/// Bits of [`Op::segment`].
///
/// Zero is the common case, an address that needs no more than a sum.
pub(crate) mod address {
    /// One more than the number of the segment whose base is added (see [`segment`](super::segment)), or 0
    /// for none.
    pub(crate) const SEGMENT: u8 = 7;
    /// The offset has 32 bits.
    pub(crate) const DWORD: u8 = 1 << 3;
    /// The offset has 16 bits.
    pub(crate) const WORD: u8 = 1 << 4;
    /// The segment's limit and type are checked: compatibility mode.
    pub(crate) const CHECKED: u8 = 1 << 5;
    /// [`Op::displacement`](super::Op::displacement) is 2^32 less than it ought to be.
    pub(crate) const WRAPPED: u8 = 1 << 6;
}

/// Numbers of the segment registers, as instructions encode them.
pub(crate) mod segment {
    pub(crate) const ES: u8 = 0;
    pub(crate) const CS: u8 = 1;
    pub(crate) const SS: u8 = 2;
    pub(crate) const DS: u8 = 3;
    pub(crate) const FS: u8 = 4;
    pub(crate) const GS: u8 = 5;
}

/// Bits of [`Op::flags`].
pub(crate) mod property {
    /// The memory operand is in the stack segment, so that a bad address is #SS instead of #GP.
    pub(crate) const STACK: u8 = 1 << 0;
    /// The instruction has a REP or REPE prefix.
    pub(crate) const REP: u8 = 1 << 1;
    /// The instruction has a REPNE prefix.
    pub(crate) const REPNE: u8 = 1 << 2;
    /// The instruction is decoded for compatibility mode.
    pub(crate) const COMPATIBILITY: u8 = 1 << 3;
}

/// A decoded instruction: 32 bytes, two to a cache line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Op {
    /// What executes it.
    pub(crate) execute: Execute,
    /// An immediate operand, sign-extended to 64 bits; the target of a near branch, counted from the block's
    /// first byte; or what else the function wants.
    pub(crate) immediate: u64,
    /// Part of the memory operand's address.
    pub(crate) displacement: i32,
    /// The first register operand, in the numbering of [`Cpu::get`]; for other registers than the general
    /// ones, their number.
    pub(crate) a: u8,
    /// The second register operand.
    pub(crate) b: u8,
    /// The memory operand's base register.
    pub(crate) base: u8,
    /// Its index register.
    pub(crate) index: u8,
    /// log2 of what the index is multiplied by.
    pub(crate) scale: u8,
    /// How the address is made: see [`address`].
    pub(crate) segment: u8,
    /// Where the instruction begins, counted from the block's first byte.
    pub(crate) start: u16,
    /// Where it ends.
    pub(crate) end: u16,
    /// See [`property`].
    pub(crate) flags: u8,
    /// Whatever the function wants.
    pub(crate) extra: u8,
}

impl Op {
    /// Whether a property is set.
    #[inline]
    pub(crate) fn is(&self, property: u8) -> bool {
        self.flags & property != 0
    }
}

const _: () = assert!(size_of::<Op>() == 32);
