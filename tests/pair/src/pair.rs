//! A primary and a backup, each on its host, and all that they need.

mod configuration;
mod folder;
mod side;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::mount::{MountFlags, mount};
use serde_json::Value;

use crate::checkout::{outlive, run};
use crate::client::Service;
use crate::event::{Event, EventKind};
use crate::leftovers::Guard;
use crate::proxy::Proxy;
use crate::topology::{Host, Topology};
pub use configuration::{Channel, Engine, NAME, Settings};
pub use folder::Folder;
pub use side::Side;

/// How long a guest may take to boot: far longer than it takes on any host. In the lab, where two Linux share one emulated
/// processor, it takes minutes.
pub const BOOT: Duration = Duration::from_secs(600);
/// How long anything else may take that a rehearsal waits for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where the primary listens for its backup.
const PORT: u16 = 7070;

/// A running pair. Dropping it kills both sides and removes all that was made for them.
// Fields are dropped in this order: processes before what they use.
#[derive(Debug)]
pub struct Pair {
    /// The side that was started as the primary, on host A.
    pub primary: Side,
    /// The side that was started as the backup, on host B.
    pub backup: Side,
    /// The relay on the logging channel, if one was asked for.
    pub proxy: Option<Proxy>,
    /// The network.
    pub topology: Topology,
    _small: Option<Guard>,
    /// Logs, images, and what both sides said.
    pub folder: Folder,
}

impl Pair {
    /// Starts a pair and waits until its guest serves, protected.
    ///
    /// # Errors
    /// When something is missing, or does not come about in time.
    pub fn start(settings: &Settings, mut folder: Folder) -> anyhow::Result<Self> {
        // Whatever goes wrong, its evidence is kept.
        let (path, was_kept) = (folder.path().to_owned(), folder.is_kept());
        folder.keep();
        let mut pair =
            Self::build(settings, folder).with_context(|| format!("its folder is {}", path.display()))?;
        if !was_kept {
            pair.folder.remove();
        }
        Ok(pair)
    }

    fn build(settings: &Settings, folder: Folder) -> anyhow::Result<Self> {
        let topology = Topology::new()?;
        let config = settings.write(folder.path())?;
        fs::create_dir_all(arbiter(folder.path())).context("cannot make the arbiter's directory")?;
        let security = security(settings.channel, folder.path())?;

        let small = settings.log_space.map(|bytes| small_folder(&folder, bytes)).transpose()?;
        let (listen, connect) = addresses(settings.channel);
        let mut words = vec![text(&config)?.to_owned(), "--listen".to_owned(), listen.to_string()];
        let log = primary_log(folder.path(), settings.log_space.is_some());
        words.extend(options(&folder, &security, "primary", &log)?);
        let mut primary = Side::start("primary", topology.host(Host::A), folder.path(), &words)?;
        primary.wait_for(&EventKind::Listening, PATIENCE)?;

        let (from, to) = ((topology.host(Host::B), connect), (topology.host(Host::A), listen));
        let proxy = match settings.channel {
            Channel::Direct => None,
            Channel::Relayed => Some(Proxy::start(from, to)?),
            Channel::Read => Some(Proxy::start_reading(from, to)?),
        };
        let mut words = vec![text(&config)?.to_owned(), "--connect".to_owned(), connect.to_string()];
        words.extend(options(&folder, &security, "backup", &backup_log(folder.path()))?);
        words.push("--digest-at-go-live".to_owned());
        let mut backup = Side::start("backup", topology.host(Host::B), folder.path(), &words)?;
        // A backup that cannot start tells more than a primary that waits for it.
        backup.wait_for(&EventKind::Connected, PATIENCE)?;
        primary.wait_for(&EventKind::Protected, BOOT)?;
        primary.wait_for_console(settings.ready(), BOOT)?;
        Ok(Self { primary, backup, proxy, topology, _small: small, folder })
    }

    /// The side on a host.
    pub fn side(&mut self, host: Host) -> &mut Side {
        match host {
            Host::A => &mut self.primary,
            Host::B => &mut self.backup,
        }
    }

    /// What the backup told of its state when it took over, if it did: a landmark and digests.
    ///
    /// # Errors
    /// When what it said cannot be read.
    pub fn taken_over(&self) -> anyhow::Result<Option<Event>> {
        let live = self.backup.event(&EventKind::Live)?;
        Ok(if live.is_some() { self.backup.event(&EventKind::Replayed)? } else { None })
    }

    /// The primary's event log.
    pub fn log(&self) -> PathBuf {
        primary_log(self.folder.path(), self._small.is_some())
    }

    /// The backup's event log.
    pub fn backup_log(&self) -> PathBuf {
        backup_log(self.folder.path())
    }

    /// Where the page is put that tells of the rehearsal.
    pub fn page(&self) -> PathBuf {
        self.folder.path().join("report.html")
    }

    /// Where that part of the log is put that the backup had when it took over.
    pub fn received_log(&self) -> PathBuf {
        self.folder.path().join("received.log")
    }

    /// The image of the guest's disk, if it has one.
    pub fn disk(&self, service: Service) -> Option<PathBuf> {
        (service == Service::Redis).then(|| self.folder.path().join(configuration::DISK))
    }

    /// Takes the arbiter's directory away from both hosts, or brings it back.
    ///
    /// # Errors
    /// When it is not there to be taken or brought.
    pub fn take_arbiter_away(&self, away: bool) -> anyhow::Result<()> {
        let here = self.folder.path().join(configuration::SHARED);
        let there = self.folder.path().join("away");
        let (from, to) = if away { (here, there) } else { (there, here) };
        fs::rename(from, to).context("cannot move the arbiter's directory")
    }

    /// The role of the side that the arbiter lets go on alone; `None` while no side has claimed that.
    ///
    /// # Errors
    /// When `outlive arbiter show` fails, or tells something else.
    pub fn winner(&self) -> anyhow::Result<Option<String>> {
        let directory = arbiter(self.folder.path());
        let told = run(text(&outlive()?)?, &["arbiter", "show", text(&directory)?, NAME, "--json"])?;
        let told: Value =
            serde_json::from_str(&told).context("`outlive arbiter show --json` prints no JSON")?;
        let generations = told["machines"][0]["generations"].as_array();
        let last = generations.and_then(|list| list.last()).context("the arbiter knows no generation")?;
        Ok(last["claimed"]["by"]["role"].as_str().map(str::to_owned))
    }
}

/// Options that both sides have.
fn options(folder: &Folder, security: &[String], side: &str, log: &Path) -> anyhow::Result<Vec<String>> {
    let control = folder.path().join(format!("{side}.control"));
    let words = ["--log", text(log)?, "--control", text(&control)?];
    Ok(security.iter().cloned().chain(words.map(str::to_owned)).collect())
}

/// How both sides know each other. Keys are made if they are needed.
fn security(channel: Channel, folder: &Path) -> anyhow::Result<Vec<String>> {
    if channel == Channel::Read {
        return Ok(vec!["--plain".to_owned()]);
    }
    let keys = folder.join("keys");
    run(text(&outlive()?)?, &["keys", text(&keys)?])?;
    Ok(vec!["--keys".to_owned(), text(&keys)?.to_owned()])
}

/// Where the primary listens, and what the backup connects to.
fn addresses(channel: Channel) -> (SocketAddr, SocketAddr) {
    let address = |address: Ipv4Addr| SocketAddr::from((address, PORT));
    let (primary, relay) = (address(Host::A.address()), address(Host::B.address()));
    // Only there do sides do without keys.
    let here = address(Ipv4Addr::LOCALHOST);
    match channel {
        Channel::Direct => (primary, primary),
        Channel::Relayed => (primary, relay),
        Channel::Read => (here, here),
    }
}

fn arbiter(folder: &Path) -> PathBuf {
    folder.join(configuration::SHARED).join("arbiter")
}

fn primary_log(folder: &Path, is_small: bool) -> PathBuf {
    if is_small { folder.join("small/primary.log") } else { folder.join("primary.log") }
}

fn backup_log(folder: &Path) -> PathBuf {
    folder.join("backup.log")
}

/// A folder with room for so many bytes.
fn small_folder(folder: &Folder, bytes: u64) -> anyhow::Result<Guard> {
    let path = folder.path().join("small");
    fs::create_dir(&path).context("cannot make the small folder")?;
    let options = std::ffi::CString::new(format!("size={bytes}"))?;
    mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))
        .context("cannot mount a small file system")?;
    Ok(Guard::mount(&path))
}

/// A path as text.
fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is no text", path.display()))
}
