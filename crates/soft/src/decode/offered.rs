//! Which instructions the guest's processor has: those of the features that CPUID advertises.

use iced_x86::{CpuidFeature, Instruction, Mnemonic};

/// Features whose instructions exist: x86-64-v1, and CMPXCHG16B. What belongs to none of them is #UD.
const FEATURES: [CpuidFeature; 25] = [
    CpuidFeature::INTEL8086,
    CpuidFeature::INTEL8086_ONLY,
    CpuidFeature::INTEL186,
    CpuidFeature::INTEL286,
    CpuidFeature::INTEL386,
    CpuidFeature::INTEL486,
    CpuidFeature::X64,
    CpuidFeature::CPUID,
    CpuidFeature::CMOV,
    CpuidFeature::CX8,
    CpuidFeature::CMPXCHG16B,
    CpuidFeature::CLFSH,
    CpuidFeature::FPU,
    CpuidFeature::FPU287,
    CpuidFeature::FPU387,
    CpuidFeature::FXSR,
    CpuidFeature::MMX,
    CpuidFeature::MSR,
    CpuidFeature::MULTIBYTENOP,
    CpuidFeature::PAUSE,
    CpuidFeature::RDPMC,
    CpuidFeature::SSE,
    CpuidFeature::SSE2,
    CpuidFeature::SYSCALL,
    CpuidFeature::TSC,
];

/// Whether the guest's processor has an instruction.
///
/// Some encodings of newer features are hints that older processors ignore, or that they execute as another
/// instruction. They are kept, for software uses them without asking: ENDBR32 and ENDBR64, RDSSP (a NOP
/// without shadow stacks), PREFETCHW, and F3-prefixed BSF and BSR, which run as TZCNT and LZCNT on every
/// current processor.
pub(crate) fn is_offered(instruction: &Instruction) -> bool {
    let is_hint = matches!(
        instruction.mnemonic(),
        Mnemonic::Endbr32
            | Mnemonic::Endbr64
            | Mnemonic::Rdsspd
            | Mnemonic::Rdsspq
            | Mnemonic::Prefetchw
            | Mnemonic::Tzcnt
            | Mnemonic::Lzcnt
    );
    is_hint || instruction.cpuid_features().iter().all(|feature| FEATURES.contains(feature))
}
