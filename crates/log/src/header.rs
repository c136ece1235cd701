//! What a log's header tells of the machine that was recorded, in full: a replay builds its machine from this.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::entry::Hash;

/// In what landmarks count between exits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counting {
    /// In steps of the guest: instructions, iterations of REP strings, exceptions, interrupts.
    Steps,
    /// In interrupt windows that have opened. Inputs land at exits, and where a window opens.
    Windows,
}

/// A log's header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Header {
    /// The engine that executed the guest: its name, as a configuration has it.
    pub engine: String,
    /// What landmarks count.
    pub counting: Counting,
    /// The version of Outlive that has written this log.
    pub version: String,
    /// When the recording began, in Unix seconds.
    pub recorded: i64,
    /// The machine.
    pub machine: Machine,
    /// The kernel.
    pub kernel: Image,
    /// The initial RAM file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initramfs: Option<Image>,
    /// The disks, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disk: Vec<Disk>,
    /// The networks, in the order of the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<Network>,
}

/// The machine without its images and devices.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Machine {
    /// RAM in bytes.
    pub memory: u64,
    /// The kernel's command line, complete.
    pub command_line: String,
    /// The seed for the guest's random pool.
    #[serde(with = "crate::hex")]
    pub random_seed: [u8; 32],
    /// What the real-time clock showed at power-on, in Unix seconds.
    pub wall_clock: i64,
    /// Whether RDTSC in the kernel was rewritten into reads of a port.
    pub rewritten_time_reads: bool,
}

/// An image that was loaded into memory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Image {
    /// Where it was.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3 hash.
    #[serde(with = "crate::hex")]
    pub digest: Hash,
}

/// A disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Disk {
    /// Where its image was.
    pub path: PathBuf,
    /// Its length in sectors of 512 bytes.
    pub sectors: u64,
    /// Whether the guest could write to it.
    pub read_only: bool,
    /// What the guest sees as its serial number.
    pub serial: String,
    /// The digest of its contents when the recording began, which is taken by parts (`outlive_machine`'s
    /// `DiskImage::contents_digest`) and is no plain hash of the file.
    #[serde(with = "crate::hex")]
    pub digest: Hash,
}

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Network {
    /// The guest's address, as six pairs of hexadecimal digits.
    pub mac: String,
}
