//! Instructions about memory that use no vectors or only some bytes of one: MOVNTI, MASKMOVQ and MASKMOVDQU,
//! fences and prefetches.
//!
//! One processor whose accesses come in the order of the program, seen by nobody between two instructions, has
//! nothing to do for a fence; and without a cache there is nothing to prefetch.

use iced_x86::Code;

use super::access::{check_mmx, check_xmm};
use crate::cpu::{Cpu, number};
use crate::fault::Abort;
use crate::memory::Kind;
use crate::op::{Execute, Op, Step};
use crate::width::{Dword, Qword, Width};

/// What executes an instruction of this kind.
pub(super) fn selection(code: Code) -> Option<Execute> {
    use Code::*;
    Some(match code {
        Prefetchnta_m8 | Prefetcht0_m8 | Prefetcht1_m8 | Prefetcht2_m8 => nothing,
        Lfence | Lfence_E9 | Lfence_EA | Lfence_EB | Lfence_EC | Lfence_ED | Lfence_EE | Lfence_EF => nothing,
        Mfence | Mfence_F1 | Mfence_F2 | Mfence_F3 | Mfence_F4 | Mfence_F5 | Mfence_F6 | Mfence_F7 => nothing,
        Sfence | Sfence_F9 | Sfence_FA | Sfence_FB | Sfence_FC | Sfence_FD | Sfence_FE | Sfence_FF => nothing,
        Movnti_m32_r32 => store_general::<Dword>,
        Movnti_m64_r64 => store_general::<Qword>,
        Maskmovdqu_rDI_xmm_xmm => masked_store,
        Maskmovq_rDI_mm_mm => masked_store_mmx,
        _ => return None,
    })
}

/// Adds the memory operand that an instruction implies: that of the masked moves is at RDI.
pub(super) fn complete(code: Code, op: &mut Op) {
    if matches!(code, Code::Maskmovdqu_rDI_xmm_xmm | Code::Maskmovq_rDI_mm_mm) {
        op.base = number::RDI;
    }
}

extern "sysv64-unwind" fn nothing(_: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    Ok(Step::Next)
}

/// MOVNTI. The switches of the FPU and of SSE are of no concern (Intel SDM volume 3, 2.5).
extern "sysv64-unwind" fn store_general<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let value = cpu.get::<W>(op.a);
    cpu.store_operand::<W>(op, value)
}

/// MASKMOVDQU.
extern "sysv64-unwind" fn masked_store(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let (value, mask) = (cpu.vectors.get(op.a), cpu.vectors.get(op.b));
    store_selected(cpu, op, value.to_le_bytes(), mask.to_le_bytes())
}

/// MASKMOVQ.
extern "sysv64-unwind" fn masked_store_mmx(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_mmx(cpu)?;
    let (value, mask) = (cpu.x87.mmx(op.a), cpu.x87.mmx(op.b));
    let step = store_selected(cpu, op, value.to_le_bytes(), mask.to_le_bytes())?;
    cpu.x87.enter_mmx();
    Ok(step)
}

/// Stores the bytes whose mask has bit 7 set. Bytes that are not stored raise no page fault either, which the
/// manual leaves open; in compatibility mode the segment must allow all of them.
fn store_selected<const BYTES: usize>(
    cpu: &mut Cpu,
    op: &Op,
    value: [u8; BYTES],
    mask: [u8; BYTES],
) -> Result<Step, Abort> {
    let linear = cpu.address(op, BYTES, Kind::Write)?;
    let selected = || (0..BYTES).filter(|&at| mask[at] & 0x80 != 0);
    for at in selected() {
        cpu.memory.check_write(linear.wrapping_add(at as u64), 1)?;
    }
    let mut step = Step::Next;
    for at in selected() {
        if cpu.memory.write(linear.wrapping_add(at as u64), [value[at]])? == Step::Leave {
            step = Step::Leave;
        }
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Reason;
    use crate::testing::{DATA, Trial};

    const MASKMOVDQU: [u8; 4] = [0x66, 0x0f, 0xf7, 0xca];
    const MASKMOVQ: [u8; 3] = [0x0f, 0xf7, 0xca];
    const VALUE: u128 = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;

    fn trial(rdi: u64, mask: u128) -> Trial {
        let mut trial = Trial::new();
        *trial.cpu.register_mut(number::RDI) = rdi;
        trial.cpu.vectors.xmm[1] = VALUE;
        trial.cpu.vectors.xmm[2] = mask;
        trial
    }

    #[test]
    fn a_masked_move_writes_the_bytes_whose_mask_is_negative() {
        let mut trial = trial(DATA + 3, 0x80 << 120 | 0xff << 8 | 0x7f);
        trial.write(DATA, &[0xaa; 32]);
        assert_eq!(trial.execute(&MASKMOVDQU), Ok(Step::Next));
        let mut expected = [0xaa; 32];
        (expected[4], expected[18]) = (0x01, 0x0f);
        assert_eq!(trial.read(DATA), expected);
    }

    #[test]
    fn a_masked_move_touches_no_page_that_it_does_not_write_to() {
        // Pages behind 2 MiB are not mapped.
        let mut trial = trial((2 << 20) - 4, u128::MAX >> 96);
        assert!(matches!(trial.execute(&MASKMOVDQU), Ok(Step::Leave)), "outside of RAM");
        trial.cpu.vectors.xmm[2] = 0xff << 32;
        assert!(
            matches!(trial.execute(&MASKMOVDQU), Err(Reason::Exception(fault)) if fault.address == Some(2 << 20))
        );
    }

    #[test]
    fn a_masked_move_takes_another_segment_and_32_bits_of_rdi() {
        let mut trial = trial(0xffff_ffff_0000_0010, u128::MAX);
        trial.cpu.segments.gs.base = DATA;
        // GS, and 32-bit addresses.
        assert_eq!(trial.execute(&[0x65, 0x67, 0x66, 0x0f, 0xf7, 0xca]), Ok(Step::Next));
        assert_eq!(u128::from_le_bytes(trial.read(DATA + 0x10)), VALUE);
    }

    #[test]
    fn a_masked_move_of_an_mmx_register_enters_mmx_mode() {
        let mut trial = trial(DATA, 0);
        trial.cpu.x87.set_mmx(1, VALUE as u64);
        trial.cpu.x87.set_mmx(2, u64::MAX);
        trial.cpu.x87.top = 3;
        assert_eq!(trial.execute(&MASKMOVQ), Ok(Step::Next));
        assert_eq!(u64::from_le_bytes(trial.read(DATA)), VALUE as u64);
        assert_eq!((trial.cpu.x87.top, trial.cpu.x87.valid), (0, 0xff));
    }

    #[test]
    fn fences_prefetches_and_movnti_need_no_fpu() {
        let mut trial = trial(1 << 63, 0);
        trial.cpu.control.cr0 |= 0xc;
        *trial.cpu.register_mut(number::RSI) = DATA;
        *trial.cpu.register_mut(number::RCX) = 0x1122_3344_5566_7788;
        // LFENCE, MFENCE, SFENCE, PREFETCHNTA [rdi], PREFETCHT2 [rdi].
        let nothing: [&[u8]; 5] = [
            &[0x0f, 0xae, 0xe8],
            &[0x0f, 0xae, 0xf0],
            &[0x0f, 0xae, 0xf8],
            &[0x0f, 0x18, 0x07],
            &[0x0f, 0x18, 0x1f],
        ];
        for code in nothing {
            assert_eq!(trial.execute(code), Ok(Step::Next), "{code:02x?}");
        }
        assert_eq!(trial.execute(&[0x48, 0x0f, 0xc3, 0x0e]), Ok(Step::Next));
        assert_eq!(u64::from_le_bytes(trial.read(DATA)), 0x1122_3344_5566_7788);
    }
}
