//! Floating-point instructions, executed by the host under the guest's MXCSR.
//!
//! What SSE computes is defined to the last bit by IEEE 754 and Intel SDM volume 1, 11.5 (NaNs, tininess after
//! rounding), and is the same on every host. So the host's own instruction gives results and exceptions; it
//! runs with the guest's rounding mode, denormals-are-zeros and flush-to-zero, but with all exceptions masked.
//! What follows from masks that the guest has cleared is worked out in [`exceptions`](super::exceptions).
//!
//! MXCSR has its usual value again when a function of this module returns, for the compiler relies on it.

use core::arch::asm;

use crate::vector::{from_host, to_host};

/// MXCSR as the rest of the program wants it: to nearest, all exceptions masked.
static USUAL: u32 = 0x1f80;

/// A result, and the exceptions that were found: the flags of MXCSR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Outcome<T> {
    pub(super) value: T,
    pub(super) flags: u32,
}

/// The flags in MXCSR.
const FLAGS: u32 = 0x3f;

/// Runs instructions under MXCSR `$control`, and evaluates to the flags that they set.
macro_rules! under {
    ($control:expr, [$($instruction:expr),+], $($operands:tt)+) => {{
        let mut mxcsr: u32 = $control;
        // SAFETY: `$control` masks all exceptions and has no reserved bits. Only the named operands are changed,
        // and MXCSR, which has its usual value again at the end.
        unsafe {
            asm!(
                "ldmxcsr [{mxcsr}]",
                $($instruction,)+
                "stmxcsr [{mxcsr}]",
                "ldmxcsr [{usual}]",
                mxcsr = in(reg) &mut mxcsr,
                usual = in(reg) &USUAL,
                $($operands)+,
                options(nostack)
            );
        }
        mxcsr & FLAGS
    }};
}

/// An instruction on two XMM registers.
pub(super) trait Instruction {
    /// The new destination, of the old one and the source.
    fn run(a: u128, b: u128, control: u32) -> Outcome<u128>;
}

/// Defines instructions on two XMM registers.
macro_rules! instructions {
    ($($name:ident $text:literal)*) => {
        $(
            #[doc = concat!("`", $text, "`")]
            pub(super) struct $name;

            impl Instruction for $name {
                #[inline]
                fn run(a: u128, b: u128, control: u32) -> Outcome<u128> {
                    let mut value = to_host(a);
                    let flags = under!(
                        control,
                        [concat!($text, " {value}, {b}")],
                        value = inout(xmm_reg) value, b = in(xmm_reg) to_host(b)
                    );
                    Outcome { value: from_host(value), flags }
                }
            }
        )*
    };
}

instructions! {
    Addps "addps" Addpd "addpd" Addss "addss" Addsd "addsd"
    Subps "subps" Subpd "subpd" Subss "subss" Subsd "subsd"
    Mulps "mulps" Mulpd "mulpd" Mulss "mulss" Mulsd "mulsd"
    Divps "divps" Divpd "divpd" Divss "divss" Divsd "divsd"
    Sqrtps "sqrtps" Sqrtpd "sqrtpd" Sqrtss "sqrtss" Sqrtsd "sqrtsd"
    Minps "minps" Minpd "minpd" Minss "minss" Minsd "minsd"
    Maxps "maxps" Maxpd "maxpd" Maxss "maxss" Maxsd "maxsd"
    Cvtps2pd "cvtps2pd" Cvtpd2ps "cvtpd2ps" Cvtss2sd "cvtss2sd" Cvtsd2ss "cvtsd2ss"
    Cvtdq2ps "cvtdq2ps" Cvtps2dq "cvtps2dq" Cvttps2dq "cvttps2dq"
    Cvtdq2pd "cvtdq2pd" Cvtpd2dq "cvtpd2dq" Cvttpd2dq "cvttpd2dq"
}

/// Defines comparisons of two XMM registers by a predicate, the low three bits of the immediate operand.
macro_rules! comparisons {
    ($($name:ident $text:literal)*) => {
        $(
            #[doc = concat!("`", $text, "` with a predicate")]
            pub(super) struct $name<const PREDICATE: u8>;

            impl<const PREDICATE: u8> Instruction for $name<PREDICATE> {
                #[inline]
                fn run(a: u128, b: u128, control: u32) -> Outcome<u128> {
                    let mut value = to_host(a);
                    let flags = under!(
                        control,
                        [concat!($text, " {value}, {b}, {predicate}")],
                        value = inout(xmm_reg) value, b = in(xmm_reg) to_host(b), predicate = const PREDICATE
                    );
                    Outcome { value: from_host(value), flags }
                }
            }
        )*
    };
}

comparisons! { Cmpps "cmpps" Cmppd "cmppd" Cmpss "cmpss" Cmpsd "cmpsd" }

/// A comparison that sets RFLAGS.
pub(super) trait Comparison {
    /// The value is CF, PF and ZF, in their places; the others become 0.
    fn run(a: u128, b: u128, control: u32) -> Outcome<u64>;
}

macro_rules! flag_comparisons {
    ($($name:ident $text:literal)*) => {
        $(
            #[doc = concat!("`", $text, "`")]
            pub(super) struct $name;

            impl Comparison for $name {
                #[inline]
                fn run(a: u128, b: u128, control: u32) -> Outcome<u64> {
                    let (carry, parity, zero): (u8, u8, u8);
                    let flags = under!(
                        control,
                        [concat!($text, " {a}, {b}"), "setc {carry}", "setp {parity}", "setz {zero}"],
                        a = in(xmm_reg) to_host(a), b = in(xmm_reg) to_host(b),
                        carry = out(reg_byte) carry, parity = out(reg_byte) parity, zero = out(reg_byte) zero
                    );
                    let value = u64::from(carry) | u64::from(parity) << 2 | u64::from(zero) << 6;
                    Outcome { value, flags }
                }
            }
        )*
    };
}

flag_comparisons! { Comiss "comiss" Comisd "comisd" Ucomiss "ucomiss" Ucomisd "ucomisd" }

/// A conversion to an integer in a general register.
pub(super) trait ToInteger {
    fn run(b: u128, control: u32) -> Outcome<u64>;
}

/// A conversion of an integer from a general register, into the low lane.
pub(super) trait FromInteger {
    fn run(a: u128, integer: u64, control: u32) -> Outcome<u128>;
}

macro_rules! integer_conversions {
    (to { $($to:ident $to_text:literal)* } from { $($from:ident $from_text:literal)* }) => {
        $(
            #[doc = concat!("`", $to_text, "`")]
            pub(super) struct $to;

            impl ToInteger for $to {
                #[inline]
                fn run(b: u128, control: u32) -> Outcome<u64> {
                    let value: u64;
                    let flags = under!(
                        control,
                        [$to_text],
                        value = out(reg) value, b = in(xmm_reg) to_host(b)
                    );
                    Outcome { value, flags }
                }
            }
        )*
        $(
            #[doc = concat!("`", $from_text, "`")]
            pub(super) struct $from;

            impl FromInteger for $from {
                #[inline]
                fn run(a: u128, integer: u64, control: u32) -> Outcome<u128> {
                    let mut value = to_host(a);
                    let flags = under!(
                        control,
                        [$from_text],
                        value = inout(xmm_reg) value, integer = in(reg) integer
                    );
                    Outcome { value: from_host(value), flags }
                }
            }
        )*
    };
}

integer_conversions! {
    to {
        Cvtss2siDword "cvtss2si {value:e}, {b}"
        Cvtss2siQword "cvtss2si {value:r}, {b}"
        Cvttss2siDword "cvttss2si {value:e}, {b}"
        Cvttss2siQword "cvttss2si {value:r}, {b}"
        Cvtsd2siDword "cvtsd2si {value:e}, {b}"
        Cvtsd2siQword "cvtsd2si {value:r}, {b}"
        Cvttsd2siDword "cvttsd2si {value:e}, {b}"
        Cvttsd2siQword "cvttsd2si {value:r}, {b}"
    }
    from {
        Cvtsi2ssDword "cvtsi2ss {value}, {integer:e}"
        Cvtsi2ssQword "cvtsi2ss {value}, {integer:r}"
        Cvtsi2sdDword "cvtsi2sd {value}, {integer:e}"
        Cvtsi2sdQword "cvtsi2sd {value}, {integer:r}"
    }
}
