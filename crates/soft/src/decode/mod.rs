//! From bytes to blocks of ops.
//!
//! `iced-x86` takes instructions apart; [`operands`] puts what it found into an [`Op`]; the groups of
//! instructions ([`integer`](crate::integer), [`system`](crate::system), [`sse`](crate::sse),
//! [`x87`](crate::x87)) choose the function that executes it. What no group knows, and what CPUID does not
//! advertise ([`offered`]), is #UD.
//!
//! A block begins wherever execution comes, and ends behind an instruction that may go on elsewhere, at the
//! end of its page, or when it is long. An instruction that reaches into the next page is alone in its block,
//! so that this page is fetched when the instruction is executed, wherever blocks begin.

mod offered;
mod operands;

#[cfg(test)]
pub(crate) use offered::is_offered;

use std::rc::Rc;

use iced_x86::{Decoder, DecoderError, DecoderOptions, FlowControl, Instruction};

use crate::block::Block;
use crate::cpu::Cpu;
use crate::fault::{Abort, Exception};
use crate::memory::circumstances::CodeSize;
use crate::memory::{PAGE_BITS, PAGE_SIZE};
use crate::native::Simple;
use crate::op::{Execute, Op, Step};

/// The most instructions in a block.
const MAX_OPS: usize = 64;
/// The most bytes in an instruction (Intel SDM volume 2, 2.3.11).
const MAX_BYTES: usize = 15;

/// What a group of instructions says to an instruction that it knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selection {
    /// What executes it.
    pub(crate) execute: Execute,
    /// Whether the block ends behind it, although it is no branch: it always leaves the block.
    pub(crate) is_last: bool,
}

impl Selection {
    /// An instruction that the next one usually follows, or a branch.
    pub(crate) fn plain(execute: Execute) -> Self {
        Self { execute, is_last: false }
    }

    /// An instruction that always leaves the block.
    pub(crate) fn last(execute: Execute) -> Self {
        Self { execute, is_last: true }
    }
}

/// Bytes of code, from the block's first one on.
struct Code {
    bytes: Vec<u8>,
    second_page: Option<u64>,
}

/// Where a block is entered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// RIP: an offset into the code segment.
    pub(crate) rip: u64,
    /// The linear address.
    pub(crate) linear: u64,
    /// The physical address, in RAM.
    pub(crate) physical: u64,
    /// How to decode.
    pub(crate) size: CodeSize,
}

/// Decodes the block at `entry`.
///
/// Aborts if the first instruction lies in two pages and the second one cannot be fetched.
pub(crate) fn block(cpu: &mut Cpu, entry: Entry) -> Result<Rc<Block>, Abort> {
    let Entry { rip, linear, physical, size } = entry;
    let in_page = (PAGE_SIZE - physical % PAGE_SIZE) as usize;
    let most = in_page.min((MAX_OPS + 1) * MAX_BYTES);
    let mut code = Code { bytes: cpu.memory.ram.copy(physical, most), second_page: None };
    let mut ops: Vec<Op> = Vec::new();
    let mut simple = Vec::new();
    let mut at = 0;
    while at < in_page && ops.len() < MAX_OPS {
        let (mut instruction, mut error) = decode(&code.bytes[at..], rip.wrapping_add(at as u64), size);
        if error == DecoderError::NoMoreBytes {
            // The next page is looked at when this instruction is executed, and not earlier.
            if !ops.is_empty() {
                break;
            }
            second_page(cpu, linear.wrapping_add(in_page as u64), &mut code)?;
            (instruction, error) = decode(&code.bytes[at..], rip.wrapping_add(at as u64), size);
        }
        let (op, is_last) = translate(&instruction, error, &code.bytes[at..], rip, at, size);
        if is_rep(&op) && !ops.is_empty() {
            break;
        }
        at = usize::from(op.end);
        ops.push(op);
        simple.push(if error == DecoderError::None { Simple::of(&instruction, &op) } else { Simple::No });
        if is_last {
            break;
        }
    }
    Ok(Rc::new(Block::new(ops, simple, code.second_page)))
}

fn decode(bytes: &[u8], rip: u64, size: CodeSize) -> (Instruction, DecoderError) {
    let bytes = &bytes[..bytes.len().min(MAX_BYTES)];
    let bitness = match size {
        CodeSize::Long => 64,
        CodeSize::Compatibility => 32,
    };
    // F3 90 is a NOP here, but with REX.B it is XCHG R8, RAX, which iced would take for PAUSE too.
    let mut decoder = Decoder::with_ip(bitness, bytes, rip, DecoderOptions::NO_PAUSE);
    let instruction = decoder.decode();
    (instruction, decoder.last_error())
}

/// Appends the first bytes of the page behind, for an instruction that reaches into it.
fn second_page(cpu: &mut Cpu, linear: u64, code: &mut Code) -> Result<(), Abort> {
    let physical = cpu.memory.fetch(linear)?.0;
    if cpu.memory.ram.page(physical >> PAGE_BITS).is_some() {
        code.bytes.extend(cpu.memory.ram.copy(physical, MAX_BYTES));
    }
    // Where there is no RAM, the bytes that follow are unknown, and the instruction stays cut.
    code.second_page = Some(physical >> PAGE_BITS);
    Ok(())
}

/// Makes an op of a decoded instruction. Also whether the block ends behind it.
fn translate(
    instruction: &Instruction,
    error: DecoderError,
    bytes: &[u8],
    block: u64,
    at: usize,
    size: CodeSize,
) -> (Op, bool) {
    if error != DecoderError::None {
        return (invalid(error, bytes, at, size), true);
    }
    let mut op = operands::op(instruction, block, at as u16, size);
    match select(instruction, bytes, &mut op) {
        Some(selection) => {
            op.execute = selection.execute;
            let goes_on = instruction.flow_control() == FlowControl::Next && !selection.is_last;
            (op, !goes_on || is_rep(&op))
        }
        None => {
            op.execute = undefined;
            (op, true)
        }
    }
}

fn select(instruction: &Instruction, bytes: &[u8], op: &mut Op) -> Option<Selection> {
    if !offered::is_offered(instruction) {
        return None;
    }
    crate::integer::select(instruction, op)
        .or_else(|| crate::system::select(instruction, op))
        .or_else(|| crate::sse::select(instruction, op))
        .or_else(|| crate::x87::select(instruction, bytes, op))
}

/// The group that knows the instruction in `bytes`.
#[cfg(test)]
pub(crate) fn group(bytes: &[u8], size: CodeSize) -> Option<&'static str> {
    let (instruction, _) = decode(bytes, 0, size);
    let mut op = operands::op(&instruction, 0, 0, size);
    if crate::integer::select(&instruction, &mut op).is_some() {
        Some("integer")
    } else if crate::system::select(&instruction, &mut op).is_some() {
        Some("system")
    } else if crate::sse::select(&instruction, &mut op).is_some() {
        Some("sse")
    } else {
        crate::x87::select(&instruction, bytes, &mut op).map(|_| "x87")
    }
}

/// A REP string is alone in its block, so that it knows how many iterations are left until the next stop.
fn is_rep(op: &Op) -> bool {
    use crate::op::property::{REP, REPNE};
    op.is(REP | REPNE)
}

/// The op of bytes that are no instruction.
fn invalid(error: DecoderError, bytes: &[u8], at: usize, size: CodeSize) -> Op {
    let execute = match error {
        DecoderError::NoMoreBytes if bytes.len() < MAX_BYTES => outside,
        _ if is_too_long(bytes, size) => too_long,
        _ => undefined,
    };
    Op { execute, start: at as u16, end: at as u16 + 1, ..operands::EMPTY }
}

/// Whether an instruction has more than 15 bytes, because of its prefixes.
fn is_too_long(bytes: &[u8], size: CodeSize) -> bool {
    const PREFIXES: [u8; 11] = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3];
    let bytes = &bytes[..bytes.len().min(MAX_BYTES)];
    let is_rex = |byte: u8| size == CodeSize::Long && byte & 0xf0 == 0x40;
    let before = bytes.iter().take_while(|byte| PREFIXES.contains(byte) || is_rex(**byte)).count();
    // REX counts where no other prefix follows it.
    let rex = bytes[..before].last().is_some_and(|byte| is_rex(*byte));
    let prefixes = before - usize::from(rex);
    // Each of the prefixes that choose an instruction or its sizes, once, and of F2 and F3 the last one; LOCK
    // might only make it invalid. So few prefixes make no instruction too long by themselves.
    let sizes = [0x66, 0x67].into_iter().filter(|prefix| bytes[..prefixes].contains(prefix));
    let last = bytes[..prefixes].iter().rev().copied().find(|prefix| matches!(prefix, 0xf2 | 0xf3));
    let shorter: Vec<u8> = sizes.chain(last).chain(bytes[prefixes..].iter().copied()).collect();
    // What is cut off by the limit then is too long.
    let (_, error) = decode(&shorter, 0, size);
    bytes.len() == MAX_BYTES && error == DecoderError::NoMoreBytes
}

/// #UD.
pub(crate) extern "sysv64-unwind" fn undefined(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    cpu.raise(Exception::UNDEFINED)
}

/// #GP(0): more than 15 bytes.
extern "sysv64-unwind" fn too_long(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    cpu.raise(Exception::PROTECTION)
}

/// The instruction goes on where there is no RAM.
extern "sysv64-unwind" fn outside(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let rip = cpu.rip_of(op);
    cpu.memory.abort(crate::fault::code_outside_of_ram(rip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bytes_are_too_long_with_every_prefix_once() {
        // REPNE REP, sizes, REX.XB, TEST qword [RDX*4 + disp32], imm32.
        let bytes = [0xf2, 0xf3, 0x66, 0x67, 0x4b, 0xf7, 0x04, 0x95, 0, 0, 0, 0x80, 0, 0, 0xcc, 0xcc];
        assert!(is_too_long(&bytes, CodeSize::Long));
        assert!(!is_too_long(&bytes[1..], CodeSize::Long), "fifteen are not");
    }

    #[test]
    fn bytes_that_are_no_instruction_are_not_too_long_for_one() {
        let mut bytes = [0; MAX_BYTES];
        bytes[..2].copy_from_slice(&[0x0f, 0x0b]);
        assert!(!is_too_long(&bytes, CodeSize::Long));
    }
}
