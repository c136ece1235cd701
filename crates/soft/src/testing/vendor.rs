//! Who made the host's processor: where AMD's and Intel's are known to differ, comparisons ask.

use std::arch::x86_64::__cpuid;

/// A maker of processors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Vendor {
    Amd,
    Intel,
}

impl Vendor {
    /// The host's, as CPUID names it (Intel SDM volume 2, CPUID, leaf 0). Whoever is not known as Intel is
    /// expected to do what AMD does.
    pub(crate) fn of_host() -> Self {
        let leaf = __cpuid(0);
        let name = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat();
        if name == b"GenuineIntel" { Self::Intel } else { Self::Amd }
    }
}

/// #U, and that an exception is pending: B, ES and UE of FSW.
pub(crate) const UNDERFLOW: u16 = 1 << 15 | 1 << 7 | 1 << 4;

/// Whether a transcendental instruction's result is the smallest normal number on the host, and its neighbour
/// among the denormal numbers in the engine: by itself, or as an unmasked #U yields it, with 24,576 added to its
/// exponent. Intel's processors round such a result up, or to nearest, whatever the control word says, and find no
/// #U.
pub(crate) fn is_smallest_normal(native: u128, engine: u128) -> bool {
    const SIGN: u128 = 1 << 79;
    let [smallest, below, scaled] = [1 << 64 | 1 << 63, (1 << 63) - 1, 0x6000 << 64 | u128::from(u64::MAX)];
    native & !SIGN == smallest
        && native & SIGN == engine & SIGN
        && (engine & !SIGN == below || engine & !SIGN == scaled)
}
