use super::*;
use crate::fault::vector;
use crate::flags::Flags;
use crate::testing::{CODE, DATA, Trial, state};
use proptest::prelude::*;

/// The opcode of an operation with operands of 1 << `size` bytes, with prefixes.
fn code(prefix: u8, opcode: u8, size: u8) -> Vec<u8> {
    match size {
        0 => vec![prefix, opcode],
        1 => vec![prefix, 0x66, opcode + 1],
        2 => vec![prefix, opcode + 1],
        _ => vec![prefix, 0x48, opcode + 1],
    }
}

/// Executes to the end, `steps` at a time.
fn run(trial: &mut Trial, code: &[u8], steps: u64) {
    while trial.execute_up_to(code, steps).expect("no fault") == Step::Again {
        trial.cpu.retired += 1;
        assert_eq!(trial.cpu.rip, CODE);
    }
    trial.cpu.retired += 1;
}

fn set(trial: &mut Trial, rsi: u64, rdi: u64, rcx: u64) {
    *trial.cpu.register_mut(number::RSI) = rsi;
    *trial.cpu.register_mut(number::RDI) = rdi;
    *trial.cpu.register_mut(number::RCX) = rcx;
}

proptest! {
    #[test]
    fn any_stops_give_the_same_result_as_single_iterations(
        opcode in prop_oneof![Just(0xa4u8), Just(0xaa), Just(0xa6), Just(0xae), Just(0xac)],
        size in 0u8..4,
        repne: bool,
        backwards in prop::bool::weighted(0.2),
        from in 0u64..0x1200,
        distance in prop_oneof![-20i64..20, -5000i64..5000],
        count in prop_oneof![0u64..20, 0u64..1500],
        steps in prop_oneof![Just(u64::MAX / 2), 1u64..100],
    ) {
        let code = code(if repne { 0xf2 } else { 0xf3 }, opcode, size);
        let bytes: Vec<u8> = (0..0x8000u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 30) as u8).collect();
        let trials = [1, steps].map(|steps| {
            let mut trial = Trial::new();
            trial.write(DATA, &bytes);
            let from = DATA + 0x2000 + from;
            set(&mut trial, from, from.wrapping_add(distance as u64), count);
            *trial.cpu.register_mut(number::RAX) = 0x0102_0300_0102_0300;
            trial.cpu.flags = Flags::from_bits(if backwards { bit::DF } else { 0 });
            // So that the pages that are touched may be in the buffer from the first iteration on.
            for page in 0..8 {
                trial.cpu.memory.check_write(DATA + page * 0x1000, 1).expect("it is mapped");
                trial.cpu.memory.read::<1>(DATA + page * 0x1000).expect("it is mapped");
            }
            run(&mut trial, &code, steps);
            trial
        });
        let [one, many] = &trials;
        prop_assert_eq!(one.read::<0x8000>(DATA), many.read::<0x8000>(DATA));
        prop_assert_eq!(one.cpu.registers, many.cpu.registers);
        prop_assert_eq!(one.cpu.flags.bits(), many.cpu.flags.bits());
        prop_assert_eq!(one.cpu.retired, many.cpu.retired);
    }
}

#[test]
fn a_destination_one_byte_ahead_of_the_source_replicates_it() {
    let mut trial = Trial::new();
    trial.write(DATA, &[7, 1, 2, 3]);
    set(&mut trial, DATA, DATA + 1, 0x1800);
    run(&mut trial, &[0xf3, 0xa4], u64::MAX / 2);
    assert!(trial.read::<0x1801>(DATA).iter().all(|&byte| byte == 7));
    assert_eq!(trial.cpu.retired, 0x1800);
}

#[test]
fn a_count_of_zero_is_one_step_that_changes_nothing() {
    let mut trial = Trial::new();
    set(&mut trial, 1 << 63, 1 << 63, 0);
    let before = trial.cpu.registers;
    assert_eq!(trial.execute(&[0xf3, 0xa4]), Ok(Step::Next));
    assert_eq!(trial.cpu.retired, 0);
    assert_eq!(trial.cpu.registers[..16], before[..16]);
}

#[test]
fn iterations_before_a_fault_are_kept() {
    let mut trial = Trial::new();
    set(&mut trial, DATA + 0x1ff0, DATA, 5);
    trial.write(0x4000 + 8 * 0x22, &[0; 8]);
    assert_eq!(trial.execute_up_to(&[0xf3, 0x48, 0xa5], 100), Ok(Step::Again));
    assert_eq!(trial.cpu.register(number::RCX), 3);
    assert_eq!(trial.cpu.register(number::RSI), DATA + 0x2000);
    assert_eq!(trial.cpu.retired, 1, "the run loop counts one more");
    assert_eq!(trial.fault(&[0xf3, 0x48, 0xa5]).vector, vector::PAGE_FAULT);
    assert_eq!(trial.cpu.register(number::RCX), 3);
}

#[test]
fn a_string_that_overwrites_its_own_code_stops_to_have_it_decoded_again() {
    let mut trial = Trial::new();
    trial.cpu.memory.watch_code(CODE >> 12);
    set(&mut trial, DATA, CODE, 4);
    assert_eq!(trial.execute_up_to(&[0xf3, 0xaa], 100), Ok(Step::Again));
    assert_eq!(trial.cpu.register(number::RCX), 3);
    assert_eq!(trial.cpu.memory.take_written_code(), [CODE >> 12]);
}

#[test]
fn addresses_of_32_bits_wrap_and_clear_the_upper_halves() {
    let mut trial = Trial::new();
    trial.write(DATA, &[5]);
    set(&mut trial, 0xffff_ffff_0000_0000 | DATA, 0x1111_1111_0000_0000 | (DATA + 8), 0x2222_2222_0000_0001);
    assert_eq!(trial.execute(&[0x67, 0xf3, 0xa4]), Ok(Step::Next));
    assert_eq!(trial.cpu.register(number::RSI), DATA + 1);
    assert_eq!(trial.cpu.register(number::RDI), DATA + 9);
    assert_eq!(trial.cpu.register(number::RCX), 0);
    assert_eq!(trial.read(DATA + 8), [5]);
}

#[test]
fn only_the_source_obeys_a_segment_prefix() {
    let mut trial = Trial::new();
    trial.cpu.segments.fs.base = 0x100;
    trial.write(DATA + 0x100, &[9]);
    set(&mut trial, DATA, DATA + 1, 1);
    trial.completes(&[0x64, 0xa4], "MOVSB from FS");
    assert_eq!(trial.read(DATA + 1), [9]);
}

#[test]
fn in_compatibility_mode_a_string_stops_at_the_limit_of_its_segment() {
    let mut state = state();
    state.segments.cs.attributes = 0xc09b;
    state.segments.es.limit = DATA as u32 + 0x17;
    let mut trial = Trial::with(&state);
    set(&mut trial, 0, DATA + 0x10, 20);
    assert_eq!(trial.execute_up_to(&[0xf3, 0xaa], 100), Ok(Step::Again));
    assert_eq!(trial.cpu.register(number::RCX), 12);
    assert_eq!(trial.fault(&[0xf3, 0xaa]).vector, vector::GENERAL_PROTECTION);
}

#[test]
fn addresses_of_16_bits_leave_the_rest_of_their_registers() {
    let mut state = state();
    state.segments.cs.attributes = 0xc09b;
    state.segments.es.base = DATA;
    let mut trial = Trial::with(&state);
    set(&mut trial, 0, 0xaaaa_ffff, 0xbbbb_0002);
    *trial.cpu.register_mut(number::RAX) = 0x77;
    run(&mut trial, &[0x67, 0xf3, 0xaa], 100);
    assert_eq!(trial.cpu.register(number::RDI), 0xaaaa_0001);
    assert_eq!(trial.cpu.register(number::RCX), 0xbbbb_0000);
    assert_eq!((trial.read(DATA + 0xffff), trial.read(DATA)), ([0x77], [0x77]));
}
