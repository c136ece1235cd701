//! One process of a pair.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::checkout::outlive;
use crate::event::{Event, EventKind};
use crate::topology::Namespace;

/// How often a side is looked at.
const GLANCE: Duration = Duration::from_millis(2);

/// A side of a pair: a process and what it says. Dropping it kills the process.
#[derive(Debug)]
pub struct Side {
    name: &'static str,
    process: Child,
    ended: Option<ExitStatus>,
    console: PathBuf,
    errors: PathBuf,
    history: PathBuf,
}

impl Side {
    /// Starts `outlive NAME WORDS` in a namespace. The kernel kills it when the calling thread ends.
    pub(super) fn start(
        name: &'static str,
        namespace: &Namespace,
        folder: &Path,
        words: &[String],
    ) -> anyhow::Result<Self> {
        let console = folder.join(format!("{name}.console"));
        let errors = folder.join(format!("{name}.events"));
        let history = folder.join(format!("{name}.history"));
        let create =
            |path: &Path| File::create(path).with_context(|| format!("cannot make {}", path.display()));
        // Both programs become what they are told to start, so this is the process of `outlive` itself.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "ip", "netns", "exec", namespace.name()])
            .arg(outlive()?)
            .args(["--trace-format", "json", name])
            .args(words)
            .arg("--history")
            .arg(&history)
            // What is told by default is what is looked for.
            .env_remove("OUTLIVE_TRACE")
            .env("OUTLIVE_CACHE", folder.join("cache"))
            .stdin(Stdio::null())
            .stdout(create(&console)?)
            .stderr(create(&errors)?)
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        Ok(Self { name, process, ended: None, console, errors, history })
    }

    /// What it was started as.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The file in which it keeps what it goes through.
    pub(crate) fn history(&self) -> &Path {
        &self.history
    }

    /// Sends it a signal. One that has ended gets none.
    ///
    /// # Errors
    /// When the host does not let us.
    pub fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        if self.ended()?.is_none()
            && let Some(process) = Pid::from_raw(self.process.id() as i32)
        {
            kill_process(process, signal)
                .with_context(|| format!("cannot send {signal:?} to the {}", self.name))?;
        }
        Ok(())
    }

    /// How it has ended, as a shell would tell: the status, or 128 and the number of the signal. `None` while it runs.
    ///
    /// # Errors
    /// When the host does not tell.
    pub fn ended(&mut self) -> anyhow::Result<Option<i32>> {
        if self.ended.is_none() {
            self.ended = self.process.try_wait().context("the host does not tell about its process")?;
        }
        Ok(self.ended.and_then(|status| status.code().or(status.signal().map(|signal| 128 + signal))))
    }

    /// Waits for its end and returns the status.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait_for_end(&mut self, patience: Duration) -> anyhow::Result<i32> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if began.elapsed() > patience {
                bail!("the {} does not end within {patience:?}", self.name);
            }
            thread::sleep(GLANCE);
        }
    }

    /// All events so far.
    ///
    /// # Errors
    /// When what it said cannot be read.
    pub fn events(&self) -> anyhow::Result<Vec<Event>> {
        Ok(self.said()?.lines().filter_map(Event::parse).collect())
    }

    /// The first event of a kind, if it has happened.
    ///
    /// # Errors
    /// As for [`events`](Self::events).
    pub fn event(&self, kind: &EventKind) -> anyhow::Result<Option<Event>> {
        Ok(self.events()?.into_iter().find(|event| event.kind == *kind))
    }

    /// Waits for an event, which may have happened already.
    ///
    /// # Errors
    /// When it does not happen in time, or the process has ended without it.
    pub fn wait_for(&mut self, kind: &EventKind, patience: Duration) -> anyhow::Result<Event> {
        self.wait(&format!("event `{kind}`"), patience, |side| side.event(kind))
    }

    /// Waits until the guest has printed this.
    ///
    /// # Errors
    /// As for [`wait_for`](Self::wait_for).
    pub(super) fn wait_for_console(&mut self, text: &str, patience: Duration) -> anyhow::Result<()> {
        self.wait(&format!("`{text}` on the console"), patience, |side| {
            Ok(String::from_utf8_lossy(&side.printed()?).contains(text).then_some(()))
        })
    }

    fn wait<T>(
        &mut self,
        what: &str,
        patience: Duration,
        look: impl Fn(&Self) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let began = Instant::now();
        loop {
            // In this order: the last words of one that ends are not missed.
            let ended = self.ended()?;
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if let Some(status) = ended {
                bail!(
                    "the {} ended with status {status}, without {what}; it said: {}",
                    self.name,
                    self.last_words()
                );
            }
            if began.elapsed() > patience {
                bail!("the {} has no {what} within {patience:?}; it said: {}", self.name, self.last_words());
            }
            thread::sleep(GLANCE);
        }
    }

    /// All that it said on standard error, but a line that is not complete yet.
    fn said(&self) -> anyhow::Result<String> {
        let bytes =
            fs::read(&self.errors).with_context(|| format!("cannot read {}", self.errors.display()))?;
        let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    /// What it said on standard error beside what it tells programs.
    ///
    /// # Errors
    /// When what it said cannot be read.
    pub fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let is_for_programs = |line: &str| line.starts_with('{');
        Ok(self.said()?.lines().filter(|line| !is_for_programs(line)).map(str::to_owned).collect())
    }

    /// What the guest has printed on this side.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn printed(&self) -> anyhow::Result<Vec<u8>> {
        fs::read(&self.console).context("cannot read the console")
    }

    /// The last lines of what it said.
    pub fn last_words(&self) -> String {
        let said = self.said().unwrap_or_default();
        let lines: Vec<_> = said.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" | ")
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // A process that is stopped is killed all the same.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
