//! Machine code for hot blocks, so that the host's branch prediction knows the guest's code.
//!
//! The loop that calls one op after the other makes every op an indirect call from one place, which no branch
//! predictor foresees once the guest's code is large. A block that was executed [`HOT`] times is therefore
//! turned into a row of direct calls: the same functions with the same ops, with nothing between them that
//! they could see. The simplest and most frequent instructions ([`simple`]) it does by itself ([`inline`]),
//! exactly as their functions do. So native code changes how fast a guest runs, and nothing else; whatever it
//! does not do itself it leaves to the functions and to the run loop.
//!
//! # Links
//!
//! Where a block ends, its code tries to go on without the run loop. A *link* remembers where execution went
//! from here the last time: RIP, the circumstances ([`circumstances`](crate::memory::circumstances)) and the
//! native code there. When all that still holds, the code jumps. Otherwise it returns the link to the run
//! loop, which looks the block up and fills the link for the next time. A flush of translations or a write to
//! code counts the epoch on, which is part of the circumstances, so that all links are void at once.
//!
//! # What the code checks
//!
//! Each block looks whether it fits before the next stop, and each link whether something wants attention.
//! Whether somebody kicked is looked at by the run loop, which lets native code run for a few thousand steps at
//! most ([`QUANTUM`]).
//!
//! # Registers
//!
//! RBX is the [`Cpu`] throughout. Everything else is the calling convention's: what a call may change is
//! changed.

mod arena;
mod emit;
mod inline;
mod simple;
#[cfg(test)]
mod tests;

use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Op, Step};
use arena::Arena;
pub(crate) use simple::Simple;

/// After how many executions a block is turned into machine code.
pub(crate) const HOT: u32 = 100;
/// How many steps native code may make before the run loop looks whether somebody kicked.
pub(crate) const QUANTUM: u64 = 20_000;

/// Which code a software engine turns into machine code of the host. It makes no difference to the guest.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum NativeCode {
    /// None.
    Never,
    /// What was executed some times, unless the host gives no memory that can be executed.
    #[default]
    WhenHot,
    /// What is executed for the second time: for tests.
    Always,
}

/// Native code of a block, as long as the arena is of the same generation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    address: u64,
    generation: u32,
}

/// Why native code came back.
#[derive(Debug)]
pub(crate) enum Returned {
    /// At the beginning of a block, to which it found no way: the link to be filled, if there is one.
    Here(Option<Link>),
    /// Within a block, behind the op at this position: what the op returned.
    Op(*const Op, u64, Result<Step, Abort>),
}

/// Where a block's code remembers what comes behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link(u64);

/// What native code returns, in RAX and RDX.
#[repr(C)]
#[derive(Clone, Copy)]
struct Raw {
    /// Bits 0 to 7: what the op returned, or 0; bits 8 to 31: its position in the block.
    outcome: u64,
    /// With an outcome, the op's address; else that of a link, or 0.
    pointer: u64,
}

/// What an op returns, as a byte.
fn outcome(result: Result<Step, Abort>) -> u8 {
    // SAFETY: the type has the size of a byte, which is checked here, and no byte of it is undefined.
    unsafe { std::mem::transmute::<Result<Step, Abort>, u8>(result) }
}

/// What an op returned.
fn result(byte: u8) -> Result<Step, Abort> {
    use Step::{Again, Jump, Leave, Next};
    let all = [Ok(Next), Ok(Jump), Ok(Leave), Ok(Again), Err(Abort)];
    all.into_iter().find(|&known| outcome(known) == byte).expect("an op returns one of five things")
}

/// All native code.
#[derive(Debug)]
pub(crate) struct Native {
    arena: Arena,
    /// Counts how often the arena was emptied.
    generation: u32,
    enter: u64,
    /// Where the code of blocks begins, behind the code that leads there.
    blocks: u64,
}

impl Native {
    /// Room for native code, unless the host refuses it.
    pub(crate) fn new() -> Option<Self> {
        let arena = Arena::new();
        let refused = |error: &rustix::io::Errno| {
            tracing::warn!(%error, "the host gives no memory that can be executed: blocks are interpreted");
        };
        let mut arena = arena.inspect_err(refused).ok()?;
        let enter = arena.append(&emit::enter())?;
        let blocks = arena.next();
        Some(Self { arena, generation: 0, enter, blocks })
    }

    /// Makes native code of a block. The ops must stay where they are for as long as the code is executed.
    pub(crate) fn compile(&mut self, ops: &[Op], simple: &[Simple]) -> Entry {
        loop {
            let code = emit::block(ops, simple, self.arena.next());
            if let Some(address) = self.arena.append(&code) {
                return Entry { address, generation: self.generation };
            }
            assert!(self.arena.next() > self.blocks, "a block fits into an empty arena");
            self.arena.truncate(self.blocks);
            self.generation += 1;
        }
    }

    /// Whether code is still there.
    #[inline]
    pub(crate) fn has(&self, entry: Entry) -> bool {
        entry.generation == self.generation
    }

    /// Counts the times that all code was forgotten: links from before must not be followed.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Executes a block and those that it is linked to.
    ///
    /// The code must be there ([`has`](Self::has)), and its block valid.
    #[inline]
    pub(crate) fn execute(&self, cpu: &mut Cpu, entry: Entry) -> Returned {
        assert!(self.has(entry), "code that was forgotten is not executed");
        // SAFETY: the arena holds code that `emit::enter` made at this address, with this signature.
        let enter: extern "sysv64-unwind" fn(&mut Cpu, u64) -> Raw =
            unsafe { std::mem::transmute(self.enter as usize as *const ()) };
        let raw = enter(cpu, entry.address);
        match (raw.outcome as u8, raw.pointer) {
            (0, 0) => Returned::Here(None),
            (0, link) => Returned::Here(Some(Link(link))),
            (byte, op) => Returned::Op(op as usize as *const Op, raw.outcome >> 8, result(byte)),
        }
    }

    /// Lets a link lead to native code from now on, when RIP is `rip` and the circumstances have this number.
    pub(crate) fn link(&mut self, link: Link, rip: u64, circumstances: u64, entry: Entry) {
        if self.has(entry) {
            emit::link_fields(rip, circumstances, entry.address)
                .into_iter()
                .for_each(|(offset, value)| self.arena.patch(link.0 + offset, value));
        }
    }
}
