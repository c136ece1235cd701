//! What is rehearsed with: the guest, its engine, and how fast a failure is suspected.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::checkout::{image, run};
use crate::client::Service;
use crate::topology::{BRIDGE, GUEST, TAP};

/// The name of the virtual machine in the arbiter's directory.
pub const NAME: &str = "rehearsal";
/// What both hosts mount, in the rehearsal's folder. The arbiter's directory is in it.
pub(super) const SHARED: &str = "shared";
/// The image of the guest's disk, in the rehearsal's folder.
pub(super) const DISK: &str = "disk.img";

/// What executes the guest.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// Whatever the host can do.
    Auto,
    /// The host's KVM.
    Kvm,
    /// The processor in software.
    Soft,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kvm => "kvm",
            Self::Soft => "soft",
        }
    }
}

/// What carries the logging channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// The network between the hosts.
    Direct,
    /// A [`Proxy`](crate::proxy::Proxy) on it.
    Relayed,
    /// A [`Proxy`](crate::proxy::Proxy) that knows what it carries: the pair has no keys, and each side is told that
    /// the other one is on its own host.
    Read,
}

/// What a pair is like.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What executes the guest.
    pub engine: Engine,
    /// Which guest.
    pub service: Service,
    /// The silence after which a side is suspected.
    pub suspect_after: Duration,
    /// The primary is slowed when the backup has executed nothing of what is so old.
    pub lag_limit: Duration,
    /// What carries the logging channel.
    pub channel: Channel,
    /// How many bytes there are for the primary's log; `None` for as many as it takes.
    pub log_space: Option<u64>,
}

impl Settings {
    /// The defaults of a pair, with this guest on this engine.
    pub fn new(engine: Engine, service: Service) -> Self {
        let (suspect_after, lag_limit) = (Duration::from_millis(200), Duration::from_millis(100));
        Self { engine, service, suspect_after, lag_limit, channel: Channel::Direct, log_space: None }
    }

    /// What the guest prints when it serves.
    pub(super) fn ready(&self) -> &'static str {
        match self.service {
            Service::Kv => "kv: ready",
            Service::Redis => "outlive: ready",
        }
    }

    /// Writes the configuration, which is the same file for both hosts, and the disk's image.
    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let guest = match self.service {
            Service::Kv => bare()?,
            Service::Redis => linux(folder)?,
        };
        let (engine, folder_name) = (self.engine.name(), folder.display());
        let (suspect, lag) = (self.suspect_after.as_millis(), self.lag_limit.as_millis());
        let text = format!(
            r#"engine = "{engine}"
console = "stdio"
{guest}
[[network]]
tap = "{TAP}"
bridge = "{BRIDGE}"

[pair]
name = "{NAME}"
arbiter = "{folder_name}/{SHARED}/arbiter"
suspect-after = "{suspect}ms"
lag-limit = "{lag}ms"
"#
        );
        let path = folder.join("machine.toml");
        fs::write(&path, text).context("cannot write the configuration")?;
        Ok(path)
    }
}

fn bare() -> anyhow::Result<String> {
    let kernel = image("bare/kv.elf")?;
    Ok(format!("memory = \"16M\"\nkernel = \"{}\"\ncommand-line = \"address={GUEST}\"\n", kernel.display()))
}

fn linux(folder: &Path) -> anyhow::Result<String> {
    let (kernel, initramfs) = (image("linux/vmlinux")?, image("linux/initramfs.cpio.gz")?);
    let words = fs::read_to_string(image("linux/cmdline")?).context("cannot read the command line")?;
    let words = words.split_whitespace().filter(|word| !word.starts_with("outlive.address="));
    let words: Vec<_> = words.collect();
    let (template, disk) = (image("linux/disk.img")?, folder.join(DISK));
    let (from, to) = (template.to_string_lossy(), disk.to_string_lossy());
    run("cp", &["--sparse=always", &from, &to])?;
    Ok(format!(
        "memory = \"256M\"\nkernel = \"{}\"\ninitramfs = \"{}\"\ncommand-line = \"{} outlive.address={GUEST}/24\"\n\n\
         [[disk]]\npath = \"{to}\"\n",
        kernel.display(),
        initramfs.display(),
        words.join(" "),
    ))
}
