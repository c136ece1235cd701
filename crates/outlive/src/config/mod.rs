//! The configuration of a machine: a TOML file.
//!
//! Paths in it are relative to the file's own folder, so that it means the same from wherever it is used.

mod check;
pub(crate) mod command;
mod explain;
mod pair;
mod quantity;
mod schema;

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use outlive_machine::host::console::ConsoleConfig;
use outlive_machine::host::tap::{InterfaceName, TapConfig};
use outlive_machine::memory::RamSize;
use outlive_replication::protocol::TimingError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use pair::Pair;
pub(crate) use quantity::{HostAddress, MacAddress, MemorySize, Seed, TapName};

/// How many disks and networks a machine can have.
const SLOTS: usize = outlive_machine::virtio::SLOT_IRQS.len();
/// A file that is larger is no configuration but, by mistake, a disk or a kernel.
const LARGEST: u64 = 1 << 20;

/// The machine that `outlive run` and its like are to make. Paths are relative to the folder that the file's name stands
/// for. `outlive config explain` prints an example with all keys.
#[derive(Deserialize, JsonSchema, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// Guest memory: a number and K, M or G, in units of 1024. From 2M to 512G, in whole megabytes.
    pub(crate) memory: MemorySize,
    /// Which engine runs the guest.
    #[serde(default)]
    pub(crate) engine: EngineChoice,
    /// A Linux kernel for x86-64 or a bare guest: an ELF file (vmlinux), or a bzImage (vmlinuz), which `kvm` does not
    /// take.
    pub(crate) kernel: PathBuf,
    /// An initial RAM file system. Default: none.
    pub(crate) initramfs: Option<PathBuf>,
    /// The kernel's command line. The monitor appends a word for each disk and network.
    #[serde(default)]
    pub(crate) command_line: String,
    /// Where the serial console goes.
    #[serde(default)]
    pub(crate) console: Console,
    /// The seed for the guest's random pool, 64 hexadecimal digits. Default: fresh from the host.
    pub(crate) random_seed: Option<Seed>,
    /// The Unix time that the guest's real-time clock shows at power-on. Default: the host's.
    pub(crate) wall_clock: Option<i64>,
    /// Disks, which take the first slots. Disks and networks share eight.
    #[serde(default)]
    #[schemars(length(max = SLOTS))]
    pub(crate) disk: Vec<Disk>,
    /// Network interfaces, which take the slots behind the disks.
    #[serde(default)]
    #[schemars(length(max = SLOTS))]
    pub(crate) network: Vec<Network>,
    /// What the two sides of a pair agree on. Only they want it.
    pub(crate) pair: Option<Pair>,
}

/// Which engine runs the guest.
#[derive(Deserialize, Serialize, JsonSchema, ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EngineChoice {
    /// KVM where the host's KVM proves fit, else our own processor.
    #[default]
    Auto,
    /// KVM, whatever it can do.
    Kvm,
    /// Our own processor.
    Soft,
}

/// Where the serial console goes.
#[derive(Deserialize, Serialize, JsonSchema, Clone, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Console {
    /// Standard input and output.
    #[default]
    Stdio,
    /// A new pseudo-terminal.
    Pty,
    /// A file, for output only. It is emptied first.
    File(PathBuf),
}

/// A disk.
#[derive(Deserialize, JsonSchema, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Disk {
    /// A raw image or a block device. It is locked while the machine runs.
    pub(crate) path: PathBuf,
    /// Whether the guest may only read it.
    #[serde(default)]
    pub(crate) read_only: bool,
}

/// A network interface.
#[derive(Deserialize, JsonSchema, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Network {
    /// The TAP on the host. One that does not exist is created, and removed when the machine ends.
    pub(crate) tap: TapName,
    /// The guest's MAC address. Default: 52:54:00:6f:6c:NN, NN being the position of the network.
    pub(crate) mac: Option<MacAddress>,
    /// The host's own address on the TAP, with the length of the network's prefix. Default: none.
    pub(crate) host_address: Option<HostAddress>,
    /// A bridge on the host to put the TAP into. Default: none.
    pub(crate) bridge: Option<TapName>,
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read or is no configuration; the message has the line.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let invalid = |source| ConfigError::Invalid { path: path.to_owned(), source: Box::new(source) };
        let mut config: Self = toml::from_str(&text).map_err(invalid)?;
        config.resolve_paths(path.parent().unwrap_or(Path::new("")));
        config.check()?;
        Ok(config)
    }

    fn resolve_paths(&mut self, folder: &Path) {
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        resolve(&mut self.kernel);
        self.initramfs.iter_mut().for_each(resolve);
        self.disk.iter_mut().for_each(|disk| resolve(&mut disk.path));
        if let Console::File(path) = &mut self.console {
            resolve(path);
        }
        self.pair.iter_mut().for_each(|pair| resolve(&mut pair.arbiter));
    }

    fn check(&self) -> Result<(), ConfigError> {
        let devices = self.disk.len() + self.network.len();
        if devices > SLOTS {
            return Err(ConfigError::TooManyDevices { devices, most: SLOTS });
        }
        if let Some(pair) = &self.pair {
            pair.timing().check()?;
        }
        Ok(())
    }

    /// The size of guest memory.
    pub(crate) fn ram(&self) -> RamSize {
        self.memory.0
    }

    /// The console in the machine's terms.
    pub(crate) fn console(&self) -> ConsoleConfig {
        match &self.console {
            Console::Stdio => ConsoleConfig::Stdio,
            Console::Pty => ConsoleConfig::Pty,
            Console::File(path) => ConsoleConfig::File(path.clone()),
        }
    }
}

/// Reads a text file of moderate length that is no device and no FIFO, which might not end.
fn read_text(path: &Path) -> io::Result<String> {
    let invalid = |reason: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return invalid("it is a directory");
    }
    if !metadata.is_file() {
        return invalid("it is no ordinary file");
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    match String::from_utf8(bytes) {
        _ if metadata.len() > LARGEST => invalid("it is too long for a configuration"),
        Ok(text) => Ok(text),
        Err(_) => invalid("it is no text in UTF-8"),
    }
}

impl Network {
    /// The TAP in the machine's terms.
    pub(crate) fn tap(&self) -> TapConfig {
        let host_address: Option<(Ipv4Addr, u8)> = self.host_address.map(|host| (host.address, host.prefix));
        let bridge: Option<InterfaceName> = self.bridge.as_ref().map(|name| name.0.clone());
        TapConfig { name: self.tap.0.clone(), host_address, bridge }
    }

    /// The MAC address of the interface at `position`: what the file says, or a locally administered one.
    pub(crate) fn mac(&self, position: usize) -> [u8; 6] {
        self.mac.map_or([0x52, 0x54, 0x00, 0x6f, 0x6c, position as u8], |mac| mac.0)
    }
}

/// Why a configuration is not acceptable.
#[derive(thiserror::Error, Debug)]
pub(crate) enum ConfigError {
    /// Not readable.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: std::io::Error,
    },
    /// Not a configuration.
    #[error("the configuration {} is not valid", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// Too many devices.
    #[error("the configuration has {devices} disks and networks, but a machine has {most} slots for them")]
    TooManyDevices {
        /// How many.
        devices: usize,
        /// How many fit.
        most: usize,
    },
    /// Times by which no pair can work.
    #[error("the times in [pair] do not fit together")]
    Timing(#[from] TimingError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    /// What is wrong in a configuration: its text, and the line and a word that the message must have.
    pub(super) const MISTAKES: &[(&str, &str, &str)] = &[
        ("memory = \"64M\"\nkernal = \"x\"", "line 2", "kernal"),
        ("memory = 64\nkernel = \"x\"", "line 1", "64M"),
        ("memory = \"64 bananas\"\nkernel = \"x\"", "line 1", "bananas"),
        ("memory = \"64M\"\nkernel = \"x\"\nengine = \"fast\"", "line 3", "fast"),
        ("memory = \"64M\"\nkernel = \"x\"\n[[network]]\ntap = \"a/b\"", "line 4", "a/b"),
        ("memory = \"64M\"\nkernel = \"x\"\n[[network]]\ntap = \"t\"\nmac = \"1:2\"", "line 5", "1:2"),
        (
            "memory = \"64M\"\nkernel = \"x\"\n[[network]]\ntap = \"t\"\nhost-address = \"10.0.0.1/40\"",
            "line 5",
            "10.0.0.1/40",
        ),
        ("memory = \"64M\"\nkernel = \"x\"\n[[disk]]\npath = \"d\"\nsize = 1", "line 5", "size"),
        ("memory = \"64M\"\nkernel = \"x\"\nrandom-seed = \"zz\"", "line 3", "hexadecimal"),
    ];

    #[test]
    fn a_small_configuration_gets_defaults() {
        let config = parse("memory = \"64M\"\nkernel = \"vmlinux\"").unwrap();
        assert_eq!(config.ram().bytes(), 64 << 20);
        assert_eq!((config.engine, &config.console), (EngineChoice::Auto, &Console::Stdio));
        assert!(config.disk.is_empty() && config.network.is_empty());
    }

    #[test]
    fn the_documented_example_is_understood() {
        let config = parse(explain::example()).unwrap();
        assert_eq!(config.ram().bytes(), 256 << 20);
        assert_eq!((config.engine, &config.console), (EngineChoice::Auto, &Console::Stdio));
        assert!(config.initramfs.is_some() && !config.command_line.is_empty());
        assert_eq!(config.random_seed.unwrap().0[31], 0x1f);
        assert_eq!(config.wall_clock, Some(1_700_000_000));
        let [disk] = &config.disk[..] else { panic!("{:?}", config.disk) };
        assert_eq!((disk.path.as_path(), disk.read_only), (Path::new("disk.img"), false));
        let [network] = &config.network[..] else { panic!("{:?}", config.network) };
        assert_eq!(network.mac(0), [0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        assert!(network.host_address.is_some() && network.bridge.is_some());
        let pair = config.pair.unwrap();
        assert_eq!((pair.name.0.as_str(), pair.arbiter.as_path()), ("redis", Path::new("/shared/outlive")));
        let minimal =
            parse("memory = \"2M\"\nkernel = \"x\"\n[pair]\nname = \"a\"\narbiter = \"b\"").unwrap();
        assert_eq!(minimal.pair.unwrap().timing(), pair.timing(), "the example shows the defaults");
    }

    #[test]
    fn a_console_may_be_a_file() {
        let config = parse("memory = \"64M\"\nkernel = \"x\"\nconsole = { file = \"console.log\" }").unwrap();
        assert_eq!(config.console, Console::File("console.log".into()));
    }

    #[test]
    fn mistakes_are_reported_with_their_line() {
        for &(text, line, word) in MISTAKES {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(line) && error.contains(word), "{text:?} gave {error:?}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let mut config =
            parse("memory = \"64M\"\nkernel = \"../vmlinux\"\n[[disk]]\npath = \"/abs.img\"").unwrap();
        config.resolve_paths(Path::new("/etc/guests"));
        assert_eq!(config.kernel, Path::new("/etc/guests/../vmlinux"));
        assert_eq!(config.disk[0].path, Path::new("/abs.img"));
    }
}
