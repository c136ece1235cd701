//! The guest's CPUID: one fixed table, the same on every engine and on every host.
//!
//! The guest must not see its host, or a log could not be replayed on another one. It sees a plain
//! x86-64-v1 processor with CMPXCHG16B, which stock kernels insist on. What is left out, and why:
//!
//! | left out | because |
//! | --- | --- |
//! | TSC, RDTSCP, RDPID | kernels then take time from the ACPI PM timer, which exits; RDTSC itself is trapped or rewritten |
//! | RDRAND, RDSEED | random |
//! | RTM, HLE | an abort depends on the host |
//! | APIC, x2APIC, TSC-deadline | timers in the host's hands |
//! | XSAVE and everything that needs it (AVX) | XSAVEOPT and XINUSE tell what the host did |
//! | MONITOR, WAITPKG | wake-up time depends on the host |
//! | SSE3 and later, BMI, ADX, AES | not needed; fewer instructions whose results must agree |
//! | PAT, MTRR, MCE, MCA, VME, PSE36, PCID, SMEP, SMAP, 1 GiB pages | not needed; less state |
//!
//! Sources: Intel SDM volume 2, CPUID; for leaf 0x4000_0000 the convention of all hypervisors.

/// One entry of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuidEntry {
    /// EAX on entry.
    pub leaf: u32,
    /// ECX on entry, where the leaf has sub-leaves.
    pub subleaf: Option<u32>,
    /// What CPUID returns.
    pub result: CpuidResult,
}

/// The four registers that CPUID returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the names are the manual's")]
pub struct CpuidResult {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

/// The highest basic leaf.
const MAX_BASIC: u32 = 7;
/// The highest extended leaf.
const MAX_EXTENDED: u32 = 0x8000_0008;
/// Family 6, model 15, stepping 11: a core without microcode features that a kernel would probe for.
const SIGNATURE: u32 = 0x0000_06fb;
/// CLFLUSH line of 64 bytes in bits 8 to 15, in units of 8; one logical processor in bits 16 to 23.
const CLFLUSH_LINE: u32 = (64 / 8) << 8 | 1 << 16;
/// 40 physical address bits, 48 linear ones.
const ADDRESS_BITS: u32 = 48 << 8 | 40;

/// Leaf 1, EDX.
mod leaf1_edx {
    pub(super) const FPU: u32 = 1 << 0;
    pub(super) const DE: u32 = 1 << 2;
    pub(super) const PSE: u32 = 1 << 3;
    pub(super) const MSR: u32 = 1 << 5;
    pub(super) const PAE: u32 = 1 << 6;
    pub(super) const CX8: u32 = 1 << 8;
    pub(super) const PGE: u32 = 1 << 13;
    pub(super) const CMOV: u32 = 1 << 15;
    pub(super) const CLFSH: u32 = 1 << 19;
    pub(super) const MMX: u32 = 1 << 23;
    pub(super) const FXSR: u32 = 1 << 24;
    pub(super) const SSE: u32 = 1 << 25;
    pub(super) const SSE2: u32 = 1 << 26;
    pub(super) const ALL: u32 =
        FPU | DE | PSE | MSR | PAE | CX8 | PGE | CMOV | CLFSH | MMX | FXSR | SSE | SSE2;
}

/// Leaf 1, ECX.
mod leaf1_ecx {
    pub(super) const CX16: u32 = 1 << 13;
    pub(super) const HYPERVISOR: u32 = 1 << 31;
    pub(super) const ALL: u32 = CX16 | HYPERVISOR;
}

/// Leaf 0x8000_0001, EDX.
mod extended_edx {
    pub(super) const SYSCALL: u32 = 1 << 11;
    pub(super) const NX: u32 = 1 << 20;
    pub(super) const LM: u32 = 1 << 29;
    pub(super) const ALL: u32 = SYSCALL | NX | LM;
}

const fn entry(leaf: u32, eax: u32, ebx: u32, ecx: u32, edx: u32) -> CpuidEntry {
    CpuidEntry { leaf, subleaf: None, result: CpuidResult { eax, ebx, ecx, edx } }
}

const fn sub(leaf: u32, subleaf: u32, eax: u32, ebx: u32, ecx: u32, edx: u32) -> CpuidEntry {
    CpuidEntry { leaf, subleaf: Some(subleaf), result: CpuidResult { eax, ebx, ecx, edx } }
}

/// Four characters as CPUID packs them into a register.
const fn text(bytes: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*bytes)
}

/// The whole table. Leaves and sub-leaves that are not in it return zeros.
pub const TABLE: &[CpuidEntry] = &[
    entry(0, MAX_BASIC, text(b"Genu"), text(b"ntel"), text(b"ineI")),
    entry(1, SIGNATURE, CLFLUSH_LINE, leaf1_ecx::ALL, leaf1_edx::ALL),
    // Cache descriptors: 32 KiB L1 data (2c) and code (30), 2 MiB L2 (7d); C libraries walk this leaf.
    entry(2, 1, 0, 0, 0x002c_307d),
    // The same caches as leaf 4 describes them: type and level, line/partitions/ways less one, sets less one.
    sub(4, 0, 0x121, 0x01c0_003f, 0x3f, 1),
    sub(4, 1, 0x122, 0x01c0_003f, 0x3f, 1),
    sub(4, 2, 0x143, 0x01c0_003f, 0xfff, 1),
    sub(4, 3, 0, 0, 0, 0),
    // The last basic leaf is all zeros, for an Intel processor returns it for every basic leaf beyond.
    sub(MAX_BASIC, 0, 0, 0, 0, 0),
    entry(0x4000_0000, 0x4000_0000, text(b"Outl"), text(b"iveO"), text(b"utli")),
    entry(0x8000_0000, MAX_EXTENDED, 0, 0, 0),
    entry(0x8000_0001, 0, 0, 0, extended_edx::ALL),
    entry(0x8000_0002, text(b"Outl"), text(b"ive "), text(b"virt"), text(b"ual ")),
    entry(0x8000_0003, text(b"x86-"), text(b"64 p"), text(b"roce"), text(b"ssor")),
    entry(0x8000_0004, 0, 0, 0, 0),
    // L2 as AMD describes it: 2 MiB, 8 ways, 64-byte lines.
    entry(0x8000_0006, 0, 0, 0x0800_6040, 0),
    entry(MAX_EXTENDED, ADDRESS_BITS, 0, 0, 0),
];

/// What CPUID returns for EAX = `leaf` and ECX = `subleaf`.
pub fn lookup(leaf: u32, subleaf: u32) -> CpuidResult {
    TABLE
        .iter()
        .find(|entry| entry.leaf == leaf && entry.subleaf.is_none_or(|only| only == subleaf))
        .map(|entry| entry.result)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_tells_the_time_or_the_host_is_advertised() {
        let leaf1 = lookup(1, 0);
        for (name, bit) in [("TSC", 4), ("APIC", 9), ("MTRR", 12), ("PAT", 16), ("VME", 1)] {
            assert_eq!(leaf1.edx & 1 << bit, 0, "{name}");
        }
        for (name, bit) in [("SSE3", 0), ("MONITOR", 3), ("x2APIC", 21), ("TSC-deadline", 24)] {
            assert_eq!(leaf1.ecx & 1 << bit, 0, "{name}");
        }
        for (name, bit) in [("XSAVE", 26), ("AVX", 28), ("RDRAND", 30)] {
            assert_eq!(leaf1.ecx & 1 << bit, 0, "{name}");
        }
        assert_eq!(lookup(7, 0), CpuidResult::default(), "RTM, RDSEED, BMI and the like");
        assert_eq!(lookup(0x8000_0001, 0).edx & 1 << 27, 0, "RDTSCP");
    }

    #[test]
    fn everything_of_x86_64_v1_is_advertised() {
        let leaf1 = lookup(1, 0);
        for bit in [0, 5, 6, 8, 13, 15, 23, 24, 25, 26] {
            assert_ne!(leaf1.edx & 1 << bit, 0, "leaf 1 EDX bit {bit}");
        }
        let extended = lookup(0x8000_0001, 0);
        for bit in [11, 20, 29] {
            assert_ne!(extended.edx & 1 << bit, 0, "leaf 0x80000001 EDX bit {bit}");
        }
    }

    #[test]
    fn unlisted_leaves_and_subleaves_are_zero() {
        for (leaf, subleaf) in [(3, 0), (4, 4), (8, 0), (0xd, 1), (0x4000_0001, 0), (0x8000_0009, 0)] {
            assert_eq!(lookup(leaf, subleaf), CpuidResult::default(), "{leaf:#x}.{subleaf}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_has_no_entry_twice() {
        let keys: Vec<_> = TABLE.iter().map(|entry| (entry.leaf, entry.subleaf)).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:x?}");
    }
}
