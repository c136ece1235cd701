//! The loop that executes blocks, counts steps and stops exactly where it was told to.
//!
//! **The fast path** is [`Runner::run`]: look the block up, execute its ops, count them, repeat. Before each
//! block it looks at three things only: whether the block fits before the stop, whether somebody kicked, and
//! the one flag [`attention`](crate::memory::Memory::attention), which whoever changes anything else sets.
//!
//! **The slow path**, [`Runner::attend`], is taken when that flag is set. It delivers events, reports exits,
//! opens the interrupt window, and, while the guest steps itself, has breakpoints or stands in an interrupt
//! shadow, executes one instruction at a time.
//!
//! **The cursor.** When a block is left within, because the monitor wanted to stop there or because only one
//! instruction was to be executed, the rest of it is executed later as the rest of *this* block. Looking up
//! the address in the middle instead would do what the guest did not: walk page tables, mark them, replace
//! entries of the buffers. So a run that is stopped and one that is not leave the same memory behind.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use outlive_engine::{Exit, InterruptShadow, PendingEvent, UnhandledExit};

use crate::block::{Block, Blocks, CodeSize, Place};
use crate::cpu::{Cpu, not_canonical, number};
use crate::decode;
use crate::fault::{Abort, Reason};
use crate::flags::bit;
use crate::memory::{PAGE_BITS, PAGE_SIZE};
use crate::op::{Op, Step};
use crate::system::{debug, interrupt};

/// A processor with its decoded code.
#[derive(Debug)]
pub(crate) struct Runner {
    pub(crate) cpu: Cpu,
    blocks: Blocks,
    cursor: Option<Cursor>,
    /// Whether an exit is wanted as soon as an interrupt can be taken.
    window_wanted: bool,
    pub(crate) kicked: Arc<AtomicBool>,
}

/// The rest of a block.
#[derive(Debug)]
struct Cursor {
    ops: Rc<[Op]>,
    /// The op that comes next.
    next: usize,
    /// Where the block begins.
    start: u64,
}

/// How a stretch of ops ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    /// With its last op. RIP stands behind it.
    Whole,
    /// Elsewhere. RIP stands where execution goes on.
    Left,
}

impl Runner {
    pub(crate) fn new(cpu: Cpu) -> Self {
        Self { cpu, blocks: Blocks::new(), cursor: None, window_wanted: false, kicked: Arc::default() }
    }

    /// Forgets everything that is not the guest's state: translations and decoded code.
    pub(crate) fn forget(&mut self) {
        self.cpu.memory.forget();
        self.blocks.clear();
        self.cursor = None;
        self.cpu.exit = None;
        self.cpu.attend();
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
        let left = self.cpu.stop_at - self.cpu.retired;
        match self.blocks.jump(self.cpu.rip, self.cpu.memory.mode, code_size(&self.cpu)) {
            Some(ops) if ops.len() as u64 <= left => {
                let rip = self.cpu.rip;
                execute(&mut self.cpu, ops, rip);
            }
            _ => self.run_part(usize::try_from(left).unwrap_or(usize::MAX)),
        }
    }

    /// Executes at most `most` ops of the block at RIP. If some are left, the cursor stands on them.
    fn run_part(&mut self, most: usize) {
        let cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => match self.block() {
                Ok(ops) => Cursor { ops, next: 0, start: self.cpu.rip },
                Err(Abort) => return aborted(&mut self.cpu, None),
            },
        };
        let end = cursor.ops.len().min(cursor.next.saturating_add(most));
        let ended = execute(&mut self.cpu, &cursor.ops[cursor.next..end], cursor.start);
        if ended == Ended::Whole && end < cursor.ops.len() {
            self.cursor = Some(Cursor { next: end, ..cursor });
            self.cpu.attend();
        }
    }

    /// Looks at everything that may come before the next block, in the order of Intel SDM volume 3, 7.9.
    fn attend(&mut self) -> Option<Exit> {
        loop {
            if let Some(exit) = self.pending_exit() {
                return Some(exit);
            }
            self.take_over_writes();
            // An exception is a step of its own.
            let is_stopped = self.cpu.retired == self.cpu.stop_at;
            if is_stopped && matches!(self.cpu.pending, Some(PendingEvent::Exception { .. })) {
                return None;
            }
            if let Some(event) = self.cpu.pending.take() {
                self.cursor = None;
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
                self.step();
            } else if self.cursor.is_some() || self.cpu.flags.has(bit::RF) {
                // RF lasts until the next instruction begins (Intel SDM volume 3, 18.3.1.1).
                self.cpu.flags.set_control(bit::RF, false);
                let left = self.cpu.stop_at - self.cpu.retired;
                self.run_part(usize::try_from(left).unwrap_or(usize::MAX));
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

    /// Forgets code that was written over, by instructions or by devices, and translations if asked to.
    fn take_over_writes(&mut self) {
        if let Some(flush) = self.cpu.memory.take_flush() {
            self.blocks.forget_jumps(flush);
            self.cursor = None;
        }
        for page in self.cpu.memory.take_written_code() {
            self.blocks.invalidate(page);
            self.cursor = None;
        }
    }

    /// Whether the next instruction is to be executed alone.
    fn goes_by_steps(&self) -> bool {
        self.cpu.shadow != InterruptShadow::None
            || self.cpu.memory.mmio.is_answered()
            || self.cpu.flags.has(bit::TF)
            || debug::is_armed(&self.cpu)
    }

    /// Executes one instruction, and what follows it: the end of a shadow, a trap.
    pub(crate) fn step(&mut self) {
        let (shadow, traps) = (self.cpu.shadow, self.cpu.flags.has(bit::TF));
        let before = self.cpu.retired;
        let stop_at = std::mem::replace(&mut self.cpu.stop_at, before + 1);
        self.cpu.memory.mmio.begin();
        self.step_within(shadow, traps);
        self.cpu.stop_at = stop_at;
    }

    fn step_within(&mut self, shadow: InterruptShadow, traps: bool) {
        let before = self.cpu.retired;
        debug::before_instruction(&mut self.cpu);
        if debug::is_armed(&self.cpu) && debug::breaks_at(&mut self.cpu) {
            self.cursor = None;
            return;
        }
        self.cpu.flags.set_control(bit::RF, false);
        self.run_part(1);
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

    /// The ops of the block at RIP.
    fn block(&mut self) -> Result<Rc<[Op]>, Abort> {
        let (rip, size) = (self.cpu.rip, code_size(&self.cpu));
        let mode = self.cpu.memory.mode;
        if let Some(ops) = self.blocks.jump(rip, mode, size) {
            return Ok(Rc::clone(ops));
        }
        let linear = self.cpu.code_address()?;
        let physical = self.cpu.memory.fetch(linear)?.0;
        if self.cpu.memory.ram.page(physical >> PAGE_BITS).is_none() {
            return self.cpu.memory.abort(code_outside_of_ram(rip));
        }
        let place = Place { physical, size };
        let known = self.blocks.find(rip, place).map(Rc::clone);
        let block = match known {
            Some(block) if self.reaches_the_same_page(&block, linear)? => block,
            _ => {
                let block = decode::block(&mut self.cpu, decode::Entry { rip, linear, physical, size })?;
                self.cpu.memory.watch_code(physical >> PAGE_BITS);
                block.second_page.into_iter().for_each(|page| self.cpu.memory.watch_code(page));
                self.blocks.insert(place, Rc::clone(&block));
                block
            }
        };
        let is_global = self.cpu.memory.is_global_code(linear);
        let ops = Rc::clone(&block.ops);
        self.blocks.remember_jump(rip, mode, is_global, place, block);
        Ok(ops)
    }

    /// Whether the last instruction of a known block is still the same, if it reaches into another page.
    fn reaches_the_same_page(&mut self, block: &Block, linear: u64) -> Result<bool, Abort> {
        let Some(page) = block.second_page else { return Ok(true) };
        let next = (linear | (PAGE_SIZE - 1)).wrapping_add(1);
        match self.cpu.memory.fetch(next) {
            Ok(physical) => Ok(physical.0 >> PAGE_BITS == page),
            // The last instruction faults; those before it do not. A block that is decoded anew ends there.
            Err(Abort) if block.ops.len() > 1 => Ok(false),
            Err(Abort) => Err(Abort),
        }
    }
}

fn code_size(cpu: &Cpu) -> CodeSize {
    if cpu.is_long() { CodeSize::Long } else { CodeSize::Compatibility }
}

/// Executes ops of a block that begins at `start`, one after the other.
#[inline]
fn execute(cpu: &mut Cpu, ops: &[Op], start: u64) -> Ended {
    cpu.registers[usize::from(number::BLOCK)] = start;
    for (done, op) in ops.iter().enumerate() {
        match (op.execute)(cpu, op) {
            Ok(Step::Next) => {}
            Ok(step) => {
                cpu.retired += done as u64 + 1;
                match step {
                    Step::Next | Step::Jump => {}
                    Step::Again => stay(cpu, op),
                    Step::Leave => cpu.rip = cpu.rip_after(op),
                }
                return Ended::Left;
            }
            Err(Abort) => {
                cpu.retired += done as u64;
                cpu.rip = cpu.rip_of(op);
                aborted(cpu, Some(op));
                return Ended::Left;
            }
        }
    }
    cpu.retired += ops.len() as u64;
    if let Some(last) = ops.last() {
        cpu.rip = cpu.rip_after(last);
    }
    Ended::Whole
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

/// The guest executes what is not memory.
pub(crate) fn code_outside_of_ram(rip: u64) -> Reason {
    unhandled("code outside of RAM", format!("instructions at {rip:#x} are not in RAM"))
}

/// Something that this processor does not do.
pub(crate) fn unhandled(name: &str, detail: String) -> Reason {
    Reason::Exit(Exit::Unhandled(UnhandledExit { name: name.to_owned(), detail }))
}
