//! Decoded code, kept by physical page.
//!
//! A *block* is a run of instructions with one entry. Blocks are found in two steps: the *jump cache* knows
//! the blocks at recently executed addresses, as long as their translations hold; behind it, blocks are kept
//! by the physical address of their first byte, for as long as nobody writes to their page. So a change of
//! address space costs a few look-ups and no decoding.
//!
//! **Epochs.** A flush of translations makes entries of the jump cache void by counting an *epoch* on. Code in
//! global pages of the upper half (a kernel's) has an epoch of its own, which changes of the address space
//! leave alone. A void entry is still worth something: if its address leads to the same physical address as
//! before, its block is the right one.
//!
//! **Determinism.** The jump cache holds translations, as the translation buffer does, so what is in it must
//! follow from what the guest executed, and not from where the monitor stopped it: see the cursor in
//! [`run`](crate::run).

use std::cell::Cell;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::memory::tlb::Mode;
use crate::memory::{Flush, PAGE_BITS};
use crate::op::Op;

/// Entries of the jump cache.
const JUMPS: usize = 8192;

/// How code is to be decoded: what else than its bytes decides what instructions do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum CodeSize {
    /// 64-bit mode.
    Long,
    /// Compatibility mode with a default of 32 bits.
    Compatibility,
}

/// A run of instructions.
#[derive(Debug)]
pub(crate) struct Block {
    /// One at least.
    pub(crate) ops: Rc<[Op]>,
    /// The number of the page behind the first one, if the last instruction reaches into it.
    pub(crate) second_page: Option<u64>,
    /// Whether its bytes are still those that were decoded.
    is_valid: Cell<bool>,
}

impl Block {
    pub(crate) fn new(ops: Vec<Op>, second_page: Option<u64>) -> Self {
        Self { ops: ops.into(), second_page, is_valid: Cell::new(true) }
    }
}

/// Where code is and how it is to be decoded: all that decides what a block is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Place {
    /// The physical address of the first byte.
    pub(crate) physical: u64,
    pub(crate) size: CodeSize,
}

/// Under what circumstances a linear address leads to a block: who runs, what code size, and the epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Circumstances(u64);

/// An entry of the jump cache, with all that is needed to execute: 32 bytes, for what takes time here is
/// waiting for memory.
#[derive(Clone, Debug)]
struct Jump {
    rip: u64,
    circumstances: Circumstances,
    ops: Rc<[Op]>,
}

/// What else is known of an entry of the jump cache.
#[derive(Clone, Debug)]
struct Target {
    place: Place,
    block: Rc<Block>,
}

/// All decoded code.
#[derive(Debug)]
pub(crate) struct Blocks {
    jumps: Box<[Jump]>,
    /// Of each jump.
    targets: Box<[Target]>,
    local_epoch: u64,
    global_epoch: u64,
    blocks: FxHashMap<Place, Rc<Block>>,
    /// The places of blocks that have bytes in a page, by its number.
    pages: FxHashMap<u64, Vec<Place>>,
}

fn jump_index(rip: u64) -> usize {
    (rip ^ rip >> 12) as usize % JUMPS
}

impl Blocks {
    /// No code.
    pub(crate) fn new() -> Self {
        let nowhere = Target {
            place: Place { physical: u64::MAX, size: CodeSize::Long },
            block: Rc::new(Block::new(Vec::new(), None)),
        };
        // Of an epoch that never is.
        let none = Jump { rip: 0, circumstances: Circumstances(0), ops: Rc::clone(&nowhere.block.ops) };
        Self {
            jumps: vec![none; JUMPS].into(),
            targets: vec![nowhere; JUMPS].into(),
            local_epoch: 1,
            global_epoch: 1,
            blocks: FxHashMap::default(),
            pages: FxHashMap::default(),
        }
    }

    #[inline]
    fn circumstances(&self, mode: Mode, size: CodeSize, is_global: bool) -> Circumstances {
        let epoch = if is_global { self.global_epoch } else { self.local_epoch };
        Circumstances(epoch << 8 | u64::from(is_global) << 7 | (mode as u64) << 1 | size as u64)
    }

    /// The ops of the block at `rip`, if it was executed since its translation changed last.
    #[inline]
    pub(crate) fn jump(&self, rip: u64, mode: Mode, size: CodeSize) -> Option<&Rc<[Op]>> {
        let jump = &self.jumps[jump_index(rip)];
        let is_right = jump.rip == rip
            && (jump.circumstances == self.circumstances(mode, size, false)
                || jump.circumstances == self.circumstances(mode, size, true));
        is_right.then_some(&jump.ops)
    }

    /// Remembers where a jump leads.
    pub(crate) fn remember_jump(
        &mut self,
        rip: u64,
        mode: Mode,
        is_global: bool,
        place: Place,
        block: Rc<Block>,
    ) {
        let circumstances = self.circumstances(mode, place.size, is_global);
        self.jumps[jump_index(rip)] = Jump { rip, circumstances, ops: Rc::clone(&block.ops) };
        self.targets[jump_index(rip)] = Target { place, block };
    }

    /// Translations may have changed.
    pub(crate) fn forget_jumps(&mut self, flush: Flush) {
        self.local_epoch += 1;
        if flush == Flush::All {
            self.global_epoch += 1;
        }
    }

    /// The block at a place, which `rip` leads to.
    pub(crate) fn find(&self, rip: u64, place: Place) -> Option<&Rc<Block>> {
        let target = &self.targets[jump_index(rip)];
        if target.place == place && target.block.is_valid.get() {
            return Some(&target.block);
        }
        self.blocks.get(&place)
    }

    /// Keeps a block, in place of the one that was there.
    pub(crate) fn insert(&mut self, place: Place, block: Rc<Block>) {
        let first = place.physical >> PAGE_BITS;
        for page in [Some(first), block.second_page].into_iter().flatten() {
            let places = self.pages.entry(page).or_default();
            if !places.contains(&place) {
                places.push(place);
            }
        }
        if let Some(replaced) = self.blocks.insert(place, block) {
            replaced.is_valid.set(false);
        }
    }

    /// Forgets all code of a page that was written to.
    pub(crate) fn invalidate(&mut self, page: u64) {
        for place in self.pages.remove(&page).unwrap_or_default() {
            if let Some(removed) = self.blocks.remove(&place) {
                removed.is_valid.set(false);
            }
        }
        self.forget_jumps(Flush::All);
    }

    /// Forgets all code.
    pub(crate) fn clear(&mut self) {
        self.blocks.drain().for_each(|(_, block)| block.is_valid.set(false));
        self.pages.clear();
        self.forget_jumps(Flush::All);
    }
}
