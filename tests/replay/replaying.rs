//! The run of a guest again, under `outlive replay`, and what it must have in common with the first one.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Engine, Finished, OUTLIVE, finish, in_lab};
use crate::log_file::LogFile;
use crate::recording::{Recording, summary};

/// How much is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Comparison {
    /// Everything.
    Whole,
    /// Everything but memory.
    WithoutMemory,
}

/// What a replay left.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) finished: Finished,
    /// Its summary, or the report of its divergence; `null` if there is none.
    pub(crate) summary: Value,
}

/// The command that replays a log.
pub(crate) fn replay(log: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(OUTLIVE);
    command.arg("replay").arg(log).args(options);
    command
}

/// Replays a log to its end, or to that of the replay.
pub(crate) fn replayed(log: &Path, engine: Engine, options: &[&str]) -> Replayed {
    run(replay(log, options).args(["--engine", engine.name(), "--console", "--json"]))
}

fn run(command: &mut Command) -> Replayed {
    let finished = finish(command);
    let summary = summary(&finished.errors);
    Replayed { finished, summary }
}

impl Recording {
    /// Replays this on each engine that can, and compares everything.
    pub(crate) fn is_replayed(&self) {
        self.is_replayed_on(self.engine(), Comparison::Whole);
        if self.other_engine_agrees() {
            self.is_replayed_on(Engine::Soft, Comparison::Whole);
        }
    }

    /// The same for a guest that takes faults. The lab's emulator does not set RF in the flags that a fault pushes,
    /// as a processor does (Intel SDM volume 3, 18.3.1.1). What was once pushed stays in memory below the stack, so
    /// memory is not compared between the engines there.
    pub(crate) fn is_replayed_with_faults(&self) {
        self.is_replayed_on(self.engine(), Comparison::Whole);
        if self.other_engine_agrees() {
            let comparison = if in_lab() { Comparison::WithoutMemory } else { Comparison::Whole };
            self.is_replayed_on(Engine::Soft, comparison);
        }
    }

    /// Whether this was recorded on KVM, and on one where a guest is the same machine as on `soft`. One that
    /// interprets ring 0 opens no window for interrupts: they come at exits only, where `soft` has them earlier.
    pub(crate) fn other_engine_agrees(&self) -> bool {
        self.engine() == Engine::Kvm && Engine::Kvm.runs_linux()
    }

    /// Replays this, whose log tells no state in the end, on each engine: it ends in the same way.
    pub(crate) fn ends_likewise(&self) {
        assert!(self.summary["digests"].is_null(), "{}", self.summary);
        for engine in [self.engine(), Engine::Soft] {
            let replayed = self.replayed(engine, &[]);
            assert_eq!(replayed.finished.status, Some(0), "{engine:?}: {:?}", replayed.finished);
            for key in ["exits", "entries", "guest_nanoseconds"] {
                assert_eq!(replayed.summary[key], self.summary[key], "{key} on {engine:?}");
            }
        }
    }

    /// Replays this on an engine, to whatever end.
    pub(crate) fn replayed(&self, engine: Engine, options: &[&str]) -> Replayed {
        self.log.replayed(engine, options)
    }

    /// Replays this on an engine and compares: the state in the end, the console, the disks.
    pub(crate) fn is_replayed_on(&self, engine: Engine, comparison: Comparison) {
        self.log.is_replayed_on(engine);
        assert!(self.summary["digests"].is_object(), "{}", self.errors);
        let folder = TempDir::new().unwrap();
        let mut command = replay(self.log.path(), &["--engine", engine.name(), "--console", "--json"]);
        if comparison == Comparison::WithoutMemory {
            command.args(["--check", "registers"]);
        }
        let disks = self.with_disks(&mut command, folder.path());
        let replayed = run(&mut command);
        assert_eq!(replayed.finished.status, Some(0), "{engine:?}: {:?}", replayed.finished);
        self.compare_summaries(&replayed.summary, engine, comparison);
        assert!(self.console == replayed.finished.output, "console on {engine:?}: {:?}", replayed.finished);
        for (disk, replayed) in self.disks.iter().zip(disks) {
            assert!(are_equal(&disk.image, &replayed), "disk {} differs on {engine:?}", disk.image.display());
        }
    }

    /// Makes the command write each disk in the end, and returns these files.
    fn with_disks(&self, command: &mut Command, folder: &Path) -> Vec<PathBuf> {
        let mut outs = Vec::new();
        for (number, disk) in self.disks.iter().enumerate() {
            let out = folder.join(format!("disk-{number}"));
            command.arg("--disk-out").arg(format!("{number}={}", out.display()));
            command.arg("--disk").arg(format!("{number}={}", disk.before.display()));
            outs.push(out);
        }
        outs
    }

    fn compare_summaries(&self, replayed: &Value, engine: Engine, comparison: Comparison) {
        let recorded = &self.summary;
        let mut keys =
            vec!["landmark", "exits", "guest_nanoseconds", "entries", "log_bytes", "/digests/registers"];
        keys.extend(["/digests/devices", "/digests/disks"]);
        if comparison == Comparison::Whole {
            keys.push("/digests/memory");
        }
        if engine == self.engine() {
            keys.push("instructions");
        }
        for key in keys {
            let pointer = format!("/{}", key.trim_start_matches('/'));
            let (recorded, replayed) = (recorded.pointer(&pointer), replayed.pointer(&pointer));
            assert!(recorded.is_some(), "a recording tells {key}: {}", self.summary);
            assert_eq!(recorded, replayed, "{key} on {engine:?}");
        }
        let compared = replayed["digests_compared"].as_u64();
        assert!(compared.is_some_and(|compared| compared > 0), "no digest was compared: {replayed}");
    }
}

impl LogFile {
    /// Replays the log on an engine, to whatever end.
    pub(crate) fn replayed(&self, engine: Engine, options: &[&str]) -> Replayed {
        self.is_replayed_on(engine);
        replayed(self.path(), engine, options)
    }
}

/// Whether two files have the same contents.
fn are_equal(one: &Path, other: &Path) -> bool {
    let [mut one, mut other] = [one, other].map(|path| File::open(path).unwrap());
    if one.metadata().unwrap().len() != other.metadata().unwrap().len() {
        return false;
    }
    let [mut left, mut right] = [vec![0; 1 << 20], vec![0; 1 << 20]];
    loop {
        let length = one.read(&mut left).unwrap();
        if length == 0 {
            return true;
        }
        other.read_exact(&mut right[..length]).unwrap();
        if left[..length] != right[..length] {
            return false;
        }
    }
}

/// Checks that a command was refused with `status` and one line that has all of `words`.
pub(crate) fn refused(finished: &Finished, status: i32, words: &[&str]) {
    assert_eq!(finished.status, Some(status), "{finished:?}");
    let lines: Vec<_> = finished.errors.lines().filter(|line| line.starts_with("outlive: ")).collect();
    assert_eq!(lines.len(), 1, "{finished:?}");
    for word in words {
        assert!(lines[0].contains(word), "no {word:?} in {finished:?}");
    }
}

/// A file like `from`, with one byte changed.
pub(crate) fn with_one_byte_changed(from: &Path, to: &Path, offset: usize, change: u8) {
    let mut bytes = fs::read(from).unwrap();
    bytes[offset] ^= change;
    fs::write(to, bytes).unwrap();
}
