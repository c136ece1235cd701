//! What native code looks like, instruction by instruction.

use std::mem::offset_of;

use iced_x86::IcedError;
use iced_x86::code_asm::{
    AsmMemoryOperand, CodeAssembler, CodeLabel, al, byte_ptr, eax, edx, ptr, qword_ptr, rax, rbx, rcx, rdi,
    rdx, rsi,
};

use super::inline::{self, Then, Ways};
use super::outcome;
use super::simple::Simple;
use crate::cpu::{Cpu, number};
use crate::memory::circumstances::Circumstances;
use crate::op::{Op, Step, property};

/// Fields of a link, by their offsets.
mod field {
    /// RIP.
    pub(super) const RIP: u64 = 0;
    /// Where in [`Cpu`](crate::cpu::Cpu) the circumstances are that count for the code that the link leads to.
    pub(super) const CIRCUMSTANCES_AT: u64 = 8;
    /// What they must be. Zero in a link that leads nowhere: circumstances are never zero.
    pub(super) const CIRCUMSTANCES: u64 = 16;
    /// The native code.
    pub(super) const ADDRESS: u64 = 24;
}

/// The fields of a link that leads somewhere.
pub(super) fn link_fields(rip: u64, circumstances: u64, address: u64) -> [(u64, u64); 4] {
    let at = offset_of!(Cpu, memory.circumstances) + Circumstances::offset(circumstances);
    [
        (field::RIP, rip),
        (field::CIRCUMSTANCES_AT, at as u64),
        (field::CIRCUMSTANCES, circumstances),
        (field::ADDRESS, address),
    ]
}

/// A field of the processor, which RBX points to.
fn of_cpu(offset: usize) -> AsmMemoryOperand {
    rbx + offset as i32
}

fn retired() -> AsmMemoryOperand {
    qword_ptr(of_cpu(offset_of!(Cpu, retired)))
}

fn rip() -> AsmMemoryOperand {
    qword_ptr(of_cpu(offset_of!(Cpu, rip)))
}

fn block_address() -> AsmMemoryOperand {
    qword_ptr(of_cpu(offset_of!(Cpu, registers) + 8 * usize::from(number::BLOCK)))
}

/// The way into native code: a function of the [`Cpu`] and of a block's address.
pub(super) fn enter() -> Vec<u8> {
    let emit = || -> Result<Vec<u8>, IcedError> {
        let mut asm = CodeAssembler::new(64)?;
        // Calls want the stack aligned to 16 bytes, and this makes it so.
        asm.push(rbx)?;
        asm.mov(rbx, rdi)?;
        asm.jmp(rsi)?;
        asm.assemble(0)
    };
    emit().expect("the way in can be encoded")
}

/// A block's code, to be executed at `address`.
pub(super) fn block(ops: &[Op], simple: &[Simple], address: u64) -> Vec<u8> {
    Emitter::new(ops, simple)
        .and_then(|emitter| emitter.emit(address))
        .expect("calls and jumps can be encoded")
}

struct Emitter<'a> {
    asm: CodeAssembler,
    ops: &'a [Op],
    simple: &'a [Simple],
    /// Of each op: where it is done by its function, if it is done by machine code else.
    slow: Vec<CodeLabel>,
    /// Behind each op that is done by machine code: where its function's call comes back to.
    done: Vec<CodeLabel>,
    /// Where the last op goes when it has set RIP.
    jumped: CodeLabel,
    /// Behind each op: the way out if it did not want the next one.
    outs: Vec<CodeLabel>,
    /// Back to the run loop, with nothing to tell.
    here: CodeLabel,
    /// Back to the run loop, with a link to fill, whose address is in RDX.
    unlinked: CodeLabel,
    /// Where the links are.
    links: Vec<CodeLabel>,
}

impl<'a> Emitter<'a> {
    fn new(ops: &'a [Op], simple: &'a [Simple]) -> Result<Self, IcedError> {
        let mut asm = CodeAssembler::new(64)?;
        let mut labels = || ops.iter().map(|_| asm.create_label()).collect();
        let (slow, done, outs) = (labels(), labels(), labels());
        let (jumped, here, unlinked) = (asm.create_label(), asm.create_label(), asm.create_label());
        Ok(Self { asm, ops, simple, slow, done, jumped, outs, here, unlinked, links: Vec::new() })
    }

    fn emit(mut self, address: u64) -> Result<Vec<u8>, IcedError> {
        self.begin()?;
        let mut then = Then::Next;
        for position in 0..self.ops.len() {
            then = self.op(position)?;
        }
        // Behind a jump there is nothing to be done.
        if then != Then::Jump {
            self.end()?;
        }
        self.slow_ways()?;
        self.ways_out()?;
        self.link_data()?;
        self.asm.assemble(address)
    }

    /// Looks whether the block fits before the stop, and notes where it begins.
    fn begin(&mut self) -> Result<(), IcedError> {
        let asm = &mut self.asm;
        asm.mov(rax, qword_ptr(of_cpu(offset_of!(Cpu, native_until))))?;
        asm.sub(rax, retired())?;
        asm.cmp(rax, self.ops.len() as i32)?;
        // Less than zero is possible: a REP string may go beyond, as far as the stop.
        asm.jl(self.here)?;
        asm.mov(rax, rip())?;
        asm.mov(block_address(), rax)
    }

    /// Does an op by machine code, or calls its function.
    fn op(&mut self, position: usize) -> Result<Then, IcedError> {
        let simple = self.simple[position];
        if simple == Simple::No {
            self.call(position)?;
            return Ok(Then::Either);
        }
        let ways = Ways { slow: self.slow[position], jumped: self.jumped };
        let flags = self.flags_are_seen(position);
        let then = inline::emit(&mut self.asm, &self.ops[position], simple, flags, ways)?;
        if then == Then::Jump {
            self.asm.jmp(self.jumped)?;
        } else {
            self.asm.set_label(&mut self.done[position])?;
            self.asm.zero_bytes()?;
        }
        Ok(then)
    }

    /// Whether anybody looks at the flags of an op before another one replaces them.
    fn flags_are_seen(&self, position: usize) -> bool {
        for simple in &self.simple[position + 1..] {
            match simple {
                simple if !simple.always_goes_on() => return true,
                simple if simple.replaces_flags() => return false,
                _ => {}
            }
        }
        true
    }

    /// The calls of functions for what machine code leaves to them.
    fn slow_ways(&mut self) -> Result<(), IcedError> {
        for position in 0..self.ops.len() {
            if self.simple[position] == Simple::No || self.simple[position].always_goes_on() {
                continue;
            }
            self.asm.set_label(&mut self.slow[position])?;
            self.call(position)?;
            // The functions of these never want the next op.
            if matches!(self.simple[position], Simple::Jump | Simple::Call | Simple::Return) {
                self.asm.ud2()?;
            } else {
                self.asm.jmp(self.done[position])?;
            }
        }
        Ok(())
    }

    /// Calls an op's function, and leaves unless it wants the next op. The last one may also jump.
    fn call(&mut self, position: usize) -> Result<(), IcedError> {
        let op = &self.ops[position];
        let asm = &mut self.asm;
        asm.mov(rdi, rbx)?;
        asm.mov(rsi, std::ptr::from_ref(op) as usize as u64)?;
        asm.mov(rax, op.execute as usize as u64)?;
        asm.call(rax)?;
        asm.test(al, al)?;
        asm.jne(self.outs[position])
    }

    /// Counts the ops, and goes on behind the last one.
    fn end(&mut self) -> Result<(), IcedError> {
        let last = self.ops.last().expect("a block has an op");
        let asm = &mut self.asm;
        asm.add(retired(), self.ops.len() as i32)?;
        asm.mov(rax, block_address())?;
        asm.add(rax, i32::from(last.end))?;
        if last.is(property::COMPATIBILITY) {
            asm.mov(eax, eax)?;
        }
        asm.mov(rip(), rax)?;
        self.follow_link()
    }

    /// Goes where execution went from here the last time, if RIP and circumstances are those of that time.
    fn follow_link(&mut self) -> Result<(), IcedError> {
        let link = self.asm.create_label();
        self.links.push(link);
        let asm = &mut self.asm;
        asm.cmp(byte_ptr(of_cpu(offset_of!(Cpu, memory.attention))), 0)?;
        asm.jne(self.here)?;
        asm.lea(rdx, ptr(link))?;
        asm.mov(rax, rip())?;
        asm.cmp(rax, qword_ptr(rdx + field::RIP))?;
        asm.jne(self.unlinked)?;
        asm.mov(rax, qword_ptr(rdx + field::CIRCUMSTANCES_AT))?;
        asm.mov(rcx, qword_ptr(rbx + rax))?;
        asm.cmp(rcx, qword_ptr(rdx + field::CIRCUMSTANCES))?;
        asm.jne(self.unlinked)?;
        asm.jmp(qword_ptr(rdx + field::ADDRESS))
    }

    fn ways_out(&mut self) -> Result<(), IcedError> {
        let mut out = self.asm.create_label();
        for position in 0..self.ops.len() {
            self.asm.set_label(&mut self.outs[position])?;
            if position + 1 == self.ops.len() {
                self.after_jump(position)?;
            }
            self.asm.movzx(eax, al)?;
            self.asm.or(eax, (position as i32) << 8)?;
            self.asm.mov(rdx, std::ptr::from_ref(&self.ops[position]) as usize as u64)?;
            self.asm.jmp(out)?;
        }
        self.asm.set_label(&mut self.here)?;
        self.asm.xor(edx, edx)?;
        self.asm.set_label(&mut self.unlinked)?;
        self.asm.xor(eax, eax)?;
        self.asm.set_label(&mut out)?;
        self.asm.pop(rbx)?;
        self.asm.ret()
    }

    /// The last op has set RIP: counts the ops, and goes on there.
    fn after_jump(&mut self, position: usize) -> Result<(), IcedError> {
        let mut other = self.asm.create_label();
        self.asm.cmp(al, i32::from(outcome(Ok(Step::Jump))))?;
        self.asm.jne(other)?;
        self.asm.set_label(&mut self.jumped)?;
        self.asm.add(retired(), position as i32 + 1)?;
        self.follow_link()?;
        self.asm.set_label(&mut other)
    }

    fn link_data(&mut self) -> Result<(), IcedError> {
        for link in &mut self.links {
            self.asm.set_label(link)?;
            self.asm.dq(&[0; 4])?;
        }
        Ok(())
    }
}
