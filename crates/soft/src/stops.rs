//! Where the monitor stops a guest, what it asks in between, and what becomes native code: the guest notices
//! none of it, nor what this processor keeps for its own sake.

use outlive_engine::{Answer, Engine, Exit, GuestRam, RunLimit, VcpuState};
use vm_memory::{Bytes, GuestAddress};

use crate::SoftEngine;
use crate::cpu::number;
use crate::native::NativeCode;
use crate::run::Runner;
use crate::system::stage::{GateImage, Stage, selector};
use crate::testing::{CODE, DATA, RAM, Trial, state};

/// Entries of the page tables that [`Trial`] makes: the page directory, the page table.
const DIRECTORY: u64 = 0x3000;
const TABLE: u64 = 0x4000;
const BOTH: [NativeCode; 2] = [NativeCode::Never, NativeCode::Always];

fn set(ram: &GuestRam, at: u64, value: u64) {
    ram.write_obj(value, GuestAddress(at)).expect("within the memory");
}

/// The lowest byte of a page table's entry.
fn entry(ram: &GuestRam, at: u64) -> u8 {
    ram.read_obj(GuestAddress(at)).expect("within the memory")
}

/// Runs `nop; middle; nop; jmp rax` on a page, whose accessed bit is cleared by where the jump goes, which
/// comes back. The entry of the page at the end.
fn entry_after_a_loop(limits: &[u64], middle: &[u8], native_code: NativeCode) -> u8 {
    let mut trial = Trial::new();
    // A second way to all pages: what is executed there takes the place of the first one's translations.
    set(&trial.ram, DIRECTORY + 8, 0x5007);
    for page in 0..512 {
        set(&trial.ram, 0x5000 + 8 * page, page << 12 | 7);
    }
    trial.write(CODE, &[&[0x90], middle, &[0x90, 0xff, 0xe0]].concat());
    // and byte [rbx], !ACCESSED; jmp rcx
    trial.write(CODE + 0x800, &[0x80, 0x23, 0xdf, 0xff, 0xe1]);
    let mut runner = Runner::new(trial.cpu, native_code);
    let cpu = &mut runner.cpu;
    cpu.rip = CODE;
    *cpu.register_mut(number::RAX) = 0x20_0000 + CODE + 0x800;
    *cpu.register_mut(number::RBX) = TABLE + 8 * (CODE >> 12);
    *cpu.register_mut(number::RCX) = CODE;
    *cpu.register_mut(number::RSI) = DATA;
    for &limit in limits {
        assert_eq!(runner.run(limit), Exit::LimitReached);
    }
    entry(&trial.ram, TABLE + 8 * (CODE >> 12))
}

#[test]
fn a_stop_before_enter_leaves_the_same_page_tables() {
    for native_code in BOTH {
        let run = |limits: &[u64]| entry_after_a_loop(limits, &[0xc8, 0, 0, 0], native_code);
        assert_eq!(run(&[9]), run(&[7, 2]));
    }
}

#[test]
fn a_stop_before_sgdt_leaves_the_same_page_tables() {
    for native_code in BOTH {
        let run = |limits: &[u64]| entry_after_a_loop(limits, &[0x0f, 0x01, 0x06], native_code);
        assert_eq!(run(&[9]), run(&[7, 2]));
    }
}

/// Runs 60 NOPs, a read that faults, 10 NOPs, and the first byte of an instruction that reaches into the next
/// page. The entry of that one.
fn next_pages_entry(limits: &[u64]) -> u8 {
    let mut stage = Stage::new();
    let code = [&[0x90; 60][..], &[0x8a, 0x03], &[0x90; 10], &[0xb8]].concat();
    let start = CODE + 0x1000 - code.len() as u64;
    stage.trial.write(start, &code);
    let mut runner = Runner::new(stage.trial.cpu, NativeCode::Never);
    runner.cpu.rip = start;
    *runner.cpu.register_mut(number::RBX) = 0x40_0000;
    for &limit in limits {
        runner.run(limit);
    }
    entry(&stage.trial.ram, TABLE + 8 * ((CODE >> 12) + 1))
}

#[test]
fn a_stop_does_not_make_the_next_page_accessed() {
    assert_eq!(next_pages_entry(&[62]), next_pages_entry(&[20, 42]));
}

#[test]
fn invlpg_forgets_all_code_of_a_large_page_even_behind_many_other_pages() {
    let mut stage = Stage::new();
    let (ram, memory) = (&stage.trial.ram, &mut stage.trial.cpu.memory);
    // A large page, and many small ones behind it, in 8 tables.
    set(ram, DIRECTORY + 8 * 2, 0x87);
    for table in 0..8 {
        let at = 0x6_0000 + 0x1000 * table;
        set(ram, DIRECTORY + 8 * (3 + table), at | 7);
        for page in 0..512 {
            set(ram, at + 8 * page, DATA | 7);
        }
    }
    for page in [0x1000, 0x2000] {
        assert_eq!(memory.fetch(0x40_0000 + page).map(|physical| physical.0), Ok(page));
    }
    for page in 0..4096u64 {
        assert!(memory.read::<1>(0x60_0000 + (page << 12)).is_ok());
    }
    set(ram, DIRECTORY + 8 * 2, 0);
    memory.flush_page(0x40_1000);
    assert!(memory.fetch(0x40_1000).is_err());
    assert!(memory.fetch(0x40_2000).is_err());
}

#[test]
fn an_instruction_that_reaches_from_a_global_page_into_a_local_one_follows_cr3() {
    const UPPER: u64 = 0xffff_ff80_0000_0000;
    const OTHER: u64 = 0x6_0000;
    let mut stage = Stage::new();
    stage.trial.cpu.control.cr4 |= 1 << 7;
    // Two address spaces: one global page is the same in both of them, and the page behind it is not.
    for (top, second_page) in [(0x1000, 0x11), (OTHER, 0x12)] {
        let ram = &stage.trial.ram;
        for (at, value) in
            [(0, top + 0x1000), (511 * 8, top + 0x1000), (0x1000, top + 0x2000), (0x2000, top + 0x3000)]
        {
            set(ram, top + at, value | 7);
        }
        for page in 0..512 {
            set(ram, top + 0x3000 + 8 * page, page << 12 | 7);
        }
        set(ram, top + 0x3000 + 8 * 0x10, 0x1_0107);
        set(ram, top + 0x3000 + 8 * 0x11, second_page << 12 | 7);
    }
    // mov eax, imm32, the last bytes of which are in the second page; mov cr3, rbx; jmp rcx, or hlt.
    stage.trial.write(0x1_0ffd, &[0xb8, 0x11, 0x22, 0x33, 0x44, 0x0f, 0x22, 0xdb]);
    stage.trial.write(0x1_2000, &[0x55, 0x66, 0xf4, 0, 0, 0xff, 0xe1]);
    let cpu = &mut stage.trial.cpu;
    cpu.paging_changed();
    cpu.rip = UPPER + 0x1_0ffd;
    *cpu.register_mut(number::RBX) = OTHER;
    *cpu.register_mut(number::RCX) = UPPER + 0x1_0ffd;
    assert_eq!(stage.go(100), Exit::Halt);
    assert_eq!(stage.trial.cpu.register(number::RAX), 0x6655_2211);
}

#[test]
fn code_segments_with_other_bases_have_other_code() {
    let mut stage = Stage::compatibility(0);
    stage.trial.cpu.privilege_changed();
    stage.set_descriptor(selector::FREE, 0x00cf_9a00_0100_ffff);
    // mov ecx, 2; hlt
    stage.trial.write(CODE + 0x100, &[0xb9, 2, 0, 0, 0, 0xf4]);
    // mov eax, 1; jmp far FREE:CODE
    assert_eq!(stage.run(&[0xb8, 1, 0, 0, 0, 0xea, 0, 0, 1, 0, 0x60, 0]), Exit::Halt);
    assert_eq!(stage.trial.cpu.register(number::RCX), 2);
}

/// An engine that stands on these bytes, with another state than usual.
fn engine_with(code: &[u8], change: impl FnOnce(&mut VcpuState)) -> (SoftEngine, Trial) {
    let mut trial = Trial::new();
    trial.write(CODE, code);
    let mut engine = SoftEngine::new(&trial.ram);
    let mut state = state();
    change(&mut state);
    engine.set_state(&state).expect("a state of long mode");
    (engine, trial)
}

fn run(engine: &mut SoftEngine) -> Exit {
    engine.run(RunLimit::Unlimited).expect("it runs")
}

#[test]
fn what_a_device_writes_while_an_instruction_waits_counts_the_same_whether_somebody_asks_or_not() {
    let read = |asks: bool| {
        // in al, dx; hlt
        let (mut engine, mut trial) = engine_with(&[0xec, 0xf4], |_| ());
        assert!(matches!(run(&mut engine), Exit::PortRead { .. }));
        engine.answer(Answer::Value(7)).expect("it waits");
        trial.write(CODE, &[0x90]);
        if asks {
            engine.can_take_interrupt().expect("it tells");
        }
        assert_eq!(run(&mut engine), Exit::Halt);
        engine.state().expect("it stands between two instructions").general.rax
    };
    assert_eq!((read(true), read(false)), (7, 7));
}

#[test]
fn an_answer_is_for_the_instruction_that_asked_whatever_a_device_writes_there() {
    // wrmsr
    let (mut engine, mut trial) = engine_with(&[0x0f, 0x30], |state| {
        state.general.rcx = 0x1234;
        state.general.rbx = 0x18_0000;
    });
    assert!(matches!(run(&mut engine), Exit::MsrWrite { .. }));
    engine.answer(Answer::GeneralProtection).expect("it waits");
    // mov eax, [rbx], which would ask something else. There is no handler of #GP.
    trial.write(CODE, &[0x8b, 0x03]);
    assert_eq!(run(&mut engine), Exit::Shutdown);
}

#[test]
fn a_guest_that_enters_its_code_at_every_byte_fills_no_more_than_the_room_for_it() {
    let mut trial = Trial::new();
    trial.write(DATA, &[0x90; 0x1_0000]);
    let mut runner = Runner::new(trial.cpu, NativeCode::Never);
    let mut most = 0;
    for at in 0..0x1_0000 {
        runner.cpu.rip = DATA + at;
        assert_eq!(runner.run(1), Exit::LimitReached);
        let decoded = runner.decoded_ops();
        assert!(decoded <= crate::block::MAX_OPS, "{decoded} ops at {at:#x}");
        most = most.max(decoded);
    }
    assert!(most > crate::block::MAX_OPS - 64, "all of the room was in use");
    assert!(runner.decoded_ops() < most, "and then given back");
}

/// Numbers that follow from a seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Where the code of a random program is, all of which may be jumped to.
const PROGRAM: std::ops::Range<u64> = CODE..CODE + 0x8000;
/// The handler of its exceptions.
const HANDLER: u64 = 0x7_0000;
/// How many steps of it are executed.
const STEPS: u64 = 3000;

/// One instruction, or a few that belong together, at `at`.
fn instruction(random: &mut Random, at: u64) -> Vec<u8> {
    let target = PROGRAM.start + random.below(0x7f00);
    let byte = random.below(256) as u8;
    let to_target = |opcode: &[u8]| {
        let after = at + opcode.len() as u64 + 4;
        [opcode, &(target.wrapping_sub(after) as u32).to_le_bytes()].concat()
    };
    let load = |opcode: u8, value: u64| [&[opcode][..], &(value as u32).to_le_bytes()].concat();
    match random.below(34) {
        // nop; inc rax; enter; sgdt [rsi]
        0..=8 => vec![0x90],
        9 => vec![0x48, 0xff, 0xc0],
        10 => vec![0xc8, 0, 0, 0],
        11 => vec![0x0f, 0x01, 0x06],
        // and byte [r8 + 8 * page], !ACCESSED
        12..=15 => vec![0x41, 0x80, 0xa0, 0x80 + 8 * (byte % 10), 0, 0, 0, 0xdf],
        16 => to_target(&[0xe9]),
        17..=18 => to_target(&[0x0f, 0x80 | byte & 15]),
        // mov rax, cr3; mov cr3, rax
        19 => vec![0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8],
        // invlpg [r10]; add r10, 4096; and r10, 0x1ffff
        20 => vec![0x41, 0x0f, 0x01, 0x3a],
        21 => vec![0x49, 0x81, 0xc2, 0, 0x10, 0, 0, 0x49, 0x81, 0xe2, 0xff, 0xff, 1, 0],
        // mov ecx, byte; rep stosb
        22 => vec![0xb9, byte % 40, 0, 0, 0, 0xf3, 0xaa],
        // add rax, imm; pushf; popf; ud2; mov [rbx], al
        23 => vec![0x48, 0x05, byte, byte, 0, 0],
        24 => vec![0x9c, 0x9d],
        25 => vec![0x0f, 0x0b],
        26 => vec![0x88, 0x03],
        // mov ebx, in the code, or in the data; mov edi, in the data; mov cl, [rbx]
        27 => load(0xbb, target),
        28 => load(0xbb, DATA + random.below(0x8000)),
        29 => load(0xbf, DATA + random.below(0x8000)),
        30 => vec![0x8a, 0x0b],
        // sti; mov ss, edx; push rax; pop rax
        31 => vec![0xfb],
        32 => vec![0x8e, 0xd2],
        _ => vec![0x50, 0x58],
    }
}

/// A processor that stands at the beginning of the random program of a seed.
fn random_program(seed: u64) -> Stage {
    let mut random = Random(seed | 1);
    let mut stage = Stage::new();
    stage.trial.cpu.control.cr4 |= 1 << 7;
    let mut code = Vec::new();
    while code.len() < 0x8000 {
        code.extend(instruction(&mut random, PROGRAM.start + code.len() as u64));
    }
    stage.trial.write(PROGRAM.start, &code[..0x8000]);
    // The handler goes on somewhere in the program, with RSP, RBX and RDI as in the beginning.
    let handler: [&[u8]; 6] = [
        &[0x49, 0x83, 0xc1, 0x35],             // add r9, 0x35
        &[0x49, 0x81, 0xe1, 0xff, 0x7e, 0, 0], // and r9, 0x7eff
        &[0x4d, 0x8d, 0x99, 0, 0, 1, 0],       // lea r11, [r9 + CODE]
        &[0xbc, 0, 0, 4, 0, 0xbb, 0, 0, 2, 0], // mov esp, STACK; mov ebx, DATA
        &[0xbf, 0, 0, 2, 0],                   // mov edi, DATA
        &[0x41, 0xff, 0xe3],                   // jmp r11
    ];
    stage.trial.write(HANDLER, &handler.concat());
    for vector in 0..32 {
        stage.set_gate(vector, GateImage { handler: Some(HANDLER), stack: 1, ..GateImage::default() });
    }
    for page in PROGRAM.start >> 12..PROGRAM.end >> 12 {
        let global = random.below(2) << 8;
        set(&stage.trial.ram, TABLE + 8 * page, page << 12 | global | 7);
    }
    let cpu = &mut stage.trial.cpu;
    cpu.paging_changed();
    cpu.rip = PROGRAM.start;
    for (register, value) in [
        (8, TABLE),
        (10, PROGRAM.start),
        (number::RDX, selector::DATA.into()),
        (number::RBX, DATA),
        (number::RDI, DATA),
        (number::RSI, DATA),
    ] {
        *cpu.register_mut(register) = value;
    }
    stage
}

/// What a program left: the exit that ended it early, the steps that it made, its registers and its memory.
type End = (Option<Exit>, u64, VcpuState, Vec<u8>);

/// Runs the program of a seed, with stops behind as many steps as `stop` says.
fn random_run(seed: u64, stop: &mut dyn FnMut() -> u64, native_code: NativeCode) -> End {
    let stage = random_program(seed);
    let ram = stage.trial.ram.clone();
    let mut runner = Runner::new(stage.trial.cpu, native_code);
    let exit = loop {
        let left = STEPS - runner.cpu.retired;
        if left == 0 {
            break None;
        }
        match runner.run(stop().clamp(1, left)) {
            Exit::LimitReached => {}
            exit => break Some(exit),
        }
    };
    let mut memory = vec![0; RAM as usize];
    ram.read_slice(&mut memory, GuestAddress(0)).expect("all of the memory");
    (exit, runner.cpu.retired, crate::state::get(&runner.cpu), memory)
}

/// How many programs are tried.
fn programs() -> u64 {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    wanted.map_or(40, |cases| cases.parse().expect("PROPTEST_CASES is a number"))
}

#[test]
fn random_programs_do_not_notice_stops() {
    for number in 0..programs() {
        let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 77;
        let whole = random_run(seed, &mut || STEPS, NativeCode::Never);
        for (native_code, most) in
            [(NativeCode::Never, 50), (NativeCode::Always, STEPS), (NativeCode::Always, 50)]
        {
            let mut random = Random(seed ^ 0x1234_5678);
            let parts = random_run(
                seed,
                &mut || if most == STEPS { most } else { 1 + random.below(most) },
                native_code,
            );
            let same_memory = whole.3 == parts.3;
            assert_eq!(parts.0, whole.0, "the exit of {seed:#x} with {native_code:?}");
            assert_eq!(parts.1, whole.1, "the steps of {seed:#x} with {native_code:?}");
            assert_eq!(parts.2, whole.2, "the state of {seed:#x} with {native_code:?}");
            let at = || whole.3.iter().zip(&parts.3).position(|(one, other)| one != other);
            assert!(same_memory, "the memory of {seed:#x} with {native_code:?} at {:#x?}", at());
        }
    }
}
