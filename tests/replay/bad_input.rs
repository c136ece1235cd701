//! Files that are missing, or are what they should not be.

use std::fs;
use std::path::Path;

use crate::harness::{Guest, finish, kvm_at_hand, kvm_records};
use crate::recording::{Recording, record};
use crate::replaying::{refused, replay};

#[test]
fn a_log_that_is_missing_or_a_folder_is_not_replayed() {
    let guest = Guest::bare("hello");
    let missing = guest.folder().join("missing");
    refused(&finish(&mut replay(&missing, &[])), 2, &[missing.to_str().unwrap(), "No such file"]);
    refused(&finish(&mut replay(guest.folder(), &[])), 2, &[guest.folder().to_str().unwrap(), "directory"]);
}

#[test]
fn a_log_is_not_written_over_what_is_there_unless_that_is_wanted() {
    let guest = Guest::bare("hello");
    let log = guest.folder().join("log");
    fs::write(&log, "precious").unwrap();
    refused(&finish(&mut record(&guest, &log, &[])), 2, &[log.to_str().unwrap(), "exists", "--overwrite"]);
    assert_eq!(fs::read(&log).unwrap(), b"precious");
    let finished = finish(&mut record(&guest, &log, &["--overwrite"]));
    assert_eq!(finished.status, Some(0), "{finished:?}");
    let replayed = finish(&mut replay(&log, &[]));
    assert_eq!(replayed.status, Some(0), "{replayed:?}");
}

#[test]
fn a_kvm_that_opens_windows_inexactly_records_nothing() {
    if !kvm_at_hand() || kvm_records() {
        eprintln!("SKIPPED: this machine has no such KVM");
        return;
    }
    let guest = Guest::bare("hello").engine("kvm");
    let log = guest.folder().join("log");
    refused(&finish(&mut record(&guest, &log, &[])), 2, &["KVM", "window", "engine soft"]);
    assert!(!log.exists());
}

#[test]
fn a_machine_that_cannot_be_built_destroys_no_log() {
    let guest = Guest::new(Path::new("/nonexistent/vmlinux"), "16M");
    let log = guest.folder().join("log");
    fs::write(&log, "precious").unwrap();
    refused(&finish(&mut record(&guest, &log, &["--overwrite"])), 2, &["/nonexistent/vmlinux"]);
    assert_eq!(fs::read(&log).unwrap(), b"precious");
}

#[test]
fn a_log_that_cannot_be_created_is_named() {
    let guest = Guest::bare("hello");
    let nowhere = guest.folder().join("none/log");
    refused(&finish(&mut record(&guest, &nowhere, &[])), 2, &[nowhere.to_str().unwrap(), "folder"]);
    refused(&finish(&mut record(&guest, guest.folder(), &[])), 2, &["directory"]);
}

#[test]
fn a_disk_is_not_made_over_a_file_that_is_there() {
    let (guest, _) = Guest::bare("disk").with_disk(128, false);
    let recording = Recording::of(guest);
    let out = recording.guest.folder().join("out");
    fs::write(&out, "precious").unwrap();
    let [out, before] = [&out, &recording.disks[0].before].map(|path| path.to_str().unwrap());
    let options = ["--disk-out", out, "--disk", before];
    refused(&finish(&mut replay(recording.log.path(), &options)), 2, &[out, "exists"]);
    assert_eq!(fs::read(out).unwrap(), b"precious");
}
