//! Nothing that a rehearsal makes on the host outlives it.
//!
//! Namespaces, mounts and folders are guarded: dropping a [`Guard`] removes what it stands for, so a return and a panic both
//! clear up. A signal does the same ([`clear_on_signals`]). After SIGKILL nobody is left to do it, so their names tell
//! the process that made them, and the next rehearsal removes what belongs to no living process ([`sweep`]).
//! Processes need no guard for that: each is killed by the kernel when the thread that started it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::checkout::{is_there, run};

/// With what all names of namespaces begin; the number of the process follows.
const PREFIX: &str = "outlive-";
/// With what all names of folders begin; the number of the process follows.
const FOLDER: &str = "outlive-rehearsal-";

/// What is to be removed if a signal ends the process.
static TO_REMOVE: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

/// Something on the host that does not go away by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Leftover {
    Namespace(String),
    Mount(PathBuf),
    Folder(PathBuf),
}

impl Leftover {
    fn remove(&self) {
        let removed = match self {
            Self::Namespace(name) => run("ip", &["netns", "delete", name]).map(drop),
            Self::Mount(path) => unmount(path, UnmountFlags::DETACH).context("it stays mounted"),
            Self::Folder(path) => fs::remove_dir_all(path).context("it stays"),
        };
        if let Err(error) = removed {
            eprintln!("cannot remove {self:?}: {error:#}");
        }
    }
}

fn to_remove() -> MutexGuard<'static, Vec<Leftover>> {
    TO_REMOVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes something when it is dropped.
#[derive(Debug)]
pub struct Guard(Leftover);

impl Guard {
    /// Guards a network namespace.
    pub fn namespace(name: &str) -> Self {
        Self::of(Leftover::Namespace(name.to_owned()))
    }

    /// Guards a mounted file system.
    pub fn mount(path: &Path) -> Self {
        Self::of(Leftover::Mount(path.to_owned()))
    }

    /// Guards a folder with all that is in it.
    pub fn folder(path: &Path) -> Self {
        Self::of(Leftover::Folder(path.to_owned()))
    }

    /// Leaves what it stands for where it is, for good.
    pub fn disarm(self) {
        to_remove().retain(|leftover| *leftover != self.0);
        std::mem::forget(self);
    }

    fn of(leftover: Leftover) -> Self {
        to_remove().push(leftover.clone());
        Self(leftover)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut list = to_remove();
        list.retain(|leftover| *leftover != self.0);
        self.0.remove();
    }
}

/// From now on SIGINT, SIGTERM and SIGHUP clear up and end the process, with status 128 and the signal's number.
///
/// # Errors
/// When the host does not let us catch signals.
pub fn clear_on_signals() -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("cannot catch signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Held to the end, so that nothing is made meanwhile.
            let list = to_remove();
            list.iter().rev().for_each(Leftover::remove);
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// A name for what this process makes, `part` of the rehearsal of this number.
pub fn name(rehearsal: u32, part: &str) -> String {
    format!("{PREFIX}{}-{rehearsal}-{part}", std::process::id())
}

/// A folder of this process's own, for a rehearsal of this number.
pub fn folder(rehearsal: u32) -> PathBuf {
    std::env::temp_dir().join(format!("{FOLDER}{}-{rehearsal}", std::process::id()))
}

/// Removes what killed rehearsals have left: namespaces, the processes in them, and mounts. Their folders stay, for
/// they may be wanted as evidence.
///
/// # Errors
/// When the host does not tell what there is.
pub fn sweep() -> anyhow::Result<()> {
    let names = match fs::read_dir("/run/netns") {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
        Err(_) => Vec::new(),
    };
    for name in names.iter().filter(|name| is_abandoned(name, PREFIX)) {
        for line in run("ip", &["netns", "pids", name])?.lines() {
            if let Some(process) = line.trim().parse().ok().and_then(Pid::from_raw) {
                // It may have ended by itself.
                let _ = kill_process(process, Signal::KILL);
            }
        }
        Leftover::Namespace(name.clone()).remove();
    }
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the list of mounts")?;
    for path in mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new) {
        let folder = path.ancestors().filter_map(|folder| folder.file_name()?.to_str());
        if folder.into_iter().any(|name| is_abandoned(name, FOLDER)) {
            Leftover::Mount(path.to_owned()).remove();
        }
    }
    Ok(())
}

/// Whether this is a name of ours, and the process that made it is gone.
fn is_abandoned(name: &str, prefix: &str) -> bool {
    let process = name.strip_prefix(prefix).and_then(|rest| rest.split('-').next());
    let process = process.and_then(|digits| digits.parse::<u32>().ok());
    process.is_some_and(|process| !is_there(&PathBuf::from(format!("/proc/{process}"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_dead_rehearsal_made_is_abandoned() {
        // No process has this number: it is above the kernel's limit (PID_MAX_LIMIT).
        assert!(is_abandoned("outlive-4194305-0-a", PREFIX));
        assert!(!is_abandoned(&name(0, "a"), PREFIX));
        for foreign in ["outlive-", "outlive-x-a", "other-4194305-0-a", ""] {
            assert!(!is_abandoned(foreign, PREFIX), "{foreign}");
        }
    }
}
