//! The whole architectural state of one virtual processor, as plain data.
//!
//! This is what a digest covers, what a state transfer ships and what the two engines have in common. A
//! field is here if and only if guest software can tell the difference: caches, TLB contents and an
//! engine's own bookkeeping are not.

use serde::{Deserialize, Serialize};

/// Everything that guest software can observe of its processor.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct VcpuState {
    /// RAX to R15.
    pub general: GeneralRegisters,
    /// The next instruction's address.
    pub rip: u64,
    /// RFLAGS. Bit 1 is always set.
    pub rflags: u64,
    /// Segment registers with their hidden parts.
    pub segments: Segments,
    /// GDTR.
    pub gdt: DescriptorTable,
    /// IDTR.
    pub idt: DescriptorTable,
    /// CR0 to CR4, EFER.
    pub control: ControlRegisters,
    /// DR0 to DR7.
    pub debug: DebugRegisters,
    /// The model-specific registers that the guest's processor has and that hold state.
    pub msrs: ModelSpecificRegisters,
    /// x87, MMX and SSE registers.
    pub floating_point: FloatingPointState,
    /// An event that will be delivered before the next instruction.
    pub pending: Option<PendingEvent>,
    /// Whether the instruction before this one holds interrupts back.
    pub shadow: InterruptShadow,
    /// Whether the processor executes at all.
    pub activity: Activity,
}

/// The sixteen general registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the manual's")]
pub struct GeneralRegisters {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
}

/// A segment register: the visible selector and the hidden part that was loaded with it (Intel SDM
/// volume 3, 3.4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Segment {
    /// The selector.
    pub selector: u16,
    /// Base address. For FS and GS this is also MSR FS_BASE and GS_BASE.
    pub base: u64,
    /// Limit in bytes, granularity already applied.
    pub limit: u32,
    /// Descriptor bits 40 to 55 as in the high dword's bits 8 to 23, with the limit bits zero: type (0-3),
    /// S (4), DPL (5-6), P (7), AVL (12), L (13), D/B (14), G (15).
    pub attributes: u16,
    /// The segment cannot be used: a null selector was loaded.
    pub unusable: bool,
}

/// All segment registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the manual's")]
pub struct Segments {
    pub cs: Segment,
    pub ds: Segment,
    pub es: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub ss: Segment,
    pub tr: Segment,
    pub ldt: Segment,
}

/// GDTR or IDTR.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DescriptorTable {
    /// Linear address of the table.
    pub base: u64,
    /// Its size in bytes, less one.
    pub limit: u16,
}

/// Control registers, and EFER, which controls as they do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the manual's")]
pub struct ControlRegisters {
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub cr8: u64,
    pub efer: u64,
}

/// Debug registers (Intel SDM volume 3, 18.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DebugRegisters {
    /// DR0 to DR3: breakpoint addresses.
    pub address: [u64; 4],
    /// DR6.
    pub status: u64,
    /// DR7.
    pub control: u64,
}

/// Model-specific registers that hold state and are not kept elsewhere in [`VcpuState`]. The list of all
/// registers that the guest's processor knows, with their treatment, is [`crate::msr`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the manual's")]
pub struct ModelSpecificRegisters {
    pub star: u64,
    pub lstar: u64,
    pub cstar: u64,
    pub sfmask: u64,
    pub kernel_gs_base: u64,
    pub sysenter_cs: u64,
    pub sysenter_esp: u64,
    pub sysenter_eip: u64,
}

/// x87, MMX and SSE state, as FXSAVE64 tells it (Intel SDM volume 1, 10.5.1).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FloatingPointState {
    /// FCW.
    pub control: u16,
    /// FSW.
    pub status: u16,
    /// The abridged tag word: bit n set means that physical register n is not empty.
    pub tags: u8,
    /// FOP: the last x87 opcode.
    pub opcode: u16,
    /// FIP: the last x87 instruction.
    pub instruction: u64,
    /// FDP: the last x87 memory operand.
    pub operand: u64,
    /// ST0 to ST7 in stack order; 80 bits each, in the low bits.
    pub stack: [u128; 8],
    /// XMM0 to XMM15.
    pub xmm: [u128; 16],
    /// MXCSR.
    pub mxcsr: u32,
}

impl Default for FloatingPointState {
    /// The state after power-on (FNINIT, MXCSR at its reset value).
    fn default() -> Self {
        Self {
            control: 0x37f,
            status: 0,
            tags: 0,
            opcode: 0,
            instruction: 0,
            operand: 0,
            stack: [0; 8],
            xmm: [0; 16],
            mxcsr: 0x1f80,
        }
    }
}

/// An event whose delivery has been decided and that comes before the next instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PendingEvent {
    /// An exception.
    Exception {
        /// Its vector: 0 to 31.
        vector: u8,
        /// The error code that it pushes, if it pushes one.
        error_code: Option<u32>,
    },
    /// An external interrupt.
    Interrupt {
        /// Its vector.
        vector: u8,
    },
}

/// Interrupts are held back for one instruction after STI and after a load of SS (Intel SDM volume 3,
/// 7.8.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum InterruptShadow {
    /// No shadow.
    #[default]
    None,
    /// The last instruction was STI and interrupts were off before it.
    Sti,
    /// The last instruction was MOV SS or POP SS.
    MovSs,
}

/// Whether the processor executes instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Activity {
    /// It does.
    #[default]
    Running,
    /// It executed HLT and waits for an interrupt.
    Halted,
}
