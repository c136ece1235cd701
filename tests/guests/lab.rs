//! The same tests on a genuine KVM: this program runs itself again inside the lab.

use std::process::{Command, Stdio};

use crate::harness::{checkout, in_lab};

/// Runs the tests whose names contain one of `filters` in the lab.
fn run_in_lab(filters: &[&str]) {
    if in_lab() {
        eprintln!("SKIPPED: this is the lab");
        return;
    }
    let this = std::env::current_exe().unwrap();
    for filter in filters {
        // A filter that nothing passes would be a test that proves nothing.
        let list = Command::new(&this).args(["--list", "--skip", "lab::", filter]).output().unwrap();
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(list.contains(": test\n"), "no test is named {filter}: {list}");
    }
    let status = Command::new(checkout().join("scripts/kvm-lab"))
        .arg(this)
        .args(["--test-threads=1", "--nocapture", "--skip", "lab::"])
        .args(filters)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the tests in the lab ended with {status}");
}

#[test]
fn every_bare_guest_runs_on_a_genuine_kvm() {
    run_in_lab(&["bare::on_kvm"]);
}

#[test]
fn both_engines_agree_on_every_bare_guest_and_on_linux() {
    run_in_lab(&["agree::"]);
}

#[test]
fn a_genuine_kvm_without_a_counter_is_recognised() {
    run_in_lab(&["doctor::"]);
}

#[test]
fn linux_boots_on_a_genuine_kvm_to_a_redis_that_answers() {
    run_in_lab(&["linux::on_kvm", "network::on_kvm"]);
}
