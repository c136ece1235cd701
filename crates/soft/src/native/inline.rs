//! The machine code of [`Simple`] instructions.
//!
//! Operands are loaded from the guest's registers in [`Cpu`], and results stored there. RAX and
//! RCX hold operands or an address, RDX the result; RSI, RDI and R8 help. Where something is out of the ordinary
//! the code goes to `slow`, before it has changed anything: there the instruction's function is called.

use std::mem::offset_of;

use iced_x86::code_asm::{
    CodeAssembler, CodeLabel, al, byte_ptr, cl, dl, dword_ptr, dx, eax, ecx, edx, qword_ptr, r8, rax, rbx,
    rcx, rdi, rdx, rsi, word_ptr,
};
use iced_x86::{ConditionCode, IcedError};

use super::simple::{Extension, Operand, Operation, Simple};
use crate::cpu::{Cpu, number};
use crate::flags::Field;
use crate::memory::tlb::Tlb;
use crate::memory::{Kind, Memory, PAGE_SIZE};
use crate::op::Op;

/// What an instruction's code does at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// It goes on behind it.
    Next,
    /// It jumps: RIP is set.
    Jump,
    /// It does the one or the other, and has gone to the label `jumped` for the latter.
    Either,
}

/// Where code can go.
#[derive(Clone, Copy)]
pub(super) struct Ways {
    /// To the call of the instruction's function.
    pub(super) slow: CodeLabel,
    /// To where a jump goes that has set RIP.
    pub(super) jumped: CodeLabel,
}

type Emitted = Result<(), IcedError>;

/// Where a general register is in the processor.
fn place(register: u8) -> i32 {
    (offset_of!(Cpu, registers) + 8 * usize::from(register)) as i32
}

fn flag(field: Field) -> i32 {
    (offset_of!(Cpu, flags) + field.offset()) as i32
}

/// Emits the code of an instruction that is not [`Simple::No`]. `flags` tells whether anybody will look at them.
pub(super) fn emit(
    asm: &mut CodeAssembler,
    op: &Op,
    simple: Simple,
    flags: bool,
    ways: Ways,
) -> Result<Then, IcedError> {
    match simple {
        Simple::No | Simple::Nothing => {}
        Simple::Move { from, is_wide } => {
            operand(asm, op, from, is_wide, Side::First)?;
            asm.mov(qword_ptr(rbx + place(op.a)), rax)?;
        }
        Simple::Extend(extension) => {
            let (register, high) = if extension.bytes == 1 { (op.b >> 1, op.b & 1) } else { (op.b, 0) };
            asm.lea(rdx, qword_ptr(rbx + (place(register) + i32::from(high))))?;
            extend(asm, extension)?;
            asm.mov(qword_ptr(rbx + place(op.a)), rdx)?;
        }
        Simple::Address { is_wide } => {
            address(asm, op)?;
            if !is_wide {
                asm.mov(eax, eax)?;
            }
            asm.mov(qword_ptr(rbx + place(op.a)), rax)?;
        }
        Simple::Load(extension) => {
            address(asm, op)?;
            translate(asm, Kind::Read, extension.bytes, ways.slow)?;
            asm.lea(rdx, qword_ptr(rax + rcx))?;
            extend(asm, extension)?;
            asm.mov(qword_ptr(rbx + place(op.a)), rdx)?;
        }
        Simple::Store { from, bytes } => store(asm, op, from, bytes, ways)?,
        Simple::Compute { operation, first, second, is_wide, is_kept } => {
            if first == Operand::Memory || second == Operand::Memory {
                address(asm, op)?;
                translate(asm, Kind::Read, if is_wide { 8 } else { 4 }, ways.slow)?;
                asm.lea(r8, qword_ptr(rax + rcx))?;
            }
            operand(asm, op, first, is_wide, Side::First)?;
            operand(asm, op, second, is_wide, Side::Second)?;
            compute(asm, operation, is_wide)?;
            if is_kept {
                asm.mov(qword_ptr(rbx + place(op.a)), rdx)?;
            }
            if flags {
                set_flags(asm, operation, is_wide)?;
            }
        }
        Simple::Push => {
            asm.mov(rax, qword_ptr(rbx + place(number::RSP)))?;
            asm.sub(rax, 8)?;
            translate(asm, Kind::Write, 8, ways.slow)?;
            asm.mov(rdx, qword_ptr(rbx + place(op.a)))?;
            asm.mov(qword_ptr(rax + rcx), rdx)?;
            asm.mov(qword_ptr(rbx + place(number::RSP)), rax)?;
        }
        Simple::Pop => {
            pop(asm, ways)?;
            asm.mov(qword_ptr(rbx + place(op.a)), rdx)?;
            asm.add(qword_ptr(rbx + place(number::RSP)), 8)?;
        }
        Simple::Jump => {
            target(asm, op, ways)?;
            asm.mov(qword_ptr(rbx + offset_of!(Cpu, rip) as i32), rdi)?;
            return Ok(Then::Jump);
        }
        Simple::JumpIf(condition) => {
            let mut not_taken = asm.create_label();
            jump_unless(asm, condition, not_taken)?;
            target(asm, op, ways)?;
            asm.mov(qword_ptr(rbx + offset_of!(Cpu, rip) as i32), rdi)?;
            asm.jmp(ways.jumped)?;
            // Another label may follow, and iced wants something between them.
            asm.set_label(&mut not_taken)?;
            asm.zero_bytes()?;
            return Ok(Then::Either);
        }
        Simple::Call => {
            target(asm, op, ways)?;
            asm.mov(rax, qword_ptr(rbx + place(number::RSP)))?;
            asm.sub(rax, 8)?;
            translate(asm, Kind::Write, 8, ways.slow)?;
            asm.mov(rdx, qword_ptr(rbx + place(number::BLOCK)))?;
            asm.add(rdx, i32::from(op.end))?;
            asm.mov(qword_ptr(rax + rcx), rdx)?;
            asm.mov(qword_ptr(rbx + place(number::RSP)), rax)?;
            asm.mov(qword_ptr(rbx + offset_of!(Cpu, rip) as i32), rdi)?;
            return Ok(Then::Jump);
        }
        Simple::Return => {
            pop(asm, ways)?;
            asm.mov(rdi, rdx)?;
            check_canonical(asm, ways)?;
            asm.add(qword_ptr(rbx + place(number::RSP)), 8)?;
            asm.mov(qword_ptr(rbx + offset_of!(Cpu, rip) as i32), rdi)?;
            return Ok(Then::Jump);
        }
    }
    Ok(Then::Next)
}

/// Which operand is loaded: the first into RAX, the second into RCX.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    First,
    Second,
}

/// Loads an operand, zero-extended. One in memory is where R8 points to.
fn operand(asm: &mut CodeAssembler, op: &Op, from: Operand, is_wide: bool, side: Side) -> Emitted {
    let source = match from {
        Operand::First => rbx + place(op.a),
        Operand::Second => rbx + place(op.b),
        Operand::Memory => r8 + 0,
        Operand::Immediate => {
            let value = if is_wide { op.immediate } else { op.immediate & 0xffff_ffff };
            return match side {
                Side::First => asm.mov(rax, value),
                Side::Second => asm.mov(rcx, value),
            };
        }
    };
    match (side, is_wide) {
        (Side::First, true) => asm.mov(rax, qword_ptr(source)),
        (Side::First, false) => asm.mov(eax, dword_ptr(source)),
        (Side::Second, true) => asm.mov(rcx, qword_ptr(source)),
        (Side::Second, false) => asm.mov(ecx, dword_ptr(source)),
    }
}

/// RAX becomes the address of the memory operand.
fn address(asm: &mut CodeAssembler, op: &Op) -> Emitted {
    if op.base == number::ZERO {
        asm.mov(rax, i64::from(op.displacement))?;
    } else {
        asm.mov(rax, qword_ptr(rbx + place(op.base)))?;
        if op.displacement != 0 {
            asm.add(rax, op.displacement)?;
        }
    }
    if op.index != number::ZERO {
        asm.mov(rcx, qword_ptr(rbx + place(op.index)))?;
        asm.lea(rax, qword_ptr(rax + rcx * (1 << (op.scale & 3))))?;
    }
    Ok(())
}

/// Looks the address in RAX up in the translation buffer: RCX becomes what leads from there to host memory.
/// What [`Tlb::lookup`] does.
fn translate(asm: &mut CodeAssembler, kind: Kind, bytes: usize, slow: CodeLabel) -> Emitted {
    let layout = Tlb::layout(kind);
    asm.movzx(ecx, byte_ptr(rbx + (offset_of!(Cpu, memory) + Memory::MODE) as i32))?;
    asm.shl(ecx, layout.mode_bits as i32)?;
    asm.add(rcx, qword_ptr(rbx + (offset_of!(Cpu, memory) + Memory::TABLES) as i32))?;
    asm.mov(edx, eax)?;
    asm.shr(edx, layout.index_shift as i32)?;
    asm.and(edx, layout.index_mask as i32)?;
    asm.add(rdx, rcx)?;
    asm.mov(rsi, rax)?;
    asm.sub(rsi, qword_ptr(rdx + layout.page as i32))?;
    asm.cmp(rsi, (PAGE_SIZE - bytes as u64) as i32)?;
    asm.ja(slow)?;
    asm.mov(rcx, qword_ptr(rdx + layout.offset as i32))
}

/// RDX becomes what RDX points to, extended.
fn extend(asm: &mut CodeAssembler, extension: Extension) -> Emitted {
    match (extension.bytes, extension.is_signed, extension.is_wide) {
        (1, false, _) => asm.movzx(edx, byte_ptr(rdx)),
        (2, false, _) => asm.movzx(edx, word_ptr(rdx)),
        (4, false, _) | (4, true, false) => asm.mov(edx, dword_ptr(rdx)),
        (1, true, false) => asm.movsx(edx, byte_ptr(rdx)),
        (2, true, false) => asm.movsx(edx, word_ptr(rdx)),
        (1, true, true) => asm.movsx(rdx, byte_ptr(rdx)),
        (2, true, true) => asm.movsx(rdx, word_ptr(rdx)),
        (4, true, true) => asm.movsxd(rdx, dword_ptr(rdx)),
        _ => asm.mov(rdx, qword_ptr(rdx)),
    }
}

fn store(asm: &mut CodeAssembler, op: &Op, from: Operand, bytes: usize, ways: Ways) -> Emitted {
    address(asm, op)?;
    translate(asm, Kind::Write, bytes, ways.slow)?;
    match from {
        Operand::Immediate => asm.mov(rdx, op.immediate)?,
        _ => asm.mov(rdx, qword_ptr(rbx + place(op.a)))?,
    }
    match bytes {
        1 => asm.mov(byte_ptr(rax + rcx), dl),
        2 => asm.mov(word_ptr(rax + rcx), dx),
        4 => asm.mov(dword_ptr(rax + rcx), edx),
        _ => asm.mov(qword_ptr(rax + rcx), rdx),
    }
}

/// RDX becomes what is on top of the stack.
fn pop(asm: &mut CodeAssembler, ways: Ways) -> Emitted {
    asm.mov(rax, qword_ptr(rbx + place(number::RSP)))?;
    translate(asm, Kind::Read, 8, ways.slow)?;
    asm.mov(rdx, qword_ptr(rax + rcx))
}

/// RDI becomes the target of a relative branch.
fn target(asm: &mut CodeAssembler, op: &Op, ways: Ways) -> Emitted {
    asm.mov(rdi, op.immediate)?;
    asm.add(rdi, qword_ptr(rbx + place(number::BLOCK)))?;
    check_canonical(asm, ways)
}

/// A target in RDI that is not canonical faults, which the function does.
fn check_canonical(asm: &mut CodeAssembler, ways: Ways) -> Emitted {
    asm.mov(rsi, rdi)?;
    asm.shl(rsi, 16)?;
    asm.sar(rsi, 16)?;
    asm.cmp(rsi, rdi)?;
    asm.jne(ways.slow)
}

/// RDX becomes the result of RAX and RCX.
fn compute(asm: &mut CodeAssembler, operation: Operation, is_wide: bool) -> Emitted {
    asm.mov(rdx, rax)?;
    match (operation, is_wide) {
        (Operation::Add, true) => asm.add(rdx, rcx),
        (Operation::Add, false) => asm.add(edx, ecx),
        (Operation::Subtract, true) => asm.sub(rdx, rcx),
        (Operation::Subtract, false) => asm.sub(edx, ecx),
        (Operation::And, _) => asm.and(rdx, rcx),
        (Operation::Or, _) => asm.or(rdx, rcx),
        (Operation::Xor, _) => asm.xor(rdx, rcx),
    }
}

/// Leaves the flags of the result in RDX, as [`Flags`](crate::flags::Flags) keeps them: what its functions
/// `after_addition`, `after_subtraction` and `after_logic` do.
fn set_flags(asm: &mut CodeAssembler, operation: Operation, is_wide: bool) -> Emitted {
    asm.mov(qword_ptr(rbx + flag(Field::Zero)), rdx)?;
    asm.mov(byte_ptr(rbx + flag(Field::Parity)), dl)?;
    asm.mov(rsi, rdx)?;
    if !is_wide {
        asm.shl(rsi, 32)?;
    }
    asm.mov(qword_ptr(rbx + flag(Field::Sign)), rsi)?;
    match operation {
        Operation::And | Operation::Or | Operation::Xor => {
            asm.mov(qword_ptr(rbx + flag(Field::Carries)), 0)?;
            return asm.mov(byte_ptr(rbx + flag(Field::Adjust)), 0);
        }
        // (a & b) | ((a | b) & !result)
        Operation::Add => {
            asm.mov(rsi, rax)?;
            asm.and(rsi, rcx)?;
            asm.mov(rdi, rax)?;
            asm.or(rdi, rcx)?;
            asm.mov(r8, rdx)?;
            asm.not(r8)?;
            asm.and(rdi, r8)?;
        }
        // (!a & b) | ((!a | b) & result)
        Operation::Subtract => {
            asm.mov(rsi, rax)?;
            asm.not(rsi)?;
            asm.mov(rdi, rsi)?;
            asm.and(rsi, rcx)?;
            asm.or(rdi, rcx)?;
            asm.and(rdi, rdx)?;
        }
    }
    asm.or(rsi, rdi)?;
    if !is_wide {
        asm.shl(rsi, 32)?;
    }
    asm.mov(qword_ptr(rbx + flag(Field::Carries)), rsi)?;
    asm.xor(eax, ecx)?;
    asm.xor(eax, edx)?;
    asm.mov(byte_ptr(rbx + flag(Field::Adjust)), al)
}

/// Goes to `not_taken` unless a condition holds.
fn jump_unless(asm: &mut CodeAssembler, condition: ConditionCode, not_taken: CodeLabel) -> Emitted {
    use ConditionCode as On;
    let zero = qword_ptr(rbx + flag(Field::Zero));
    let sign = qword_ptr(rbx + flag(Field::Sign));
    let carries = qword_ptr(rbx + flag(Field::Carries));
    match condition {
        On::e => {
            asm.cmp(zero, 0)?;
            asm.jne(not_taken)
        }
        On::ne => {
            asm.cmp(zero, 0)?;
            asm.je(not_taken)
        }
        On::s => {
            asm.cmp(sign, 0)?;
            asm.jge(not_taken)
        }
        On::ns => {
            asm.cmp(sign, 0)?;
            asm.jl(not_taken)
        }
        On::b => {
            asm.cmp(carries, 0)?;
            asm.jge(not_taken)
        }
        On::ae => {
            asm.cmp(carries, 0)?;
            asm.jl(not_taken)
        }
        // CF or ZF.
        On::be | On::a => {
            asm.cmp(zero, 0)?;
            asm.sete(cl)?;
            asm.mov(rax, carries)?;
            asm.shr(rax, 63)?;
            asm.or(al, cl)?;
            if condition == On::be { asm.je(not_taken) } else { asm.jne(not_taken) }
        }
        // SF is not OF, which is bit 63 xor bit 62 of the carries.
        On::l | On::ge => {
            less(asm)?;
            if condition == On::l { asm.jns(not_taken) } else { asm.js(not_taken) }
        }
        // That, or ZF.
        _ => {
            less(asm)?;
            asm.shr(rax, 63)?;
            asm.cmp(zero, 0)?;
            asm.sete(cl)?;
            asm.or(al, cl)?;
            if condition == On::le { asm.je(not_taken) } else { asm.jne(not_taken) }
        }
    }
}

/// The sign of RAX, and of the host's flags, becomes SF xor OF.
fn less(asm: &mut CodeAssembler) -> Emitted {
    asm.mov(rax, qword_ptr(rbx + flag(Field::Carries)))?;
    asm.mov(rcx, rax)?;
    asm.add(rcx, rcx)?;
    asm.xor(rax, rcx)?;
    asm.xor(rax, qword_ptr(rbx + flag(Field::Sign)))?;
    asm.test(rax, rax)
}
