//! Packed integers, lane by lane, and packing: all instructions that make a register of two operands without
//! looking at anything else.
//!
//! The host's own instructions do the work, for their results are defined to the last bit. An MMX instruction
//! is done by the XMM one of the same name on the lower halves, if its lanes do not depend on others; the few
//! that mix lanes are told apart below.

use core::arch::x86_64::*;

use iced_x86::Code;

use super::access::{Aligned, Bytes, Form, Mmx, Source, Xmm, by_source, check_mmx, check_xmm};
use crate::cpu::Cpu;
use crate::fault::Abort;
use crate::op::{Execute, Op, Step};
use crate::vector::{from_host, to_host};

/// A function of two operands.
pub(super) trait Packed {
    /// The new destination, of the old one and the source.
    fn apply(a: __m128i, b: __m128i) -> __m128i;
}

/// Executes an instruction on XMM registers.
pub(super) extern "sysv64-unwind" fn xmm<P: Packed, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    check_xmm(cpu)?;
    let b = S::load(cpu, op)?;
    let a = cpu.vectors.get(op.a);
    cpu.vectors.set(op.a, from_host(P::apply(to_host(a), to_host(b))));
    Ok(Step::Next)
}

/// Executes an instruction on MMX registers: the operands are zero-extended, the result is cut.
pub(super) extern "sysv64-unwind" fn mmx<P: Packed, S: Source>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<Step, Abort> {
    check_mmx(cpu)?;
    let b = S::load(cpu, op)?;
    let a = u128::from(cpu.x87.mmx(op.a));
    cpu.x87.enter_mmx();
    cpu.x87.set_mmx(op.a, from_host(P::apply(to_host(a), to_host(b))) as u64);
    Ok(Step::Next)
}

/// The count of a shift that is in the instruction.
struct Count;

impl Source for Count {
    #[inline]
    fn load(_: &mut Cpu, op: &Op) -> Result<u128, Abort> {
        Ok(u128::from(op.immediate as u8))
    }
}

/// Both operands of an MMX instruction, one above the other.
#[inline]
fn joined(a: __m128i, b: __m128i) -> __m128i {
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { _mm_unpacklo_epi64(a, b) }
}

/// The upper half of a register.
#[inline]
fn upper(value: __m128i) -> __m128i {
    // SAFETY: every x86-64 processor has SSE2.
    unsafe { _mm_unpackhi_epi64(value, value) }
}

/// Defines functions of two operands, and the instructions that are done by them.
macro_rules! packed {
    (
        xmm { $($xmm_code:ident $(| $xmm_more:ident)* => $xmm_name:ident($xa:ident, $xb:ident) $xmm:expr;)* }
        mmx $mmx_memory:ty { $($mmx_code:ident => $mmx_name:ident($ma:ident, $mb:ident) $mmx:expr;)* }
        mmx_low $low_memory:ty { $($low_code:ident => $low_name:ident($la:ident, $lb:ident) $low:expr;)* }
        both { $($first:ident, $second:ident => $name:ident: $intrinsic:ident;)* }
        immediate { $($xmm_shift:ident, $mmx_shift:ident => $shift:ident;)* }
    ) => {
        $(struct $xmm_name; impl Packed for $xmm_name {
            #[inline]
            fn apply($xa: __m128i, $xb: __m128i) -> __m128i {
                // SAFETY: every x86-64 processor has SSE2.
                unsafe { $xmm }
            }
        })*
        $(struct $mmx_name; impl Packed for $mmx_name {
            #[inline]
            fn apply($ma: __m128i, $mb: __m128i) -> __m128i {
                // SAFETY: every x86-64 processor has SSE2.
                unsafe { $mmx }
            }
        })*
        $(struct $low_name; impl Packed for $low_name {
            #[inline]
            fn apply($la: __m128i, $lb: __m128i) -> __m128i {
                // SAFETY: every x86-64 processor has SSE2.
                unsafe { $low }
            }
        })*
        $(struct $name; impl Packed for $name {
            #[inline]
            fn apply(a: __m128i, b: __m128i) -> __m128i {
                // SAFETY: every x86-64 processor has SSE2.
                unsafe { $intrinsic(a, b) }
            }
        })*

        /// What executes an instruction of this kind.
        pub(super) fn selection(code: Code, form: Form) -> Option<Execute> {
            Some(match code {
                $(Code::$xmm_code $(| Code::$xmm_more)* => by_source!(form, xmm[$xmm_name], Xmm, Aligned),)*
                $(Code::$mmx_code => by_source!(form, mmx[$mmx_name], Mmx, $mmx_memory),)*
                $(Code::$low_code => by_source!(form, mmx[$low_name], Mmx, $low_memory),)*
                $(
                    Code::$first => by_source!(form, xmm[$name], Xmm, Aligned),
                    Code::$second => by_source!(form, mmx[$name], Mmx, Bytes<8>),
                )*
                $(
                    Code::$xmm_shift => xmm::<$shift, Count>,
                    Code::$mmx_shift => mmx::<$shift, Count>,
                )*
                _ => return None,
            })
        }
    };
}

packed! {
    xmm {
        Packsswb_xmm_xmmm128 => Packsswb(a, b) _mm_packs_epi16(a, b);
        Packssdw_xmm_xmmm128 => Packssdw(a, b) _mm_packs_epi32(a, b);
        Packuswb_xmm_xmmm128 => Packuswb(a, b) _mm_packus_epi16(a, b);
        Punpcklbw_xmm_xmmm128 => Punpcklbw(a, b) _mm_unpacklo_epi8(a, b);
        Punpcklwd_xmm_xmmm128 => Punpcklwd(a, b) _mm_unpacklo_epi16(a, b);
        Punpckldq_xmm_xmmm128 | Unpcklps_xmm_xmmm128 => Punpckldq(a, b) _mm_unpacklo_epi32(a, b);
        Punpcklqdq_xmm_xmmm128 | Unpcklpd_xmm_xmmm128 => Punpcklqdq(a, b) _mm_unpacklo_epi64(a, b);
        Punpckhbw_xmm_xmmm128 => Punpckhbw(a, b) _mm_unpackhi_epi8(a, b);
        Punpckhwd_xmm_xmmm128 => Punpckhwd(a, b) _mm_unpackhi_epi16(a, b);
        Punpckhdq_xmm_xmmm128 | Unpckhps_xmm_xmmm128 => Punpckhdq(a, b) _mm_unpackhi_epi32(a, b);
        Punpckhqdq_xmm_xmmm128 | Unpckhpd_xmm_xmmm128 => Punpckhqdq(a, b) _mm_unpackhi_epi64(a, b);
        Andps_xmm_xmmm128 | Andpd_xmm_xmmm128 => And(a, b) _mm_and_si128(a, b);
        Andnps_xmm_xmmm128 | Andnpd_xmm_xmmm128 => AndNot(a, b) _mm_andnot_si128(a, b);
        Orps_xmm_xmmm128 | Orpd_xmm_xmmm128 => Or(a, b) _mm_or_si128(a, b);
        Xorps_xmm_xmmm128 | Xorpd_xmm_xmmm128 => Xor(a, b) _mm_xor_si128(a, b);
    }
    mmx Bytes<8> {
        Packsswb_mm_mmm64 => PacksswbMmx(a, b) _mm_packs_epi16(joined(a, b), a);
        Packssdw_mm_mmm64 => PackssdwMmx(a, b) _mm_packs_epi32(joined(a, b), a);
        Packuswb_mm_mmm64 => PackuswbMmx(a, b) _mm_packus_epi16(joined(a, b), a);
        Punpckhbw_mm_mmm64 => PunpckhbwMmx(a, b) upper(_mm_unpacklo_epi8(a, b));
        Punpckhwd_mm_mmm64 => PunpckhwdMmx(a, b) upper(_mm_unpacklo_epi16(a, b));
        Punpckhdq_mm_mmm64 => PunpckhdqMmx(a, b) upper(_mm_unpacklo_epi32(a, b));
    }
    mmx_low Bytes<4> {
        Punpcklbw_mm_mmm32 => PunpcklbwMmx(a, b) _mm_unpacklo_epi8(a, b);
        Punpcklwd_mm_mmm32 => PunpcklwdMmx(a, b) _mm_unpacklo_epi16(a, b);
        Punpckldq_mm_mmm32 => PunpckldqMmx(a, b) _mm_unpacklo_epi32(a, b);
    }
    both {
        Paddb_xmm_xmmm128, Paddb_mm_mmm64 => Paddb: _mm_add_epi8;
        Paddw_xmm_xmmm128, Paddw_mm_mmm64 => Paddw: _mm_add_epi16;
        Paddd_xmm_xmmm128, Paddd_mm_mmm64 => Paddd: _mm_add_epi32;
        Paddq_xmm_xmmm128, Paddq_mm_mmm64 => Paddq: _mm_add_epi64;
        Paddsb_xmm_xmmm128, Paddsb_mm_mmm64 => Paddsb: _mm_adds_epi8;
        Paddsw_xmm_xmmm128, Paddsw_mm_mmm64 => Paddsw: _mm_adds_epi16;
        Paddusb_xmm_xmmm128, Paddusb_mm_mmm64 => Paddusb: _mm_adds_epu8;
        Paddusw_xmm_xmmm128, Paddusw_mm_mmm64 => Paddusw: _mm_adds_epu16;
        Psubb_xmm_xmmm128, Psubb_mm_mmm64 => Psubb: _mm_sub_epi8;
        Psubw_xmm_xmmm128, Psubw_mm_mmm64 => Psubw: _mm_sub_epi16;
        Psubd_xmm_xmmm128, Psubd_mm_mmm64 => Psubd: _mm_sub_epi32;
        Psubq_xmm_xmmm128, Psubq_mm_mmm64 => Psubq: _mm_sub_epi64;
        Psubsb_xmm_xmmm128, Psubsb_mm_mmm64 => Psubsb: _mm_subs_epi8;
        Psubsw_xmm_xmmm128, Psubsw_mm_mmm64 => Psubsw: _mm_subs_epi16;
        Psubusb_xmm_xmmm128, Psubusb_mm_mmm64 => Psubusb: _mm_subs_epu8;
        Psubusw_xmm_xmmm128, Psubusw_mm_mmm64 => Psubusw: _mm_subs_epu16;
        Pmullw_xmm_xmmm128, Pmullw_mm_mmm64 => Pmullw: _mm_mullo_epi16;
        Pmulhw_xmm_xmmm128, Pmulhw_mm_mmm64 => Pmulhw: _mm_mulhi_epi16;
        Pmulhuw_xmm_xmmm128, Pmulhuw_mm_mmm64 => Pmulhuw: _mm_mulhi_epu16;
        Pmuludq_xmm_xmmm128, Pmuludq_mm_mmm64 => Pmuludq: _mm_mul_epu32;
        Pmaddwd_xmm_xmmm128, Pmaddwd_mm_mmm64 => Pmaddwd: _mm_madd_epi16;
        Psadbw_xmm_xmmm128, Psadbw_mm_mmm64 => Psadbw: _mm_sad_epu8;
        Pavgb_xmm_xmmm128, Pavgb_mm_mmm64 => Pavgb: _mm_avg_epu8;
        Pavgw_xmm_xmmm128, Pavgw_mm_mmm64 => Pavgw: _mm_avg_epu16;
        Pminub_xmm_xmmm128, Pminub_mm_mmm64 => Pminub: _mm_min_epu8;
        Pminsw_xmm_xmmm128, Pminsw_mm_mmm64 => Pminsw: _mm_min_epi16;
        Pmaxub_xmm_xmmm128, Pmaxub_mm_mmm64 => Pmaxub: _mm_max_epu8;
        Pmaxsw_xmm_xmmm128, Pmaxsw_mm_mmm64 => Pmaxsw: _mm_max_epi16;
        Pcmpeqb_xmm_xmmm128, Pcmpeqb_mm_mmm64 => Pcmpeqb: _mm_cmpeq_epi8;
        Pcmpeqw_xmm_xmmm128, Pcmpeqw_mm_mmm64 => Pcmpeqw: _mm_cmpeq_epi16;
        Pcmpeqd_xmm_xmmm128, Pcmpeqd_mm_mmm64 => Pcmpeqd: _mm_cmpeq_epi32;
        Pcmpgtb_xmm_xmmm128, Pcmpgtb_mm_mmm64 => Pcmpgtb: _mm_cmpgt_epi8;
        Pcmpgtw_xmm_xmmm128, Pcmpgtw_mm_mmm64 => Pcmpgtw: _mm_cmpgt_epi16;
        Pcmpgtd_xmm_xmmm128, Pcmpgtd_mm_mmm64 => Pcmpgtd: _mm_cmpgt_epi32;
        Pand_xmm_xmmm128, Pand_mm_mmm64 => Pand: _mm_and_si128;
        Pandn_xmm_xmmm128, Pandn_mm_mmm64 => Pandn: _mm_andnot_si128;
        Por_xmm_xmmm128, Por_mm_mmm64 => Por: _mm_or_si128;
        Pxor_xmm_xmmm128, Pxor_mm_mmm64 => Pxor: _mm_xor_si128;
        Psllw_xmm_xmmm128, Psllw_mm_mmm64 => Psllw: _mm_sll_epi16;
        Pslld_xmm_xmmm128, Pslld_mm_mmm64 => Pslld: _mm_sll_epi32;
        Psllq_xmm_xmmm128, Psllq_mm_mmm64 => Psllq: _mm_sll_epi64;
        Psrlw_xmm_xmmm128, Psrlw_mm_mmm64 => Psrlw: _mm_srl_epi16;
        Psrld_xmm_xmmm128, Psrld_mm_mmm64 => Psrld: _mm_srl_epi32;
        Psrlq_xmm_xmmm128, Psrlq_mm_mmm64 => Psrlq: _mm_srl_epi64;
        Psraw_xmm_xmmm128, Psraw_mm_mmm64 => Psraw: _mm_sra_epi16;
        Psrad_xmm_xmmm128, Psrad_mm_mmm64 => Psrad: _mm_sra_epi32;
    }
    immediate {
        Psllw_xmm_imm8, Psllw_mm_imm8 => Psllw;
        Pslld_xmm_imm8, Pslld_mm_imm8 => Pslld;
        Psllq_xmm_imm8, Psllq_mm_imm8 => Psllq;
        Psrlw_xmm_imm8, Psrlw_mm_imm8 => Psrlw;
        Psrld_xmm_imm8, Psrld_mm_imm8 => Psrld;
        Psrlq_xmm_imm8, Psrlq_mm_imm8 => Psrlq;
        Psraw_xmm_imm8, Psraw_mm_imm8 => Psraw;
        Psrad_xmm_imm8, Psrad_mm_imm8 => Psrad;
    }
}
