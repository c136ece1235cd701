//! MXCSR, EMMS, and all registers at once: FXSAVE and FXRSTOR.
//!
//! The image is that of Intel SDM volume 1, table 10-2. Choices that the manual leaves open:
//!
//! * while CR4.OSFXSR is clear, neither the XMM registers nor MXCSR are saved or restored;
//! * bytes 464 to 511, and in compatibility mode the places of XMM8 to XMM15, are not written;
//! * FCS and FDS are stored as 0 and not restored, as current processors do;
//! * ES and B of FSW follow from the restored exceptions and masks; FCW takes only bits that exist.

use iced_x86::Code;
use outlive_engine::FloatingPointState;

use super::access::{EM, NOT_AVAILABLE, OSFXSR, TS, aligned_address, check_mmx, check_xmm};
use crate::cpu::Cpu;
use crate::fault::{Abort, Exception};
use crate::memory::Kind;
use crate::op::{Execute, Op, Step, property};
use crate::width::Dword;
use crate::x87::X87;

/// The bits of MXCSR that may be set: all that are defined, denormals-are-zeros included.
const MXCSR_MASK: u32 = 0xffff;
/// The bytes of an image.
const BYTES: usize = 512;
/// An image in pieces of 16 bytes.
type Image = [u128; BYTES / 16];
/// The piece with ST0; each of the registers has one.
const STACK: usize = 2;
/// The piece with XMM0.
const XMM: usize = 10;

/// What executes an instruction of this kind.
pub(super) fn selection(code: Code) -> Option<Execute> {
    use Code::*;
    Some(match code {
        Ldmxcsr_m32 => load_mxcsr,
        Stmxcsr_m32 => store_mxcsr,
        Emms => empty,
        Fxsave_m512byte => save::<false>,
        Fxsave64_m512byte => save::<true>,
        Fxrstor_m512byte => restore::<false>,
        Fxrstor64_m512byte => restore::<true>,
        _ => return None,
    })
}

extern "sysv64-unwind" fn load_mxcsr(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = cpu.load_operand::<Dword>(op)? as u32;
    if value & !MXCSR_MASK != 0 {
        return cpu.raise(Exception::PROTECTION);
    }
    cpu.vectors.mxcsr = value;
    Ok(Step::Next)
}

extern "sysv64-unwind" fn store_mxcsr(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = cpu.vectors.mxcsr;
    cpu.store_operand::<Dword>(op, value.into())
}

/// EMMS: all registers become empty; TOP becomes 0, as with any MMX instruction (Intel SDM volume 3, table 14-1).
extern "sysv64-unwind" fn empty(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    check_mmx(cpu)?;
    cpu.x87.enter_mmx();
    cpu.x87.valid = 0;
    Ok(Step::Next)
}

/// Checks that FXSAVE and FXRSTOR may run: #NM even for CR0.EM. Pending x87 exceptions do not matter.
fn check(cpu: &mut Cpu) -> Result<(), Abort> {
    if cpu.control.cr0 & (EM | TS) == 0 { Ok(()) } else { cpu.raise(NOT_AVAILABLE) }
}

/// How many XMM registers there are to save.
fn registers(cpu: &Cpu, op: &Op) -> usize {
    match (cpu.control.cr4 & OSFXSR != 0, op.is(property::COMPATIBILITY)) {
        (false, _) => 0,
        (true, true) => 8,
        (true, false) => 16,
    }
}

/// FXSAVE and (if `WIDE`) FXSAVE64.
extern "sysv64-unwind" fn save<const WIDE: bool>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check(cpu)?;
    let linear = aligned_address(cpu, op, BYTES, Kind::Write)?;
    cpu.memory.check_write(linear, BYTES)?;
    let xmm = registers(cpu, op);
    let mut state = FloatingPointState::default();
    cpu.x87.save(&mut state);
    let [first, second] = head::<WIDE>(&state, cpu.vectors.mxcsr);
    let vectors = cpu.vectors.xmm;
    let mut step = cpu.memory.write(linear, first.to_le_bytes())?;
    step = both(
        step,
        match xmm {
            0 => cpu.memory.write(linear.wrapping_add(16), (second as u64).to_le_bytes())?,
            _ => cpu.memory.write(linear.wrapping_add(16), second.to_le_bytes())?,
        },
    );
    let stack = state.stack.iter().enumerate().map(|(at, value)| (STACK + at, value));
    let pieces = stack.chain(vectors[..xmm].iter().enumerate().map(|(at, value)| (XMM + at, value)));
    for (piece, value) in pieces {
        let written = cpu.memory.write(linear.wrapping_add(16 * piece as u64), value.to_le_bytes())?;
        step = both(step, written);
    }
    Ok(step)
}

/// [`Step::Leave`] if one of two writes wants it.
fn both(first: Step, second: Step) -> Step {
    if first == Step::Next { second } else { first }
}

/// The first two pieces of an image: control registers and pointers.
fn head<const WIDE: bool>(state: &FloatingPointState, mxcsr: u32) -> [u128; 2] {
    let pointer = |value: u64| u128::from(if WIDE { value } else { value & 0xffff_ffff });
    let words = u128::from(state.control)
        | u128::from(state.status) << 16
        | u128::from(state.tags) << 32
        | u128::from(state.opcode) << 48;
    let control = u128::from(mxcsr) | u128::from(MXCSR_MASK) << 32;
    [words | pointer(state.instruction) << 64, pointer(state.operand) | control << 64]
}

/// FXRSTOR and (if `WIDE`) FXRSTOR64.
extern "sysv64-unwind" fn restore<const WIDE: bool>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check(cpu)?;
    let linear = aligned_address(cpu, op, BYTES, Kind::Read)?;
    let mut image: Image = [0; BYTES / 16];
    for (at, piece) in image.iter_mut().enumerate() {
        *piece = u128::from_le_bytes(cpu.memory.read(linear.wrapping_add(16 * at as u64))?);
    }
    let xmm = registers(cpu, op);
    let mxcsr = (image[1] >> 64) as u32;
    if xmm != 0 {
        if mxcsr & !MXCSR_MASK != 0 {
            return cpu.raise(Exception::PROTECTION);
        }
        cpu.vectors.mxcsr = mxcsr;
        cpu.vectors.xmm[..xmm].copy_from_slice(&image[XMM..XMM + xmm]);
    }
    cpu.x87 = x87::<WIDE>(&image);
    Ok(Step::Next)
}

/// The x87 registers of an image.
fn x87<const WIDE: bool>(image: &Image) -> X87 {
    let pointer = |value: u128| if WIDE { value as u64 } else { u64::from(value as u32) };
    let mut state = FloatingPointState {
        control: image[0] as u16,
        status: (image[0] >> 16) as u16,
        tags: (image[0] >> 32) as u8,
        opcode: (image[0] >> 48) as u16 & 0x7ff,
        instruction: pointer(image[0] >> 64),
        operand: pointer(image[1]),
        ..FloatingPointState::default()
    };
    state.stack.copy_from_slice(&image[STACK..STACK + 8]);
    X87::from_state(&state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::number;
    use crate::fault::Reason;
    use crate::testing::{DATA, Trial, state};

    const FXSAVE: [u8; 3] = [0x0f, 0xae, 0x06];
    const FXSAVE64: [u8; 4] = [0x48, 0x0f, 0xae, 0x06];
    const FXRSTOR: [u8; 3] = [0x0f, 0xae, 0x0e];
    const FXRSTOR64: [u8; 4] = [0x48, 0x0f, 0xae, 0x0e];
    const LDMXCSR: [u8; 3] = [0x0f, 0xae, 0x16];
    const STMXCSR: [u8; 3] = [0x0f, 0xae, 0x1e];

    /// Registers that are all different, to be saved at RSI.
    fn trial() -> Trial {
        let mut initial = state();
        initial.general.rsi = DATA;
        initial.floating_point = FloatingPointState {
            control: 0x27f,
            status: 0x3 << 11 | 0x4100,
            tags: 0x5a,
            opcode: 0x123,
            instruction: 0x1111_2222_3333_4444,
            operand: 0x5555_6666_7777_8888,
            stack: std::array::from_fn(|at| 0x3fff_8000_0000_0000_0000 + at as u128),
            xmm: std::array::from_fn(|at| u128::MAX - at as u128),
            mxcsr: 0x1fa5,
        };
        Trial::with(&initial)
    }

    fn registers(trial: &Trial) -> FloatingPointState {
        crate::state::get(&trial.cpu).floating_point
    }

    #[test]
    fn the_image_is_that_of_the_manual() {
        let mut trial = trial();
        trial.write(DATA, &[0xcc; BYTES]);
        assert_eq!(trial.execute(&FXSAVE64), Ok(Step::Next));
        let image = trial.read::<BYTES>(DATA);
        assert_eq!(image[..8], [0x7f, 0x02, 0x00, 0x59, 0x5a, 0, 0x23, 0x01]);
        assert_eq!(image[8..16], 0x1111_2222_3333_4444_u64.to_le_bytes());
        assert_eq!(image[16..24], 0x5555_6666_7777_8888_u64.to_le_bytes());
        assert_eq!(image[24..32], [0xa5, 0x1f, 0, 0, 0xff, 0xff, 0, 0]);
        assert_eq!(image[48..64], [1, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f, 0, 0, 0, 0, 0, 0]);
        assert_eq!(image[160 + 15 * 16], 0xff - 15);
        assert_eq!(image[416..], [0xcc; 96]);
    }

    #[test]
    fn what_is_saved_is_restored() {
        let mut trial = trial();
        let before = registers(&trial);
        assert_eq!(trial.execute(&FXSAVE64), Ok(Step::Next));
        trial.cpu.x87 = X87::default();
        trial.cpu.vectors = crate::vector::Vectors::default();
        assert_eq!(trial.execute(&FXRSTOR64), Ok(Step::Next));
        assert_eq!(registers(&trial), before);
    }

    #[test]
    fn without_rex_pointers_have_32_bits() {
        let mut trial = trial();
        let before = registers(&trial);
        assert_eq!(trial.execute(&FXSAVE), Ok(Step::Next));
        let image = trial.read::<32>(DATA);
        assert_eq!(image[8..16], [0x44, 0x44, 0x33, 0x33, 0, 0, 0, 0]);
        trial.write(DATA + 12, &[0xff; 4]);
        trial.write(DATA + 20, &[0xff; 4]);
        assert_eq!(trial.execute(&FXRSTOR), Ok(Step::Next));
        let expected = FloatingPointState { instruction: 0x3333_4444, operand: 0x7777_8888, ..before };
        assert_eq!(registers(&trial), expected);
    }

    #[test]
    fn compatibility_mode_has_eight_registers() {
        let mut trial = trial();
        // CS.L off, CS.D on.
        trial.cpu.segments.cs.attributes = 0xc09b;
        trial.write(DATA, &[0xcc; BYTES]);
        assert_eq!(trial.execute(&FXSAVE), Ok(Step::Next));
        assert_eq!(trial.read::<224>(DATA + 288), [0xcc; 224]);
        let before = registers(&trial);
        assert_eq!(trial.execute(&FXRSTOR), Ok(Step::Next));
        assert_eq!(registers(&trial).xmm, before.xmm);
    }

    #[test]
    fn without_osfxsr_sse_is_neither_saved_nor_restored() {
        let mut trial = trial();
        trial.cpu.control.cr4 &= !OSFXSR;
        trial.write(DATA, &[0xcc; BYTES]);
        assert_eq!(trial.execute(&FXSAVE64), Ok(Step::Next));
        assert_eq!(trial.read::<8>(DATA + 24), [0xcc; 8]);
        assert_eq!(trial.read::<256>(DATA + 160), [0xcc; 256]);
        let before = registers(&trial);
        assert_eq!(trial.execute(&FXRSTOR64), Ok(Step::Next));
        assert_eq!(registers(&trial), before);
    }

    #[test]
    fn restored_words_have_no_reserved_bits_and_a_summary_that_is_true() {
        let mut trial = trial();
        // FCW, FSW, tags, FOP: the exception I is not masked in the second image.
        for (control, status, expected) in
            [(0xffff, 0xffff, (0x1f7f, 0x7f7f)), (0x37e, 0x0001, (0x37e, 0x8081))]
        {
            let words: [u16; 4] = [control, status, 0xffff, 0xffff];
            trial.write(DATA, &words.map(u16::to_le_bytes).concat());
            trial.write(DATA + 24, &0x1f80_u32.to_le_bytes());
            assert_eq!(trial.execute(&FXRSTOR64), Ok(Step::Next));
            let found = registers(&trial);
            assert_eq!((found.control, found.status), expected);
            assert_eq!((found.tags, found.opcode), (0xff, 0x7ff));
        }
    }

    #[test]
    fn reserved_bits_of_mxcsr_are_refused() {
        let mut trial = trial();
        let before = registers(&trial);
        trial.write(DATA, &[0; BYTES]);
        for value in [0x1_0000_u32, 0x8000_0000] {
            trial.write(DATA + 24, &value.to_le_bytes());
            assert_eq!(trial.fault(&FXRSTOR64), Exception::PROTECTION);
            trial.write(DATA, &value.to_le_bytes());
            assert_eq!(trial.fault(&LDMXCSR), Exception::PROTECTION);
        }
        assert_eq!(registers(&trial), before);
        trial.write(DATA, &0xffff_u32.to_le_bytes());
        assert_eq!(trial.execute(&LDMXCSR), Ok(Step::Next));
        trial.write(DATA, &[0; 4]);
        assert_eq!(trial.execute(&STMXCSR), Ok(Step::Next));
        assert_eq!(trial.read(DATA), 0xffff_u32.to_le_bytes());
    }

    #[test]
    fn images_are_aligned_and_faults_leave_memory_and_registers_alone() {
        let mut trial = trial();
        for code in [&FXSAVE[..], &FXRSTOR64] {
            *trial.cpu.register_mut(number::RSI) = DATA + 8;
            assert_eq!(trial.fault(code), Exception::PROTECTION);
        }
        // The last page that is mapped is outside of RAM; behind it, there is nothing.
        *trial.cpu.register_mut(number::RSI) = (2 << 20) - 256;
        let fault = trial.execute(&FXSAVE64);
        assert!(matches!(fault, Err(Reason::Exception(fault)) if fault.address.is_some()), "{fault:?}");
        assert!(!trial.cpu.memory.mmio.has_writes());
    }

    #[test]
    fn saving_needs_no_osfxsr_but_an_fpu_of_this_task() {
        for bit in [EM, TS] {
            let mut trial = trial();
            trial.cpu.control.cr0 |= bit;
            assert_eq!(trial.fault(&FXSAVE64), NOT_AVAILABLE);
            assert_eq!(trial.fault(&FXRSTOR64), NOT_AVAILABLE);
        }
    }

    #[test]
    fn emms_empties_the_stack() {
        let mut trial = trial();
        let before = registers(&trial);
        assert_eq!(trial.execute(&[0x0f, 0x77]), Ok(Step::Next));
        let after = registers(&trial);
        assert_eq!((after.tags, after.status >> 11 & 7), (0, 0));
        assert_eq!(after.stack[0], before.stack[5], "the registers keep their values");
    }
}
