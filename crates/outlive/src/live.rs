//! What `run` and `record` have in common: a machine of a configuration, connected to the host.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use outlive_engine::{GuestTime, Kicker};
use outlive_machine::host::console::{Console, ConsoleConfig};
use outlive_machine::host::disk::{DiskImage, Sharing};
use outlive_machine::host::fence::Fence;
use outlive_machine::host::live::{Connections, LiveWorld};
use outlive_machine::host::tap::Tap;
use outlive_machine::machine::Stop;

use crate::config::{self, Config};
use crate::failure::Failure;
use crate::images::Images;
use crate::signals::{CaughtSignals, SignalWatch};

/// A configuration, and what it names: nothing of the host has been changed yet.
#[derive(Debug)]
pub(crate) struct Preparation {
    /// The configuration.
    pub(crate) config: Config,
    /// What the machine boots.
    pub(crate) images: Images,
    /// Its disks, locked.
    pub(crate) disks: Vec<DiskImage>,
}

impl Preparation {
    /// Reads a configuration, and what it names.
    ///
    /// # Errors
    /// When something of it is not acceptable.
    pub(crate) fn of(path: &Path) -> Result<Self, Failure> {
        let config = Config::read(path).map_err(Failure::usage)?;
        Self::of_config(config, path, Sharing::Alone)
    }

    /// Reads what the configuration names that was read from `path`; its disks are shared in this way.
    ///
    /// # Errors
    /// When something of it is not acceptable.
    pub(crate) fn of_config(config: Config, path: &Path, sharing: Sharing) -> Result<Self, Failure> {
        check_console(&config, path).map_err(Failure::usage)?;
        let images = Images::of_config(&config).map_err(Failure::usage)?;
        let open = |disk: &config::Disk| DiskImage::open_shared(&disk.path, disk.read_only, sharing);
        let disks = config.disk.iter().map(open);
        let disks = disks.collect::<Result<_, _>>().map_err(Failure::usage)?;
        Ok(Self { config, images, disks })
    }
}

/// A connection to the host, and the signals that end it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The live world.
    pub(crate) world: LiveWorld,
    /// The watch.
    pub(crate) signals: SignalWatch,
}

impl Connection {
    /// Connects a machine to the host: TAPs, signals, then the console, which may be the person's terminal.
    ///
    /// # Errors
    /// When the host refuses something.
    pub(crate) fn establish(config: &Config, disks: Vec<DiskImage>, kicker: Kicker) -> Result<Self, Failure> {
        let networks = open_networks(config)?;
        let signals = CaughtSignals::catch().context("cannot catch signals").map_err(Failure::runtime)?;
        let console = open_console(config)?;
        let connections = Connections { console, disks, networks, fence: Fence::new_open() };
        let world = LiveWorld::connected(connections, GuestTime::BOOT, kicker);
        let world = world.context("cannot connect the machine to the host").map_err(Failure::runtime)?;
        let stop = world.stop_handle();
        let signals = SignalWatch::start(signals, move || stop.stop());
        let signals = signals.context("cannot watch for signals").map_err(Failure::runtime)?;
        Ok(Self { world, signals })
    }
}

/// Attaches the machine's TAPs.
///
/// # Errors
/// When the host refuses one.
pub(crate) fn open_networks(config: &Config) -> Result<Vec<Tap>, Failure> {
    let networks = config.network.iter().map(|network| Tap::open(&network.tap()));
    networks.collect::<Result<_, _>>().map_err(Failure::runtime)
}

/// Opens the console, and tells where it is if that is not plain to see.
///
/// # Errors
/// When the host refuses it.
pub(crate) fn open_console(config: &Config) -> Result<Console, Failure> {
    let console = Console::open(&config.console()).map_err(Failure::runtime)?;
    if let Some(terminal) = console.terminal() {
        eprintln!("outlive: the console is {}", terminal.display());
    }
    Ok(console)
}

/// Tells how the machine ended.
pub(crate) fn finish(stop: Stop, signal: Option<u8>) -> Result<ExitCode, Failure> {
    match stop {
        Stop::PowerOff | Stop::Reset | Stop::DebugExit(0) => Ok(ExitCode::SUCCESS),
        Stop::Requested | Stop::Reached => {
            Ok(signal.map_or(ExitCode::SUCCESS, |signal| ExitCode::from(128 + signal)))
        }
        Stop::DebugExit(number) => {
            Err(Failure::runtime(anyhow::anyhow!("the guest ended itself with failure number {number}")))
        }
        Stop::TripleFault(report) => {
            eprintln!("{report}");
            Err(Failure::runtime(anyhow::anyhow!("the guest was stopped: its processor met a triple fault")))
        }
        Stop::Refused { what, report } => {
            eprintln!("{report}");
            Err(Failure::runtime(anyhow::anyhow!("the guest was stopped: {what}")))
        }
    }
}

/// The files that the machine reads or writes, but for its console.
pub(crate) fn own_files<'a>(config: &'a Config, path: &'a Path) -> impl Iterator<Item = &'a Path> {
    let images = [path, &config.kernel].into_iter().chain(config.initramfs.as_deref());
    images.chain(config.disk.iter().map(|disk| disk.path.as_path()))
}

/// The console's file is emptied, so it must not be one of the machine's own.
fn check_console(config: &Config, path: &Path) -> anyhow::Result<()> {
    let ConsoleConfig::File(console) = config.console() else { return Ok(()) };
    match own_files(config, path).find(|file| are_same(file, &console)) {
        Some(file) => {
            anyhow::bail!("the console cannot go to {}: the machine needs what is in it", file.display())
        }
        None => Ok(()),
    }
}

/// Whether two paths lead to one file, by whatever links, or would if it were created.
pub(crate) fn are_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (Err(_), Err(_)) => new_path(one).is_some_and(|one| Some(one) == new_path(other)),
        _ => false,
    }
}

/// The path of a file that is not there yet, without links.
fn new_path(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Some(folder.canonicalize().ok()?.join(path.file_name()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_recognized_by_whatever_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::write(path("other"), "").unwrap();
        fs::create_dir(path("folder")).unwrap();
        fs::hard_link(path("file"), path("hard")).unwrap();
        std::os::unix::fs::symlink(path("file"), path("soft")).unwrap();
        for same in ["file", "hard", "soft", "folder/../file"] {
            assert!(are_same(&path("file"), &path(same)), "{same}");
        }
        assert!(!are_same(&path("file"), &path("other")));
        assert!(!are_same(&path("file"), &path("new")));
        assert!(are_same(&path("new"), &path("folder/../new")), "both would be created");
        assert!(!are_same(&path("new"), &path("folder/new")));
    }
}
