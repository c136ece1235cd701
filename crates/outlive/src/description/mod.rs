//! What a machine is, but for the contents of its images and disks.
//!
//! A machine is built from a [`Description`] and from nothing else, whether it is new or replayed. A new one's comes
//! from its configuration; seed and clock are drawn then, if the configuration leaves them open. A recording writes it
//! into the header of its log, and builds its own machine from what can be read back there, so that a replay cannot
//! build another one.

mod header;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use outlive_engine::{Engine, GuestRam, TimeReads};
use outlive_machine::board::Board;
use outlive_machine::boot::{self, BootSource};
use outlive_machine::host::disk::DiskImage;
use outlive_machine::memory::RamSize;
use outlive_machine::virtio::{self, Block, Net, Slot};
use outlive_machine::world::{DiskIndex, NetworkIndex};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::config::Config;
use crate::failure::Failure;
use crate::images::Images;

/// A machine, without its images.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Description {
    /// Guest memory.
    pub(crate) ram: RamSize,
    /// The kernel's command line, complete.
    pub(crate) command_line: String,
    /// The seed for the guest's random pool.
    pub(crate) random_seed: [u8; 32],
    /// What the real-time clock shows at power-on, in Unix seconds.
    pub(crate) wall_clock: i64,
    /// Whether the kernel's RDTSC instructions become reads of a port.
    pub(crate) rewrite_time_reads: bool,
    /// The disks, which take the first slots.
    pub(crate) disks: Vec<Disk>,
    /// The networks, which take the slots behind them.
    pub(crate) networks: Vec<Network>,
}

/// A disk as the guest sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Disk {
    /// Its length in sectors of 512 bytes.
    pub(crate) sectors: u64,
    /// Whether the guest may only read it.
    pub(crate) read_only: bool,
    /// Its serial number.
    pub(crate) serial: String,
}

/// A network interface as the guest sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Network {
    /// Its address.
    pub(crate) mac: [u8; 6],
}

impl Description {
    /// The machine of a configuration, with these disks, on an engine that reads time in this way.
    ///
    /// # Errors
    /// When the host has no random seed to give.
    pub(crate) fn of_config(
        config: &Config,
        disks: &[DiskImage],
        time_reads: TimeReads,
    ) -> anyhow::Result<Self> {
        let disks = disks.iter().enumerate().map(|(position, image)| Disk {
            sectors: image.sectors(),
            read_only: image.read_only(),
            serial: format!("outlive-disk-{position}"),
        });
        let networks = config.network.iter().enumerate();
        let networks = networks.map(|(position, network)| Network { mac: network.mac(position) });
        Ok(Self {
            ram: config.ram(),
            command_line: command_line(config),
            random_seed: random_seed(config)?,
            wall_clock: wall_clock(config),
            rewrite_time_reads: time_reads == TimeReads::MustBeRewritten,
            disks: disks.collect(),
            networks: networks.collect(),
        })
    }

    /// Puts the machine together, as it is at power-on: loads the images into `ram`, which is all zeros, brings
    /// `engine` to the first instruction, and makes the board.
    ///
    /// # Errors
    /// When the images do not boot, which is the fault of whoever named them, or when the engine fails.
    pub(crate) fn power_on(
        &self,
        images: &Images,
        engine: &mut impl Engine,
        ram: &GuestRam,
    ) -> Result<Board, Failure> {
        let source = BootSource {
            kernel: images.kernel.contents.clone(),
            initramfs: images.initramfs.as_ref().map(|image| image.contents.clone()),
            command_line: self.command_line.clone(),
            random_seed: self.random_seed,
            devices: self.disks.len() + self.networks.len(),
        };
        let state = boot::load(&source, ram, self.ram, self.rewrite_time_reads).map_err(Failure::usage)?;
        engine.set_state(&state).map_err(Failure::runtime)?;
        Ok(Board::new(ram.clone(), self.wall_clock, self.slots()))
    }

    /// The virtio devices: disks first, then networks.
    fn slots(&self) -> Vec<Slot> {
        let disks = self.disks.iter().enumerate().map(|(position, disk)| {
            Slot::from(Block::new(DiskIndex(position as u8), disk.sectors, disk.read_only, &disk.serial))
        });
        let networks = self.networks.iter().enumerate();
        let networks = networks
            .map(|(position, network)| Slot::from(Net::new(NetworkIndex(position as u8), network.mac)));
        disks.chain(networks).collect()
    }
}

/// The command line with a word for each device.
fn command_line(config: &Config) -> String {
    let devices = (0..config.disk.len() + config.network.len()).filter_map(virtio::kernel_argument);
    let own = Some(config.command_line.trim().to_owned()).filter(|line| !line.is_empty());
    own.into_iter().chain(devices).collect::<Vec<_>>().join(" ")
}

fn random_seed(config: &Config) -> anyhow::Result<[u8; 32]> {
    if let Some(seed) = config.random_seed {
        return Ok(seed.0);
    }
    let mut seed = [0; 32];
    getrandom(&mut seed[..], GetRandomFlags::empty())
        .context("the host gives no random seed for the guest")?;
    Ok(seed)
}

/// What the guest's real-time clock shows at power-on.
fn wall_clock(config: &Config) -> i64 {
    config.wall_clock.unwrap_or_else(unix_now)
}

/// The host's time in Unix seconds.
pub(crate) fn unix_now() -> i64 {
    let host = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    i64::try_from(host).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(&format!("memory = \"16M\"\nkernel = \"x\"\n{text}")).unwrap()
    }

    #[test]
    fn the_command_line_names_each_device() {
        let devices = "[[network]]\ntap = \"a\"\n[[network]]\ntap = \"b\"";
        assert_eq!(command_line(&config("command-line = \" quiet \"")), "quiet");
        assert_eq!(
            command_line(&config(&format!("command-line = \"quiet\"\n{devices}"))),
            "quiet virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:9"
        );
        assert_eq!(command_line(&config("[[network]]\ntap = \"a\"")), "virtio_mmio.device=4K@0xd0000000:5");
    }

    #[test]
    fn what_a_configuration_leaves_open_is_drawn_afresh() {
        let draw = |config: &Config| Description::of_config(config, &[], TimeReads::Trapped).unwrap();
        let open = config("");
        let (first, second) = (draw(&open), draw(&open));
        assert_ne!(first.random_seed, second.random_seed);
        assert!(first.wall_clock > 1_700_000_000);
        let fixed = config(&format!("wall-clock = 5\nrandom-seed = \"{}\"", "07".repeat(32)));
        assert_eq!(draw(&fixed), draw(&fixed));
        assert_eq!((draw(&fixed).wall_clock, draw(&fixed).random_seed), (5, [7; 32]));
    }

    #[test]
    fn time_reads_are_rewritten_for_an_engine_that_cannot_see_them() {
        let rewrites = |reads| Description::of_config(&config(""), &[], reads).unwrap().rewrite_time_reads;
        assert!(rewrites(TimeReads::MustBeRewritten));
        assert!(!rewrites(TimeReads::Trapped));
    }
}
