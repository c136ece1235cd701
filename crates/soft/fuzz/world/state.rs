//! States of the processor: likely ones, and any.

use outlive_engine::{
    Activity, ControlRegisters, DebugRegisters, DescriptorTable, FloatingPointState, GeneralRegisters,
    InterruptShadow, ModelSpecificRegisters, PendingEvent, Segment, Segments, VcpuState,
};

use super::input::Input;
use super::stage::{CODE, GDT, IDT, LDT_SELECTOR, STACK, TABLES, TASK, TASK_BYTES, TASK_SELECTOR, selector};

/// CR0: PE, ET, PG. CR4: PAE. EFER: LME, LMA.
const LONG_MODE: (u64, u64, u64) = (1 | 1 << 4 | 1 << 31, 1 << 5, 1 << 8 | 1 << 10);
/// RFLAGS: all but VM and what is reserved.
const FLAGS: u64 = 0x3d_7fd5;
/// RFLAGS.TF.
const TRAP: u64 = 1 << 8;

/// A state in which code gets far: a ring and a mode, stacks and tables, and registers of the input's choice.
pub(crate) fn likely(input: &mut Input) -> VcpuState {
    let choice = input.byte();
    let (ring, is_long) = (choice & 3, choice & 4 != 0);
    // With traps and breakpoints it goes instruction by instruction: not always.
    let has_traps = choice & 0x80 != 0;
    let mut state = VcpuState { general: general(input), ..VcpuState::default() };
    state.general.rsp = STACK - u64::from(input.byte());
    // At the beginning of a page, across its end, or behind a few bytes of the one before.
    state.rip = CODE + [0, 0, 0xffe, 0xfc0][usize::from(choice >> 4 & 3)];
    state.rflags = u64::from(input.dword()) & if has_traps { FLAGS } else { FLAGS & !TRAP } | 2;
    state.segments = segments(ring, is_long);
    state.segments.fs.base = input.likely();
    state.segments.gs.base = input.likely();
    state.gdt = DescriptorTable { base: GDT, limit: 0xff };
    state.idt = DescriptorTable { base: IDT, limit: 0xfff };
    // MP, EM, TS, NE, WP, AM; TSD, DE, PGE, OSFXSR, OSXMMEXCPT; SCE, NXE.
    let bits = u64::from(input.word());
    let (cr0, cr4, efer) = LONG_MODE;
    state.control.cr0 = cr0 | bits & 0x2e | (bits >> 6 & 5) << 16;
    state.control.cr3 = TABLES;
    state.control.cr4 = cr4 | bits & 0x8c | !(bits >> 4) & 0x600;
    state.control.efer = efer | bits >> 12 & 1 | (bits >> 13 & 1) << 11;
    if has_traps && choice & 8 != 0 {
        state.debug.address = std::array::from_fn(|_| input.likely());
        state.debug.control = u64::from(input.dword());
    }
    state.msrs = ModelSpecificRegisters {
        star: (u64::from(selector(3, 0)) - 16) << 48 | u64::from(selector(0, 0)) << 32,
        lstar: CODE + u64::from(input.byte()),
        cstar: CODE,
        sfmask: u64::from(input.word()),
        kernel_gs_base: STACK,
        sysenter_cs: u64::from(selector(0, 0)),
        sysenter_esp: STACK,
        sysenter_eip: CODE + u64::from(input.byte()),
    };
    if choice & 0x40 != 0 {
        state.floating_point = floating_point(input);
        // FXSAVE and LDMXCSR cannot set others.
        state.floating_point.mxcsr &= 0xffff;
    }
    state
}

/// A state of arbitrary bits, but for those that the input asks to be likely.
pub(crate) fn any(input: &mut Input) -> VcpuState {
    let choice = input.byte();
    let mut state = VcpuState {
        general: general(input),
        rip: input.likely(),
        rflags: input.qword(),
        segments: any_segments(input),
        gdt: DescriptorTable { base: input.likely(), limit: input.word() },
        idt: DescriptorTable { base: input.likely(), limit: input.word() },
        control: any_control(input),
        debug: DebugRegisters {
            address: std::array::from_fn(|_| input.likely()),
            status: input.qword(),
            control: input.qword(),
        },
        msrs: any_msrs(input),
        floating_point: floating_point(input),
        pending: pending(input),
        shadow: [InterruptShadow::None, InterruptShadow::Sti, InterruptShadow::MovSs]
            [usize::from(input.byte() % 3)],
        activity: if input.byte() & 7 == 7 { Activity::Halted } else { Activity::Running },
    };
    if choice & 0x80 == 0 {
        let (cr0, cr4, efer) = LONG_MODE;
        state.control.cr0 |= cr0;
        state.control.cr4 |= cr4;
        state.control.efer |= efer;
    }
    if choice & 1 == 0 {
        state.rip = CODE;
        state.control.cr3 = TABLES;
    }
    if choice & 2 == 0 {
        state.gdt = DescriptorTable { base: GDT, limit: 0xff };
        state.idt = DescriptorTable { base: IDT, limit: 0xfff };
        state.segments.tr = segments(0, true).tr;
    }
    if choice & 4 == 0 {
        let known = segments(choice >> 3 & 3, choice & 0x20 == 0);
        state.segments.cs = known.cs;
        state.segments.ss = known.ss;
    }
    state
}

fn general(input: &mut Input) -> GeneralRegisters {
    GeneralRegisters {
        rax: input.likely(),
        rbx: input.likely(),
        rcx: input.likely(),
        rdx: input.likely(),
        rsi: input.likely(),
        rdi: input.likely(),
        rsp: input.likely(),
        rbp: input.likely(),
        r8: input.likely(),
        r9: input.likely(),
        r10: input.likely(),
        r11: input.likely(),
        r12: input.likely(),
        r13: input.likely(),
        r14: input.likely(),
        r15: input.likely(),
    }
}

/// Flat segments of a ring.
fn segments(ring: u8, is_long: bool) -> Segments {
    let level = u16::from(ring) << 5;
    let flat = |which, attributes| Segment {
        selector: selector(ring, which),
        base: 0,
        limit: u32::MAX,
        attributes: attributes | level,
        unusable: false,
    };
    let data = flat(1, 0xc093);
    let cs = if is_long { flat(0, 0xa09b) } else { flat(2, 0xc09b) };
    let tr = Segment {
        selector: TASK_SELECTOR,
        base: TASK,
        limit: TASK_BYTES - 1,
        attributes: 0x8b,
        unusable: false,
    };
    let ldt = Segment { selector: LDT_SELECTOR, base: GDT, limit: 0x67, attributes: 0x82, unusable: false };
    Segments { cs, ds: data, es: data, fs: data, gs: data, ss: data, tr, ldt }
}

fn any_segments(input: &mut Input) -> Segments {
    let mut segment = || Segment {
        selector: input.word(),
        base: input.likely(),
        limit: input.dword(),
        attributes: input.word(),
        unusable: input.flag(),
    };
    Segments {
        cs: segment(),
        ds: segment(),
        es: segment(),
        fs: segment(),
        gs: segment(),
        ss: segment(),
        tr: segment(),
        ldt: segment(),
    }
}

fn any_control(input: &mut Input) -> ControlRegisters {
    ControlRegisters {
        cr0: input.qword(),
        cr2: input.likely(),
        cr3: input.qword(),
        cr4: input.qword(),
        cr8: input.likely(),
        efer: input.qword(),
    }
}

fn any_msrs(input: &mut Input) -> ModelSpecificRegisters {
    ModelSpecificRegisters {
        star: input.qword(),
        lstar: input.likely(),
        cstar: input.likely(),
        sfmask: input.qword(),
        kernel_gs_base: input.likely(),
        sysenter_cs: input.likely(),
        sysenter_esp: input.likely(),
        sysenter_eip: input.likely(),
    }
}

fn floating_point(input: &mut Input) -> FloatingPointState {
    FloatingPointState {
        control: input.word(),
        status: input.word(),
        tags: input.byte(),
        opcode: input.word(),
        instruction: input.likely(),
        operand: input.likely(),
        stack: std::array::from_fn(|_| input.wide()),
        xmm: std::array::from_fn(|register| if register < 4 { input.wide() } else { 0 }),
        mxcsr: input.dword(),
    }
}

fn pending(input: &mut Input) -> Option<PendingEvent> {
    let (choice, vector) = (input.byte(), input.byte());
    match choice & 7 {
        5 => Some(PendingEvent::Interrupt { vector }),
        6 => Some(PendingEvent::Exception { vector, error_code: None }),
        7 => Some(PendingEvent::Exception { vector, error_code: Some(input.dword()) }),
        _ => None,
    }
}
