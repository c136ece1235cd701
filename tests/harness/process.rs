//! The command while it runs, and how it ended.

use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The command under test.
pub(crate) const OUTLIVE: &str = env!("CARGO_BIN_EXE_outlive");

/// How long a guest may take before the test gives up on it: far beyond what any host needs.
fn patience() -> Duration {
    Duration::from_secs(100) + 10 * seconds_to_record()
}

/// How long the longest recording of a test goes on: by the environment variable `OUTLIVE_RECORD_SECONDS`.
pub(crate) fn seconds_to_record() -> Duration {
    let given = std::env::var("OUTLIVE_RECORD_SECONDS").ok();
    let seconds = given.map_or(6, |text| text.parse().expect("OUTLIVE_RECORD_SECONDS is a number"));
    Duration::from_secs(seconds)
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Finished {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (console, errors) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if begun.elapsed() > patience() {
            child.kill().unwrap();
            panic!(
                "the command does not end; it said: {}{}",
                text(&console.join().unwrap()),
                text(&errors.join().unwrap())
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (output, errors) = (console.join().unwrap(), errors.join().unwrap());
    Finished { status, console: text(&output), errors: text(&errors), output }
}

/// Reads to the end, beside everything else.
fn read_all(from: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Output as text, without the carriage returns of a terminal.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\r', "")
}

/// How a command ended.
pub(crate) struct Finished {
    pub(crate) status: Option<i32>,
    /// Its standard output: mostly the guest's console.
    pub(crate) console: String,
    /// Its standard error.
    pub(crate) errors: String,
    /// Its standard output, byte for byte.
    pub(crate) output: Vec<u8>,
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, console, errors, output: _ } = self;
        write!(f, "status {status:?}, standard output:\n{console}\nstandard error:\n{errors}")
    }
}

/// A machine that is running. Dropping it kills it.
pub(crate) struct Running {
    pub(crate) child: Child,
    console: PathBuf,
}

impl Running {
    /// Starts a command; its standard output goes to the file `console`.
    pub(crate) fn start(command: &mut Command, console: PathBuf) -> Self {
        let output = File::create(&console).unwrap();
        let child = command.stdin(Stdio::piped()).stdout(output).spawn().unwrap();
        Self { child, console }
    }

    /// What the guest has printed so far.
    pub(crate) fn console(&self) -> String {
        text(&self.output())
    }

    /// The same, byte for byte.
    pub(crate) fn output(&self) -> Vec<u8> {
        fs::read(&self.console).unwrap()
    }

    /// Waits until the guest has printed `text`.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let begun = Instant::now();
        while !self.console().contains(text) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "the machine ended ({ended:?}) before it said {text:?}:\n{}",
                self.console()
            );
            assert!(begun.elapsed() < patience(), "the guest does not say {text:?}:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types at the guest's console.
    pub(crate) fn type_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(line.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
    }

    /// Waits for the machine's end and returns its exit status.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < patience(), "the machine does not end:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
