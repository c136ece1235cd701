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
mod tests {
    use super::*;
    use crate::fault::vector;
    use crate::flags::Flags;
    use crate::testing::{CODE, DATA, Trial, state};
    use proptest::prelude::*;

    /// The opcode of an operation with operands of 1 << `size` bytes, with prefixes.
    fn code(prefix: u8, opcode: u8, size: u8) -> Vec<u8> {
        match size {
            0 => vec![prefix, opcode],
            1 => vec![prefix, 0x66, opcode + 1],
            2 => vec![prefix, opcode + 1],
            _ => vec![prefix, 0x48, opcode + 1],
        }
    }

    /// Executes to the end, `steps` at a time.
    fn run(trial: &mut Trial, code: &[u8], steps: u64) {
        while trial.execute_up_to(code, steps).expect("no fault") == Step::Again {
            trial.cpu.retired += 1;
            assert_eq!(trial.cpu.rip, CODE);
        }
        trial.cpu.retired += 1;
    }

    fn set(trial: &mut Trial, rsi: u64, rdi: u64, rcx: u64) {
        *trial.cpu.register_mut(number::RSI) = rsi;
        *trial.cpu.register_mut(number::RDI) = rdi;
        *trial.cpu.register_mut(number::RCX) = rcx;
    }

    proptest! {
        #[test]
        fn any_stops_give_the_same_result_as_single_iterations(
            opcode in prop_oneof![Just(0xa4u8), Just(0xaa), Just(0xa6), Just(0xae), Just(0xac)],
            size in 0u8..4,
            repne: bool,
            backwards in prop::bool::weighted(0.2),
            from in 0u64..0x1200,
            distance in prop_oneof![-20i64..20, -5000i64..5000],
            count in prop_oneof![0u64..20, 0u64..1500],
            steps in prop_oneof![Just(u64::MAX / 2), 1u64..100],
        ) {
            let code = code(if repne { 0xf2 } else { 0xf3 }, opcode, size);
            let bytes: Vec<u8> = (0..0x8000u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 30) as u8).collect();
            let trials = [1, steps].map(|steps| {
                let mut trial = Trial::new();
                trial.write(DATA, &bytes);
                let from = DATA + 0x2000 + from;
                set(&mut trial, from, from.wrapping_add(distance as u64), count);
                *trial.cpu.register_mut(number::RAX) = 0x0102_0300_0102_0300;
                trial.cpu.flags = Flags::from_bits(if backwards { bit::DF } else { 0 });
                // So that the pages that are touched may be in the buffer from the first iteration on.
                for page in 0..8 {
                    trial.cpu.memory.check_write(DATA + page * 0x1000, 1).expect("it is mapped");
                    trial.cpu.memory.read::<1>(DATA + page * 0x1000).expect("it is mapped");
                }
                run(&mut trial, &code, steps);
                trial
            });
            let [one, many] = &trials;
            prop_assert_eq!(one.read::<0x8000>(DATA), many.read::<0x8000>(DATA));
            prop_assert_eq!(one.cpu.registers, many.cpu.registers);
            prop_assert_eq!(one.cpu.flags.bits(), many.cpu.flags.bits());
            prop_assert_eq!(one.cpu.retired, many.cpu.retired);
        }
    }

    #[test]
    fn a_destination_one_byte_ahead_of_the_source_replicates_it() {
        let mut trial = Trial::new();
        trial.write(DATA, &[7, 1, 2, 3]);
        set(&mut trial, DATA, DATA + 1, 0x1800);
        run(&mut trial, &[0xf3, 0xa4], u64::MAX / 2);
        assert!(trial.read::<0x1801>(DATA).iter().all(|&byte| byte == 7));
        assert_eq!(trial.cpu.retired, 0x1800);
    }

    #[test]
    fn a_count_of_zero_is_one_step_that_changes_nothing() {
        let mut trial = Trial::new();
        set(&mut trial, 1 << 63, 1 << 63, 0);
        let before = trial.cpu.registers;
        assert_eq!(trial.execute(&[0xf3, 0xa4]), Ok(Step::Next));
        assert_eq!(trial.cpu.retired, 0);
        assert_eq!(trial.cpu.registers[..16], before[..16]);
    }

    #[test]
    fn iterations_before_a_fault_are_kept() {
        let mut trial = Trial::new();
        set(&mut trial, DATA + 0x1ff0, DATA, 5);
        trial.write(0x4000 + 8 * 0x22, &[0; 8]);
        assert_eq!(trial.execute_up_to(&[0xf3, 0x48, 0xa5], 100), Ok(Step::Again));
        assert_eq!(trial.cpu.register(number::RCX), 3);
        assert_eq!(trial.cpu.register(number::RSI), DATA + 0x2000);
        assert_eq!(trial.cpu.retired, 1, "the run loop counts one more");
        assert_eq!(trial.fault(&[0xf3, 0x48, 0xa5]).vector, vector::PAGE_FAULT);
        assert_eq!(trial.cpu.register(number::RCX), 3);
    }

    #[test]
    fn a_string_that_overwrites_its_own_code_stops_to_have_it_decoded_again() {
        let mut trial = Trial::new();
        trial.cpu.memory.watch_code(CODE >> 12);
        set(&mut trial, DATA, CODE, 4);
        assert_eq!(trial.execute_up_to(&[0xf3, 0xaa], 100), Ok(Step::Again));
        assert_eq!(trial.cpu.register(number::RCX), 3);
        assert_eq!(trial.cpu.memory.take_written_code(), [CODE >> 12]);
    }

    #[test]
    fn addresses_of_32_bits_wrap_and_clear_the_upper_halves() {
        let mut trial = Trial::new();
        trial.write(DATA, &[5]);
        set(
            &mut trial,
            0xffff_ffff_0000_0000 | DATA,
            0x1111_1111_0000_0000 | (DATA + 8),
            0x2222_2222_0000_0001,
        );
        assert_eq!(trial.execute(&[0x67, 0xf3, 0xa4]), Ok(Step::Next));
        assert_eq!(trial.cpu.register(number::RSI), DATA + 1);
        assert_eq!(trial.cpu.register(number::RDI), DATA + 9);
        assert_eq!(trial.cpu.register(number::RCX), 0);
        assert_eq!(trial.read(DATA + 8), [5]);
    }

    #[test]
    fn only_the_source_obeys_a_segment_prefix() {
        let mut trial = Trial::new();
        trial.cpu.segments.fs.base = 0x100;
        trial.write(DATA + 0x100, &[9]);
        set(&mut trial, DATA, DATA + 1, 1);
        trial.completes(&[0x64, 0xa4], "MOVSB from FS");
        assert_eq!(trial.read(DATA + 1), [9]);
    }

    #[test]
    fn in_compatibility_mode_a_string_stops_at_the_limit_of_its_segment() {
        let mut state = state();
        state.segments.cs.attributes = 0xc09b;
        state.segments.es.limit = DATA as u32 + 0x17;
        let mut trial = Trial::with(&state);
        set(&mut trial, 0, DATA + 0x10, 20);
        assert_eq!(trial.execute_up_to(&[0xf3, 0xaa], 100), Ok(Step::Again));
        assert_eq!(trial.cpu.register(number::RCX), 12);
        assert_eq!(trial.fault(&[0xf3, 0xaa]).vector, vector::GENERAL_PROTECTION);
    }

    #[test]
    fn addresses_of_16_bits_leave_the_rest_of_their_registers() {
        let mut state = state();
        state.segments.cs.attributes = 0xc09b;
        state.segments.es.base = DATA;
        let mut trial = Trial::with(&state);
        set(&mut trial, 0, 0xaaaa_ffff, 0xbbbb_0002);
        *trial.cpu.register_mut(number::RAX) = 0x77;
        run(&mut trial, &[0x67, 0xf3, 0xaa], 100);
        assert_eq!(trial.cpu.register(number::RDI), 0xaaaa_0001);
        assert_eq!(trial.cpu.register(number::RCX), 0xbbbb_0000);
        assert_eq!((trial.read(DATA + 0xffff), trial.read(DATA)), ([0x77], [0x77]));
    }
}
