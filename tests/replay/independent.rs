//! An independent reader, written from `docs/log-format.md` alone, reads the same in a log as the command does.
//!
//! The reader is `tests/independent/read_log.py`. It is run on logs of guests, on logs that are [`made`] of all that the
//! format allows, and on damaged and unfinished ones; [`comparison`] compares every entry with every field, the
//! header, and the totals. [`examples`] checks what the page itself shows.

mod comparison;
mod examples;
mod made;

use std::fs;
use std::path::{Path, PathBuf};

use self::comparison::{agrees, reads_alike, shown, told};
use crate::harness::{Engine, Guest, kv, linux, output, redis, shell};
use crate::kv::talk;
use crate::random::Random;
use crate::recording::{Live, Recording};
use crate::replaying::with_one_byte_changed;

/// In how many places a log is damaged, and cut.
const PLACES: usize = 8;

/// Records a bare guest.
fn recorded(guest: Guest, status: i32) -> Recording {
    let recording = Recording::of(guest);
    assert_eq!(recording.status, Some(status), "{}{}", recording.console(), recording.errors);
    recording
}

fn is_read_alike(guest: Guest, status: i32, kinds: &[&str]) {
    let recording = recorded(guest, status);
    agrees(recording.log.path(), kinds);
}

#[test]
fn timers_and_clocks_are_read_alike() {
    let kinds = ["time-read", "clock-tick", "interrupt", "console-output", "registers", "end"];
    is_read_alike(Guest::bare("exits").command_line("ticks=1"), 0, &kinds);
    is_read_alike(Guest::bare("strings").command_line("ticks=1"), 0, &["clock-tick", "interrupt"]);
    // Each digest tells a second, and changed pages.
    let seconds = recorded(Guest::bare("time").command_line("seconds=2"), 0);
    agrees(seconds.log.path(), &["time-read", "digest"]);
}

#[test]
fn disks_and_frames_are_read_alike() {
    let kinds = ["disk-output", "disk-completion", "interrupt"];
    is_read_alike(Guest::bare("disk").with_disk(128, false).0, 0, &kinds);
    let hostile = Guest::bare("hostile").command_line("case=all").with_disk(128, false).0;
    is_read_alike(hostile.network("outliveread0", "10.86.0.1/24"), 0, &["disk-output", "frame-output"]);
}

#[test]
fn each_end_is_read_alike() {
    for (how, status) in [("halt", 0), ("reset", 0), ("failure", 1), ("triple", 1)] {
        let guest = Guest::bare("ends").command_line(&format!("how={how}"));
        is_read_alike(guest, status, &["end"]);
    }
}

#[test]
fn linux_with_all_that_can_happen_to_it_is_read_alike() {
    let guest = linux(Engine::Soft, 18);
    let mut live = Live::start(guest.guest.network("outliveread1", "10.86.1.1/24"));
    live.machine.wait_for("outlive: ready");
    assert_eq!(redis(&guest.address, &["set", "key", "value"]), "OK");
    shell(&mut live.machine, "date >/data/file && sync", "WRITTEN");
    // A second network, which the log names in another way than the first.
    shell(&mut live.machine, "ip addr add 10.86.1.15/24 dev eth1 && ip link set eth1 up", "RAISED");
    output("ping", &["-c", "1", "-w", "20", "10.86.1.15"]);
    live.machine.type_line("poweroff");
    let recording = live.finish();
    assert_eq!(recording.status, Some(0), "{}{}", recording.console(), recording.errors);
    let entries = agrees(recording.log.path(), &comparison::KINDS);
    for kind in ["frame-input", "frame-output"] {
        let at_second = |entry: &serde_json::Value| entry["kind"] == kind && entry["network"] == 1;
        assert!(entries.iter().any(at_second), "no {kind} at the second network");
    }
}

/// A recording of many batches, compressed ones and others, and a file for what becomes of its log.
fn to_damage() -> (Recording, PathBuf) {
    let recording = recorded(Guest::bare("disk").with_disk(128, false).0, 0);
    let damaged = recording.guest.folder().join("damaged");
    (recording, damaged)
}

#[test]
fn a_changed_byte_is_refused_behind_the_same_entries() {
    let (recording, damaged) = to_damage();
    let log = recording.log.path();
    let length = fs::metadata(log).unwrap().len();
    // The prefix, where each byte means something, and the rest.
    let mut random = Random::new();
    let places: Vec<_> = random.places(PLACES, 83).into_iter().chain(random.places(PLACES, length)).collect();
    for place in places {
        with_one_byte_changed(log, &damaged, place as usize - 1, 0x10);
        let (ours, (status, shown)) = (told(&damaged, &[]), shown(&damaged));
        assert!(matches!(ours.status, Some(1 | 2)), "byte {place}: {}", ours.errors);
        assert_eq!(ours.status, status, "byte {place}: {}", ours.errors);
        reads_alike(&ours.entries, &shown, &damaged);
    }
}

#[test]
fn a_log_that_was_cut_is_refused_behind_its_last_whole_batch() {
    let (recording, damaged) = to_damage();
    let bytes = fs::read(recording.log.path()).unwrap();
    let mut random = Random::new();
    for length in random.places(PLACES, bytes.len() as u64 - 1) {
        fs::write(&damaged, &bytes[..length as usize]).unwrap();
        let (ours, (status, shown)) = (told(&damaged, &[]), shown(&damaged));
        assert_eq!((ours.status, status), (Some(1), Some(1)), "{length} bytes: {}", ours.errors);
        reads_alike(&ours.entries, &shown, &damaged);
    }
}

/// The bytes before the first batch.
fn header_bytes(log: &Path) -> usize {
    told(log, &["--totals"]).entries[0]["overhead"]["header_bytes"].as_u64().unwrap() as usize
}

#[test]
fn an_unfinished_log_is_read_up_to_its_last_whole_batch_wherever_it_ends() {
    let (guest, address) = kv(Engine::Soft, 18);
    let mut live = Live::start(guest);
    live.machine.wait_for("kv: ready");
    talk(&address, 5);
    live.signal("KILL");
    let recording = live.finish();
    let log = recording.log.path();
    let all = agrees(log, &["frame-input", "frame-output"]);

    let bytes = fs::read(log).unwrap();
    let (begin, cut) = (header_bytes(log), recording.guest.folder().join("cut"));
    let mut random = Random::new();
    for behind in random.places(PLACES, (bytes.len() - begin) as u64) {
        fs::write(&cut, &bytes[..bytes.len() - behind as usize]).unwrap();
        let entries = agrees(&cut, &[]);
        assert!(all.starts_with(&entries) && entries.len() < all.len(), "{behind} bytes less");
    }
}

#[test]
fn a_log_whose_monitor_died_while_it_closed_it_is_unfinished() {
    let (recording, open) = to_damage();
    let mut bytes = fs::read(recording.log.path()).unwrap();
    let state = bytes.windows(6).position(|word| word == b"closed").unwrap();
    bytes[state..state + 6].copy_from_slice(b"open  ");
    fs::write(&open, &bytes).unwrap();
    let entries = agrees(&open, &["end"]);
    assert_eq!(entries, agrees(recording.log.path(), &[]));
    // Within the index, and within the footer.
    for behind in [10, 40] {
        fs::write(&open, &bytes[..bytes.len() - behind]).unwrap();
        assert_eq!(agrees(&open, &[]), entries, "{behind} bytes less");
    }
}
