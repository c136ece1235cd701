//! What `outlive doctor` says of the machine that it is run on.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::harness::{OUTLIVE, doctor_json, finish, in_lab};

/// Outcome of each probe, by name.
fn outcomes(report: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let probes = report["probes"].as_array().unwrap();
    probes.iter().map(|probe| (text(&probe["name"]), text(&probe["outcome"]))).collect()
}

#[test]
fn the_table_and_the_json_tell_the_same() {
    let report = doctor_json();
    let table = finish(Command::new(OUTLIVE).arg("doctor"));
    assert_eq!(table.status, Some(0));
    for (name, outcome) in outcomes(&report) {
        let mark = match outcome.as_str() {
            "passed" => "ok",
            "failed" => "FAILED",
            _ => "absent",
        };
        let found =
            table.console.lines().any(|line| line.contains(&name) && line.trim_start().starts_with(mark));
        assert!(found, "{name}: {outcome} is not in\n{}", table.console);
    }
    assert!(table.console.contains(report["verdict"]["why"].as_str().unwrap()), "{}", table.console);
}

#[test]
fn the_verdict_follows_from_the_probes() {
    let report = doctor_json();
    let probes = report["probes"].as_array().unwrap();
    let all_pass = |needed_by: &str| {
        probes
            .iter()
            .filter(|probe| probe["needed_by"] == needed_by)
            .all(|probe| probe["outcome"] == "passed")
    };
    let verdict = &report["verdict"];
    assert_eq!(verdict["runs_bare_guests"], all_pass("every-guest"), "{verdict}");
    assert_eq!(verdict["runs_linux"], all_pass("every-guest") && all_pass("linux"), "{verdict}");
    assert_eq!(verdict["engine"] == "kvm", verdict["runs_linux"] == true, "{verdict}");
}

#[test]
fn the_lab_has_a_conforming_kvm_without_counters() {
    if !in_lab() {
        eprintln!("SKIPPED: this is not the lab");
        return;
    }
    for (name, outcome) in outcomes(&doctor_json()) {
        let expected = match name.as_str() {
            "conditional branches are counted exactly" | "instructions are counted exactly" => "unavailable",
            // The lab's emulator loads DR7 on VMRUN, but does not arm the breakpoints in it.
            "breakpoints are exact in ring 0" | "breakpoints are exact in ring 3" => "failed",
            _ => "passed",
        };
        assert_eq!(outcome, expected, "{name}");
    }
}

#[test]
fn auto_takes_kvm_only_where_it_proved_fit_and_says_what_it_takes_in_one_line() {
    let verdict = &doctor_json()["verdict"];
    let guest = crate::harness::Guest::bare("hello").engine("auto");
    let finished = guest.run();
    let engine = if verdict["runs_linux"] == true { "kvm" } else { "soft" };
    assert_eq!(verdict["engine"], engine);
    let line = format!("outlive: engine {engine}: {}\n", verdict["why"].as_str().unwrap());
    assert_eq!(finished.errors, line, "{finished:#?}");
    assert_eq!(finished.status, Some(0), "{finished:#?}");
}

#[test]
fn a_table_that_nobody_takes_is_an_error_and_no_panic() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(OUTLIVE).arg("doctor").stdout(full).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("outlive: cannot write to standard output: No space left"), "{errors}");
}
