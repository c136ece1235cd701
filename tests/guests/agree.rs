//! The two engines agree: a guest on `soft` is the same machine as on `kvm`.
//!
//! The machines run in this process, in a [`world`] whose inputs follow from the guest's exits, so that a guest
//! that takes interrupts and reads clocks is as comparable as one that only computes. Both engines stop at the
//! same exits on the way, and everything is compared there and at the end: registers, memory, devices, console,
//! disk; at every interrupt the registers, and everything that was sent or asked of the disk. Guests that see
//! nothing of the world are run by the command, too, which tells the digests.

mod computer;
mod frames;
mod world;

use outlive_kvm::KvmEngine;
use outlive_machine::machine::Stop;
use outlive_soft::SoftEngine;

use crate::harness::{Engine, Guest, finish, in_lab};
use computer::{Computer, DifferingWord, Plan, differing_lines};

/// At how many exits on the way two machines are compared.
const SIGHTS: u64 = 20;
/// RFLAGS.RF.
const RESUME: u64 = 1 << 16;

/// Runs a guest on both engines to an end that must be a good one, and compares them on the way and there.
fn agree(plan: &Plan, is_good_end: impl Fn(&Stop) -> bool) {
    if !Engine::Kvm.runs_linux() {
        return;
    }
    let mut whole = Computer::power_on(SoftEngine::new, plan);
    let stop = whole.run();
    assert!(is_good_end(&stop), "{stop:?}: {}", whole.console());

    let mut soft = Computer::power_on(SoftEngine::new, plan);
    let mut kvm = Computer::power_on(|ram| KvmEngine::new(ram).unwrap(), plan);
    let step = whole.exits().div_ceil(SIGHTS);
    for exit in (1..).map(|number| number * step).take_while(|&exit| exit < whole.exits()) {
        soft.run_to(exit);
        kvm.run_to(exit);
        compare(&mut soft, &mut kvm, true);
    }
    let stops = [soft.run(), kvm.run()];
    assert!(stops.iter().all(is_good_end), "{stops:?}");
    // AMD's processors leave the guest's registers undefined after a triple fault, and KVM resets them (APM volume
    // 2, 15.14.3).
    let have_registers = !matches!(stop, Stop::TripleFault(_));
    compare(&mut soft, &mut kvm, have_registers);
}

/// Compares two machines where they stand.
fn compare(soft: &mut Computer<SoftEngine>, kvm: &mut Computer<KvmEngine>, have_registers: bool) {
    let (soft_sight, kvm_sight) = (soft.look(), kvm.look());
    let mut words = soft_sight.differing_words(&kvm_sight);
    let has_same_memory = words.is_empty();
    words.retain(|word| !is_fault_of_the_lab(word));
    let mut difference = soft_sight.difference(&kvm_sight, &words);
    if have_registers {
        difference += &differing_lines(&soft_sight.registers, &kvm_sight.registers);
    }
    assert!(difference.is_empty(), "soft | kvm\n{difference}{}", soft_sight.console);
    // What a log or a peer will compare are the digests.
    let (soft_digest, kvm_digest) = (soft_sight.digest, kvm_sight.digest);
    assert_eq!(soft_digest.registers == kvm_digest.registers, have_registers);
    assert_eq!(soft_digest.memory == kvm_digest.memory, has_same_memory);
    compare_events(soft, kvm);
}

/// Compares what two machines have shown so far, and how they stood when they were interrupted.
fn compare_events(soft: &Computer<SoftEngine>, kvm: &Computer<KvmEngine>) {
    for (number, (soft, kvm)) in soft.events().iter().zip(kvm.events()).enumerate() {
        assert!(soft == kvm, "event {number}, soft | kvm\n{}", differing_lines(soft, kvm));
    }
    assert_eq!(soft.events().len(), kvm.events().len());
    assert_eq!(soft.console(), kvm.console());
}

/// The lab's emulator does not set RF in the flags that a fault pushes, as a processor does (Intel SDM volume 3,
/// 18.3.1.1). What was once pushed stays in memory below the stack.
fn is_fault_of_the_lab((_, [soft, kvm]): &DifferingWord) -> bool {
    in_lab() && soft ^ kvm == RESUME && soft & RESUME != 0
}

/// A guest that must say of itself that all went well.
fn succeeds(guest: &str, command_line: &str) {
    agree(&Plan::bare(guest, command_line), |stop| matches!(stop, Stop::DebugExit(0)));
}

/// The guest `ends`, with the end that it is told.
fn ends(command_line: &str, is_end: impl Fn(&Stop) -> bool) {
    agree(&Plan::bare("ends", command_line), is_end);
}

mod a_guest_is_the_same_machine_on_both_engines {
    use outlive_machine::machine::Stop;

    use super::{agree, ends, frames, succeeds};
    use crate::agree::computer::Plan;
    use crate::harness::in_lab;

    macro_rules! guests {
        ($($name:ident $words:literal,)*) => {
            $(#[test] fn $name() { succeeds(stringify!($name), $words); })*
        };
    }

    guests! {
        hello "one two=3", ticks "", time "", compute "", exits "ticks=1", strings "ticks=1", smc "", disk "",
        hostile "case=all",
    }

    #[test]
    fn faults() {
        // What the lab's emulator gets wrong: see `bare`.
        let words =
            if in_lab() { "step=1 shadow=1 waits=0 skip=gate,reserved,stack" } else { "step=1 shadow=1" };
        succeeds("faults", words);
    }

    #[test]
    fn kv() {
        let plan = Plan::bare("kv", "").with_frames(frames::conversation());
        agree(&plan, |stop| matches!(stop, Stop::DebugExit(0)));
    }

    #[test]
    fn ends_in_every_way() {
        ends("how=halt", |stop| matches!(stop, Stop::PowerOff));
        ends("how=reset", |stop| matches!(stop, Stop::Reset));
        ends("how=failure", |stop| matches!(stop, Stop::DebugExit(1)));
        ends("how=triple", |stop| matches!(stop, Stop::TripleFault(_)));
    }
}

/// Page faults, interrupts, system calls, I/O and everything else that a kernel and its programs do; but no program
/// reads the time-stamp counter, which KVM would let it do unseen.
///
/// As long as there is only the kernel, everything is compared, as of every guest. From then on the lab's emulator is
/// another machine in what a program cannot see: where an instruction reads and writes a page that is not there yet,
/// it faults for the reading and once more for the writing, and Linux counts that; and FXSAVE leaves what is reserved
/// beside the x87 registers as it was. So memory is not compared there, but registers are at every single exit.
#[test]
fn linux_is_the_same_machine_on_both_engines_until_redis_answers() {
    if !Engine::Kvm.runs_linux() {
        return;
    }
    let plan = Plan::linux();
    let mut soft = Computer::power_on(SoftEngine::new, &plan);
    let mut kvm = Computer::power_on(|ram| KvmEngine::new(ram).unwrap(), &plan);
    // What the kernel says last of all before it starts the first program.
    run_until_both_say("Write protecting the kernel read-only data", &mut soft, &mut kvm, 100);
    compare(&mut soft, &mut kvm, true);
    run_until_both_say("outlive: ready", &mut soft, &mut kvm, 1);
    if in_lab() {
        compare_events(&soft, &kvm);
    } else {
        compare(&mut soft, &mut kvm, true);
    }
}

/// Runs two machines on until they have printed `text`, and compares their registers every `step` exits.
fn run_until_both_say(text: &str, soft: &mut Computer<SoftEngine>, kvm: &mut Computer<KvmEngine>, step: u64) {
    let mut exit = soft.exits();
    while !soft.console().contains(text) {
        exit += step;
        soft.run_to(exit);
        kvm.run_to(exit);
        let difference = differing_lines(&soft.registers(), &kvm.registers());
        assert!(difference.is_empty(), "exit {exit}, soft | kvm\n{difference}{}", soft.console());
    }
}

/// What the command tells of a guest on an engine: its console and its digests.
fn told(engine: Engine, guest: &str, words: &str) -> (String, String) {
    let guest = Guest::bare(guest)
        .engine(engine.name())
        .command_line(words)
        .with("wall-clock = 1700000000")
        .with(&format!("random-seed = \"{:064}\"", 7));
    let finished = finish(guest.command().arg("--digest"));
    let digests = finished.errors.lines().filter(|line| line.starts_with("digest of "));
    let digests: Vec<_> = digests.map(str::to_owned).collect();
    assert_eq!(digests.len(), 3, "{finished:#?}");
    (finished.console, digests.join("\n"))
}

#[test]
fn the_command_tells_the_same_of_guests_that_see_no_clock_on_both_engines() {
    if !Engine::Kvm.runs_linux() {
        return;
    }
    let guests = [
        ("hello", "one two=3"),
        ("compute", "iterations=50"),
        ("smc", ""),
        ("ends", ""),
        ("ends", "how=halt"),
        ("ends", "how=reset"),
        ("ends", "how=failure"),
    ];
    for (guest, words) in guests {
        assert_eq!(told(Engine::Soft, guest, words), told(Engine::Kvm, guest, words), "{guest} {words}");
    }
}
