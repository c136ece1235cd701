//! Simple instructions do by machine code what their functions do.
//!
//! Random programs of a few instructions in a loop are run by two engines, of which one makes machine code
//! of what it executes for the second time. Both stop at the same places, where their states are compared,
//! and make the same exits. Exceptions leave a frame on a stack of their own, with exact RIP and RFLAGS, and
//! the program goes on from its beginning.

mod forms;

use outlive_engine::{Answer, Engine, Exit, GuestRam, RunLimit, VcpuState};
use proptest::prelude::*;
use proptest::sample::select;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::SoftEngine;
use crate::decode;
use crate::memory::circumstances::CodeSize;
use crate::system::stage::{GateImage, HANDLERS, Stage};
use crate::testing::{CODE, DATA, RAM, Trial};
use forms::{Draft, SIMPLE, assemble, draft, is_special, program};

/// A second way to the first 2 MiB, at the end of the lower half: beyond it, addresses are not canonical.
const END_OF_LOWER_HALF: u64 = 0x7fff_ffe0_0000;
/// Pages without a translation, and without the right to write.
const ABSENT: u64 = DATA + 0x3000;
const READ_ONLY: u64 = DATA + 0x4000;
/// Where the handlers of exceptions are that have no error code, and that have one.
const HANDLER: [u64; 2] = [0xa800, 0xa840];
/// Where they find the program's address.
const START: u64 = 0xa880;

/// Integers, with a liking for the ends of ranges.
fn integer() -> impl Strategy<Value = u64> {
    let ends =
        [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 62];
    prop_oneof![
        2 => select(ends.to_vec()),
        1 => select(ends.to_vec()).prop_map(|end| !end),
        1 => select(ends.to_vec()).prop_map(|end| end << 32),
        1 => (-16i64..16).prop_map(|small| small as u64),
        2 => any::<u64>(),
    ]
}

/// Addresses, most of which can be used.
fn pointer() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => (0..0x180u64).prop_map(|word| DATA + 0x400 + 8 * word),
        4 => (0..0x2000u64).prop_map(|byte| DATA + 0x400 + byte),
        3 => (0..16u64).prop_map(|before| DATA + 0x1008 - before),
        1 => (0..16u64).prop_map(|before| ABSENT + 8 - before),
        1 => (0..16u64).prop_map(|before| READ_ONLY + 8 - before),
        // Outside of RAM; in a page with code; at the ends of what is canonical.
        1 => (0..16u64).prop_map(|before| 0x18_0008 - before),
        1 => (0..16u64).prop_map(|before| CODE + 0xc08 - before),
        1 => (0..24u64).prop_map(|before| (1 << 47) + 8 - before),
        1 => (0..24u64).prop_map(|before| 0xffff_8000_0000_0008 - before),
    ]
}

/// What a program begins with.
#[derive(Clone, Debug)]
struct Setting {
    is_user: bool,
    /// Whether the code is at the end of the lower half.
    is_at_end: bool,
    /// Where the code is in its page.
    offset: u64,
    flags: u64,
    registers: [u64; 16],
    words: Vec<u64>,
}

fn setting() -> impl Strategy<Value = Setting> {
    let value = prop_oneof![3 => pointer(), 2 => integer()];
    let offset = prop_oneof![3 => Just(0u64), 1 => 0xf80..0x1000u64];
    let flags = any::<u64>().prop_map(|bits| {
        use crate::flags::bit::{AC, ARITHMETIC, DF};
        bits & (ARITHMETIC | DF | if bits >> 63 != 0 { AC } else { 0 }) | 2
    });
    let registers = prop::collection::vec(value, 16);
    let words = prop::collection::vec(prop_oneof![integer(), pointer()], 16);
    (any::<bool>(), any::<bool>(), offset, flags, registers, pointer(), words).prop_map(
        |(is_user, is_at_end, offset, flags, registers, stack, words)| {
            let mut registers: [u64; 16] = registers.try_into().expect("as many");
            registers[4] = stack;
            Setting { is_user, is_at_end, offset, flags, registers, words }
        },
    )
}

impl Setting {
    fn start(&self) -> u64 {
        CODE + self.offset + if self.is_at_end { END_OF_LOWER_HALF } else { 0 }
    }

    /// Memory with the program and all that it needs, and the state that it begins in.
    fn stage(&self, code: &[u8], places: &[u64]) -> (GuestRam, VcpuState) {
        let mut stage = if self.is_user { Stage::user() } else { Stage::new() };
        self.write_tables(&stage.trial.ram);
        self.write_handlers(&mut stage);
        stage.trial.write(CODE + self.offset, code);
        for word in 0..0x400 {
            // Every second word is a place where RET may go.
            let value = match word % 2 {
                0 => places[word / 2 % places.len()],
                _ => self.words[word / 2 % self.words.len()],
            };
            stage.trial.write(DATA + 8 * word as u64, &value.to_le_bytes());
        }
        let cpu = &mut stage.trial.cpu;
        cpu.rip = self.start();
        cpu.registers[..16].copy_from_slice(&self.registers);
        let mut state = crate::state::get(cpu);
        state.rflags = self.flags;
        // CR0.AM, so that RFLAGS.AC counts in ring 3.
        state.control.cr0 |= 1 << 18;
        (stage.trial.ram.clone(), state)
    }

    fn write_tables(&self, ram: &GuestRam) {
        let set = |at, value: u64| ram.write_obj(value, GuestAddress(at)).expect("within the memory");
        for (at, value) in
            [(0x1000 + 8 * 255, 0x2007), (0x2000 + 8 * 511, 0x3007), (0x3000 + 8 * 511, 0x4007)]
        {
            set(at, value);
        }
        // Data is not executed: only the code is known to make no other exits.
        for page in DATA >> 12..512 {
            set(0x4000 + 8 * page, page << 12 | 1 << 63 | 7);
        }
        set(0x4000 + 8 * (ABSENT >> 12), 0);
        set(0x4000 + 8 * (READ_ONLY >> 12), READ_ONLY | 1 << 63 | 5);
    }

    /// All exceptions: without the error code, the program's beginning takes the place of the return address.
    fn write_handlers(&self, stage: &mut Stage) {
        // lea rsp, [rsp + 8]; push [START]; pop [rsp]; iretq
        let handler =
            [0x48, 0x8d, 0x64, 0x24, 8, 0xff, 0x34, 0x25, 0x80, 0xa8, 0, 0, 0x8f, 0x04, 0x24, 0x48, 0xcf];
        assert!(HANDLERS + 0x1000 < HANDLER[0]);
        stage.trial.write(HANDLER[0], &handler[5..]);
        stage.trial.write(HANDLER[1], &handler);
        stage.trial.write(START, &self.start().to_le_bytes());
        for vector in 0..32 {
            let has_code = matches!(vector, 8 | 10..=14 | 17);
            let handler = Some(HANDLER[usize::from(has_code)]);
            stage.set_gate(vector, GateImage { handler, stack: 1, ..GateImage::default() });
        }
    }
}

/// An engine with memory of its own.
struct Runner {
    engine: SoftEngine,
    ram: GuestRam,
}

impl Runner {
    fn new((ram, state): (GuestRam, VcpuState), native_code: NativeCode) -> Self {
        let mut engine = SoftEngine::with_native_code(&ram, native_code);
        engine.set_state(&state).expect("a state of long mode");
        Self { engine, ram }
    }

    /// Executes so many steps, and answers on the way. All exits.
    fn run(&mut self, steps: u64) -> Vec<Exit> {
        let end = self.engine.retired().0 + steps;
        let mut exits = Vec::new();
        loop {
            let left = end - self.engine.retired().0;
            let exit = self.engine.run(RunLimit::Instructions(left)).expect("it runs");
            exits.push(exit.clone());
            match exit {
                Exit::MmioRead { address, .. } => {
                    self.engine.answer(Answer::Value(address.0 & 0x77)).expect("it waits");
                }
                Exit::MmioWrite { .. } => {}
                _ => return exits,
            }
        }
    }

    fn memory(&self) -> Vec<u8> {
        let mut memory = vec![0; RAM as usize];
        self.ram.read_slice(&mut memory, GuestAddress(0)).expect("all of the memory");
        memory
    }
}

/// Runs a program on both engines.
fn compare(setting: &Setting, drafts: &[Draft], stops: &[u64]) {
    let (code, places) = assemble(drafts, setting.start());
    let mut functions = Runner::new(setting.stage(&code, &places), NativeCode::Never);
    let mut machine_code = Runner::new(setting.stage(&code, &places), NativeCode::Always);
    // The first times around there is no stop, so that blocks become machine code as they are.
    for &steps in [&[6 * places.len() as u64 + 20], stops].concat().iter() {
        let exits = functions.run(steps);
        assert_eq!(machine_code.run(steps), exits, "exits of {code:02x?}");
        assert_eq!(machine_code.engine.retired(), functions.engine.retired());
        if exits.last() != Some(&Exit::LimitReached) {
            break;
        }
        let states =
            [&mut machine_code, &mut functions].map(|runner| runner.engine.state().expect("in between"));
        assert_eq!(states[0], states[1], "{code:02x?}");
    }
    let (one, other) = (machine_code.memory(), functions.memory());
    let at = one.iter().zip(&other).position(|(one, other)| one != other);
    assert_eq!(at, None, "memory behind {code:02x?}");
}

/// Whether machine code does the one instruction in these bytes by itself.
fn is_simple(bytes: &[u8]) -> bool {
    let mut trial = Trial::new();
    trial.write(CODE, bytes);
    let entry = decode::Entry { rip: CODE, linear: CODE, physical: CODE, size: CodeSize::Long };
    let block = decode::block(&mut trial.cpu, entry).expect("the code is mapped");
    assert_eq!(usize::from(block.ops[0].end), bytes.len());
    block.simple[0] != Simple::No
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_forms_are_simple(draft in draft(select(SIMPLE))) {
        if let Some(bytes) = draft.encode(CODE, CODE) {
            prop_assert_eq!(is_simple(&bytes), !is_special(&draft), "{:?}: {:02x?}", draft, bytes);
        }
    }

    #[test]
    fn a_simple_instruction_does_by_machine_code_what_its_function_does(
        draft in draft(select(SIMPLE)),
        setting in setting(),
    ) {
        compare(&setting, &[draft], &[1, 7]);
    }

    #[test]
    fn programs_of_simple_instructions_do_by_machine_code_what_their_functions_do(
        drafts in program(),
        setting in setting(),
        stops in prop::collection::vec(1..50u64, 0..5),
    ) {
        compare(&setting, &drafts, &stops);
    }
}

#[test]
fn an_op_that_wants_the_next_one_returns_zero() {
    assert_eq!(outcome(Ok(Step::Next)), 0, "native code tests for that");
}

#[test]
fn outcomes_are_told_apart() {
    for known in [Ok(Step::Next), Ok(Step::Jump), Ok(Step::Leave), Ok(Step::Again), Err(Abort)] {
        assert_eq!(result(outcome(known)), known);
    }
}
