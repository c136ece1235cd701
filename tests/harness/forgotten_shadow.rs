//! The lab's emulator forgets that an STI has just been executed.
//!
//! A processor takes no interrupt between STI and the instruction behind it (Intel SDM volume 3, 7.8.3). QEMU 7.2
//! forgets that when it leaves the guest exactly there, as it does for each interrupt of the lab's own Linux. Then an
//! interrupt window opens one instruction early, in the recording or in the replay, about once in some thousand times
//! and more often on a busy host. No replay can repeat that.
//!
//! So a divergence in the lab is looked at: if a side stands right behind an STI, where no processor takes an
//! interrupt, it is the emulator's, and the test begins anew. Any other divergence fails the test.

use std::any::Any;
use std::panic::{UnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::in_lab;

/// How often a test may begin anew.
const TRIALS: u32 = 8;

/// What a test panics with that met the emulator's fault.
struct ForgottenShadow;

/// Runs a test, and again if it met the emulator's fault.
pub(crate) fn through_forgotten_shadows(test: impl Fn() + UnwindSafe + std::panic::RefUnwindSafe) {
    for trial in 1..=TRIALS {
        let Err(panic) = catch_unwind(&test) else { return };
        let met: &dyn Any = &*panic;
        if !met.is::<ForgottenShadow>() {
            resume_unwind(panic);
        }
        eprintln!("the lab's emulator has taken an interrupt behind STI, in trial {trial} of {TRIALS}");
    }
    panic!("the lab's emulator forgets the shadow of STI each time");
}

/// Ends the test for now if a divergence of a guest with this kernel is the emulator's.
pub(crate) fn blame_forgotten_shadow(report: &Value, kernel: &Path) {
    if !in_lab() {
        return;
    }
    let divergence = &report["divergence"];
    let told = ["expected", "found", "place"].map(|part| divergence[part].as_str().unwrap_or_default());
    if told.iter().filter_map(|told| rip(told)).any(|rip| is_behind_sti(kernel, rip)) {
        panic_any(ForgottenShadow);
    }
}

/// The address in `... (rip 0x1234) ...`.
fn rip(told: &str) -> Option<u64> {
    let digits = told.split("(rip 0x").nth(1)?.split(')').next()?;
    u64::from_str_radix(digits, 16).ok()
}

/// Whether the instruction before this address in the kernel is STI.
fn is_behind_sti(kernel: &Path, rip: u64) -> bool {
    let output = Command::new("objdump")
        .args(["--disassemble", "--no-show-raw-insn"])
        .arg(format!("--start-address={}", rip.wrapping_sub(1)))
        .arg(format!("--stop-address={rip}"))
        .arg(kernel)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).lines().any(|line| line.trim_end().ends_with("\tsti"))
}

#[test]
fn only_an_address_right_behind_sti_is_the_emulators() {
    let kernel = super::image("bare/ticks.elf");
    let listing =
        Command::new("objdump").args(["--disassemble", "--no-show-raw-insn"]).arg(&kernel).output().unwrap();
    let listing = String::from_utf8(listing.stdout).unwrap();
    let sti = listing.lines().find(|line| line.trim_end().ends_with("\tsti")).expect("the guest has an STI");
    let sti = u64::from_str_radix(sti.split(':').next().unwrap().trim(), 16).unwrap();
    assert!(is_behind_sti(&kernel, sti + 1));
    assert!(!is_behind_sti(&kernel, sti) && !is_behind_sti(&kernel, sti + 2));
    assert_eq!(rip("interrupt 0x20 at 5231+1 (rip 0x100401), check 0d74"), Some(0x10_0401));
}
