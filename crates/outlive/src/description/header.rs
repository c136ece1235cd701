//! The description of a machine in the header of a log.
//!
//! A header may come from a stranger. Whatever it says is checked here before anything is made of it.

use outlive_log::header;
use outlive_machine::host::disk::SECTOR;
use outlive_machine::memory::{MemoryError, RamSize};
use outlive_machine::virtio::SLOT_IRQS;
use outlive_machine::virtio::block::SERIAL_BYTES;

use super::{Description, Disk, Network};
use crate::config::MacAddress;

/// The most sectors of a disk: its length in bytes is one that a file can have.
const MAX_SECTORS: u64 = i64::MAX as u64 / SECTOR;

/// Why a header describes no machine.
#[derive(thiserror::Error, Debug)]
pub(crate) enum HeaderError {
    /// Memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Too many devices.
    #[error("it has {devices} disks and networks, but a machine has {most} slots for them")]
    TooManyDevices {
        /// How many.
        devices: usize,
        /// How many fit.
        most: usize,
    },
    /// A disk that cannot be.
    #[error("disk {disk} has {sectors} sectors, which no disk has")]
    Sectors {
        /// Its position.
        disk: usize,
        /// Its length.
        sectors: u64,
    },
    /// A serial number that cannot be.
    #[error("the serial number of disk {disk} has more than {SERIAL_BYTES} bytes")]
    Serial {
        /// The disk's position.
        disk: usize,
    },
    /// An address that cannot be.
    #[error("network {network}: {reason}")]
    Mac {
        /// Its position.
        network: usize,
        /// What is wrong.
        reason: String,
    },
}

impl Description {
    /// The machine that a header describes.
    ///
    /// # Errors
    /// When there can be no such machine.
    pub(crate) fn of_header(header: &header::Header) -> Result<Self, HeaderError> {
        let (devices, most) = (header.disk.len() + header.network.len(), SLOT_IRQS.len());
        if devices > most {
            return Err(HeaderError::TooManyDevices { devices, most });
        }
        let machine = &header.machine;
        Ok(Self {
            ram: RamSize::from_bytes(machine.memory)?,
            command_line: machine.command_line.clone(),
            random_seed: machine.random_seed,
            wall_clock: machine.wall_clock,
            rewrite_time_reads: machine.rewritten_time_reads,
            disks: header.disk.iter().enumerate().map(disk_of_header).collect::<Result<_, _>>()?,
            networks: header.network.iter().enumerate().map(network_of_header).collect::<Result<_, _>>()?,
        })
    }

    /// The part of a header that is about the machine itself.
    pub(crate) fn header_machine(&self) -> header::Machine {
        header::Machine {
            memory: self.ram.bytes(),
            command_line: self.command_line.clone(),
            random_seed: self.random_seed,
            wall_clock: self.wall_clock,
            rewritten_time_reads: self.rewrite_time_reads,
        }
    }

    /// The part of a header that is about networks.
    pub(crate) fn header_networks(&self) -> Vec<header::Network> {
        self.networks
            .iter()
            .map(|network| header::Network { mac: MacAddress(network.mac).to_string() })
            .collect()
    }
}

fn disk_of_header((position, disk): (usize, &header::Disk)) -> Result<Disk, HeaderError> {
    let header::Disk { sectors, read_only, ref serial, .. } = *disk;
    if sectors == 0 || sectors > MAX_SECTORS {
        return Err(HeaderError::Sectors { disk: position, sectors });
    }
    if serial.len() > SERIAL_BYTES {
        return Err(HeaderError::Serial { disk: position });
    }
    Ok(Disk { sectors, read_only, serial: serial.clone() })
}

fn network_of_header((position, network): (usize, &header::Network)) -> Result<Network, HeaderError> {
    let mac: Result<MacAddress, _> = network.mac.parse();
    let mac = mac.map_err(|error| HeaderError::Mac { network: position, reason: error.to_string() })?;
    Ok(Network { mac: mac.0 })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use outlive_log::header::{Counting, Header, Image};

    use super::*;

    fn header() -> Header {
        let machine = header::Machine {
            memory: 64 << 20,
            command_line: "quiet".to_owned(),
            random_seed: [3; 32],
            wall_clock: -5,
            rewritten_time_reads: true,
        };
        let disk = |sectors, serial: &str| header::Disk {
            path: PathBuf::from("/disk.img"),
            sectors,
            read_only: sectors == 9,
            serial: serial.to_owned(),
            digest: [1; 32],
        };
        Header {
            engine: "kvm".to_owned(),
            counting: Counting::Windows,
            version: String::new(),
            recorded: 0,
            machine,
            kernel: Image { path: PathBuf::new(), bytes: 0, digest: [0; 32] },
            initramfs: None,
            disk: vec![disk(8, "first"), disk(9, "12345678901234567890")],
            network: vec![header::Network { mac: "52:54:00:6f:6c:0a".to_owned() }],
        }
    }

    #[test]
    fn a_description_is_read_back_from_its_header() {
        let description = Description::of_header(&header()).unwrap();
        let mut again = header();
        again.machine = description.header_machine();
        again.network = description.header_networks();
        assert_eq!(again, header());
        let seen: Vec<_> = description.disks.iter().map(|disk| (disk.sectors, disk.read_only)).collect();
        assert_eq!(seen, [(8, false), (9, true)]);
        assert_eq!(description.disks[1].serial.len(), SERIAL_BYTES);
        assert_eq!(description.networks, [Network { mac: [0x52, 0x54, 0, 0x6f, 0x6c, 0x0a] }]);
    }

    #[test]
    fn a_header_that_describes_no_machine_is_refused_with_the_reason() {
        let refused = |change: fn(&mut Header), word: &str| {
            let mut header = header();
            change(&mut header);
            let error = Description::of_header(&header).unwrap_err().to_string();
            assert!(error.contains(word), "no {word:?} in {error:?}");
        };
        refused(|header| header.machine.memory = 1 << 60, "1152921504606846976");
        refused(|header| header.machine.memory = 0, "0 bytes");
        refused(|header| header.machine.memory += 1, "67108865");
        refused(|header| header.disk = vec![header.disk[0].clone(); 8], "9 disks and networks");
        refused(|header| header.disk[1].sectors = 0, "disk 1 has 0 sectors");
        refused(|header| header.disk[0].sectors = u64::MAX / 512, "disk 0 has 36028797018963967 sectors");
        refused(|header| header.disk[0].serial.push_str("2345678901234567"), "serial number of disk 0");
        refused(|header| header.network[0].mac = "52:54".to_owned(), "network 0");
        refused(|header| header.network[0].mac = "53:54:00:6f:6c:0a".to_owned(), "one interface");
    }

    #[test]
    fn the_longest_disk_has_a_length_that_a_file_can_have() {
        let mut header = header();
        header.disk[0].sectors = MAX_SECTORS;
        assert!(Description::of_header(&header).is_ok());
        assert!(i64::try_from(MAX_SECTORS * SECTOR).is_ok());
    }
}
