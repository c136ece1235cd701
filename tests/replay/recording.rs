//! A guest's run under `outlive record`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Engine, Guest, Running, output};
use crate::log_file::LogFile;

/// What most recordings are asked for: a divergence is to be found early, and told by name.
const DETAILED: &[&str] = &["--registers", "--digest-every", "1"];

/// A guest that is being recorded.
pub(crate) struct Live {
    pub(crate) machine: Running,
    log: LogFile,
    errors: PathBuf,
    disks: Vec<RecordedDisk>,
    guest: Guest,
}

/// A recording that has ended, and what it left.
pub(crate) struct Recording {
    pub(crate) log: LogFile,
    /// The exit status of the command.
    pub(crate) status: Option<i32>,
    /// What the guest has printed, byte for byte.
    pub(crate) console: Vec<u8>,
    /// What the command said on standard error.
    pub(crate) errors: String,
    /// The command's summary; `null` if it did not come to tell one.
    pub(crate) summary: Value,
    pub(crate) disks: Vec<RecordedDisk>,
    pub(crate) guest: Guest,
}

/// A disk of a machine that was recorded.
pub(crate) struct RecordedDisk {
    /// Its image, which the recording writes to.
    pub(crate) image: PathBuf,
    /// A copy of it from before the recording.
    pub(crate) before: PathBuf,
}

impl RecordedDisk {
    fn of(image: &Path, number: usize, folder: &Path) -> Self {
        let before = folder.join(format!("disk-{number}-before"));
        output("cp", &["--sparse=always", image.to_str().unwrap(), before.to_str().unwrap()]);
        Self { image: image.to_owned(), before }
    }
}

/// The command that records this guest into `log`.
pub(crate) fn record(guest: &Guest, log: &Path, options: &[&str]) -> Command {
    let mut command = guest.command_to("record");
    command.arg("--log").arg(log).args(options);
    command
}

impl Live {
    /// Starts to record a guest.
    pub(crate) fn start(guest: Guest) -> Self {
        Self::start_with(guest, DETAILED)
    }

    /// Starts to record a guest with these options.
    pub(crate) fn start_with(guest: Guest, options: &[&str]) -> Self {
        let folder = guest.folder();
        let log = LogFile::new(folder.join("log"), guest.configured_engine());
        let errors = folder.join("errors");
        let disks = guest.disks().iter().enumerate();
        let disks = disks.map(|(number, image)| RecordedDisk::of(image, number, folder)).collect();
        let mut command = record(&guest, log.path(), options);
        command.arg("--json").stderr(File::create(&errors).unwrap());
        let machine = Running::start(&mut command, folder.join("console"));
        Self { machine, log, errors, disks, guest }
    }

    /// Sends a signal to the command.
    pub(crate) fn signal(&self, name: &str) {
        output("kill", &[&format!("-{name}"), &self.machine.child.id().to_string()]);
    }

    /// Waits for the end of the guest.
    pub(crate) fn finish(mut self) -> Recording {
        let status = self.machine.end();
        let errors = fs::read_to_string(&self.errors).unwrap();
        let Self { machine, log, disks, guest, .. } = self;
        let (console, summary) = (machine.output(), summary(&errors));
        Recording { log, status, console, errors, summary, disks, guest }
    }
}

impl Recording {
    /// Records a guest that ends by itself.
    pub(crate) fn of(guest: Guest) -> Self {
        Live::start(guest).finish()
    }

    /// What the guest has printed.
    pub(crate) fn console(&self) -> String {
        String::from_utf8_lossy(&self.console).replace('\r', "")
    }

    /// The engine that it was recorded on.
    pub(crate) fn engine(&self) -> Engine {
        self.guest.configured_engine()
    }
}

/// The summary among what the command says on standard error.
pub(crate) fn summary(errors: &str) -> Value {
    errors.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null)
}
