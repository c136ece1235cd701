//! String instructions: MOVS CMPS SCAS LODS STOS, alone or repeated.
//!
//! A repeated one counts a step for each iteration, and can stop between any two. A call of its function makes as
//! many iterations as the stop allows, but not more than a few thousand, so that the run loop gets to look at
//! everything else. If an iteration aborts behind others, those are kept: the next call begins with the one that
//! aborts, and aborts.
//!
//! **In bulk.** Filling and copying upwards goes by whole stretches within pages that the translation buffer knows.
//! Nobody can tell: such pages are RAM without decoded code, a hit leaves no trace in the buffer, and the bytes
//! are written in the order in which iterations would write them wherever that matters.

use iced_x86::{Code, Instruction};

use super::operand::address_mask;
use crate::cpu::{Cpu, number};
use crate::fault::Abort;
use crate::flags::bit;
use crate::memory::Kind;
use crate::op::{Execute, Op, Step, property, segment};
use crate::width::Width;

/// The most iterations in one call.
const MOST: u64 = 4096;

/// A string operation.
trait StringOperation: 'static {
    /// Whether a repeat prefix also looks at ZF.
    const COMPARES: bool = false;

    /// One iteration. It changes nothing if it aborts.
    extern "sysv64-unwind" fn iterate<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort>;

    /// Some iterations at once, `most` at most. How many: none if that is impossible.
    fn stretch<W: Width>(_: &mut Cpu, _: &Op, _most: u64) -> u64 {
        0
    }
}

struct Movs;
struct Cmps;
struct Scas;
struct Lods;
struct Stos;

/// Moves an index register by one element, as the direction flag says.
#[inline]
fn advance<W: Width>(cpu: &mut Cpu, op: &Op, register: u8) {
    let bytes = W::BYTES as u64;
    let distance = if cpu.flags.has(bit::DF) { bytes.wrapping_neg() } else { bytes };
    move_by(cpu, op, register, distance);
}

/// Adds to a register that has the width of addresses: 32 bits clear the upper half, 16 leave the rest.
#[inline]
fn move_by(cpu: &mut Cpu, op: &Op, register: u8, distance: u64) {
    let mask = address_mask(op);
    let old = cpu.register(register);
    let kept = if mask == 0xffff { old & !mask } else { 0 };
    *cpu.register_mut(register) = kept | old.wrapping_add(distance) & mask;
}

/// The source: at RSI, in the segment that a prefix may choose.
#[inline]
fn source(cpu: &mut Cpu, op: &Op, bytes: usize) -> Result<u64, Abort> {
    cpu.linear_at(op, cpu.register(number::RSI), bytes, Kind::Read)
}

/// The destination: at RDI, always in ES.
#[inline]
fn destination(cpu: &mut Cpu, op: &Op, bytes: usize, kind: Kind) -> Result<u64, Abort> {
    let offset = cpu.register(number::RDI) & address_mask(op);
    if op.is(property::COMPATIBILITY) {
        cpu.linear(segment::ES, offset, bytes, kind, true)
    } else {
        Ok(offset)
    }
}

impl StringOperation for Movs {
    extern "sysv64-unwind" fn iterate<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
        let from = source(cpu, op, W::BYTES)?;
        let value = cpu.load::<W>(from)?;
        let to = destination(cpu, op, W::BYTES, Kind::Write)?;
        let step = cpu.store::<W>(to, value)?;
        advance::<W>(cpu, op, number::RSI);
        advance::<W>(cpu, op, number::RDI);
        Ok(step)
    }

    fn stretch<W: Width>(cpu: &mut Cpu, op: &Op, most: u64) -> u64 {
        let Some((from, readable)) = window::<W>(cpu, op, Kind::Read) else { return 0 };
        let Some((to, writable)) = window::<W>(cpu, op, Kind::Write) else { return 0 };
        let count = most.min(readable).min(writable);
        // SAFETY: so many elements lie within the windows.
        unsafe { copy_upwards::<W>(from, to, count as usize) };
        move_by(cpu, op, number::RSI, count * W::BYTES as u64);
        move_by(cpu, op, number::RDI, count * W::BYTES as u64);
        count
    }
}

impl StringOperation for Stos {
    extern "sysv64-unwind" fn iterate<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
        let to = destination(cpu, op, W::BYTES, Kind::Write)?;
        let step = cpu.store::<W>(to, cpu.get::<W>(number::RAX))?;
        advance::<W>(cpu, op, number::RDI);
        Ok(step)
    }

    fn stretch<W: Width>(cpu: &mut Cpu, op: &Op, most: u64) -> u64 {
        let Some((to, writable)) = window::<W>(cpu, op, Kind::Write) else { return 0 };
        let count = most.min(writable);
        // SAFETY: so many elements lie within the window.
        unsafe { fill::<W>(to, cpu.get::<W>(number::RAX), count as usize) };
        move_by(cpu, op, number::RDI, count * W::BYTES as u64);
        count
    }
}

impl StringOperation for Lods {
    extern "sysv64-unwind" fn iterate<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
        let from = source(cpu, op, W::BYTES)?;
        let value = cpu.load::<W>(from)?;
        cpu.set::<W>(number::RAX, value);
        advance::<W>(cpu, op, number::RSI);
        Ok(Step::Next)
    }
}

impl StringOperation for Scas {
    const COMPARES: bool = true;

    extern "sysv64-unwind" fn iterate<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
        let at = destination(cpu, op, W::BYTES, Kind::Read)?;
        let (a, b) = (cpu.get::<W>(number::RAX), cpu.load::<W>(at)?);
        cpu.flags.after_subtraction::<W>(a, b, a.wrapping_sub(b) & W::MASK);
        advance::<W>(cpu, op, number::RDI);
        Ok(Step::Next)
    }
}

impl StringOperation for Cmps {
    const COMPARES: bool = true;

    extern "sysv64-unwind" fn iterate<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
        let at = source(cpu, op, W::BYTES)?;
        let a = cpu.load::<W>(at)?;
        let at = destination(cpu, op, W::BYTES, Kind::Read)?;
        let b = cpu.load::<W>(at)?;
        cpu.flags.after_subtraction::<W>(a, b, a.wrapping_sub(b) & W::MASK);
        advance::<W>(cpu, op, number::RSI);
        advance::<W>(cpu, op, number::RDI);
        Ok(Step::Next)
    }
}

/// The source (to read) or the destination (to write) in host memory, and how many whole elements can be reached
/// upwards from there without leaving the page or the range of the index register. `None` if there is none, or
/// if the access needs the attention that a single iteration pays it.
fn window<W: Width>(cpu: &mut Cpu, op: &Op, kind: Kind) -> Option<(*mut u8, u64)> {
    let is_source = kind == Kind::Read;
    let offset = cpu.register(if is_source { number::RSI } else { number::RDI }) & address_mask(op);
    let linear = if is_source { source(cpu, op, 1) } else { destination(cpu, op, 1, kind) };
    let (host, in_page) = linear.ok().and_then(|linear| cpu.memory.window(kind, linear)).or_else(|| {
        cpu.memory.reason = None;
        None
    })?;
    let in_range = (address_mask(op) - offset).saturating_add(1);
    let bytes = in_range.min(in_page as u64);
    // With segments that are checked, the whole stretch must be allowed.
    if op.is(property::COMPATIBILITY) {
        let whole = bytes as usize;
        let linear = if is_source { source(cpu, op, whole) } else { destination(cpu, op, whole, kind) };
        if linear.is_err() {
            cpu.memory.reason = None;
            return None;
        }
    }
    let elements = bytes / W::BYTES as u64;
    (elements > 0).then_some((host, elements))
}

/// Copies elements one after the other, the lowest first: where the destination begins within the source, what was
/// copied is copied again.
///
/// # Safety
///
/// Both must have room for so many elements; nobody else has a reference to any of their bytes.
unsafe fn copy_upwards<W: Width>(from: *const u8, to: *mut u8, count: usize) {
    let ahead = (to as usize).wrapping_sub(from as usize);
    if ahead >= count * W::BYTES {
        // The destination is below the source, or clear of it: no byte is written before it was read.
        // SAFETY: by the caller.
        return unsafe { from.copy_to(to, count * W::BYTES) };
    }
    for at in (0..count).map(|element| element * W::BYTES) {
        let mut element = [0u8; 8];
        // SAFETY: by the caller.
        unsafe {
            from.add(at).copy_to_nonoverlapping(element.as_mut_ptr(), W::BYTES);
            to.add(at).copy_from_nonoverlapping(element.as_ptr(), W::BYTES);
        }
    }
}

/// Writes the same element again and again.
///
/// # Safety
///
/// There must be room for so many elements; nobody else has a reference to any of the bytes.
unsafe fn fill<W: Width>(to: *mut u8, value: u64, count: usize) {
    // SAFETY: by the caller.
    unsafe {
        match W::BYTES {
            1 => to.write_bytes(value as u8, count),
            2 => fill_with(to, (value as u16).to_le_bytes(), count),
            4 => fill_with(to, (value as u32).to_le_bytes(), count),
            _ => fill_with(to, value.to_le_bytes(), count),
        }
    }
}

/// # Safety
///
/// As with [`fill`].
unsafe fn fill_with<const BYTES: usize>(to: *mut u8, element: [u8; BYTES], count: usize) {
    for at in 0..count {
        // SAFETY: by the caller.
        unsafe { to.add(at * BYTES).cast::<[u8; BYTES]>().write_unaligned(element) };
    }
}

extern "sysv64-unwind" fn once<W: Width, O: StringOperation>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    O::iterate::<W>(cpu, op)
}

/// With a repeat prefix. The run loop counts one step for the call.
extern "sysv64-unwind" fn repeat<W: Width, O: StringOperation>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let most = MOST.min(cpu.stop_at - cpu.retired);
    let mask = address_mask(op);
    let mut left = cpu.register(number::RCX) & mask;
    if left == 0 {
        return Ok(Step::Next);
    }
    let mut done = 0;
    let mut ended = false;
    while !ended && done < most {
        let allowed = left.min(most - done);
        let at_once = if cpu.flags.has(bit::DF) { 0 } else { O::stretch::<W>(cpu, op, allowed) };
        let mut step = Step::Next;
        if at_once == 0 {
            step = match O::iterate::<W>(cpu, op) {
                Ok(step) => step,
                Err(Abort) if done == 0 => return Err(Abort),
                Err(Abort) => {
                    cpu.memory.reason = None;
                    break;
                }
            };
        }
        let iterations = at_once.max(1);
        done += iterations;
        left -= iterations;
        move_by(cpu, op, number::RCX, iterations.wrapping_neg());
        ended = left == 0 || O::COMPARES && cpu.flags.zero() != op.is(property::REP);
        if step != Step::Next {
            cpu.retired += done - 1;
            return Ok(if ended { step } else { Step::Again });
        }
    }
    cpu.retired += done - 1;
    Ok(if ended { Step::Next } else { Step::Again })
}

/// What executes an instruction of this module.
pub(super) fn select(instruction: &Instruction, op: &Op) -> Option<Execute> {
    use Code::*;
    Some(match instruction.code() {
        Movsb_m8_m8 | Movsw_m16_m16 | Movsd_m32_m32 | Movsq_m64_m64 => choose::<Movs>(instruction, op),
        Cmpsb_m8_m8 | Cmpsw_m16_m16 | Cmpsd_m32_m32 | Cmpsq_m64_m64 => choose::<Cmps>(instruction, op),
        Scasb_AL_m8 | Scasw_AX_m16 | Scasd_EAX_m32 | Scasq_RAX_m64 => choose::<Scas>(instruction, op),
        Lodsb_AL_m8 | Lodsw_AX_m16 | Lodsd_EAX_m32 | Lodsq_RAX_m64 => choose::<Lods>(instruction, op),
        Stosb_m8_AL | Stosw_m16_AX | Stosd_m32_EAX | Stosq_m64_RAX => choose::<Stos>(instruction, op),
        _ => return None,
    })
}

fn choose<O: StringOperation>(instruction: &Instruction, op: &Op) -> Execute {
    let bits = 8 * instruction.memory_size().size();
    if op.is(property::REP | property::REPNE) { sized!(bits, repeat, O) } else { sized!(bits, once, O) }
}

#[cfg(test)]
mod tests;
