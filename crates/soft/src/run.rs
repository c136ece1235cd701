//! The loop that executes blocks, counts steps and stops exactly where it was told to.
//!
//! **The fast path** is [`Runner::run`]: look the block up, execute it, count, repeat. A block is executed by its
//! [`native`](crate::native) code, which goes on to the next blocks by itself, or op by op as long as it has
//! none. Before each block three things only are looked at: whether it fits before the stop, whether somebody
//! kicked, and the one flag [`attention`](crate::memory::Memory::attention), which whoever changes anything
//! else sets.
//!
//! **The slow path**, [`Runner::attend`], is taken when that flag is set. It delivers events, reports exits,
//! opens the interrupt window, and, while the guest steps itself, has breakpoints or stands in an interrupt
//! shadow, executes one instruction at a time.
//!
//! **Stops leave no trace.** Where the monitor stops a guest, a block is left within, and its rest becomes a block
//! of its own. Nobody can tell: what the processor would have to walk page tables for is remembered until the
//! guest makes it forget ([`memory`](crate::memory)), so a block more or less makes no difference to them.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outlive_engine::{Exit, InterruptShadow};

use crate::block::{Block, Blocks, Place};
use crate::cpu::{Cpu, not_canonical, number};
use crate::decode;
use crate::fault::{Abort, Reason, code_outside_of_ram};
use crate::flags::bit;
use crate::memory::{PAGE_BITS, next_page};
use crate::native::{Entry, HOT, Link, Native, NativeCode, QUANTUM, Returned};
use crate::op::{Op, Step};
use crate::system::{debug, interrupt};

/// A processor with its decoded code.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) cpu: Cpu,
    blocks: Blocks,
    native: Option<Native>,
    /// After how many executions a block gets native code.
    hot: u32,
    /// The link that native code found empty, and the RIP that it wants to lead to.
    unlinked: Option<(Link, u64)>,
    /// Whether an exit is wanted as soon as an interrupt can be taken.
    window_wanted: bool,
    pub(crate) kicked: Arc<AtomicBool>,
}

impl Runner {
    pub(crate) fn new(cpu: Cpu, native_code: NativeCode) -> Self {
        let (native, hot) = match native_code {
            NativeCode::Never => (None, 0),
            NativeCode::WhenHot => (Native::new(), HOT),
            NativeCode::Always => (Native::new(), 0),
        };
        let blocks = Blocks::new();
        Self { cpu, blocks, native, hot, unlinked: None, window_wanted: false, kicked: Arc::default() }
    }

    /// Forgets everything that is not the guest's state: translations and decoded code.
    pub(crate) fn forget(&mut self) {
        self.cpu.memory.forget();
        self.blocks.clear();
        self.unlinked = None;
        self.cpu.exit = None;
        self.cpu.attend();
    }

    /// How many ops all decoded blocks have.
    #[cfg(test)]
    pub(crate) fn decoded_ops(&self) -> usize {
        self.blocks.ops()
    }

    /// Sets whether [`Exit::InterruptWindow`] is wanted.
    pub(crate) fn want_window(&mut self, wanted: bool) {
        self.window_wanted = wanted;
        self.cpu.attend();
    }

    /// Whether an external interrupt would be delivered before the next instruction.
    pub(crate) fn can_take_interrupt(&self) -> bool {
        self.cpu.flags.has(bit::IF) && self.cpu.shadow == InterruptShadow::None && self.cpu.pending.is_none()
    }

    /// Executes until an exit, at most `limit` steps.
    pub(crate) fn run(&mut self, limit: u64) -> Exit {
        self.cpu.stop_at = self.cpu.retired.saturating_add(limit);
        self.cpu.memory.take_over_foreign_writes();
        loop {
            if self.cpu.memory.attention
                && let Some(exit) = self.attend()
            {
                return exit;
            }
            assert!(self.cpu.retired <= self.cpu.stop_at, "a stop is never passed");
            if self.cpu.retired == self.cpu.stop_at {
                return Exit::LimitReached;
            }
            if self.is_kicked() {
                return Exit::Kicked;
            }
            self.run_block();
        }
    }

    /// Executes the block at RIP, or as much of it as may be.
    #[inline]
    fn run_block(&mut self) {
        let rip = self.cpu.rip;
        let Some(block) = self.blocks.jump(rip, &self.cpu.memory.circumstances) else {
            return self.run_at_most(usize::MAX);
        };
        let left = self.cpu.stop_at - self.cpu.retired;
        if (block.ops.len() as u64) > left {
            return self.run_at_most(left as usize);
        }
        match (&self.native, block.native.get()) {
            (Some(native), Some(entry)) if native.has(entry) => {
                self.cpu.native_until = self.cpu.retired + left.min(QUANTUM);
                let returned = native.execute(&mut self.cpu, entry);
                self.came_back(rip, entry, returned);
            }
            _ => {
                block.heat.set(block.heat.get() + 1);
                if block.heat.get() > self.hot && self.native.is_some() {
                    return self.compile(rip);
                }
                execute(&mut self.cpu, &block.ops, rip);
            }
        }
    }

    /// Makes native code of the block that the jump cache has at `rip`.
    #[cold]
    fn compile(&mut self, rip: u64) {
        let (Some(native), Some(block)) =
            (&mut self.native, self.blocks.jump(rip, &self.cpu.memory.circumstances))
        else {
            return;
        };
        let generation = native.generation();
        block.native.set(Some(native.compile(&block.ops, &block.simple)));
        block.heat.set(0);
        if native.generation() != generation {
            // All other code is gone, so no link must be followed or filled.
            self.unlinked = None;
            self.cpu.memory.forget_links();
        }
    }

    /// Native code that was entered at `entered`, for the block at `rip`, came back.
    #[inline]
    fn came_back(&mut self, rip: u64, entry: Entry, returned: Returned) {
        if let Some((link, wanted)) = self.unlinked.take()
            && wanted == rip
            && let Some(native) = &mut self.native
        {
            let circumstances = self.blocks.circumstances_of_jump(rip);
            native.link(link, rip, circumstances, entry);
        }
        match returned {
            Returned::Here(link) => self.unlinked = link.map(|link| (link, self.cpu.rip)),
            // SAFETY: the op is one of a block that is valid, as code of others is not reached; and nothing has
            // been forgotten since.
            Returned::Op(op, done, result) => finish(&mut self.cpu, unsafe { &*op }, done, result),
        }
    }

    /// Executes at most `most` ops of the block at RIP.
    fn run_at_most(&mut self, most: usize) {
        let start = self.cpu.rip;
        let left = usize::try_from(self.cpu.stop_at - self.cpu.retired).unwrap_or(usize::MAX);
        match self.block() {
            Ok(block) => {
                let end = block.ops.len().min(most).min(left);
                execute(&mut self.cpu, &block.ops[..end], start);
            }
            Err(Abort) => aborted(&mut self.cpu, None),
        }
    }

    /// Looks at everything that may come before the next block, in the order of Intel SDM volume 3, 7.9.
    fn attend(&mut self) -> Option<Exit> {
        loop {
            if let Some(exit) = self.pending_exit() {
                return Some(exit);
            }
            self.take_over_writes();
            // The delivery of an event is a step of its own.
            if self.cpu.retired == self.cpu.stop_at && self.cpu.pending.is_some() {
                return None;
            }
            if let Some(event) = self.cpu.pending.take() {
                interrupt::deliver_event(&mut self.cpu, event);
                continue;
            }
            if self.window_wanted && !self.cpu.memory.mmio.is_answered() && self.can_take_interrupt() {
                return Some(Exit::InterruptWindow);
            }
            if self.cpu.retired == self.cpu.stop_at {
                return None;
            }
            if self.is_kicked() {
                return Some(Exit::Kicked);
            }
            if self.goes_by_steps() {
                self.step(self.goes_by_iterations());
            } else {
                // As long as the window is wanted, it has to be looked for before each block.
                self.cpu.memory.attention = self.window_wanted;
                return None;
            }
        }
    }

    /// Whether somebody kicked. Within an instruction that waits for a further answer, not yet.
    #[inline]
    fn is_kicked(&self) -> bool {
        self.kicked.load(Ordering::Relaxed)
            && !self.cpu.memory.mmio.is_answered()
            && self.kicked.swap(false, Ordering::Acquire)
    }

    /// What the last instruction wants to tell the monitor.
    fn pending_exit(&mut self) -> Option<Exit> {
        if let Some(write) = self.cpu.memory.mmio.next_write() {
            return Some(Exit::MmioWrite { address: write.address, bytes: write.bytes, value: write.value });
        }
        self.cpu.exit.take()
    }

    /// Forgets code that was written over, by instructions or by devices.
    fn take_over_writes(&mut self) {
        for page in self.cpu.memory.take_written_code() {
            self.unlinked = None;
            self.blocks.invalidate(page);
        }
    }

    /// Whether the next instruction is to be executed alone. With RF it is, for RF ends when that instruction begins
    /// (Intel SDM volume 3, 18.3.1.1), and not when somebody stops the guest before it.
    fn goes_by_steps(&self) -> bool {
        self.cpu.flags.has(bit::RF) || self.goes_by_iterations()
    }

    /// Whether of a REP string one iteration only is to be executed, for something may have to be done behind it. RF
    /// alone is no reason: it is set again between iterations, and nobody looks.
    fn goes_by_iterations(&self) -> bool {
        self.cpu.shadow != InterruptShadow::None
            || self.cpu.memory.mmio.is_answered()
            || self.cpu.flags.has(bit::TF)
            || debug::is_armed(&self.cpu)
    }

    /// Executes the instruction that waited for an answer and has got it.
    pub(crate) fn step_with_answer(&mut self) {
        self.cpu.memory.take_over_foreign_writes();
        self.take_over_writes();
        self.step(true);
    }

    /// Executes one instruction, and what follows it: the end of a shadow, a trap. Of a REP string it executes one
    /// iteration, or as many as the stop allows.
    fn step(&mut self, one_iteration: bool) {
        let (shadow, traps) = (self.cpu.shadow, self.cpu.flags.has(bit::TF));
        let stop_at = self.cpu.stop_at;
        if one_iteration {
            self.cpu.stop_at = self.cpu.retired + 1;
        }
        self.cpu.memory.mmio.begin();
        self.step_within(shadow, traps);
        self.cpu.stop_at = stop_at;
    }

    fn step_within(&mut self, shadow: InterruptShadow, traps: bool) {
        let before = self.cpu.retired;
        debug::before_instruction(&mut self.cpu);
        if debug::is_armed(&self.cpu) && debug::breaks_at(&mut self.cpu) {
            return;
        }
        self.cpu.flags.set_control(bit::RF, false);
        self.run_at_most(1);
        if self.cpu.memory.mmio.is_waiting() {
            return;
        }
        self.cpu.memory.mmio.finish();
        // A shadow lasts for one instruction, whether that completes or faults.
        if shadow != InterruptShadow::None && self.cpu.shadow == shadow {
            self.cpu.shadow = InterruptShadow::None;
        }
        if self.cpu.retired != before {
            debug::after_instruction(&mut self.cpu, traps);
        }
    }

    /// The block at RIP.
    fn block(&mut self) -> Result<Rc<Block>, Abort> {
        let rip = self.cpu.rip;
        if let Some(block) = self.blocks.jump(rip, &self.cpu.memory.circumstances) {
            return Ok(Rc::clone(block));
        }
        let linear = self.cpu.code_address()?;
        let physical = self.cpu.memory.fetch(linear)?.0;
        if self.cpu.memory.ram.page(physical >> PAGE_BITS).is_none() {
            return self.cpu.memory.abort(code_outside_of_ram(rip));
        }
        let place = Place { physical, size: self.cpu.code_size() };
        let known = self.blocks.find(rip, place).map(Rc::clone);
        let block = match known {
            Some(block) if self.reaches_the_same_page(&block, linear)? => block,
            _ => self.decode(decode::Entry { rip, linear, physical, size: place.size })?,
        };
        let circumstances = self.cpu.memory.circumstances_of_code(linear, block.second_page.is_some());
        self.blocks.remember_jump(rip, circumstances, place, Rc::clone(&block));
        Ok(block)
    }

    fn decode(&mut self, entry: decode::Entry) -> Result<Rc<Block>, Abort> {
        let block = decode::block(&mut self.cpu, entry)?;
        let first = entry.physical >> PAGE_BITS;
        [Some(first), block.second_page]
            .into_iter()
            .flatten()
            .for_each(|page| self.cpu.memory.watch_code(page));
        if self.blocks.insert(Place { physical: entry.physical, size: entry.size }, Rc::clone(&block)) {
            // Native code of blocks that are gone must not be reached.
            self.unlinked = None;
            self.cpu.memory.forget_links();
        }
        Ok(block)
    }

    /// Whether the instruction of a known block is still the same, if it reaches into another page.
    fn reaches_the_same_page(&mut self, block: &Block, linear: u64) -> Result<bool, Abort> {
        let Some(page) = block.second_page else { return Ok(true) };
        let next = self.cpu.memory.fetch(next_page(linear))?;
        Ok(next.0 >> PAGE_BITS == page)
    }
}

/// Executes ops of a block that begins at `start`, one after the other.
#[inline]
fn execute(cpu: &mut Cpu, ops: &[Op], start: u64) {
    cpu.registers[usize::from(number::BLOCK)] = start;
    for (done, op) in ops.iter().enumerate() {
        match (op.execute)(cpu, op) {
            Ok(Step::Next) => {}
            result => return finish(cpu, op, done as u64, result),
        }
    }
    cpu.retired += ops.len() as u64;
    if let Some(last) = ops.last() {
        cpu.rip = cpu.rip_after(last);
    }
}

/// A block ends with `op`, after `done` other ones.
#[inline]
fn finish(cpu: &mut Cpu, op: &Op, done: u64, result: Result<Step, Abort>) {
    cpu.retired += done + u64::from(result.is_ok());
    match result {
        Ok(Step::Jump) => {}
        Ok(Step::Again) => stay(cpu, op),
        Ok(Step::Leave | Step::Next) => cpu.rip = cpu.rip_after(op),
        Err(Abort) => {
            cpu.rip = cpu.rip_of(op);
            aborted(cpu, Some(op));
        }
    }
}

/// A REP string has iterations left. Events in between find RF set, so that its breakpoint does not come again
/// (Intel SDM volume 3, 18.3.1.1).
fn stay(cpu: &mut Cpu, op: &Op) {
    cpu.rip = cpu.rip_of(op);
    cpu.flags.set_control(bit::RF, true);
    cpu.attend();
}

/// The instruction at RIP was given up: raises its exception, or prepares its exit. `op` is the instruction,
/// unless it could not even be fetched.
#[cold]
fn aborted(cpu: &mut Cpu, op: Option<&Op>) {
    let exception = match cpu.memory.reason.take().expect("whoever aborts says why") {
        Reason::Exception(exception) => exception,
        Reason::NotCanonical => not_canonical(op),
        Reason::Exit(exit) => {
            if !matches!(exit, Exit::Unhandled(_)) {
                cpu.memory.mmio.wait();
            }
            cpu.exit = Some(exit);
            cpu.attend();
            return;
        }
    };
    interrupt::raise(cpu, exception);
}

#[cfg(test)]
mod tests;
