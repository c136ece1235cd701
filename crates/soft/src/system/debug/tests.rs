use outlive_engine::{Answer, Exit};

use crate::cpu::number;
use crate::flags::bit;
use crate::system::stage::{GateImage, Stage, selector};
use crate::testing::{CODE, DATA, STACK};

const STEP: u64 = 1 << 14;
const FIXED: u64 = 0xffff_0ff0;
/// Nothing but NOPs.
const NOPS: [u8; 8] = [0x90; 8];

fn stepping() -> Stage {
    let mut stage = Stage::new();
    stage.trial.cpu.flags.set_control(bit::TF, true);
    stage
}

/// A stage with breakpoint 0 on an address; `kind` is its R/W and LEN.
fn breaking(address: u64, kind: u64) -> Stage {
    let mut stage = Stage::new();
    stage.trial.cpu.debug.address[0] = address;
    stage.trial.cpu.debug.control = 0x400 | 1 | kind << 16;
    super::registers_changed(&mut stage.trial.cpu);
    stage
}

#[test]
fn a_trap_follows_every_instruction_that_begins_with_the_flag() {
    let mut stage = stepping();
    let frame = stage.event(&NOPS);
    assert_eq!((frame.vector, frame.rip, frame.flags), (1, CODE + 1, bit::TF | bit::FIXED));
    assert_eq!(stage.trial.cpu.debug.status, FIXED | STEP);
    assert_eq!(stage.trial.cpu.retired, 3, "NOP, the trap, HLT");
    assert!(!stage.trial.cpu.flags.has(bit::TF));
}

#[test]
fn popf_is_followed_by_a_trap_only_if_the_flag_was_set_before() {
    let mut stage = Stage::new();
    stage.trial.write(STACK - 8, &(bit::TF | 2).to_le_bytes());
    *stage.trial.cpu.register_mut(number::RSP) = STACK - 8;
    // POPFQ; NOP; NOP
    assert_eq!(stage.event(&[0x9d, 0x90, 0x90]).rip, CODE + 2);
    let mut stage = stepping();
    stage.trial.write(STACK - 8, &2u64.to_le_bytes());
    *stage.trial.cpu.register_mut(number::RSP) = STACK - 8;
    let frame = stage.event(&[0x9d, 0x90]);
    assert_eq!((frame.rip, frame.flags), (CODE + 1, 2));
}

#[test]
fn an_instruction_that_faults_is_not_followed_by_a_trap() {
    let mut stage = stepping();
    let frame = stage.event(&[0x0f, 0x0b]);
    assert_eq!((frame.vector, frame.flags), (6, bit::TF | bit::RF | bit::FIXED));
    assert_eq!((stage.trial.cpu.debug.status, stage.trial.cpu.pending), (FIXED, None));
}

#[test]
fn software_interrupts_are_not_followed_by_a_trap() {
    for code in [&[0xcd, 0x80][..], &[0xcc], &[0xf1]] {
        let mut stage = stepping();
        let frame = stage.event(code);
        assert_ne!(frame.flags & bit::TF, 0);
        assert_eq!((stage.trial.cpu.debug.status, stage.trial.cpu.pending), (FIXED, None), "{code:x?}");
    }
}

#[test]
fn a_trap_behind_hlt_wakes_the_processor() {
    let mut stage = stepping();
    assert_eq!(stage.run(&[0xf4, 0x90]), Exit::Halt);
    assert_eq!(stage.trial.cpu.activity, outlive_engine::Activity::Running);
    assert_eq!(stage.handled().rip, CODE + 1);
}

#[test]
fn a_load_of_ss_delays_the_trap_by_one_instruction() {
    let mut stage = stepping();
    *stage.trial.cpu.register_mut(number::RAX) = selector::DATA.into();
    // MOV SS, EAX; NOP; NOP
    assert_eq!(stage.event(&[0x8e, 0xd0, 0x90, 0x90]).rip, CODE + 3);
}

#[test]
fn system_calls_heed_the_new_flag() {
    let system_call = |mask| {
        let mut stage = stepping();
        stage.trial.cpu.msrs.lstar = DATA;
        stage.trial.cpu.msrs.star = u64::from(selector::CODE) << 32;
        stage.trial.cpu.msrs.sfmask = mask;
        stage.trial.write(DATA, &[0x0f, 0x0b]);
        stage.event(&[0x0f, 0x05])
    };
    let (masked, seen) = (system_call(bit::TF), system_call(0));
    assert_eq!((masked.vector, masked.rip), (6, DATA));
    assert_eq!((seen.vector, seen.rip), (1, DATA));
}

#[test]
fn sysret_with_the_flag_traps_at_once() {
    let mut stage = Stage::new();
    stage.trial.cpu.msrs.star = u64::from(selector::USER_COMPATIBILITY) << 48;
    *stage.trial.cpu.register_mut(number::RCX) = DATA;
    *stage.trial.cpu.register_mut(number::R11) = bit::TF;
    let frame = stage.event(&[0x48, 0x0f, 0x07]);
    assert_eq!((frame.vector, frame.rip, frame.cs), (1, DATA, selector::USER_CODE.into()));
}

#[test]
fn each_iteration_of_a_string_traps_and_the_breakpoint_does_not_come_again() {
    let mut stage = stepping();
    *stage.trial.cpu.register_mut(number::RCX) = 2;
    *stage.trial.cpu.register_mut(number::RSI) = DATA;
    // REP OUTSB
    assert!(matches!(stage.run(&[0xf3, 0x6e, 0x90]), Exit::PortWrite { .. }));
    let frame = stage.handled();
    assert_eq!((frame.rip, frame.flags & bit::RF), (CODE, bit::RF));
    let cpu = &mut stage.trial.cpu;
    cpu.rip = CODE;
    cpu.flags.set_bits(bit::TF | bit::RF);
    assert!(matches!(stage.go(100), Exit::PortWrite { .. }));
    cpu_is_behind(&mut stage);
}

fn cpu_is_behind(stage: &mut Stage) {
    let frame = stage.handled();
    assert_eq!((frame.rip, frame.flags & bit::RF), (CODE + 2, 0));
}

#[test]
fn an_instruction_breakpoint_comes_before_its_instruction_unless_rf_is_set() {
    let mut stage = breaking(CODE + 1, 0);
    let frame = stage.event(&NOPS);
    assert_eq!((frame.vector, frame.rip, frame.flags), (1, CODE + 1, bit::FIXED));
    assert_eq!(stage.trial.cpu.debug.status, FIXED | 1);
    assert_eq!(stage.trial.cpu.retired, 3, "NOP, the breakpoint, HLT");
    stage.trial.cpu.rip = CODE + 1;
    stage.trial.cpu.flags.set_control(bit::RF, true);
    assert_eq!(stage.go(1), Exit::LimitReached);
    assert_eq!((stage.trial.cpu.rip, stage.trial.cpu.flags.has(bit::RF)), (CODE + 2, false));
}

#[test]
fn an_instruction_that_waits_for_an_answer_passes_its_breakpoint_once() {
    let mut stage = breaking(CODE, 0);
    stage.trial.cpu.flags.set_control(bit::RF, true);
    stage.answers = vec![Answer::Value(0x55)];
    assert_eq!(stage.run(&[0xe4, 0x10, 0xf4]), Exit::Halt);
    assert_eq!((stage.trial.cpu.rip, stage.trial.cpu.register(number::RAX)), (CODE + 3, 0x55));
}

#[test]
fn data_breakpoints_trap_behind_the_access() {
    // Writes of two bytes at DATA + 2 are watched. PUSH FS writes eight, with RSP = DATA + 8.
    let mut stage = breaking(DATA + 3, 0b0101);
    *stage.trial.cpu.register_mut(number::RSP) = DATA + 8;
    stage.set_gate(1, GateImage { stack: 1, ..GateImage::default() });
    let frame = stage.event(&[0x0f, 0xa0, 0x90]);
    assert_eq!((frame.rip, frame.rsp, frame.flags), (CODE + 2, DATA, bit::FIXED));
    assert_eq!(stage.trial.cpu.debug.status, FIXED | 1);
    // Reads hit the other kind only: POP FS.
    let read = |kind| {
        let mut stage = breaking(DATA + 7, kind);
        stage.set_gate(1, GateImage { stack: 1, ..GateImage::default() });
        *stage.trial.cpu.register_mut(number::RSP) = DATA;
        stage.run(&[0x0f, 0xa1, 0xf4]);
        stage.trial.cpu.debug.status & 1
    };
    assert_eq!((read(0b0001), read(0b0011)), (0, 1));
    let mut missed = breaking(DATA + 8, 0b0011);
    *missed.trial.cpu.register_mut(number::RSP) = DATA + 8;
    missed.run(&[0x0f, 0xa0, 0xf4]);
    assert_eq!(missed.trial.cpu.debug.status, FIXED);
}

#[test]
fn instructions_that_read_and_write_in_one_go_hit_data_breakpoints() {
    // INC, XCHG, CMPXCHG, CMPXCHG8B and CMPXCHG16B of what RBX points at.
    for code in [
        &[0xfe, 0x03][..],
        &[0x86, 0x03],
        &[0x0f, 0xb1, 0x03],
        &[0x0f, 0xc7, 0x0b],
        &[0x48, 0x0f, 0xc7, 0x0b],
    ] {
        for kind in [0b0001, 0b0011] {
            let mut stage = breaking(DATA, kind);
            *stage.trial.cpu.register_mut(number::RBX) = DATA;
            let frame = stage.event(&[code, &[0x90]].concat());
            assert_eq!((frame.vector, frame.rip), (1, CODE + code.len() as u64), "{code:x?}");
            assert_eq!(stage.trial.cpu.debug.status, FIXED | 1);
        }
    }
}

#[test]
fn port_breakpoints_need_the_debug_extensions() {
    let out = |extensions| {
        let mut stage = breaking(0x81, 0b0010);
        stage.trial.cpu.control.cr4 |= extensions;
        // OUT 0x80, AX; HLT
        assert!(matches!(stage.run(&[0x66, 0xe7, 0x80, 0xf4]), Exit::PortWrite { .. }));
        stage.go(100);
        stage.trial.cpu.debug.status & 1
    };
    assert_eq!((out(0), out(super::DEBUG_EXTENSIONS)), (0, 1));
}

#[test]
fn general_detect_faults_before_the_access_and_is_cleared() {
    let mut stage = Stage::new();
    stage.trial.cpu.debug.control = 0x2400;
    // MOV RAX, DR0
    let frame = stage.event(&[0x0f, 0x21, 0xc0]);
    assert_eq!((frame.vector, frame.rip, frame.flags & bit::RF), (1, CODE, bit::RF));
    assert_eq!((stage.trial.cpu.debug.control, stage.trial.cpu.debug.status), (0x400, FIXED | 1 << 13));
}

#[test]
fn debug_registers_have_fixed_bits() {
    let mut stage = Stage::new();
    *stage.trial.cpu.register_mut(number::RAX) = 0xffff_ffff;
    assert!(stage.trial.execute(&[0x0f, 0x23, 0xf0]).is_ok());
    assert_eq!(stage.trial.cpu.debug.status, 0xffff_efff);
    *stage.trial.cpu.register_mut(number::RAX) = 0xffff_dfff;
    assert!(stage.trial.execute(&[0x0f, 0x23, 0xe8]).is_ok(), "DR5 is DR7");
    assert_eq!(stage.trial.cpu.debug.control, 0xffff_07ff);
    *stage.trial.cpu.register_mut(number::RAX) = 1 << 32;
    let exception = stage.trial.fault(&[0x0f, 0x23, 0xf8]);
    assert_eq!(exception, crate::fault::Exception::PROTECTION);
    stage.trial.cpu.control.cr4 |= super::DEBUG_EXTENSIONS;
    assert_eq!(stage.trial.fault(&[0x0f, 0x21, 0xe0]), crate::fault::Exception::UNDEFINED);
}
