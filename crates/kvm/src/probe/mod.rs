//! Probes: does the host's KVM do what a guest needs?
//!
//! What a host says about itself is not enough. There are hosts whose `/dev/kvm` is not backed by
//! hardware virtualization: they announce every capability and then interpret ring 0 without SSE, enter the
//! wrong ring on SYSCALL, or open an interrupt window too late. So each probe here runs a few instructions
//! in a machine of its own and looks at what came of them.
//!
//! A probe that hangs is kicked after [`LIMIT`] and counts as failed.

mod basics;
mod counters;
pub(crate) mod guest;
mod interrupts;
mod rings;
mod stepping;
mod trial;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::host::Host;
use trial::Trouble;

pub use trial::LIMIT;

/// What a probe came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The host does as the manual says.
    Passed,
    /// It does not: what was seen.
    Failed(String),
    /// The host does not offer this at all: why.
    Unavailable(String),
}

/// What cannot be done on a host that fails a probe.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NeededBy {
    /// Nothing that runs today: for later use, or for a person to know.
    Nothing,
    /// Linux and its programs, which live in ring 3.
    Linux,
    /// Every guest.
    EveryGuest,
}

/// One probe's result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProbeReport {
    /// What was tried, in a few words.
    pub name: &'static str,
    /// What it means for a user.
    pub meaning: &'static str,
    /// Who cannot do without it.
    pub needed_by: NeededBy,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took.
    pub duration: Duration,
}

/// The verdict over all probes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KvmFitness {
    /// Linux and its programs run.
    RunsLinux,
    /// Guests that stay in ring 0 run.
    RingZeroOnly,
    /// Nothing runs: why.
    Unusable(String),
}

/// A probe: what it is about, and how to carry it out.
struct Probe {
    name: &'static str,
    meaning: &'static str,
    needed_by: NeededBy,
    carry_out: fn(&Host) -> Result<(), Trouble>,
}

const fn probe(
    needed_by: NeededBy,
    name: &'static str,
    meaning: &'static str,
    carry_out: fn(&Host) -> Result<(), Trouble>,
) -> Probe {
    Probe { name, meaning, needed_by, carry_out }
}

const OPENS: (&str, &str) = ("KVM opens with everything needed", "the kvm engine can be tried at all");

/// All probes but the first, which opens the device.
const PROBES: &[Probe] = &[
    probe(NeededBy::EveryGuest, "code runs in ring 0", "a guest can start", basics::ring_zero),
    probe(NeededBy::EveryGuest, "port reads and writes exit", "devices work", basics::ports),
    probe(
        NeededBy::EveryGuest,
        "RDMSR of the time-stamp counter exits",
        "the guest cannot read the host's time by RDMSR",
        basics::time_stamp_register,
    ),
    probe(
        NeededBy::EveryGuest,
        "a rewritten RDTSC reads our time",
        "a kernel's time can be recorded",
        basics::time_read,
    ),
    probe(
        NeededBy::EveryGuest,
        "HLT exits, an interrupt ends it",
        "idle guests sleep and wake up",
        interrupts::halt,
    ),
    probe(NeededBy::EveryGuest, "a kick ends a run", "inputs arrive while the guest computes", basics::kick),
    probe(
        NeededBy::Linux,
        "an interrupt window opens one instruction after STI",
        "interrupts land where a replay finds them again",
        interrupts::window,
    ),
    probe(NeededBy::Linux, "code runs in ring 3", "programs can start", rings::ring_three),
    probe(NeededBy::Linux, "SYSCALL enters ring 0", "programs can call the kernel", rings::system_call),
    probe(
        NeededBy::Linux,
        "floating point works in ring 3",
        "programs compute with x87 and SSE2",
        rings::floating_point,
    ),
    probe(
        NeededBy::Linux,
        "CPUID shows our processor",
        "the guest does not see its host, and can move to another one",
        rings::cpuid,
    ),
    probe(
        NeededBy::Nothing,
        "SSE2 works in ring 0",
        "kernels can use vector instructions",
        basics::vector_arithmetic,
    ),
    probe(
        NeededBy::Nothing,
        "CR4.TSD makes RDTSC fault in ring 3",
        "a kernel can keep programs from the host's time",
        rings::time_stamp_disable,
    ),
    probe(
        NeededBy::Nothing,
        "the list of written pages is right",
        "a running guest can be transferred",
        basics::dirty_log,
    ),
    probe(
        NeededBy::Nothing,
        "single-stepping is exact in ring 0",
        "inputs can land between any two instructions of a kernel",
        stepping::steps_in_ring_zero,
    ),
    probe(
        NeededBy::Nothing,
        "single-stepping is exact in ring 3",
        "inputs can land between any two instructions of a program",
        stepping::steps_in_ring_three,
    ),
    probe(
        NeededBy::Nothing,
        "breakpoints are exact in ring 0",
        "a place in a kernel can be approached at full speed",
        stepping::breakpoint_in_ring_zero,
    ),
    probe(
        NeededBy::Nothing,
        "breakpoints are exact in ring 3",
        "a place in a program can be approached at full speed",
        stepping::breakpoint_in_ring_three,
    ),
    probe(
        NeededBy::Nothing,
        "conditional branches are counted exactly",
        "inputs can land anywhere at full speed",
        counters::conditional_branches,
    ),
    probe(
        NeededBy::Nothing,
        "instructions are counted exactly",
        "another way to find a place again",
        counters::instructions,
    ),
];

/// Carries out all probes on the KVM at `path`. Where it does not open, that is the only report.
pub fn probe_all(path: &Path) -> Vec<ProbeReport> {
    let start = Instant::now();
    let host = Host::open(path);
    let outcome = match &host {
        Ok(_) => Outcome::Passed,
        Err(error) => Outcome::Failed(error.to_string()),
    };
    let (name, meaning) = OPENS;
    let needed_by = NeededBy::EveryGuest;
    let opened = ProbeReport { name, meaning, needed_by, outcome, duration: start.elapsed() };
    let others = host.iter().flat_map(|host| PROBES.iter().map(|probe| probe.report(host)));
    std::iter::once(opened).chain(others).collect()
}

/// Whether interrupt windows open where they must, so that a replay finds the places again at which inputs landed:
/// carries out that one probe.
pub fn opens_windows(path: &Path) -> Outcome {
    match Host::open(path) {
        Ok(host) => outcome(interrupts::window(&host)),
        Err(error) => Outcome::Unavailable(error.to_string()),
    }
}

/// Whether the KVM at `path` forgets the shadow of STI of a guest that it enters; else why that cannot be told.
pub(crate) fn forgets_shadows(path: &Path) -> Result<bool, String> {
    let host = Host::open(path).map_err(|error| error.to_string())?;
    interrupts::forgets_shadow(&host).map_err(|trouble| match trouble {
        Trouble::Failed(why) | Trouble::Unavailable(why) => why,
    })
}

/// What the host's KVM is good for, by the reports of [`probe_all`].
pub fn fitness(reports: &[ProbeReport]) -> KvmFitness {
    let fails = |report: &&ProbeReport| report.outcome != Outcome::Passed;
    let worst = reports.iter().filter(fails).max_by_key(|report| report.needed_by);
    match worst.map(|report| (report.needed_by, &report.outcome)) {
        None | Some((NeededBy::Nothing, _)) => KvmFitness::RunsLinux,
        Some((NeededBy::Linux, _)) => KvmFitness::RingZeroOnly,
        Some((NeededBy::EveryGuest, _)) => KvmFitness::Unusable(first_reason(reports)),
    }
}

fn first_reason(reports: &[ProbeReport]) -> String {
    let reason = |report: &ProbeReport| match &report.outcome {
        Outcome::Passed => None,
        Outcome::Failed(what) | Outcome::Unavailable(what) => Some(format!("{}: {what}", report.name)),
    };
    let needed = reports.iter().filter(|report| report.needed_by == NeededBy::EveryGuest);
    needed.filter_map(reason).next().unwrap_or_default()
}

fn outcome(result: Result<(), Trouble>) -> Outcome {
    match result {
        Ok(()) => Outcome::Passed,
        Err(Trouble::Failed(what)) => Outcome::Failed(what),
        Err(Trouble::Unavailable(why)) => Outcome::Unavailable(why),
    }
}

impl Probe {
    fn report(&self, host: &Host) -> ProbeReport {
        let start = Instant::now();
        let outcome = outcome((self.carry_out)(host));
        let Self { name, meaning, needed_by, .. } = *self;
        ProbeReport { name, meaning, needed_by, outcome, duration: start.elapsed() }
    }
}

#[cfg(test)]
mod tests;
