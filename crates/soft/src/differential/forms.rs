//! The forms of instructions: which ones the engine knows, and which of them are compared.

use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

use super::arrange;
use super::encode;
use super::generate;
use super::layout::{self, CODE};
use super::random::Random;
use super::state::{Case, Mode};
use crate::decode;
use crate::flags::bit;
use crate::memory::is_canonical;
use crate::testing::Vendor;

/// How an instruction is treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Treatment {
    /// Both sides execute it.
    Compared,
    /// It is left out, for this reason.
    Excluded(&'static str),
    /// The guest's processor does not have it, although the host's may: it must be #UD in the engine.
    Absent,
}

/// Instructions that are not compared, and why. The unit tests beside their code cover them.
const EXCLUDED: [(&[Mnemonic], &str); 8] = {
    use Mnemonic::*;
    [
        (&[Cpuid], "describes the processor: the host's differs on purpose"),
        (&[Rdtsc], "tells the time: the monitor answers"),
        (&[Syscall, Sysenter, Sysexit, Sysexitq], "enters the host's kernel"),
        (&[Int, Int1, Int3, Into], "is delivered through the IDT, which is the kernel's"),
        (&[Sgdt, Sidt, Sldt, Str, Smsw], "UMIP: the host's kernel raises #GP or makes the result up"),
        (&[Lar, Lsl, Verr, Verw], "reads the host's GDT"),
        (&[Lds, Les, Lfs, Lgs, Lss], "loads a segment from the host's GDT"),
        (&[Iret, Iretd, Iretq, Retf], "loads segments from the host's GDT"),
    ]
};

/// How to treat an instruction on a host of this vendor.
pub(super) fn treatment(vendor: Vendor, instruction: &Instruction, case: &Case) -> Treatment {
    if instruction.code() == Code::INVALID {
        return invalid(vendor, case);
    }
    if !is_offered(instruction, case.mode) {
        return Treatment::Absent;
    }
    let of_amd = || if vendor == Vendor::Amd { excluded_of_amd(instruction, case) } else { None };
    let excluded =
        excluded(instruction, case.mode).or_else(|| excluded_case(instruction, case)).or_else(of_amd);
    match excluded {
        Some(reason) => Treatment::Excluded(reason),
        None => Treatment::Compared,
    }
}

/// Bytes that are no instruction.
fn invalid(vendor: Vendor, case: &Case) -> Treatment {
    let of_amd = if vendor == Vendor::Amd { invalid_of_amd(case) } else { None };
    match of_amd {
        Some(reason) => Treatment::Excluded(reason),
        None if is_of_virtual_machines(case) => {
            Treatment::Excluded("0F 01 C0 to FF: the host's hypervisor has its say")
        }
        None => Treatment::Compared,
    }
}

/// Bytes that are no instruction, but something to AMD's processors: those with LOCK, which they overlook before
/// VERR and VERW, and which makes CR8 of CR0, and those of an extension that is gone.
fn invalid_of_amd(case: &Case) -> Option<&'static str> {
    let code = case.code.iter().copied().filter(|byte| *byte != 0xf0).collect();
    let instruction = generate::instruction(&Case { code, ..case.clone() });
    let is_register = |operand| {
        instruction.op_kind(operand) == OpKind::Register && instruction.op_register(operand).is_cr()
    };
    match instruction.mnemonic() {
        Mnemonic::Verr | Mnemonic::Verw => Some("LOCK before VERR and VERW: AMD's processors overlook it"),
        Mnemonic::Mov if is_register(0) || is_register(1) => {
            Some("LOCK before MOV CR0: on AMD's processors this is MOV CR8")
        }
        _ if is_xop(case) => Some("8F of the form of XOP, whose lengths AMD's processors still know"),
        _ => None,
    }
}

/// What follows the prefixes.
pub(super) fn behind_prefixes(case: &Case) -> &[u8] {
    let prefixes = case.code.iter().take_while(|byte| encode::is_prefix(**byte, case.mode)).count();
    &case.code[prefixes..]
}

fn is_xop(case: &Case) -> bool {
    matches!(behind_prefixes(case), [0x8f, map, ..] if map & 0x1f >= 8)
}

/// Whether an opcode is in the row of VMCALL and its like.
fn is_of_virtual_machines(case: &Case) -> bool {
    matches!(behind_prefixes(case), [0x0f, 0x01, 0xc0..=0xff, ..])
}

/// LAHF and SAHF in 64-bit mode have a bit in CPUID of their own, which is not set.
fn is_offered(instruction: &Instruction, mode: Mode) -> bool {
    let is_lahf = matches!(instruction.mnemonic(), Mnemonic::Lahf | Mnemonic::Sahf);
    crate::decode::is_offered(instruction) && !(is_lahf && mode == Mode::Long)
}

/// Why a form is not compared.
pub(super) fn excluded(instruction: &Instruction, mode: Mode) -> Option<&'static str> {
    let mnemonic = instruction.mnemonic();
    if let Some((_, reason)) = EXCLUDED.iter().find(|(mnemonics, _)| mnemonics.contains(&mnemonic)) {
        return Some(reason);
    }
    let target = (instruction.op0_kind() == OpKind::Register).then(|| instruction.op0_register());
    let loads_segment = matches!(mnemonic, Mnemonic::Mov | Mnemonic::Pop)
        && target.is_some_and(Register::is_segment_register);
    if is_far(instruction) {
        Some("loads CS from the host's GDT")
    } else if loads_segment {
        Some("loads a segment from the host's GDT")
    } else if matches!(mnemonic, Mnemonic::Sysret) && mode == Mode::Compatibility {
        Some("SYSRET in compatibility mode: #GP on AMD's processors, #UD on Intel's")
    } else if is_prefetch_of_register(instruction) {
        Some("0F 0D with a register: #UD on AMD's processors, NOP on Intel's")
    } else if is_near(instruction) && mode == Mode::Long && instruction.code().op_code().operand_size() == 16
    {
        Some("66 before a near branch in 64-bit mode: AMD's processors truncate RIP, Intel's overlook it")
    } else {
        None
    }
}

/// Why an instance is not compared, although its form is.
fn excluded_case(instruction: &Instruction, case: &Case) -> Option<&'static str> {
    let checks_alignment = case.before.flags & bit::AC != 0;
    if checks_alignment && is_unaligned_move(instruction.mnemonic()) {
        // Intel SDM volume 3, 7.15, interrupt 17.
        Some("#AC may or may not be generated depending on processor implementation")
    } else if checks_alignment && instruction.mnemonic() == Mnemonic::Enter {
        Some(
            "ENTER tries the new top of the stack, on processors as if it were an operand: it has to be aligned",
        )
    } else {
        None
    }
}

/// Why an instance is not compared on AMD's processors.
fn excluded_of_amd(instruction: &Instruction, case: &Case) -> Option<&'static str> {
    let prefixes = case.code.iter().take_while(|byte| encode::is_prefix(**byte, case.mode));
    let has_prefix = |prefix: u8| prefixes.clone().any(|byte| *byte == prefix);
    let is_loop = instruction.is_loop() || instruction.is_loopcc();
    if is_near(instruction) && case.mode == Mode::Long && has_prefix(0x66) {
        Some("66 before a near branch in 64-bit mode: AMD's processors truncate RIP, Intel's overlook it")
    } else if is_loop && (has_prefix(0xf2) || has_prefix(0xf3)) {
        Some("F2 or F3 before LOOP: reserved, and AMD's processors let it change the condition")
    } else if is_only_canonical_with_base(instruction, case) {
        Some("an offset into FS or GS that only the base makes canonical: #GP on AMD's processors")
    } else {
        None
    }
}

fn is_unaligned_move(mnemonic: Mnemonic) -> bool {
    use Mnemonic::{Fxrstor, Fxrstor64, Fxsave, Fxsave64, Maskmovdqu, Maskmovq, Movdqu, Movupd, Movups};
    let is_move = matches!(mnemonic, Movups | Movupd | Movdqu | Maskmovq | Maskmovdqu);
    is_move || matches!(mnemonic, Fxsave | Fxsave64 | Fxrstor | Fxrstor64)
}

/// Whether a memory operand's offset is not canonical and its linear address is.
fn is_only_canonical_with_base(instruction: &Instruction, case: &Case) -> bool {
    let base = match instruction.memory_segment() {
        Register::FS => layout::FS_BASE,
        Register::GS => layout::GS_BASE,
        _ => return false,
    };
    let offsets = (0..instruction.op_count())
        .filter_map(|operand| arrange::address(instruction, operand, case.mode, &case.before.general, 0));
    let mut ends = offsets.flat_map(|offset| [offset, offset.wrapping_add(15)]);
    case.mode == Mode::Long
        && ends.any(|offset| !is_canonical(offset) && is_canonical(offset.wrapping_add(base)))
}

fn is_far(instruction: &Instruction) -> bool {
    instruction.is_jmp_far()
        || instruction.is_call_far()
        || instruction.is_jmp_far_indirect()
        || instruction.is_call_far_indirect()
}

fn is_near(instruction: &Instruction) -> bool {
    instruction.is_jcc_short_or_near()
        || instruction.is_jmp_short_or_near()
        || instruction.is_call_near()
        || instruction.is_jmp_near_indirect()
        || instruction.is_call_near_indirect()
        || instruction.is_loop()
        || instruction.is_loopcc()
        || instruction.is_jcx_short()
        || instruction.mnemonic() == Mnemonic::Ret
}

fn is_prefetch_of_register(instruction: &Instruction) -> bool {
    use Code::{Reservednop_rm16_r16_0F0D, Reservednop_rm32_r32_0F0D, Reservednop_rm64_r64_0F0D};
    matches!(
        instruction.code(),
        Reservednop_rm16_r16_0F0D | Reservednop_rm32_r32_0F0D | Reservednop_rm64_r64_0F0D
    )
}

/// The engine's groups of instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Group {
    Integer,
    System,
    Sse,
    X87,
}

impl Group {
    fn named(name: &str) -> Option<Self> {
        match name {
            "integer" => Some(Self::Integer),
            "system" => Some(Self::System),
            "sse" => Some(Self::Sse),
            "x87" => Some(Self::X87),
            _ => None,
        }
    }
}

/// An instruction that the engine knows, in one of its encodings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) code: Code,
    pub(super) mode: Mode,
    pub(super) group: Group,
    /// Why it is not compared.
    pub(super) excluded: Option<&'static str>,
}

/// All forms that the engine knows, in both modes, in the order of iced's codes.
pub(super) fn known() -> Vec<Form> {
    let modes = [Mode::Long, Mode::Compatibility];
    modes.into_iter().flat_map(|mode| Code::values().filter_map(move |code| form(code, mode))).collect()
}

/// A form, if a group knows it.
fn form(code: Code, mode: Mode) -> Option<Form> {
    let info = code.op_code();
    let mut instruction = Instruction::default();
    instruction.set_code(code);
    if !info.is_instruction() || !info.is_available_in_mode(mode.bitness()) || !is_offered(&instruction, mode)
    {
        return None;
    }
    let mut random = Random::new(0, "forms", code as u64);
    // Some operands of a form may be known and others not, such as MOV to CR0 and to CR1.
    let (group, excluded) = (0..50).find_map(|_| {
        let bytes = encode::encode(&mut random, code, mode, CODE.address)?;
        let instruction = generate::decode(&bytes, mode, CODE.address);
        let group = if instruction.code() == code { decode::group(&bytes, mode.size()) } else { None };
        Some((Group::named(group?)?, excluded(&instruction, mode)))
    })?;
    Some(Form { code, mode, group, excluded })
}
