//! The benchmarks, as short as they can be: what they measure here tells nothing, but all of it must be there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Finished, OUTLIVE, checkout, finish};

/// A folder for the command where the scripts look for it, for figures, and for what they have to clear away.
fn bench_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let release = folder.path().join("release");
    fs::create_dir(&release).unwrap();
    symlink(OUTLIVE, release.join("outlive")).unwrap();
    fs::create_dir(folder.path().join("scratch")).unwrap();
    folder
}

fn bench(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(checkout().join("scripts/bench"));
    command.args(arguments).arg("--json").arg(folder.join("figures.json"));
    command.env("CARGO_TARGET_DIR", folder).env("TMPDIR", folder.join("scratch"));
    command
}

fn figures(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("figures.json")).unwrap()).unwrap()
}

/// A folder of links to all programs of this host but QEMU's.
fn programs_without_qemu(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for place in std::env::split_paths(&std::env::var_os("PATH").unwrap()) {
        for program in fs::read_dir(place).into_iter().flatten().flatten() {
            if !program.file_name().to_string_lossy().starts_with("qemu-") {
                // The first place that has it is the one that counts.
                let _ = symlink(program.path(), folder.join(program.file_name()));
            }
        }
    }
}

/// A figure that no run can do without.
#[track_caller]
fn positive(figures: &Value, pointer: &str) -> f64 {
    let figure = figures.pointer(pointer).and_then(Value::as_f64);
    figure
        .filter(|&figure| figure > 0.0)
        .unwrap_or_else(|| panic!("{pointer} is not above zero in {figures:#}"))
}

/// The host may be too busy for what is required of times; that alone is no failure here.
#[track_caller]
fn assert_measured(finished: &Finished) {
    let only_missed = finished.errors.contains("missed: ") && !finished.errors.contains("failed");
    assert!(finished.status == Some(0) || only_missed, "{finished:?}");
}

#[test]
fn recordings_and_replays_are_told_beside_qemu_s() {
    let folder = bench_folder();
    let finished = finish(&mut bench(folder.path(), &["replay", "--runs", "1", "boot"]));
    assert_eq!(finished.status, Some(0), "{finished:?}");
    let figures = figures(folder.path());
    for system in ["outlive", "qemu"] {
        for key in
            ["plain_seconds", "record_seconds", "replay_seconds", "record_by_plain", "replay_by_record"]
        {
            positive(&figures, &format!("/cases/boot/{system}/{key}"));
        }
        let bytes = positive(&figures, &format!("/cases/boot/{system}/log_bytes"));
        let instructions = positive(&figures, &format!("/cases/boot/{system}/instructions"));
        let per_thousand =
            positive(&figures, &format!("/cases/boot/{system}/log_bytes_per_thousand_instructions"));
        assert!((per_thousand - bytes * 1000.0 / instructions).abs() < 1e-3, "{figures:#}");
    }
    // The same kernel and programs: what each counts differs by how it waits for its devices.
    let ratio = positive(&figures, "/cases/boot/outlive/instructions")
        / positive(&figures, "/cases/boot/qemu/instructions");
    assert!((0.5..2.0).contains(&ratio), "{figures:#}");
    assert_eq!(fs::read_dir(folder.path().join("scratch")).unwrap().count(), 0, "something is left");
}

#[test]
fn without_qemu_one_table_tells_what_was_skipped() {
    let folder = bench_folder();
    let programs = folder.path().join("programs");
    programs_without_qemu(&programs);
    let finished =
        finish(bench(folder.path(), &["all", "--quick", "--markdown", "engine"]).env("PATH", &programs));
    assert_measured(&finished);
    let why = "qemu-system-x86_64 is missing; run scripts/setup";
    assert!(finished.console.contains(&format!("Skipped: engine beside QEMU: {why}.")), "{finished:?}");
    let figures = figures(folder.path());
    assert_eq!(figures["skipped"]["engine beside QEMU"], why, "{figures:#}");
    assert_eq!(figures["host"]["qemu"], Value::Null, "{figures:#}");
    for line in figures["comparison"].as_array().unwrap() {
        assert_eq!(line["beside"], Value::Null, "{line}");
    }
    for case in ["boot", "integer", "shell"] {
        let seconds = positive(&figures, &format!("/benchmarks/engine/cases/{case}/outlive/seconds"));
        let line = format!("| {case} on the software engine, s | ");
        assert!(
            finished.console.contains(&line),
            "{case} took {seconds} s, and no line tells it: {finished:?}"
        );
    }
}
