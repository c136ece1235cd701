//! The same tests on a genuine KVM: this program runs itself again inside the lab.

use std::fs;

use crate::harness;
use crate::log_file::failed_replays;

fn run_in_lab(filters: &[&str]) {
    let failed = failed_replays();
    fs::create_dir_all(&failed).unwrap();
    harness::run_in_lab(filters, Some(&failed));
}

#[test]
fn what_a_genuine_kvm_records_both_engines_replay() {
    run_in_lab(&[
        "bare::on_kvm",
        "ends::on_kvm",
        "kv::on_kvm",
        "load::on_kvm",
        "clock::on_kvm",
        "until::on_kvm",
        "unfinished::on_kvm",
    ]);
}

#[test]
fn linux_with_redis_is_recorded_and_replayed_on_a_genuine_kvm() {
    run_in_lab(&["linux::on_kvm"]);
}
