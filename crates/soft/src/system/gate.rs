//! The way through a gate of the IDT (Intel SDM volume 3, 7.12 and 7.14; volume 2, INT n).
//!
//! Everything is looked up and checked first, the whole frame included. Then the frame is written, which
//! cannot fail any more, and the registers change last. So a delivery that faults leaves the registers as they
//! were.
//!
//! Tables are read as a supervisor. The frame is written with the rights of the handler's privilege level.

use outlive_engine::{Exit, InterruptShadow, Segment};

use super::descriptor::{Descriptor, Selector, kind, null_segment};
use super::interrupt::{Event, Source};
use crate::cpu::{Cpu, number};
use crate::fault::{Abort, Exception, Reason, vector};
use crate::flags::bit;
use crate::memory::is_canonical;
use crate::memory::tlb::Mode;

/// DR7.GD: see [`debug_registers`](super::debug_registers).
const GENERAL_DETECT: u64 = 1 << 13;

/// A gate of 16 bytes.
#[derive(Clone, Copy, Debug)]
struct Gate {
    selector: Selector,
    offset: u64,
    /// The number of the stack in the TSS, or 0.
    stack: u8,
    clears_interrupts: bool,
}

/// Where a gate leads.
#[derive(Clone, Copy, Debug)]
struct Target {
    code: Segment,
    rip: u64,
    privilege: u8,
    /// Where the frame ends.
    stack: u64,
}

/// Calls the handler of an event. `rip` is where it returns to. On an abort, nothing has changed but accessed
/// bits.
pub(super) fn enter(cpu: &mut Cpu, event: &Event, rip: u64) -> Result<(), Abort> {
    match enter_within(cpu, event, rip) {
        Ok(()) => Ok(()),
        Err(Abort) => refuse_tables_outside_of_ram(cpu, event),
    }
}

fn enter_within(cpu: &mut Cpu, event: &Event, rip: u64) -> Result<(), Abort> {
    let gate = gate(cpu, event)?;
    let target = target(cpu, event, &gate)?;
    let changes = target.privilege != cpu.privilege();
    let frame = frame(cpu, event, rip);
    let stack = push(cpu, event, &target, &frame[usize::from(event.error_code.is_none())..])?;
    commit(cpu, event, &gate, &target);
    *cpu.register_mut(number::RSP) = stack;
    if changes {
        cpu.segments.ss = null_segment(Selector(target.privilege.into()), target.privilege);
    }
    cpu.privilege_changed();
    Ok(())
}

/// Reads and checks the gate of a vector.
fn gate(cpu: &mut Cpu, event: &Event) -> Result<Gate, Abort> {
    let offset = u64::from(event.vector) * 16;
    let code = u32::from(event.vector) << 3 | 2 | event.external();
    if offset + 15 > u64::from(cpu.idt.limit) {
        return cpu.raise(Exception::with_code(vector::GENERAL_PROTECTION, code));
    }
    let address = cpu.idt.base.wrapping_add(offset);
    let low = Descriptor(u64::from_le_bytes(cpu.memory.read_system(address)?));
    let high = u64::from_le_bytes(cpu.memory.read_system(address.wrapping_add(8))?);
    let is_gate = !low.is_segment() && matches!(low.kind(), kind::INTERRUPT_GATE | kind::TRAP_GATE);
    let is_allowed = event.source != Source::Software || low.privilege() >= cpu.privilege();
    if !is_gate || !is_allowed {
        return cpu.raise(Exception::with_code(vector::GENERAL_PROTECTION, code));
    }
    if !low.is_present() {
        return cpu.raise(Exception::with_code(vector::SEGMENT_NOT_PRESENT, code));
    }
    Ok(Gate {
        selector: Selector((low.0 >> 16) as u16),
        offset: low.0 & 0xffff | low.0 >> 32 & 0xffff_0000 | high << 32,
        stack: (low.0 >> 32 & 7) as u8,
        clears_interrupts: low.kind() == kind::INTERRUPT_GATE,
    })
}

/// Reads and checks the handler's code segment, and finds its stack.
fn target(cpu: &mut Cpu, event: &Event, gate: &Gate) -> Result<Target, Abort> {
    let fault = |vector, code: u16| Exception::with_code(vector, u32::from(code & !3) | event.external());
    let selector = gate.selector;
    if selector.is_null() {
        return cpu.raise(fault(vector::GENERAL_PROTECTION, 0));
    }
    let Some(descriptor) = cpu.descriptor(selector)? else {
        return cpu.raise(fault(vector::GENERAL_PROTECTION, selector.0));
    };
    let privilege = cpu.privilege();
    let is_usable = descriptor.is_code() && descriptor.is_long() && !descriptor.is_big();
    if !is_usable || descriptor.privilege() > privilege {
        return cpu.raise(fault(vector::GENERAL_PROTECTION, selector.0));
    }
    if !descriptor.is_present() {
        return cpu.raise(fault(vector::SEGMENT_NOT_PRESENT, selector.0));
    }
    let new_privilege = if descriptor.is_conforming_code() { privilege } else { descriptor.privilege() };
    let slot = match gate.stack {
        0 if new_privilege == privilege => None,
        0 => Some(4 + 8 * u64::from(new_privilege)),
        number => Some(28 + 8 * u64::from(number)),
    };
    let stack = match slot {
        None => cpu.register(number::RSP),
        Some(slot) => cpu.task_stack(slot, event.external())?,
    };
    if !is_canonical(stack) {
        return cpu.raise(fault(vector::STACK_FAULT, 0));
    }
    if !is_canonical(gate.offset) {
        return cpu.raise(fault(vector::GENERAL_PROTECTION, 0));
    }
    cpu.mark_accessed(selector, descriptor)?;
    let code = descriptor.segment(selector.with_privilege(new_privilege));
    // The frame is aligned, so that handlers can use SSE (Intel SDM volume 3, 7.14.2).
    Ok(Target { code, rip: gate.offset, privilege: new_privilege, stack: stack & !0xf })
}

/// What is pushed, the last first.
fn frame(cpu: &Cpu, event: &Event, rip: u64) -> [u64; 6] {
    let resume = if event.resumes { bit::RF } else { 0 };
    [
        event.error_code.unwrap_or(0).into(),
        rip,
        cpu.segments.cs.selector.into(),
        cpu.flags.bits() | resume,
        cpu.register(number::RSP),
        cpu.segments.ss.selector.into(),
    ]
}

/// Writes the frame. Returns where it begins.
fn push(cpu: &mut Cpu, event: &Event, target: &Target, frame: &[u64]) -> Result<u64, Abort> {
    let fault = Exception::with_code(vector::STACK_FAULT, event.external());
    match cpu.push_frame(target.privilege, target.stack, frame) {
        Err(Abort) if cpu.memory.reason == Some(Reason::NotCanonical) => cpu.raise(fault),
        result => result,
    }
}

fn commit(cpu: &mut Cpu, event: &Event, gate: &Gate, target: &Target) {
    cpu.segments.cs = target.code;
    cpu.rip = target.rip;
    for flag in [bit::TF, bit::NT, bit::RF] {
        cpu.flags.set_control(flag, false);
    }
    if gate.clears_interrupts {
        cpu.flags.set_control(bit::IF, false);
    }
    cpu.shadow = InterruptShadow::None;
    // The handler of #DB may use the debug registers (Intel SDM volume 3, 18.2.4).
    if event.vector == vector::DEBUG && event.source != Source::Software {
        cpu.debug.control &= !GENERAL_DETECT;
    }
}

/// Reads outside of RAM cannot be asked for in the middle of a delivery.
fn refuse_tables_outside_of_ram(cpu: &mut Cpu, event: &Event) -> Result<(), Abort> {
    if let Some(Reason::Exit(Exit::MmioRead { address, .. })) = &cpu.memory.reason {
        let detail = format!("delivery of vector {} reads a table at {:#x}", event.vector, address.0);
        return cpu.memory.abort(crate::fault::unhandled("descriptor table outside of RAM", detail));
    }
    Err(Abort)
}

impl Cpu {
    /// A stack pointer of the task state segment: #TS(TR) if that is too short. `external` is the bit EXT.
    pub(super) fn task_stack(&mut self, slot: u64, external: u32) -> Result<u64, Abort> {
        let task = self.segments.tr;
        if slot + 7 > task.limit.into() {
            let code = u32::from(task.selector & !3) | external;
            return self.raise(Exception::with_code(vector::INVALID_TSS, code));
        }
        Ok(u64::from_le_bytes(self.memory.read_system(task.base.wrapping_add(slot))?))
    }

    /// Writes a frame of 64-bit values below `top`, the last value first, as code of a privilege level. All or
    /// nothing is written. Returns where the frame begins.
    pub(super) fn push_frame(&mut self, privilege: u8, top: u64, frame: &[u64]) -> Result<u64, Abort> {
        let mode = if privilege == 3 { Mode::User } else { Mode::Supervisor };
        let old = std::mem::replace(&mut self.memory.mode, mode);
        let result = self.push_frame_within(top, frame);
        self.memory.mode = old;
        result
    }

    fn push_frame_within(&mut self, top: u64, frame: &[u64]) -> Result<u64, Abort> {
        let slots = (1..=frame.len() as u64).map(|at| top.wrapping_sub(8 * at));
        for slot in slots.clone() {
            self.memory.check_write(slot, 8)?;
        }
        for (slot, value) in slots.zip(frame.iter().rev()) {
            let _attended = self.memory.write(slot, value.to_le_bytes())?;
        }
        Ok(top.wrapping_sub(8 * frame.len() as u64))
    }
}
