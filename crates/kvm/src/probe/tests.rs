//! What the probes say, about this host and in general.

use super::*;
use crate::DEVICE;

fn report(needed_by: NeededBy, outcome: Outcome) -> ProbeReport {
    ProbeReport { name: "name", meaning: "meaning", needed_by, outcome, duration: Duration::ZERO }
}

fn failed(needed_by: NeededBy) -> ProbeReport {
    report(needed_by, Outcome::Failed("seen".to_owned()))
}

#[test]
fn the_verdict_is_that_of_the_worst_failure() {
    let passed = report(NeededBy::EveryGuest, Outcome::Passed);
    assert_eq!(fitness(std::slice::from_ref(&passed)), KvmFitness::RunsLinux);
    let unimportant = [passed.clone(), failed(NeededBy::Nothing)];
    assert_eq!(fitness(&unimportant), KvmFitness::RunsLinux);
    let no_linux = [failed(NeededBy::Linux), failed(NeededBy::Nothing), passed];
    assert_eq!(fitness(&no_linux), KvmFitness::RingZeroOnly);
    let nothing = [failed(NeededBy::Linux), failed(NeededBy::EveryGuest)];
    assert_eq!(fitness(&nothing), KvmFitness::Unusable("name: seen".to_owned()));
}

#[test]
fn a_host_without_kvm_is_unusable_and_told_why() {
    let reports = probe_all(Path::new("/nonexistent/kvm"));
    assert_eq!(reports.len(), 1);
    let KvmFitness::Unusable(why) = fitness(&reports) else { panic!("{reports:?}") };
    assert!(why.contains("/nonexistent/kvm does not exist"), "{why}");
}

/// On a host with KVM nothing hangs, and what every guest needs is there.
#[test]
fn this_host_is_probed_to_the_end() {
    if crate::testing::host().is_none() {
        return;
    }
    let reports = probe_all(Path::new(DEVICE));
    for report in &reports {
        eprintln!("{:?} {:?} {} ({:?})", report.outcome, report.needed_by, report.name, report.duration);
    }
    let verdict = fitness(&reports);
    eprintln!("{verdict:?}");
    assert_eq!(reports.len(), PROBES.len() + 1);
    assert!(reports.iter().all(|report| report.duration < 2 * LIMIT), "a probe took too long");
    assert!(!matches!(verdict, KvmFitness::Unusable(_)), "{verdict:?}");
}

#[test]
fn a_guest_that_hangs_is_stopped_and_counts_as_failed() {
    let Some(host) = crate::testing::host() else { return };
    // The limit counts from the trial's making, so the clock is looked at before that.
    let start = Instant::now();
    let mut trial = trial::Trial::new(&host, guest::Ring::Kernel, &[0xeb, 0xfe]).unwrap();
    assert_eq!(trial.run(), Err(Trouble::Failed("the guest did not stop within 2s".to_owned())));
    assert!(start.elapsed() >= LIMIT);
}
