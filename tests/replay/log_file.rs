//! The log of a test, which is kept if the test fails.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Engine, OUTLIVE};

/// Where the logs of tests that failed are kept: in the folder of cargo's output.
pub(crate) fn failed_replays() -> PathBuf {
    Path::new(OUTLIVE).ancestors().nth(2).unwrap().join("failed-replays")
}

/// A log. If the test fails, a copy is kept, and the command that replays it is printed.
pub(crate) struct LogFile {
    path: PathBuf,
    /// The engine that replayed it last.
    replayed_on: Cell<Engine>,
}

impl LogFile {
    /// The log of a guest that this engine records.
    pub(crate) fn new(path: PathBuf, recorded_on: Engine) -> Self {
        Self { path, replayed_on: Cell::new(recorded_on) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes note of which engine replays it now.
    pub(crate) fn is_replayed_on(&self, engine: Engine) {
        self.replayed_on.set(engine);
    }

    fn keep(&self) -> std::io::Result<PathBuf> {
        let folder = failed_replays();
        fs::create_dir_all(&folder)?;
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test").replace("::", "-");
        let kept = folder.join(format!("{test}.log"));
        fs::copy(&self.path, &kept)?;
        Ok(kept)
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        if !std::thread::panicking() || !self.path.exists() {
            return;
        }
        let engine = self.replayed_on.get().name();
        match self.keep() {
            Ok(kept) => eprintln!("to replay: {OUTLIVE} replay {} --engine {engine}", kept.display()),
            Err(error) => eprintln!("the log {} is not kept: {error}", self.path.display()),
        }
    }
}
