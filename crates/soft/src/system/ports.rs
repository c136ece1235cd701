//! IN, OUT, INS, OUTS (Intel SDM volume 2; volume 1, 19.5).
//!
//! Every access is an exit; a REP string makes one for each element, and is given up in between, so that each
//! iteration gets an answer of its own.
//!
//! IN EAX from [`TIME_READ_PORT`] stands for RDTSC in kernels that were rewritten when they were loaded: the
//! time comes in EDX:EAX.

use iced_x86::{Instruction, Mnemonic, OpKind};
use outlive_engine::ports::TIME_READ_PORT;
use outlive_engine::{AccessSize, Exit};

use super::debug;
use crate::cpu::{Cpu, number};
use crate::decode::Selection;
use crate::fault::{Abort, Exception};
use crate::flags::bit;
use crate::memory::Kind;
use crate::op::{Execute, Op, Step, address, property, segment};
use crate::width::{Byte, Dword, Width, Word};

/// Where the TSS tells where its bitmap of ports begins.
const BITMAP_OFFSET: u64 = 102;

pub(super) fn select(instruction: &Instruction) -> Option<Selection> {
    let by_size = |size: usize, functions: [Execute; 3]| functions[size.trailing_zeros() as usize % 3];
    let has_immediate = (0..instruction.op_count()).any(|at| instruction.op_kind(at) == OpKind::Immediate8);
    let execute = match (instruction.mnemonic(), has_immediate) {
        (Mnemonic::In, true) => {
            let functions = [read::<Byte, true>, read::<Word, true>, read::<Dword, true>];
            by_size(instruction.op0_register().size(), functions)
        }
        (Mnemonic::In, false) => {
            let functions = [read::<Byte, false>, read::<Word, false>, read::<Dword, false>];
            by_size(instruction.op0_register().size(), functions)
        }
        (Mnemonic::Out, true) => {
            let functions = [write::<Byte, true>, write::<Word, true>, write::<Dword, true>];
            by_size(instruction.op1_register().size(), functions)
        }
        (Mnemonic::Out, false) => {
            let functions = [write::<Byte, false>, write::<Word, false>, write::<Dword, false>];
            by_size(instruction.op1_register().size(), functions)
        }
        (Mnemonic::Insb, _) => read_string::<Byte>,
        (Mnemonic::Insw, _) => read_string::<Word>,
        (Mnemonic::Insd, _) => read_string::<Dword>,
        (Mnemonic::Outsb, _) => write_string::<Byte>,
        (Mnemonic::Outsw, _) => write_string::<Word>,
        (Mnemonic::Outsd, _) => write_string::<Dword>,
        _ => return None,
    };
    Some(Selection::last(execute))
}

fn size<W: Width>() -> AccessSize {
    match W::BYTES {
        1 => AccessSize::Byte,
        2 => AccessSize::Word,
        _ => AccessSize::Dword,
    }
}

fn port<const IMMEDIATE: bool>(cpu: &Cpu, op: &Op) -> u16 {
    if IMMEDIATE { (op.immediate & 0xff) as u16 } else { cpu.register(number::RDX) as u16 }
}

extern "sysv64-unwind" fn read<W: Width, const IMMEDIATE: bool>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let port = port::<IMMEDIATE>(cpu, op);
    check_port(cpu, port, W::BYTES)?;
    if port == TIME_READ_PORT && W::BYTES == 4 {
        let time = cpu.ask_value(Exit::TimeRead)?;
        cpu.set_wide_result(time);
    } else {
        let value = cpu.ask_value(Exit::PortRead { port, size: size::<W>() })?;
        cpu.set::<W>(number::RAX, value & W::MASK);
    }
    debug::note_port(cpu, port, W::BYTES);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn write<W: Width, const IMMEDIATE: bool>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    let port = port::<IMMEDIATE>(cpu, op);
    check_port(cpu, port, W::BYTES)?;
    let value = cpu.get::<W>(number::RAX) as u32;
    tell::<W>(cpu, port, value);
    Ok(Step::Leave)
}

/// Tells the monitor of a write to a port.
fn tell<W: Width>(cpu: &mut Cpu, port: u16, value: u32) {
    cpu.exit = Some(Exit::PortWrite { port, size: size::<W>(), value });
    cpu.attend();
    debug::note_port(cpu, port, W::BYTES);
}

/// That the element can be written is found out before the device is asked, for reading may change the device.
extern "sysv64-unwind" fn read_string<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let port = cpu.register(number::RDX) as u16;
    check_port(cpu, port, W::BYTES)?;
    if is_done(cpu, op) {
        return Ok(Step::Next);
    }
    let offset = cpu.register(number::RDI) & address_mask(op);
    let is_checked = op.is(property::COMPATIBILITY);
    let linear =
        if is_checked { cpu.linear(segment::ES, offset, W::BYTES, Kind::Write, true)? } else { offset };
    cpu.memory.check_write(linear, W::BYTES)?;
    let value = cpu.ask_value(Exit::PortRead { port, size: size::<W>() })?;
    let step = cpu.store::<W>(linear, value & W::MASK)?;
    debug::note_port(cpu, port, W::BYTES);
    Ok(advance::<W>(cpu, op, number::RDI, step))
}

extern "sysv64-unwind" fn write_string<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let port = cpu.register(number::RDX) as u16;
    check_port(cpu, port, W::BYTES)?;
    if is_done(cpu, op) {
        return Ok(Step::Next);
    }
    let offset = cpu.register(number::RSI) & address_mask(op);
    let linear = match op.segment & address::SEGMENT {
        0 => offset,
        number => cpu.linear(number - 1, offset, W::BYTES, Kind::Read, op.segment & address::CHECKED != 0)?,
    };
    let value = cpu.load::<W>(linear)?;
    tell::<W>(cpu, port, value as u32);
    Ok(advance::<W>(cpu, op, number::RSI, Step::Leave))
}

/// The bits of registers that a string instruction counts and addresses with.
fn address_mask(op: &Op) -> u64 {
    match op.segment & (address::DWORD | address::WORD) {
        0 => u64::MAX,
        address::DWORD => 0xffff_ffff,
        _ => 0xffff,
    }
}

/// Whether a REP string has no iterations at all.
fn is_done(cpu: &Cpu, op: &Op) -> bool {
    op.is(property::REP | property::REPNE) && cpu.register(number::RCX) & address_mask(op) == 0
}

/// Moves the pointer and counts the iteration. `step` is what the iteration itself wants.
fn advance<W: Width>(cpu: &mut Cpu, op: &Op, pointer: u8, step: Step) -> Step {
    let bytes = W::BYTES as u64;
    let distance = if cpu.flags.has(bit::DF) { bytes.wrapping_neg() } else { bytes };
    set_address_register(cpu, op, pointer, cpu.register(pointer).wrapping_add(distance));
    if !op.is(property::REP | property::REPNE) {
        return step;
    }
    let left = cpu.register(number::RCX).wrapping_sub(1) & address_mask(op);
    set_address_register(cpu, op, number::RCX, left);
    if left == 0 { step } else { Step::Again }
}

/// Sets a register that an address is made of: 32 bits clear the upper half, 16 leave the rest.
fn set_address_register(cpu: &mut Cpu, op: &Op, register: u8, value: u64) {
    let mask = address_mask(op);
    let kept = if mask == 0xffff { cpu.register(register) & !mask } else { 0 };
    *cpu.register_mut(register) = kept | value & mask;
}

/// Outside of the rings up to IOPL, the bitmap in the TSS must allow all ports of an access.
fn check_port(cpu: &mut Cpu, port: u16, bytes: usize) -> Result<(), Abort> {
    if cpu.privilege() <= cpu.io_privilege() || bitmap_allows(cpu, port, bytes)? {
        return Ok(());
    }
    cpu.raise(Exception::PROTECTION)
}

/// Two bytes of the bitmap are read always, so that accesses that cross a byte need no second look.
fn bitmap_allows(cpu: &mut Cpu, port: u16, bytes: usize) -> Result<bool, Abort> {
    let (base, limit) = (cpu.segments.tr.base, u64::from(cpu.segments.tr.limit));
    if limit < BITMAP_OFFSET + 1 {
        return Ok(false);
    }
    let bitmap = u16::from_le_bytes(cpu.memory.read_system(base.wrapping_add(BITMAP_OFFSET))?);
    let offset = u64::from(bitmap) + u64::from(port / 8);
    if offset + 1 > limit {
        return Ok(false);
    }
    let bits = u16::from_le_bytes(cpu.memory.read_system(base.wrapping_add(offset))?);
    Ok(bits >> (port % 8) & ((1 << bytes) - 1) == 0)
}

#[cfg(test)]
mod tests {
    use outlive_engine::Answer;

    use super::*;
    use crate::fault::Reason;
    use crate::system::stage::Stage;
    use crate::testing::{CODE, DATA};

    #[test]
    fn in_merges_its_answer_into_the_accumulator() {
        let read = |code: &[u8]| {
            let mut stage = Stage::new();
            *stage.trial.cpu.register_mut(number::RAX) = u64::MAX;
            *stage.trial.cpu.register_mut(number::RDX) = 0xffff_1234;
            stage.answers = vec![Answer::Value(0xaabb_ccdd_1122_3344)];
            let mut code = code.to_vec();
            code.push(0xf4);
            assert_eq!(stage.run(&code), Exit::Halt);
            assert_eq!(stage.trial.cpu.retired, 2);
            stage.trial.cpu.register(number::RAX)
        };
        assert_eq!(read(&[0xe4, 0x20]), 0xffff_ffff_ffff_ff44);
        assert_eq!(read(&[0x66, 0xed]), 0xffff_ffff_ffff_3344);
        assert_eq!(read(&[0xed]), 0x1122_3344);
    }

    #[test]
    fn exits_tell_port_size_and_value() {
        let mut stage = Stage::new();
        *stage.trial.cpu.register_mut(number::RAX) = 0x8877_6655_4433_2211;
        *stage.trial.cpu.register_mut(number::RDX) = 0xffff_03f8;
        let byte = Exit::PortWrite { port: 0x3f8, size: AccessSize::Byte, value: 0x11 };
        assert_eq!(stage.run(&[0xee]), byte);
        assert_eq!(stage.trial.cpu.rip, CODE + 1, "it has retired");
        let dword = Exit::PortWrite { port: 0x80, size: AccessSize::Dword, value: 0x4433_2211 };
        assert_eq!(stage.run(&[0xe7, 0x80]), dword);
        assert_eq!(stage.run(&[0x66, 0xed]), Exit::PortRead { port: 0x3f8, size: AccessSize::Word });
    }

    #[test]
    fn a_dword_from_the_time_port_is_a_time_read() {
        let mut stage = Stage::new();
        *stage.trial.cpu.register_mut(number::RDX) = u64::MAX;
        assert_eq!(stage.trial.execute(&[0xe5, 0xe4]), Err(Reason::Exit(Exit::TimeRead)));
        stage.answers = vec![Answer::Value(0x1234_5678_9abc_def0)];
        assert_eq!(stage.run(&[0xe5, 0xe4, 0xf4]), Exit::Halt);
        assert_eq!(stage.trial.cpu.register(number::RDX), 0x1234_5678);
        assert_eq!(stage.trial.cpu.register(number::RAX), 0x9abc_def0);
        assert_eq!(stage.run(&[0xe4, 0xe4]), Exit::PortRead { port: TIME_READ_PORT, size: AccessSize::Byte });
    }

    #[test]
    fn rep_ins_asks_for_each_element() {
        let mut stage = Stage::new();
        *stage.trial.cpu.register_mut(number::RDI) = DATA;
        *stage.trial.cpu.register_mut(number::RCX) = 3;
        *stage.trial.cpu.register_mut(number::RDX) = 0x170;
        stage.answers = [0x1111, 0x2222, 0x3333].map(Answer::Value).to_vec();
        assert_eq!(stage.run(&[0x66, 0xf3, 0x6d, 0xf4]), Exit::Halt);
        assert_eq!(stage.trial.read::<8>(DATA), [0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0, 0]);
        let cpu = &stage.trial.cpu;
        assert_eq!((cpu.register(number::RDI), cpu.register(number::RCX)), (DATA + 6, 0));
        assert_eq!(cpu.retired, 4, "three iterations and HLT");
        assert!(!cpu.flags.has(bit::RF));
    }

    #[test]
    fn ins_finds_out_that_it_cannot_write_before_it_asks() {
        let mut stage = Stage::new();
        *stage.trial.cpu.register_mut(number::RDI) = 0x20_0000;
        assert_eq!(stage.trial.fault(&[0x6c]), Exception::page_fault(0x20_0000, 2));
    }

    #[test]
    fn rep_outs_tells_each_element_backwards_too() {
        let mut stage = Stage::new();
        stage.trial.write(DATA, &[1, 2]);
        *stage.trial.cpu.register_mut(number::RSI) = DATA + 1;
        *stage.trial.cpu.register_mut(number::RCX) = 0xffff_ffff_0000_0002;
        *stage.trial.cpu.register_mut(number::RDX) = 0x3f8;
        stage.trial.cpu.flags.set_bits(bit::DF);
        let told = |value| Exit::PortWrite { port: 0x3f8, size: AccessSize::Byte, value };
        // With addresses of 32 bits.
        assert_eq!(stage.run(&[0x67, 0xf3, 0x6e, 0xf4]), told(2));
        assert_eq!((stage.trial.cpu.rip, stage.trial.cpu.register(number::RCX)), (CODE, 1));
        assert_eq!(stage.go(100), told(1));
        assert_eq!(stage.trial.cpu.register(number::RSI), 0xffff_ffff & (DATA - 1));
        assert_eq!(stage.go(100), Exit::Halt);
        assert_eq!(stage.trial.cpu.retired, 3);
    }

    #[test]
    fn a_count_of_zero_makes_no_exit() {
        let mut stage = Stage::new();
        assert_eq!(stage.run(&[0xf3, 0x6c, 0xf3, 0x6e, 0xf4]), Exit::Halt);
        assert_eq!(stage.trial.cpu.retired, 3);
    }

    #[test]
    fn the_bitmap_decides_outside_of_the_io_privilege() {
        let allows = |port: u16, bitmap: u64, limit: u32, offset: u16| {
            let mut stage = Stage::user();
            stage.trial.write(0x8000 + BITMAP_OFFSET, &offset.to_le_bytes());
            stage.set_task(u64::from(offset), bitmap);
            stage.trial.cpu.segments.tr.limit = limit;
            *stage.trial.cpu.register_mut(number::RDX) = port.into();
            // IN EAX, DX
            match stage.trial.execute(&[0xed]) {
                Err(Reason::Exit(Exit::PortRead { .. })) => true,
                Err(Reason::Exception(Exception::PROTECTION)) => false,
                other => panic!("{other:?}"),
            }
        };
        assert!(allows(8, !0xf00, 0x2067, 0x68));
        assert!(!allows(8, !0x700, 0x2067, 0x68), "the last of four ports");
        assert!(allows(5, !0x1e0, 0x2067, 0x68), "across a byte");
        assert!(!allows(5, !0xe0, 0x2067, 0x68));
        assert!(allows(0, 0, 0x69, 0x68));
        assert!(!allows(0, 0, 0x68, 0x68), "the second byte is beyond the TSS");
        assert!(!allows(0, 0, 0x66, 0), "no offset of a bitmap");
        let mut stage = Stage::user();
        stage.trial.cpu.flags.set_bits(bit::IOPL);
        assert!(matches!(stage.trial.execute(&[0xe4, 0]), Err(Reason::Exit(_))), "IOPL");
    }
}
