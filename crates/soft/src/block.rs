//! Decoded code, kept by physical page.
//!
//! A *block* is a run of instructions with one entry. Blocks are found in two steps: the *jump cache* knows
//! the blocks at recently executed addresses, as long as their translations hold; behind it, blocks are kept
//! by the physical address of their first byte, for as long as nobody writes to their page. So a change of
//! address space costs a few look-ups and no decoding.
//!
//! A void entry of the jump cache is still worth something: if its address leads to the same physical address
//! as before, its block is the right one.
//!
//! **Determinism.** What is in the jump cache can be seen by nobody: the translations that it takes the place of
//! are kept by [`Memory`](crate::memory::Memory) until the guest makes the processor forget them, so that a miss
//! finds what a hit would have found.

use std::cell::Cell;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::memory::PAGE_BITS;
use crate::memory::circumstances::{Circumstances, CodeSize};
use crate::native::{Entry, Simple};
use crate::op::Op;

/// The most ops of all blocks together, 64 MiB: a guest may have code in all of its memory, and enter it at every
/// byte. When there are more, all blocks are forgotten, which nobody can see.
pub(crate) const MAX_OPS: usize = 2 << 20;
/// Entries of the jump cache.
const JUMPS: usize = 8192;

/// A run of instructions.
#[derive(Debug)]
pub(crate) struct Block {
    /// One at least.
    pub(crate) ops: Rc<[Op]>,
    /// Of each op, what native code makes of it.
    pub(crate) simple: Box<[Simple]>,
    /// The number of the page behind the first one, if the last instruction reaches into it.
    pub(crate) second_page: Option<u64>,
    /// Whether its bytes are still those that were decoded.
    is_valid: Cell<bool>,
    /// How often it was executed op by op.
    pub(crate) heat: Cell<u32>,
    /// Its native code, if there is some.
    pub(crate) native: Cell<Option<Entry>>,
}

impl Block {
    pub(crate) fn new(ops: Vec<Op>, simple: Vec<Simple>, second_page: Option<u64>) -> Self {
        Self {
            ops: ops.into(),
            simple: simple.into(),
            second_page,
            is_valid: Cell::new(true),
            heat: Cell::new(0),
            native: Cell::new(None),
        }
    }
}

/// Where code is and how it is to be decoded: all that decides what a block is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Place {
    /// The physical address of the first byte.
    pub(crate) physical: u64,
    pub(crate) size: CodeSize,
}

/// An entry of the jump cache.
#[derive(Clone, Debug)]
pub(crate) struct Jump {
    rip: u64,
    circumstances: u64,
    pub(crate) block: Rc<Block>,
}

/// All decoded code.
#[derive(Debug)]
pub(crate) struct Blocks {
    jumps: Box<[Jump]>,
    /// Where each of them leads.
    places: Box<[Place]>,
    blocks: FxHashMap<Place, Rc<Block>>,
    /// How many ops the blocks have.
    ops: usize,
    /// The places of blocks that have bytes in a page, by its number.
    pages: FxHashMap<u64, Vec<Place>>,
}

fn jump_index(rip: u64) -> usize {
    (rip ^ rip >> 12) as usize % JUMPS
}

impl Blocks {
    /// No code.
    pub(crate) fn new() -> Self {
        let block = Rc::new(Block::new(Vec::new(), Vec::new(), None));
        // Circumstances that never are.
        let none = Jump { rip: 0, circumstances: 0, block };
        let nowhere = Place { physical: u64::MAX, size: CodeSize::Long };
        Self {
            jumps: vec![none; JUMPS].into(),
            places: vec![nowhere; JUMPS].into(),
            blocks: FxHashMap::default(),
            ops: 0,
            pages: FxHashMap::default(),
        }
    }

    /// The block at `rip`, if it was executed since its translation changed last.
    #[inline]
    pub(crate) fn jump(&self, rip: u64, now: &Circumstances) -> Option<&Rc<Block>> {
        let jump = &self.jumps[jump_index(rip)];
        (jump.rip == rip && now.are(jump.circumstances)).then_some(&jump.block)
    }

    /// Remembers where a jump leads under circumstances of this number.
    pub(crate) fn remember_jump(&mut self, rip: u64, circumstances: u64, place: Place, block: Rc<Block>) {
        self.jumps[jump_index(rip)] = Jump { rip, circumstances, block };
        self.places[jump_index(rip)] = place;
    }

    /// The number of the circumstances under which a jump was remembered.
    pub(crate) fn circumstances_of_jump(&self, rip: u64) -> u64 {
        self.jumps[jump_index(rip)].circumstances
    }

    /// The block at a place, which `rip` leads to.
    pub(crate) fn find(&self, rip: u64, place: Place) -> Option<&Rc<Block>> {
        let at = jump_index(rip);
        if self.places[at] == place && self.jumps[at].block.is_valid.get() {
            return Some(&self.jumps[at].block);
        }
        self.blocks.get(&place)
    }

    /// How many ops the blocks have.
    #[cfg(test)]
    pub(crate) fn ops(&self) -> usize {
        self.ops
    }

    /// Keeps a block, in place of the one that was there. Whether any block was forgotten for it: native code
    /// of that one must not be executed any more.
    pub(crate) fn insert(&mut self, place: Place, block: Rc<Block>) -> bool {
        let is_full = self.ops + block.ops.len() > MAX_OPS;
        if is_full {
            self.clear();
        }
        self.ops += block.ops.len();
        let first = place.physical >> PAGE_BITS;
        for page in [Some(first), block.second_page].into_iter().flatten() {
            let places = self.pages.entry(page).or_default();
            if !places.contains(&place) {
                places.push(place);
            }
        }
        let replaced = self.blocks.insert(place, block);
        if let Some(replaced) = &replaced {
            self.ops -= replaced.ops.len();
            replaced.is_valid.set(false);
        }
        is_full || replaced.is_some()
    }

    /// Forgets all code of a page that was written to. Jumps must be forgotten, too.
    pub(crate) fn invalidate(&mut self, page: u64) {
        for place in self.pages.remove(&page).unwrap_or_default() {
            if let Some(removed) = self.blocks.remove(&place) {
                self.ops -= removed.ops.len();
                removed.is_valid.set(false);
            }
        }
    }

    /// Forgets all code. Jumps must be forgotten, too.
    pub(crate) fn clear(&mut self) {
        self.blocks.drain().for_each(|(_, block)| block.is_valid.set(false));
        self.pages.clear();
        self.ops = 0;
    }
}
