//! Moves: between registers, and between registers and memory.
//!
//! Those that move 16 bytes come in two kinds: the ones that want them aligned (#GP(0) otherwise) and the ones
//! that do not care, which are never subject to #AC. Hints that data will not be used soon (MOVNT...) are
//! nothing to us.

use iced_x86::Code;

use super::access::{
    Aligned, Bytes, Form, Mmx, Source, Xmm, by_source, check_both, check_mmx, check_xmm, store, store_aligned,
};
use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Execute, Op, Step};
use crate::width::{Dword, Qword, Width};

const LOW_DWORD: u128 = 0xffff_ffff;
const LOW_QWORD: u128 = 0xffff_ffff_ffff_ffff;

/// What executes a move.
pub(super) fn selection(code: Code, form: Form) -> Option<Execute> {
    whole(code, form).or_else(|| part(code, form)).or_else(|| general(code, form)).or_else(|| mmx(code, form))
}

/// Moves of 16 bytes.
fn whole(code: Code, form: Form) -> Option<Execute> {
    use Code::*;
    Some(match code {
        Movups_xmm_xmmm128 | Movupd_xmm_xmmm128 | Movdqu_xmm_xmmm128 => {
            by_source!(form, copy[], Xmm, Bytes<16>)
        }
        Movaps_xmm_xmmm128 | Movapd_xmm_xmmm128 | Movdqa_xmm_xmmm128 => {
            by_source!(form, copy[], Xmm, Aligned)
        }
        Movups_xmmm128_xmm | Movupd_xmmm128_xmm | Movdqu_xmmm128_xmm => match form {
            Form::Register => copy::<Xmm>,
            Form::Memory => store_part::<16, 0>,
        },
        Movaps_xmmm128_xmm | Movapd_xmmm128_xmm | Movdqa_xmmm128_xmm => match form {
            Form::Register => copy::<Xmm>,
            Form::Memory => store_whole,
        },
        Movntps_m128_xmm | Movntpd_m128_xmm | Movntdq_m128_xmm => store_whole,
        _ => return None,
    })
}

/// Moves of a part of an XMM register.
fn part(code: Code, form: Form) -> Option<Execute> {
    use Code::*;
    Some(match (code, form) {
        (Movss_xmm_xmmm32 | Movss_xmmm32_xmm, Form::Register) => merge::<Xmm, LOW_DWORD, 0>,
        (Movss_xmm_xmmm32, Form::Memory) => copy::<Bytes<4>>,
        (Movss_xmmm32_xmm, Form::Memory) => store_part::<4, 0>,
        (Movsd_xmm_xmmm64 | Movsd_xmmm64_xmm, Form::Register) => merge::<Xmm, LOW_QWORD, 0>,
        (Movsd_xmm_xmmm64 | Movq_xmm_xmmm64, Form::Memory) => copy::<Bytes<8>>,
        (Movsd_xmmm64_xmm | Movq_xmmm64_xmm, Form::Memory) => store_part::<8, 0>,
        (Movq_xmm_xmmm64 | Movq_xmmm64_xmm, Form::Register) => copy_low,
        (Movhlps_xmm_xmm, _) => high_to_low,
        (Movlhps_xmm_xmm, _) => merge::<Xmm, { LOW_QWORD << 64 }, 64>,
        (Movlps_xmm_m64 | Movlpd_xmm_m64, _) => merge::<Bytes<8>, LOW_QWORD, 0>,
        (Movhps_xmm_m64 | Movhpd_xmm_m64, _) => merge::<Bytes<8>, { LOW_QWORD << 64 }, 64>,
        (Movlps_m64_xmm | Movlpd_m64_xmm, _) => store_part::<8, 0>,
        (Movhps_m64_xmm | Movhpd_m64_xmm, _) => store_part::<8, 64>,
        _ => return None,
    })
}

/// Moves between XMM registers and what else there is: general registers, MMX registers.
fn general(code: Code, form: Form) -> Option<Execute> {
    use Code::*;
    Some(match (code, form) {
        (Movd_xmm_rm32, Form::Register) => from_general::<Dword>,
        (Movq_xmm_rm64, Form::Register) => from_general::<Qword>,
        (Movd_xmm_rm32, Form::Memory) => copy::<Bytes<4>>,
        (Movq_xmm_rm64, Form::Memory) => copy::<Bytes<8>>,
        (Movd_rm32_xmm, Form::Register) => to_general::<Dword>,
        (Movq_rm64_xmm, Form::Register) => to_general::<Qword>,
        (Movd_rm32_xmm, Form::Memory) => store_part::<4, 0>,
        (Movq_rm64_xmm, Form::Memory) => store_part::<8, 0>,
        (Movq2dq_xmm_mm, _) => mmx_to_xmm,
        (Movdq2q_mm_xmm, _) => xmm_to_mmx,
        _ => return None,
    })
}

/// Moves of MMX registers.
fn mmx(code: Code, form: Form) -> Option<Execute> {
    use Code::*;
    Some(match (code, form) {
        (Movd_mm_rm32, Form::Register) => mmx_from_general::<Dword>,
        (Movq_mm_rm64, Form::Register) => mmx_from_general::<Qword>,
        (Movd_mm_rm32, Form::Memory) => mmx_copy::<Bytes<4>>,
        (Movq_mm_rm64 | Movq_mm_mmm64, Form::Memory) => mmx_copy::<Bytes<8>>,
        (Movq_mm_mmm64 | Movq_mmm64_mm, Form::Register) => mmx_copy::<Mmx>,
        (Movd_rm32_mm, Form::Register) => mmx_to_general::<Dword>,
        (Movq_rm64_mm, Form::Register) => mmx_to_general::<Qword>,
        (Movd_rm32_mm, Form::Memory) => mmx_store::<4>,
        (Movq_rm64_mm | Movq_mmm64_mm, Form::Memory) | (Movntq_m64_mm, _) => mmx_store::<8>,
        _ => return None,
    })
}

/// The destination becomes the source, zero-extended.
extern "sysv64-unwind" fn copy<S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = S::load(cpu, op)?;
    cpu.vectors.set(op.a, value);
    Ok(Step::Next)
}

/// MOVQ between registers: the low half of the source, zero-extended.
extern "sysv64-unwind" fn copy_low(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    cpu.vectors.set(op.a, cpu.vectors.get(op.b) & LOW_QWORD);
    Ok(Step::Next)
}

/// The bits `MASK` of the destination become those of the source, shifted left.
extern "sysv64-unwind" fn merge<S: Source, const MASK: u128, const SHIFT: u32>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = S::load(cpu, op)? << SHIFT;
    cpu.vectors.set(op.a, cpu.vectors.get(op.a) & !MASK | value & MASK);
    Ok(Step::Next)
}

/// MOVHLPS.
extern "sysv64-unwind" fn high_to_low(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = cpu.vectors.get(op.b) >> 64;
    cpu.vectors.set(op.a, cpu.vectors.get(op.a) & !LOW_QWORD | value);
    Ok(Step::Next)
}

/// Stores `BYTES` bytes of a register, from bit `SHIFT` on.
extern "sysv64-unwind" fn store_part<const BYTES: usize, const SHIFT: u32>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = cpu.vectors.get(op.a) >> SHIFT;
    store::<BYTES>(cpu, op, value)
}

/// Stores a register to an aligned place.
extern "sysv64-unwind" fn store_whole(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = cpu.vectors.get(op.a);
    store_aligned(cpu, op, value)
}

extern "sysv64-unwind" fn from_general<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = cpu.get::<W>(op.b);
    cpu.vectors.set(op.a, value.into());
    Ok(Step::Next)
}

extern "sysv64-unwind" fn to_general<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = cpu.vectors.get(op.b) as u64 & W::MASK;
    cpu.set::<W>(op.a, value);
    Ok(Step::Next)
}

/// MOVQ2DQ.
extern "sysv64-unwind" fn mmx_to_xmm(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_both(cpu)?;
    cpu.vectors.set(op.a, cpu.x87.mmx(op.b).into());
    cpu.x87.enter_mmx();
    Ok(Step::Next)
}

/// MOVDQ2Q.
extern "sysv64-unwind" fn xmm_to_mmx(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_both(cpu)?;
    cpu.x87.enter_mmx();
    cpu.x87.set_mmx(op.a, cpu.vectors.get(op.b) as u64);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn mmx_copy<S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_mmx(cpu)?;
    let value = S::load(cpu, op)?;
    cpu.x87.enter_mmx();
    cpu.x87.set_mmx(op.a, value as u64);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn mmx_from_general<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_mmx(cpu)?;
    let value = cpu.get::<W>(op.b);
    cpu.x87.enter_mmx();
    cpu.x87.set_mmx(op.a, value);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn mmx_to_general<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_mmx(cpu)?;
    let value = cpu.x87.mmx(op.b) & W::MASK;
    cpu.set::<W>(op.a, value);
    cpu.x87.enter_mmx();
    Ok(Step::Next)
}

extern "sysv64-unwind" fn mmx_store<const BYTES: usize>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_mmx(cpu)?;
    let value = cpu.x87.mmx(op.a);
    let step = store::<BYTES>(cpu, op, value.into())?;
    cpu.x87.enter_mmx();
    Ok(step)
}
