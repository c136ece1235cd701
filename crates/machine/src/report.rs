//! What a person is shown when a guest had to be stopped.

use std::fmt;

use outlive_engine::{Engine, EngineError, ExitNumber, GuestRam, Segment, VcpuState};
use vm_memory::{Bytes, GuestAddress};

/// How many bytes of code a report shows: the longest instruction, and the beginning of the next.
const CODE_BYTES: u64 = 16;

/// The processor and the code at hand when the guest was stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GuestReport {
    /// The last numbered exit.
    pub exit: ExitNumber,
    /// The state of the processor.
    pub state: VcpuState,
    /// The bytes at RIP, as far as they are mapped.
    pub code: Vec<u8>,
}

impl GuestReport {
    /// Looks at a processor that has stopped.
    ///
    /// # Errors
    /// When the engine does not tell its state.
    pub fn new(engine: &mut impl Engine, ram: &GuestRam, exit: ExitNumber) -> Result<Self, EngineError> {
        let state = engine.state()?;
        let byte_at = |linear| {
            let physical = engine.translate(linear)?;
            ram.read_obj::<u8>(GuestAddress(physical.0)).ok()
        };
        let linear = state.segments.cs.base.wrapping_add(state.rip);
        let code = (0..CODE_BYTES).map(|offset| linear.wrapping_add(offset)).map_while(byte_at).collect();
        Ok(Self { exit, state, code })
    }
}

impl GuestReport {
    /// Whether the processor stands where a reset leaves it (Intel SDM volume 3, 11.1.4), which no guest here
    /// can get to: KVM on AMD resets a processor that meets a triple fault, so that nobody learns where it was.
    fn is_reset(&self) -> bool {
        (self.state.rip, self.state.segments.cs.base) == (0xfff0, 0xffff_0000)
    }
}

impl fmt::Display for GuestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VcpuState { general: g, segments: s, control: c, .. } = &self.state;
        writeln!(f, "exit {}  rip {:016x}  rflags {:08x}", self.exit.0, self.state.rip, self.state.rflags)?;
        writeln!(f, "rax {:016x}  rbx {:016x}  rcx {:016x}  rdx {:016x}", g.rax, g.rbx, g.rcx, g.rdx)?;
        writeln!(f, "rsi {:016x}  rdi {:016x}  rsp {:016x}  rbp {:016x}", g.rsi, g.rdi, g.rsp, g.rbp)?;
        writeln!(f, "r8  {:016x}  r9  {:016x}  r10 {:016x}  r11 {:016x}", g.r8, g.r9, g.r10, g.r11)?;
        writeln!(f, "r12 {:016x}  r13 {:016x}  r14 {:016x}  r15 {:016x}", g.r12, g.r13, g.r14, g.r15)?;
        writeln!(f, "cr0 {:016x}  cr2 {:016x}  cr3 {:016x}  cr4 {:016x}", c.cr0, c.cr2, c.cr3, c.cr4)?;
        let segment = |s: &Segment| format!("{:04x} (base {:x})", s.selector, s.base);
        writeln!(f, "cs {}  ss {}  efer {:x}", segment(&s.cs), segment(&s.ss), c.efer)?;
        let pending = self.state.pending.map_or("none".to_owned(), |event| format!("{event:x?}"));
        writeln!(f, "gdt {:x}  idt {:x}  pending {pending}", self.state.gdt.base, self.state.idt.base)?;
        if self.is_reset() {
            writeln!(
                f,
                "these are the registers of a reset: this host resets a processor that meets a triple fault"
            )?;
        }
        write!(f, "code at rip:")?;
        if self.code.is_empty() {
            write!(f, " not mapped")?;
        }
        self.code.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
    }
}
