//! The same tests on a genuine KVM: this program runs itself again inside the lab.

use crate::harness;

fn run_in_lab(filters: &[&str]) {
    harness::run_in_lab(filters, None);
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
