//! The whole architectural state, into the processor and out of it.

use outlive_engine::{GeneralRegisters, VcpuState};

use crate::cpu::Cpu;
use crate::flags::Flags;
use crate::system::debug;
use crate::vector::Vectors;
use crate::x87::X87;

/// Why a state is refused.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StateError {
    /// Only long mode is executed.
    #[error("the processor is not in long mode with paging (CR0 {cr0:#x}, CR4 {cr4:#x}, EFER {efer:#x})")]
    NotLongMode { cr0: u64, cr4: u64, efer: u64 },
    /// There is no 16-bit code.
    #[error("the code segment's default size is 16 bits")]
    SixteenBitCode,
}

/// CR0: PE and PG. CR4: PAE. EFER: LME and LMA.
const LONG_MODE: (u64, u64, u64) = (1 | 1 << 31, 1 << 5, 1 << 8 | 1 << 10);

/// Takes over a state. The processor's translations and decoded code are to be forgotten.
pub(crate) fn set(cpu: &mut Cpu, state: &VcpuState) -> Result<(), StateError> {
    let control = state.control;
    let has = |register: u64, bits: u64| register & bits == bits;
    let (cr0, cr4, efer) = LONG_MODE;
    if !has(control.cr0, cr0) || !has(control.cr4, cr4) || !has(control.efer, efer) {
        return Err(StateError::NotLongMode { cr0: control.cr0, cr4: control.cr4, efer: control.efer });
    }
    if state.segments.cs.attributes & (1 << 13 | 1 << 14) == 0 {
        return Err(StateError::SixteenBitCode);
    }
    cpu.registers[..16].copy_from_slice(&in_order(&state.general));
    cpu.rip = state.rip;
    cpu.flags = Flags::from_bits(state.rflags);
    cpu.segments = state.segments;
    cpu.gdt = state.gdt;
    cpu.idt = state.idt;
    cpu.control = state.control;
    cpu.debug = state.debug;
    cpu.msrs = state.msrs;
    cpu.x87 = X87::from_state(&state.floating_point);
    cpu.vectors = Vectors::from_state(&state.floating_point);
    cpu.pending = state.pending;
    cpu.shadow = state.shadow;
    cpu.activity = state.activity;
    // The privilege level is DPL of SS, also if that is null; a state tells it by CS only.
    if cpu.segments.ss.unusable {
        cpu.segments.ss.attributes = (cpu.segments.cs.selector & 3) << 5;
    }
    cpu.paging_changed();
    debug::registers_changed(cpu);
    Ok(())
}

/// The state between two instructions.
pub(crate) fn get(cpu: &Cpu) -> VcpuState {
    let mut state = VcpuState {
        general: from_order(&cpu.registers),
        rip: cpu.rip,
        rflags: cpu.flags.bits(),
        segments: cpu.segments,
        gdt: cpu.gdt,
        idt: cpu.idt,
        control: cpu.control,
        debug: cpu.debug,
        msrs: cpu.msrs,
        pending: cpu.pending,
        shadow: cpu.shadow,
        activity: cpu.activity,
        ..VcpuState::default()
    };
    if state.segments.ss.unusable {
        state.segments.ss.attributes = 0;
    }
    cpu.x87.save(&mut state.floating_point);
    state.floating_point.xmm = cpu.vectors.xmm;
    state.floating_point.mxcsr = cpu.vectors.mxcsr;
    state
}

/// The general registers in the order of their numbers.
fn in_order(general: &GeneralRegisters) -> [u64; 16] {
    let GeneralRegisters { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15 } =
        *general;
    [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15]
}

fn from_order(registers: &[u64]) -> GeneralRegisters {
    let [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15] =
        std::array::from_fn(|number| registers[number]);
    GeneralRegisters { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15 }
}
