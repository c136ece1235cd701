//! The registers of SSE.

use core::arch::x86_64::__m128i;

use outlive_engine::FloatingPointState;

/// XMM0 to XMM15, and MXCSR.
#[derive(Clone, Debug)]
pub(crate) struct Vectors {
    pub(crate) xmm: [u128; 16],
    pub(crate) mxcsr: u32,
}

impl Default for Vectors {
    fn default() -> Self {
        Self::from_state(&FloatingPointState::default())
    }
}

impl Vectors {
    /// Takes the registers of a state.
    pub(crate) fn from_state(state: &FloatingPointState) -> Self {
        Self { xmm: state.xmm, mxcsr: state.mxcsr }
    }

    /// Reads a register.
    #[inline]
    pub(crate) fn get(&self, register: u8) -> u128 {
        self.xmm[usize::from(register) % 16]
    }

    /// Writes a register.
    #[inline]
    pub(crate) fn set(&mut self, register: u8, value: u128) {
        self.xmm[usize::from(register) % 16] = value;
    }
}

/// A value as the host's vector instructions take it.
#[inline]
pub(crate) fn to_host(value: u128) -> __m128i {
    // SAFETY: both are 16 bytes in the same order, and any bits are a value of either.
    unsafe { core::mem::transmute(value) }
}

/// What the host's vector instructions return, as a value.
#[inline]
pub(crate) fn from_host(value: __m128i) -> u128 {
    // SAFETY: as in `to_host`.
    unsafe { core::mem::transmute(value) }
}
