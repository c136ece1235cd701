//! Every valid state survives a round trip through KVM.

use std::cell::RefCell;

use outlive_engine::{
    Activity, DebugRegisters, DescriptorTable, Engine, FloatingPointState, GeneralRegisters, InterruptShadow,
    ModelSpecificRegisters, PendingEvent, Segment, VcpuState,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::probe::guest::{DATA, RFLAGS_IF, Ring, initial_state};
use crate::testing::{guest, run};

/// CF, PF, AF, ZF, SF, TF, IF, DF, OF, IOPL, AC, ID.
const FLAGS: u64 = 0x0024_3fd5 & !(1 << 1);
/// MP, EM, TS, NE, WP, AM.
const CR0_FREE: u64 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 16 | 1 << 18;
/// TSD, DE, PSE, PGE.
const CR4_FREE: u64 = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 7;
/// SCE, NXE.
const EFER_FREE: u64 = 1 | 1 << 11;

fn canonical() -> impl Strategy<Value = u64> {
    any::<i64>().prop_map(|value| (value >> 16).cast_unsigned())
}

/// A data segment as a processor can hold it: accessed, the granularity as the limit wants it.
fn data_segment(ring: Ring, base: impl Strategy<Value = u64>) -> impl Strategy<Value = Segment> {
    let level = if ring == Ring::Kernel { 0 } else { 3 };
    let usable =
        (any::<u16>(), base, any::<u32>(), 0..2_u16).prop_map(move |(selector, base, limit, kind)| {
            let large = limit > 0xf_ffff;
            let limit = if large { limit | 0xfff } else { limit };
            let attributes = 0x4093 | level << 5 | kind << 2 | u16::from(large) << 15;
            Segment { selector, base, limit, attributes, unusable: false }
        });
    let unusable = (0..4_u16).prop_map(|selector| Segment { selector, unusable: true, ..Segment::default() });
    prop_oneof![3 => usable, 1 => unusable]
}

fn events() -> impl Strategy<Value = (Option<PendingEvent>, InterruptShadow)> {
    let exception = (prop_oneof![Just(0_u8), 5..8_u8, 10..15_u8], any::<u32>()).prop_map(|(vector, code)| {
        let error_code = matches!(vector, 10..=14).then_some(code & 0xffff);
        Some(PendingEvent::Exception { vector, error_code })
    });
    let interrupt = (32..=255_u8).prop_map(|vector| Some(PendingEvent::Interrupt { vector }));
    prop_oneof![
        Just((None, InterruptShadow::None)),
        Just((None, InterruptShadow::Sti)),
        exception.prop_map(|event| (event, InterruptShadow::None)),
        interrupt.prop_map(|event| (event, InterruptShadow::None)),
    ]
}

prop_compose! {
    fn msrs()(star: u64, sfmask: u32, cs: u16, addresses in prop::array::uniform5(canonical()))
        -> ModelSpecificRegisters
    {
        let [lstar, cstar, kernel_gs_base, sysenter_esp, sysenter_eip] = addresses;
        ModelSpecificRegisters {
            star, lstar, cstar, sfmask: sfmask.into(), kernel_gs_base,
            sysenter_cs: cs.into(), sysenter_esp, sysenter_eip,
        }
    }
}

prop_compose! {
    fn floating_point()(
        control: u16, status: u16, tags: u8, opcode in 0..0x800_u16, instruction in canonical(),
        operand in canonical(), mxcsr in 0..=0xffff_u32, stack: [u128; 8], xmm: [u128; 16],
    ) -> FloatingPointState {
        let stack = stack.map(|register| register >> 48);
        FloatingPointState { control, status, tags, opcode, instruction, operand, stack, xmm, mxcsr }
    }
}

prop_compose! {
    fn debug()(address in prop::array::uniform4(canonical()), status: u64, control: u32) -> DebugRegisters {
        DebugRegisters {
            address,
            status: 0xffff_0ff0 | status & 0xe00f,
            control: 0x400 | u64::from(control & 0xffff_03ff),
        }
    }
}

prop_compose! {
    fn general()(words: [u64; 16]) -> GeneralRegisters {
        let [rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15] = words;
        GeneralRegisters { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15 }
    }
}

fn states(ring: Ring) -> impl Strategy<Value = VcpuState> {
    let segments = (
        data_segment(ring, (0..=u32::MAX).prop_map(u64::from)),
        data_segment(ring, canonical()),
        canonical(),
    );
    let tables = (canonical(), any::<u16>(), canonical(), any::<u16>());
    let control = (any::<u64>(), canonical(), 0..1_u64 << 28, 0..16_u64);
    let rest = (canonical(), events(), any::<bool>());
    (general(), segments, tables, control, debug(), msrs(), floating_point(), rest).prop_map(
        move |(general, segments, tables, control, debug, msrs, floating_point, rest)| {
            let mut state = initial_state(ring);
            (state.segments.ds, state.segments.fs, state.segments.gs.base) = segments;
            state.gdt = DescriptorTable { base: tables.0, limit: tables.1 };
            state.idt = DescriptorTable { base: tables.2, limit: tables.3 };
            let (bits, cr2, page, cr8) = control;
            state.control.cr0 = state.control.cr0 & !CR0_FREE | bits & CR0_FREE;
            state.control.cr4 |= bits & CR4_FREE;
            state.control.efer = state.control.efer & !EFER_FREE | bits & EFER_FREE;
            (state.control.cr2, state.control.cr3, state.control.cr8) = (cr2, page << 12, cr8);
            state.rflags |= bits.rotate_left(20) & FLAGS;
            (state.general, state.debug, state.msrs, state.floating_point) =
                (general, debug, msrs, floating_point);
            let (rip, (pending, shadow), halted) = rest;
            (state.rip, state.pending, state.shadow) = (rip, pending, shadow);
            if pending.is_some() || shadow != InterruptShadow::None {
                state.rflags |= RFLAGS_IF;
            } else if halted {
                state.activity = Activity::Halted;
            }
            state
        },
    )
}

#[test]
fn every_valid_state_is_read_as_it_was_written() {
    let Some(guest) = guest(&[]) else { return };
    let guest = RefCell::new(guest);
    for ring in [Ring::Kernel, Ring::User] {
        let mut runner = TestRunner::new(Config::with_cases(256));
        let round_trip = |state: VcpuState| {
            let engine = &mut guest.borrow_mut().engine;
            engine.set_state(&state).unwrap();
            prop_assert_eq!(engine.state().unwrap(), state);
            Ok(())
        };
        runner.run(&states(ring), round_trip).unwrap();
    }
}

#[test]
fn floating_point_registers_reach_the_guest_also_after_it_has_reset_them() {
    // fninit; out 0x80, al; fxsave64 [DATA]; hlt
    let code = [0xdb, 0xe3, 0xe6, 0x80, 0x48, 0x0f, 0xae, 0x04, 0x25, 0, 0, 4, 0, 0xf4];
    let Some(mut guest) = guest(&code) else { return };
    run(&mut guest);
    let mut state = guest.engine.state().unwrap();
    state.floating_point.control = 0x27f;
    state.floating_point.tags = 0x80;
    state.floating_point.stack[0] = 0x4000_8000_0000_0000_0000;
    state.floating_point.xmm[15] = 0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00;
    guest.engine.set_state(&state).unwrap();
    run(&mut guest);
    assert_eq!(guest.word(DATA) & 0xffff, 0x27f, "FCW");
    assert_eq!(guest.word(DATA + 32), 0x8000_0000_0000_0000, "ST0");
    assert_eq!(guest.word(DATA + 160 + 15 * 16), 0x99aa_bbcc_ddee_ff00, "XMM15");
    assert_eq!(guest.engine.state().unwrap().floating_point.xmm[15], state.floating_point.xmm[15]);
}

#[test]
fn a_state_that_no_processor_can_be_in_is_an_error() {
    let Some(mut guest) = guest(&[]) else { return };
    let mut state = initial_state(Ring::Kernel);
    state.control.cr4 = 1 << 63;
    assert!(guest.engine.set_state(&state).is_err());
    state = initial_state(Ring::Kernel);
    state.msrs.lstar = 1 << 60;
    assert!(guest.engine.set_state(&state).is_err());
    state = initial_state(Ring::Kernel);
    state.floating_point.mxcsr = u32::MAX;
    assert!(guest.engine.set_state(&state).is_err());
}
