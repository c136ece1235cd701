//! Single-step traps and breakpoints (Intel SDM volume 3, 18.2 and 18.3).
//!
//! As long as TF or a breakpoint is set, the run loop executes one instruction at a time and asks here: before
//! it, whether there is an instruction breakpoint; behind it, whether a trap follows. A trap is an exception
//! that is pending, so that it is part of the state between two instructions.
//!
//! Three kinds of instructions decide about the trap themselves ([`Cpu::trap_is_decided`]):
//!
//! * software interrupts clear TF, and no trap follows (18.3.1.4);
//! * SYSCALL and SYSRET heed the new TF instead of the old one, so that a kernel can mask it;
//! * one that faults is not followed by a trap, for it did not complete.
//!
//! A load of SS holds everything back until the next instruction is done (7.8.3): no trap follows it, data
//! breakpoints that it hit are forgotten, and so is an instruction breakpoint behind it.

use outlive_engine::{Activity, InterruptShadow, PendingEvent};

use super::interrupt;
use crate::cpu::Cpu;
use crate::fault::vector;
use crate::flags::bit;
use crate::memory::watch::Point;

/// Bits of DR6.
pub(super) mod status {
    /// B0 to B3: the breakpoints that were hit.
    pub(crate) const HITS: u64 = 0xf;
    /// BD: a debug register was used although DR7.GD is set.
    pub(crate) const DETECTED: u64 = 1 << 13;
    /// BS: the trap of TF.
    pub(crate) const STEP: u64 = 1 << 14;
}

/// CR4.DE: breakpoints on ports exist, and DR4 and DR5 do not.
pub(super) const DEBUG_EXTENSIONS: u64 = 1 << 3;

/// What hits a breakpoint: its field R/W in DR7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trigger {
    Execution,
    Write,
    Port,
    Access,
}

/// An enabled breakpoint.
#[derive(Clone, Copy, Debug)]
struct Breakpoint {
    number: u8,
    trigger: Trigger,
    address: u64,
    bytes: u64,
}

/// The enabled breakpoints (Intel SDM volume 3, 18.2.4 and 18.2.5).
fn breakpoints(cpu: &Cpu) -> impl Iterator<Item = Breakpoint> {
    let (debug, has_ports) = (cpu.debug, cpu.control.cr4 & DEBUG_EXTENSIONS != 0);
    (0..4).filter(move |number| debug.control >> (2 * number) & 3 != 0).filter_map(move |number| {
        let fields = debug.control >> (16 + 4 * number);
        let trigger = match fields & 3 {
            0 => Trigger::Execution,
            1 => Trigger::Write,
            // Undefined without the extensions: there is no such breakpoint.
            2 if has_ports => Trigger::Port,
            2 => return None,
            _ => Trigger::Access,
        };
        let bytes = [1, 2, 8, 4][(fields >> 2 & 3) as usize];
        let address = debug.address[number as usize];
        Some(Breakpoint { number: number as u8, trigger, address, bytes })
    })
}

/// To be called when DR0 to DR3, DR7 or CR4 were set: takes over which data is watched.
pub(crate) fn registers_changed(cpu: &mut Cpu) {
    let watched = breakpoints(cpu).filter(|point| matches!(point.trigger, Trigger::Write | Trigger::Access));
    let points = watched.map(|point| Point {
        number: point.number,
        address: point.address & !(point.bytes - 1),
        bytes: point.bytes,
        reads: point.trigger == Trigger::Access,
    });
    let points = points.collect();
    cpu.memory.set_watch(points);
    cpu.attend();
}

/// Whether any breakpoint is enabled, so that instructions have to be executed one by one.
pub(crate) fn is_armed(cpu: &Cpu) -> bool {
    cpu.debug.control & 0xff != 0
}

/// To be called before an instruction is executed by itself: forgets what is known of the one before.
pub(crate) fn before_instruction(cpu: &mut Cpu) {
    cpu.trap_is_decided = false;
    cpu.memory.watch.hits = 0;
}

/// Raises #DB if there is a breakpoint on the instruction at RIP. Whether there was one.
pub(crate) fn breaks_at(cpu: &mut Cpu) -> bool {
    // An instruction that waited for an answer has passed its breakpoint.
    let is_held = cpu.shadow == InterruptShadow::MovSs || cpu.memory.mmio.is_answered();
    if is_held || cpu.flags.has(bit::RF) {
        return false;
    }
    let linear = match cpu.is_long() {
        true => cpu.rip,
        false => cpu.segments.cs.base.wrapping_add(cpu.rip) & 0xffff_ffff,
    };
    let on_it =
        breakpoints(cpu).filter(|point| point.trigger == Trigger::Execution && point.address == linear);
    let hits = on_it.fold(0, |hits, point| hits | 1 << point.number);
    if hits != 0 {
        set_status(cpu, hits);
        interrupt::raise_breakpoint(cpu);
    }
    hits != 0
}

/// An instruction has used `bytes` ports from `port` on.
pub(super) fn note_port(cpu: &mut Cpu, port: u16, bytes: usize) {
    let (first, last) = (u64::from(port), u64::from(port) + bytes as u64 - 1);
    let on_it = breakpoints(cpu).filter(|point| {
        let begin = point.address & !(point.bytes - 1);
        point.trigger == Trigger::Port && begin <= last && first < begin.saturating_add(point.bytes)
    });
    cpu.memory.watch.hits |= on_it.fold(0, |hits, point| hits | 1 << point.number);
}

/// Follows an instruction that began with RFLAGS.TF as `traps` tells: makes #DB pending if it hit a data or I/O
/// breakpoint or is to be followed by a trap.
pub(crate) fn after_instruction(cpu: &mut Cpu, traps: bool) {
    let hits = u64::from(std::mem::take(&mut cpu.memory.watch.hits));
    let steps = traps && !std::mem::take(&mut cpu.trap_is_decided);
    let bits = hits | if steps { status::STEP } else { 0 };
    if bits != 0 && cpu.shadow != InterruptShadow::MovSs {
        trap(cpu, bits);
    }
}

/// Makes #DB pending, with these bits of DR6.
pub(super) fn trap(cpu: &mut Cpu, bits: u64) {
    let is_pending = cpu.pending.is_some();
    let kept = if is_pending { cpu.debug.status & status::HITS } else { 0 };
    set_status(cpu, kept | bits);
    cpu.pending = Some(PendingEvent::Exception { vector: vector::DEBUG, error_code: None });
    cpu.activity = Activity::Running;
    cpu.attend();
}

/// Sets bits of DR6. The processor never clears the others but B0 to B3 (Intel SDM volume 3, 18.2.3).
pub(super) fn set_status(cpu: &mut Cpu, bits: u64) {
    cpu.debug.status = cpu.debug.status & !status::HITS | bits;
}

impl Cpu {
    /// No trap follows the instruction under way, and breakpoints that it hit are forgotten.
    pub(super) fn debug_is_settled(&mut self) {
        self.trap_is_decided = true;
        self.memory.watch.hits = 0;
    }

    /// The trap behind the instruction under way depends on the flags that it has set.
    pub(super) fn trap_by_new_flags(&mut self) {
        self.trap_is_decided = true;
        if self.flags.has(bit::TF) {
            trap(self, status::STEP);
        }
    }
}

#[cfg(test)]
mod tests;
