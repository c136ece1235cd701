//! Single steps and hardware breakpoints (SDM volume 3, 18.3.1).

use super::guest::{KERNEL, Ring, USER};
use super::rings::SAY_DONE;
use super::trial::{Trial, Trouble, describe, same};
use crate::debug::{DebugControl, DebugStop, Stop};
use crate::host::Host;

pub(super) fn steps_in_ring_zero(host: &Host) -> Result<(), Trouble> {
    steps(host, Ring::Kernel)
}

pub(super) fn steps_in_ring_three(host: &Host) -> Result<(), Trouble> {
    steps(host, Ring::User)
}

pub(super) fn breakpoint_in_ring_zero(host: &Host) -> Result<(), Trouble> {
    breakpoint(host, Ring::Kernel)
}

pub(super) fn breakpoint_in_ring_three(host: &Host) -> Result<(), Trouble> {
    breakpoint(host, Ring::User)
}

fn start(ring: Ring) -> u64 {
    if ring == Ring::Kernel { KERNEL } else { USER }
}

/// A loop of three rounds between instructions of different lengths.
const STEPPED: [u8; 12] = [
    0xb9, 3, 0, 0, 0, // 0: mov ecx, 3
    0xff, 0xc9, // 5: dec ecx
    0x75, 0xfc, // 7: jnz 5
    0x90, // 9: nop
    0x31, 0xc0, // 10: xor eax, eax
];
/// Where the guest stands after each instruction of it.
const STEPS: [u64; 9] = [5, 7, 5, 7, 5, 7, 9, 10, 12];

fn steps(host: &Host, ring: Ring) -> Result<(), Trouble> {
    let mut code = STEPPED.to_vec();
    code.extend(SAY_DONE);
    let mut trial = Trial::new(host, ring, &code)?;
    trial.debug(&DebugControl { single_step: true, ..DebugControl::default() })?;
    for (number, offset) in STEPS.into_iter().enumerate() {
        let stop = expect_stop(&mut trial)?;
        same(&format!("RIP after step {}", number + 1), stop.rip, start(ring) + offset)?;
    }
    Ok(())
}

/// How many increments lie before the breakpoint, and behind it.
const BEFORE: u64 = 17;
const BEHIND: u64 = 20;

fn breakpoint(host: &Host, ring: Ring) -> Result<(), Trouble> {
    let mut code = Vec::new();
    for _ in 0..BEFORE + BEHIND {
        code.extend([0xff, 0xc0]); // inc eax
    }
    code.extend(SAY_DONE);
    let mut trial = Trial::new(host, ring, &code)?;
    let place = start(ring) + 2 * BEFORE;
    trial.debug(&DebugControl { breakpoints: [Some(place), None, None, None], ..DebugControl::default() })?;
    same("RIP at the breakpoint", expect_stop(&mut trial)?.rip, place)?;
    same("the count of instructions before it", trial.state()?.general.rax, BEFORE)
}

fn expect_stop(trial: &mut Trial) -> Result<DebugStop, Trouble> {
    match trial.run_debugged()? {
        Stop::Debug(stop) => Ok(stop),
        Stop::Exit(exit) => Err(Trouble::failed(format!("the guest ran on to {}", describe(&exit)))),
    }
}
