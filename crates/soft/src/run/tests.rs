use super::*;
use crate::testing::{CODE, Trial};

/// Where the string goes. Nothing else is there.
const TARGET: u64 = 0x5_0000;

/// Stands before `rep stosb` with so many bytes to go.
fn before_a_string(bytes: u64) -> Runner {
    let mut trial = Trial::new();
    trial.write(CODE, &[0xf3, 0xaa]);
    let mut runner = Runner::new(trial.cpu, NativeCode::Never);
    runner.cpu.rip = CODE;
    runner.cpu.stop_at = u64::MAX;
    *runner.cpu.register_mut(number::RCX) = bytes;
    *runner.cpu.register_mut(number::RDI) = TARGET;
    runner
}

/// How many iterations the next step of the slow path makes.
fn iterations(runner: &mut Runner) -> u64 {
    let before = runner.cpu.retired;
    assert!(runner.goes_by_steps());
    runner.step(runner.goes_by_iterations());
    runner.cpu.retired - before
}

#[test]
fn a_long_string_goes_on_by_thousands_of_iterations() {
    let mut runner = before_a_string(10_000);
    runner.run_block();
    assert!(runner.cpu.flags.has(bit::RF), "iterations are left");
    let first = runner.cpu.retired;
    assert_eq!(iterations(&mut runner), first);
    assert_eq!(iterations(&mut runner), 10_000 - 2 * first);
    assert!(!runner.cpu.flags.has(bit::RF));
}

#[test]
fn a_string_that_is_stepped_goes_on_by_one_iteration() {
    let mut runner = before_a_string(10_000);
    runner.cpu.flags.set_control(bit::TF, true);
    assert_eq!(iterations(&mut runner), 1);
}

#[test]
fn a_stop_within_a_string_that_goes_on_is_kept() {
    let mut runner = before_a_string(10_000);
    assert_eq!(runner.run(5_000), Exit::LimitReached);
    assert_eq!((runner.cpu.retired, runner.cpu.register(number::RCX)), (5_000, 5_000));
}
