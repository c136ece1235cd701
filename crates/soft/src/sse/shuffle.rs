//! Instructions that put lanes where an immediate operand says, and masks of sign bits.

use core::arch::x86_64::{
    _mm_castsi128_pd, _mm_castsi128_ps, _mm_movemask_epi8, _mm_movemask_pd, _mm_movemask_ps,
};

use iced_x86::Code;

use super::access::{Aligned, Bytes, Form, Mmx, Source, Xmm, by_source, check_mmx, check_xmm};
use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Execute, Op, Step};
use crate::vector::to_host;
use crate::width::Dword;

/// What executes an instruction of this kind.
pub(super) fn selection(code: Code, form: Form) -> Option<Execute> {
    use Code::*;
    Some(match code {
        Pshufd_xmm_xmmm128_imm8 => by_source!(form, xmm[Doublewords], Xmm, Aligned),
        Pshufhw_xmm_xmmm128_imm8 => by_source!(form, xmm[HighWords], Xmm, Aligned),
        Pshuflw_xmm_xmmm128_imm8 => by_source!(form, xmm[LowWords], Xmm, Aligned),
        Shufps_xmm_xmmm128_imm8 => by_source!(form, xmm[Singles], Xmm, Aligned),
        Shufpd_xmm_xmmm128_imm8 => by_source!(form, xmm[Doubles], Xmm, Aligned),
        Pslldq_xmm_imm8 => xmm::<ShiftLeft, Destination>,
        Psrldq_xmm_imm8 => xmm::<ShiftRight, Destination>,
        Pshufw_mm_mmm64_imm8 => by_source!(form, mmx[LowWords], Mmx, Bytes<8>),
        Pinsrw_xmm_r32m16_imm8 | Pinsrw_xmm_r64m16_imm8 => {
            by_source!(form, xmm[Insert<7>], General, Bytes<2>)
        }
        Pinsrw_mm_r32m16_imm8 | Pinsrw_mm_r64m16_imm8 => by_source!(form, mmx[Insert<3>], General, Bytes<2>),
        Pextrw_r32_xmm_imm8 | Pextrw_r64_xmm_imm8 => extract_from_xmm,
        Pextrw_r32_mm_imm8 | Pextrw_r64_mm_imm8 => extract_from_mmx,
        Pmovmskb_r32_xmm | Pmovmskb_r64_xmm => byte_signs,
        Pmovmskb_r32_mm | Pmovmskb_r64_mm => mmx_byte_signs,
        Movmskps_r32_xmm | Movmskps_r64_xmm => single_signs,
        Movmskpd_r32_xmm | Movmskpd_r64_xmm => double_signs,
        _ => return None,
    })
}

/// A function of two operands and the immediate one.
trait Shuffle {
    fn apply(a: u128, b: u128, how: u8) -> u128;
}

extern "sysv64-unwind" fn xmm<F: Shuffle, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let a = cpu.vectors.get(op.a);
    cpu.vectors.set(op.a, F::apply(a, b, op.immediate as u8));
    Ok(Step::Next)
}

extern "sysv64-unwind" fn mmx<F: Shuffle, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_mmx(cpu)?;
    let b = S::load(cpu, op)?;
    let a = u128::from(cpu.x87.mmx(op.a));
    cpu.x87.enter_mmx();
    cpu.x87.set_mmx(op.a, F::apply(a, b, op.immediate as u8) as u64);
    Ok(Step::Next)
}

/// The second register, a general one.
struct General;
/// The destination itself.
struct Destination;

impl Source for General {
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u128, Abort> {
        Ok(cpu.get::<Dword>(op.b).into())
    }
}

impl Source for Destination {
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u128, Abort> {
        Ok(cpu.vectors.get(op.a))
    }
}

/// Lane `lane` of `BITS` bits.
#[inline]
fn lane<const BITS: u32>(value: u128, lane: u8) -> u128 {
    value >> (BITS * u32::from(lane)) & ((1 << BITS) - 1)
}

/// Four words of 64 bits, each chosen by two bits of `how`.
#[inline]
fn words(value: u64, how: u8) -> u64 {
    let chosen = |at: u8| (value >> (16 * (how >> (2 * at) & 3)) & 0xffff) << (16 * at);
    chosen(0) | chosen(1) | chosen(2) | chosen(3)
}

/// PSHUFD.
struct Doublewords;
/// PSHUFHW.
struct HighWords;
/// PSHUFLW, and PSHUFW on the lower half.
struct LowWords;
/// SHUFPS.
struct Singles;
/// SHUFPD.
struct Doubles;
/// PSLLDQ.
struct ShiftLeft;
/// PSRLDQ.
struct ShiftRight;
/// PINSRW, where `LAST` is the last lane's number.
struct Insert<const LAST: u8>;

impl Shuffle for Doublewords {
    #[inline]
    fn apply(_: u128, b: u128, how: u8) -> u128 {
        Singles::apply(b, b, how)
    }
}

impl Shuffle for HighWords {
    #[inline]
    fn apply(_: u128, b: u128, how: u8) -> u128 {
        u128::from(words((b >> 64) as u64, how)) << 64 | u128::from(b as u64)
    }
}

impl Shuffle for LowWords {
    #[inline]
    fn apply(_: u128, b: u128, how: u8) -> u128 {
        b >> 64 << 64 | u128::from(words(b as u64, how))
    }
}

impl Shuffle for Singles {
    #[inline]
    fn apply(a: u128, b: u128, how: u8) -> u128 {
        let chosen = |from: u128, at: u8| lane::<32>(from, how >> (2 * at) & 3) << (32 * at);
        chosen(a, 0) | chosen(a, 1) | chosen(b, 2) | chosen(b, 3)
    }
}

impl Shuffle for Doubles {
    #[inline]
    fn apply(a: u128, b: u128, how: u8) -> u128 {
        lane::<64>(a, how & 1) | lane::<64>(b, how >> 1 & 1) << 64
    }
}

impl Shuffle for ShiftLeft {
    #[inline]
    fn apply(a: u128, _: u128, how: u8) -> u128 {
        if how < 16 { a << (8 * how) } else { 0 }
    }
}

impl Shuffle for ShiftRight {
    #[inline]
    fn apply(a: u128, _: u128, how: u8) -> u128 {
        if how < 16 { a >> (8 * how) } else { 0 }
    }
}

impl<const LAST: u8> Shuffle for Insert<LAST> {
    #[inline]
    fn apply(a: u128, b: u128, how: u8) -> u128 {
        let shift = 16 * (how & LAST);
        a & !(0xffff << shift) | (b & 0xffff) << shift
    }
}

extern "sysv64-unwind" fn extract_from_xmm(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = lane::<16>(cpu.vectors.get(op.b), op.immediate as u8 & 7);
    cpu.set::<Dword>(op.a, value as u64);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn extract_from_mmx(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_mmx(cpu)?;
    let value = lane::<16>(cpu.x87.mmx(op.b).into(), op.immediate as u8 & 3);
    cpu.set::<Dword>(op.a, value as u64);
    cpu.x87.enter_mmx();
    Ok(Step::Next)
}

/// PMOVMSKB.
extern "sysv64-unwind" fn byte_signs(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = to_host(cpu.vectors.get(op.b));
    // SAFETY: every x86-64 processor has SSE2.
    let signs = unsafe { _mm_movemask_epi8(value) };
    cpu.set::<Dword>(op.a, u64::from(signs as u32));
    Ok(Step::Next)
}

/// PMOVMSKB of an MMX register.
extern "sysv64-unwind" fn mmx_byte_signs(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_mmx(cpu)?;
    let value = to_host(cpu.x87.mmx(op.b).into());
    // SAFETY: every x86-64 processor has SSE2.
    let signs = unsafe { _mm_movemask_epi8(value) };
    cpu.set::<Dword>(op.a, u64::from(signs as u32));
    cpu.x87.enter_mmx();
    Ok(Step::Next)
}

/// MOVMSKPS.
extern "sysv64-unwind" fn single_signs(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = to_host(cpu.vectors.get(op.b));
    // SAFETY: every x86-64 processor has SSE2.
    let signs = unsafe { _mm_movemask_ps(_mm_castsi128_ps(value)) };
    cpu.set::<Dword>(op.a, u64::from(signs as u32));
    Ok(Step::Next)
}

/// MOVMSKPD.
extern "sysv64-unwind" fn double_signs(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let value = to_host(cpu.vectors.get(op.b));
    // SAFETY: every x86-64 processor has SSE2.
    let signs = unsafe { _mm_movemask_pd(_mm_castsi128_pd(value)) };
    cpu.set::<Dword>(op.a, u64::from(signs as u32));
    Ok(Step::Next)
}
