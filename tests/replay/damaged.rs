//! Logs that are damaged, of another version, or no logs at all: one clear sentence, and nothing worse.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Engine, Finished, Guest, OUTLIVE, finish};
use crate::random::Random;
use crate::recording::Recording;
use crate::replaying::{refused, replay, replayed, with_one_byte_changed};

/// In how many places a log is damaged.
const PLACES: usize = 30;

/// A recording whose log has many batches.
fn recording() -> Recording {
    let recording = Recording::of(Guest::bare("time").command_line("seconds=3"));
    assert_eq!(recording.status, Some(0), "{}", recording.errors);
    recording
}

fn verify(log: &Path) -> Finished {
    finish(Command::new(OUTLIVE).args(["log", "verify"]).arg(log))
}

/// The bytes of a log that are no longer its header.
fn behind_the_header(log: &Path) -> Range<u64> {
    let bytes = fs::read(log).unwrap();
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let prefix: Vec<_> = lines.by_ref().take(4).collect();
    let last = String::from_utf8_lossy(prefix[3]).into_owned();
    let header: usize = last.strip_prefix("header ").unwrap().split(' ').next().unwrap().parse().unwrap();
    let begin = prefix.iter().map(|line| line.len()).sum::<usize>() + header;
    begin as u64..bytes.len() as u64
}

fn offset_in(text: &str) -> u64 {
    let behind = text.split_once("at byte ").unwrap_or_else(|| panic!("no offset in {text}")).1;
    behind.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn a_changed_byte_is_noticed_wherever_it_is() {
    let recording = recording();
    let (log, damaged) = (recording.log.path(), recording.guest.folder().join("damaged"));
    assert_eq!(verify(log).status, Some(0), "{:?}", verify(log));
    let length = fs::metadata(log).unwrap().len();
    for place in Random::new().places(PLACES, length) {
        with_one_byte_changed(log, &damaged, place as usize - 1, 0x10);
        let finished = verify(&damaged);
        assert!(matches!(finished.status, Some(1 | 2)), "byte {place}: {finished:?}");
        refused(&finished, finished.status.unwrap(), &[damaged.to_str().unwrap()]);
    }
}

#[test]
fn a_damaged_log_is_replayed_up_to_the_damage_if_that_is_wanted() {
    let recording = recording();
    let (log, damaged) = (recording.log.path(), recording.guest.folder().join("damaged"));
    let batches = behind_the_header(log);
    // Not in the index, which a replay does not need.
    let batches = batches.start..batches.end - (batches.end - batches.start) / 4;
    for place in Random::new().places(5, batches.end - batches.start) {
        let place = batches.start + place - 1;
        with_one_byte_changed(log, &damaged, place as usize, 0x01);
        let finished = finish(&mut replay(&damaged, &["--json"]));
        refused(&finished, 1, &[damaged.to_str().unwrap(), "damaged at byte"]);
        let offset = offset_in(&finished.errors);
        // The checksum is that of a batch, so the batch is named.
        assert!(offset <= place, "byte {place}: {finished:?}");

        let until = replayed(&damaged, Engine::Soft, &["--until-damage"]);
        assert_eq!(until.finished.status, Some(0), "byte {place}: {:?}", until.finished);
        assert_eq!(until.summary["end"], "damaged", "{:?}", until.finished);
        assert_eq!(offset_in(until.summary["reason"].as_str().unwrap()), offset);
        assert!(recording.console.starts_with(&until.finished.output), "{:?}", until.finished);
        let entries =
            [&until.summary, &recording.summary].map(|summary| summary["entries"].as_u64().unwrap());
        assert!(entries[0] < entries[1], "{entries:?}");
    }
}

#[test]
fn a_log_of_another_version_is_named_as_that() {
    let recording = recording();
    let other = recording.guest.folder().join("other");
    let mut bytes = fs::read(recording.log.path()).unwrap();
    let version = b"outlive event log\nformat 00002".len() - 1;
    assert_eq!(bytes[version], b'2');
    bytes[version] = b'7';
    fs::write(&other, bytes).unwrap();
    refused(&finish(&mut replay(&other, &[])), 2, &[other.to_str().unwrap(), "format 7", "reads 2"]);
}

/// A file with these contents, in a folder of a guest that is not run.
fn file(guest: &Guest, contents: &[u8]) -> PathBuf {
    let path = guest.folder().join("file");
    fs::write(&path, contents).unwrap();
    path
}

#[test]
fn what_is_no_log_is_not_replayed() {
    let guest = Guest::bare("hello");
    for contents in [&b""[..], b"\x7fELF", b"outlive event log", &[b'x'; 1000]] {
        let path = file(&guest, contents);
        let finished = finish(&mut replay(&path, &[]));
        assert!(matches!(finished.status, Some(1 | 2)), "{finished:?}");
        refused(&finished, finished.status.unwrap(), &[path.to_str().unwrap()]);
    }
}
