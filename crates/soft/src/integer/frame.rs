//! Instructions of the stack: PUSH and POP of all but segment registers, PUSHA POPA, ENTER LEAVE.

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::choose::is_memory;
use super::operand::{First, Immediate, InMemory, Place, Source};
use crate::cpu::{Cpu, number};
use crate::fault::Abort;
use crate::op::{Execute, Op, Step};
use crate::width::{Dword, Width, Word};

/// PUSH RSP pushes what RSP was before.
extern "sysv64-unwind" fn push<W: Width, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let value = S::get::<W>(cpu, op)?;
    cpu.push::<W>(value)
}

/// POP RSP leaves what was popped.
extern "sysv64-unwind" fn pop<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let value = cpu.pop::<W>()?;
    First::put::<W>(cpu, op, value)
}

/// POP to memory: an address made from RSP is made from the new one (Intel SDM volume 2, POP).
extern "sysv64-unwind" fn pop_to_memory<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let before = cpu.register(number::RSP);
    let value = cpu.pop::<W>()?;
    let stored = cpu.store_operand::<W>(op, value);
    if stored.is_err() {
        *cpu.register_mut(number::RSP) = before;
    }
    stored
}

/// PUSHA.
extern "sysv64-unwind" fn push_all<W: Width>(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let offset =
        |cpu: &Cpu, slot: usize| cpu.stack_offset::<W>(((slot + 1) * W::BYTES).wrapping_neg() as u64);
    for slot in 0..8 {
        cpu.check_stack_store::<W>(offset(cpu, slot))?;
    }
    let mut step = Step::Next;
    for slot in 0..8 {
        step = cpu.stack_store::<W>(offset(cpu, slot), cpu.get::<W>(slot as u8))?;
    }
    let pointer = offset(cpu, 7);
    cpu.set_stack_pointer::<W>(pointer);
    Ok(if cpu.memory.must_be_looked_at() { Step::Leave } else { step })
}

/// POPA: all but the stack pointer, which only advances.
extern "sysv64-unwind" fn pop_all<W: Width>(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let mut values = [0; 8];
    for (slot, value) in values.iter_mut().enumerate() {
        *value = cpu.stack_load::<W>(cpu.stack_offset::<W>((slot * W::BYTES) as u64))?;
    }
    let pointer = cpu.stack_offset::<W>(8 * W::BYTES as u64);
    for (register, value) in (0..8).rev().zip(values) {
        if register != number::RSP {
            cpu.set::<W>(register, value);
        }
    }
    cpu.set_stack_pointer::<W>(pointer);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn leave<W: Width>(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let mask = cpu.stack_mask::<W>();
    let frame = cpu.register(number::RBP) & mask;
    let value = cpu.stack_load::<W>(frame)?;
    cpu.set_stack_pointer::<W>(frame.wrapping_add(W::BYTES as u64));
    cpu.set::<W>(number::RBP, value);
    Ok(Step::Next)
}

/// The bytes that ENTER pushes, before anything is written: byte `n` belongs `n + 1` bytes below the top.
struct Pushed {
    bytes: [u8; 33 * 8],
    count: usize,
}

impl Pushed {
    fn push<W: Width>(&mut self, value: u64) {
        for byte in value.to_be_bytes()[8 - W::BYTES..].iter() {
            self.bytes[self.count] = *byte;
            self.count += 1;
        }
    }

    /// A value that was read `distance` below the top, as it would be read if what was pushed were written.
    fn over<W: Width>(&self, value: u64, distance: u64) -> u64 {
        let mut bytes = value.to_le_bytes();
        for (at, byte) in bytes[..W::BYTES].iter_mut().enumerate() {
            let below = distance.wrapping_sub(at as u64).wrapping_sub(1);
            if below < self.count as u64 {
                *byte = self.bytes[below as usize];
            }
        }
        u64::from_le_bytes(bytes)
    }

    /// The value `slot` pushes after the first one.
    fn value<W: Width>(&self, slot: usize) -> u64 {
        let pushed = &self.bytes[slot * W::BYTES..][..W::BYTES];
        pushed.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }
}

/// ENTER: a frame of [`Op::immediate`] bytes with [`Op::extra`] levels of nesting. Faults if the frame's far end
/// could not be written to, although it is not (Intel SDM volume 2, ENTER). RBP is set in the operand's width: words
/// leave the rest of it in 64-bit mode, too, as processors do.
extern "sysv64-unwind" fn enter<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let level = usize::from(op.extra % 32);
    let below = |cpu: &Cpu, bytes: usize| cpu.stack_offset::<W>(bytes.wrapping_neg() as u64);
    let mask = cpu.stack_mask::<W>();
    let (top, base) = (cpu.stack_offset::<W>(0), cpu.register(number::RBP));
    let frame = below(cpu, W::BYTES);
    let mut pushed = Pushed { bytes: [0; 33 * 8], count: 0 };
    cpu.check_stack_store::<W>(frame)?;
    pushed.push::<W>(base);
    for outer in 1..level {
        let offset = base.wrapping_sub((outer * W::BYTES) as u64) & mask;
        let value = cpu.stack_load::<W>(offset)?;
        cpu.check_stack_store::<W>(below(cpu, pushed.count + W::BYTES))?;
        let value = pushed.over::<W>(value, top.wrapping_sub(offset) & mask);
        pushed.push::<W>(value);
    }
    if level > 0 {
        cpu.check_stack_store::<W>(below(cpu, pushed.count + W::BYTES))?;
        pushed.push::<W>(frame);
    }
    let end = below(cpu, pushed.count + op.immediate as usize);
    cpu.check_stack_store::<W>(end)?;
    let mut step = Step::Next;
    for slot in 0..pushed.count / W::BYTES {
        step = cpu.stack_store::<W>(below(cpu, (slot + 1) * W::BYTES), pushed.value::<W>(slot))?;
    }
    cpu.set::<W>(number::RBP, frame);
    cpu.set_stack_pointer::<W>(end);
    Ok(if cpu.memory.must_be_looked_at() { Step::Leave } else { step })
}

/// What executes an instruction of this module.
pub(super) fn select(instruction: &Instruction, op: &mut Op) -> Option<Execute> {
    let bits = stack_bits(instruction);
    Some(match instruction.mnemonic() {
        Mnemonic::Push => match instruction.op0_kind() {
            OpKind::Register if !instruction.op0_register().is_gpr() => return None,
            OpKind::Register => sized_from_word!(bits, push, First),
            OpKind::Memory => sized_from_word!(bits, push, InMemory),
            _ => sized_from_word!(bits, push, Immediate),
        },
        Mnemonic::Pop if is_memory(instruction, 0) => sized_from_word!(bits, pop_to_memory),
        Mnemonic::Pop if !instruction.op0_register().is_gpr() => return None,
        Mnemonic::Pop => sized_from_word!(bits, pop),
        Mnemonic::Pusha => push_all::<Word>,
        Mnemonic::Pushad => push_all::<Dword>,
        Mnemonic::Popa => pop_all::<Word>,
        Mnemonic::Popad => pop_all::<Dword>,
        Mnemonic::Enter => {
            op.immediate &= 0xffff;
            sized_from_word!(8 * enter_bytes(instruction), enter)
        }
        Mnemonic::Leave => sized_from_word!(8 * leave_bytes(instruction), leave),
        _ => return None,
    })
}

/// How many bits PUSH or POP moves.
fn stack_bits(instruction: &Instruction) -> u32 {
    8 * instruction.stack_pointer_increment().unsigned_abs()
}

fn enter_bytes(instruction: &Instruction) -> usize {
    use iced_x86::Code;
    match instruction.code() {
        Code::Enterw_imm16_imm8 => 2,
        Code::Enterd_imm16_imm8 => 4,
        _ => 8,
    }
}

fn leave_bytes(instruction: &Instruction) -> usize {
    use iced_x86::Code;
    match instruction.code() {
        Code::Leavew => 2,
        Code::Leaved => 4,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Exception, Reason};
    use crate::testing::{DATA, STACK, Trial, state};
    use crate::width::Qword;

    fn u64_at(trial: &Trial, at: u64) -> u64 {
        u64::from_le_bytes(trial.read(at))
    }

    #[test]
    fn push_of_the_stack_pointer_pushes_what_it_was() {
        let mut trial = Trial::new();
        trial.completes(&[0x54], "PUSH RSP");
        assert_eq!(u64_at(&trial, STACK - 8), STACK);
        trial.completes(&[0x5c], "POP RSP");
        assert_eq!(trial.cpu.register(number::RSP), STACK);
    }

    #[test]
    fn pop_to_an_address_by_the_stack_pointer_uses_the_new_one() {
        let mut trial = Trial::new();
        assert_eq!(trial.cpu.push::<Qword>(77), Ok(Step::Next));
        trial.completes(&[0x8f, 0x44, 0x24, 0x08], "POP [RSP+8]");
        assert_eq!(u64_at(&trial, STACK + 8), 77);
        assert_eq!(trial.cpu.register(number::RSP), STACK);
    }

    #[test]
    fn pop_to_a_bad_address_leaves_the_stack_pointer() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RBX) = 1 << 62;
        assert_eq!(trial.execute(&[0x8f, 0x03]), Err(Reason::NotCanonical));
        assert_eq!(trial.cpu.register(number::RSP), STACK);
    }

    #[test]
    fn immediates_are_pushed_sign_extended() {
        let mut trial = Trial::new();
        trial.completes(&[0x6a, 0x80], "PUSH imm8");
        assert_eq!(u64_at(&trial, STACK - 8), 0x80u64.wrapping_sub(0x100));
        trial.completes(&[0x66, 0x6a, 0x80], "PUSH imm8, 16 bits");
        assert_eq!(trial.cpu.register(number::RSP), STACK - 10);
        assert_eq!(trial.read(STACK - 10), 0xff80u16.to_le_bytes());
    }

    #[test]
    fn enter_copies_the_frame_pointers_of_outer_levels() {
        let mut trial = Trial::new();
        trial.write(DATA + 0xf8, &11u64.to_le_bytes());
        trial.write(DATA + 0xf0, &22u64.to_le_bytes());
        *trial.cpu.register_mut(number::RBP) = DATA + 0x100;
        trial.completes(&[0xc8, 0x20, 0x00, 0x03], "ENTER 0x20, 3");
        let pushed = [DATA + 0x100, 11, 22, STACK - 8];
        for (slot, value) in pushed.into_iter().enumerate() {
            assert_eq!(u64_at(&trial, STACK - 8 - 8 * slot as u64), value);
        }
        assert_eq!(trial.cpu.register(number::RBP), STACK - 8);
        assert_eq!(trial.cpu.register(number::RSP), STACK - 0x40);
        trial.completes(&[0xc9], "LEAVE");
        assert_eq!(trial.cpu.register(number::RBP), DATA + 0x100);
        assert_eq!(trial.cpu.register(number::RSP), STACK);
    }

    #[test]
    fn enter_reads_what_it_has_just_pushed() {
        let mut trial = Trial::new();
        // The outer frame's pointers are where RBP itself is pushed.
        *trial.cpu.register_mut(number::RBP) = STACK;
        trial.completes(&[0xc8, 0x00, 0x00, 0x02], "ENTER 0, 2");
        assert_eq!(u64_at(&trial, STACK - 16), STACK);
        *trial.cpu.register_mut(number::RSP) = STACK;
        *trial.cpu.register_mut(number::RBP) = STACK + 4;
        trial.write(STACK, &0x9999_9999u32.to_le_bytes());
        trial.completes(&[0xc8, 0x00, 0x00, 0x02], "ENTER 0, 2");
        assert_eq!(u64_at(&trial, STACK - 16), 0x9999_9999_0000_0000 | (STACK + 4) >> 32);
    }

    #[test]
    fn enter_that_faults_at_its_far_end_writes_nothing() {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RSP) = 0xffff_8000_0000_0010;
        let exception = trial.fault(&[0xc8, 0x00, 0x10, 0x00]);
        assert_eq!(exception.vector, crate::fault::vector::PAGE_FAULT);
        *trial.cpu.register_mut(number::RSP) = STACK;
        trial.cpu.memory.flush();
        trial.write(0x4000 + 8 * ((STACK >> 12) - 2), &[0; 8]);
        let exception = trial.fault(&[0xc8, 0x00, 0x10, 0x00]);
        assert_eq!(exception, Exception::page_fault(STACK - 0x1008, 2));
        assert_eq!(trial.cpu.register(number::RSP), STACK);
        assert_eq!(u64_at(&trial, STACK - 8), 0);
    }

    #[test]
    fn pusha_and_popa_keep_all_registers_but_the_stack_pointer() {
        let mut state = state();
        state.segments.cs.attributes = 0xc09b;
        let mut trial = Trial::with(&state);
        for register in (0..8).filter(|&register| register != number::RSP) {
            *trial.cpu.register_mut(register) = 100 + u64::from(register);
        }
        trial.completes(&[0x60], "PUSHAD");
        assert_eq!(trial.cpu.register(number::RSP), STACK - 32);
        assert_eq!(trial.read(STACK - 20), (STACK as u32).to_le_bytes());
        trial.write(STACK - 20, &[0xff; 4]);
        let before = trial.cpu.registers;
        trial.cpu.registers[..4].fill(0);
        trial.completes(&[0x61], "POPAD");
        assert_eq!(trial.cpu.register(number::RSP), STACK);
        assert_eq!(trial.cpu.registers[..4], before[..4]);
        assert_eq!(trial.cpu.registers[5..8], before[5..8]);
    }
}
