//! `outlive run`: a guest, live, on its own.

use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use outlive_engine::{Engine, EngineKind, GuestTime};
use outlive_kvm::KvmEngine;
use outlive_machine::board::Board;
use outlive_machine::boot::{self, BootSource};
use outlive_machine::host::console::{Console, ConsoleConfig};
use outlive_machine::host::disk::DiskImage;
use outlive_machine::host::live::{Connections, LiveWorld};
use outlive_machine::host::tap::Tap;
use outlive_machine::machine::{Machine, Stop};
use outlive_machine::memory::create_ram;
use outlive_machine::virtio::{self, Block, Net, Slot, VirtioMmio};
use outlive_machine::world::{DiskIndex, NetworkIndex};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::config::{Config, EngineChoice};
use crate::doctor;
use crate::failure::Failure;
use crate::signals::{CaughtSignals, SignalWatch};

/// The largest kernel file, debugging information included.
const MAX_KERNEL: u64 = 4 << 30;

/// Runs the machine of a configuration file to its end.
pub(crate) fn run(path: &Path) -> Result<ExitCode, Failure> {
    let config = Config::read(path).map_err(Failure::usage)?;
    check_console(&config, path).map_err(Failure::usage)?;
    let source = boot_source(&config).map_err(Failure::usage)?;
    let disks = open_disks(&config).map_err(Failure::usage)?;
    let engine = choose_engine(config.engine)?;
    assert_eq!(engine, EngineKind::Kvm, "the only engine so far");
    start(&config, &source, disks)
}

/// Decides which engine runs the guest, and says so where the decision was ours.
fn choose_engine(choice: EngineChoice) -> Result<EngineKind, Failure> {
    match choice {
        EngineChoice::Kvm => Ok(EngineKind::Kvm),
        EngineChoice::Auto => doctor::automatic_engine().map_err(Failure::runtime),
    }
}

fn start(config: &Config, source: &BootSource, disks: Vec<DiskImage>) -> Result<ExitCode, Failure> {
    let ram = create_ram(config.ram()).map_err(Failure::runtime)?;
    let mut engine = KvmEngine::new(&ram).map_err(Failure::runtime)?;
    let time_reads = engine.capabilities().time_reads;
    // What does not boot is the fault of the images or of the configuration.
    let state = boot::load(source, &ram, config.ram(), time_reads).map_err(Failure::usage)?;
    engine.set_state(&state).map_err(Failure::runtime)?;

    let board = Board::new(ram, wall_clock(config), slots(config, &disks));
    let networks = config.network.iter().map(|network| Tap::open(&network.tap()));
    let networks = networks.collect::<Result<_, _>>().map_err(Failure::runtime)?;
    let signals = CaughtSignals::catch().context("cannot catch signals").map_err(Failure::runtime)?;
    let console = Console::open(&config.console()).map_err(Failure::runtime)?;
    if let Some(terminal) = console.terminal() {
        eprintln!("outlive: the console is {}", terminal.display());
    }
    let connections = Connections { console, disks, networks };
    let world = LiveWorld::new(connections, GuestTime::BOOT, engine.kicker());
    let world = world.context("cannot connect the machine to the host").map_err(Failure::runtime)?;
    let signals = SignalWatch::start(signals, world.stop_handle());
    let signals = signals.context("cannot watch for signals").map_err(Failure::runtime)?;

    let mut machine = Machine::new(engine, world, board);
    let stop = machine.run();
    // The person's terminal is restored before anything more is said.
    drop(machine);
    finish(stop.map_err(Failure::runtime)?, signals.received())
}

/// Tells how the machine ended.
fn finish(stop: Stop, signal: Option<u8>) -> Result<ExitCode, Failure> {
    match stop {
        Stop::PowerOff | Stop::Reset | Stop::DebugExit(0) => Ok(ExitCode::SUCCESS),
        Stop::Requested => Ok(signal.map_or(ExitCode::SUCCESS, |signal| ExitCode::from(128 + signal))),
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

/// The console's file is emptied, so it must not be one of the machine's own.
fn check_console(config: &Config, path: &Path) -> anyhow::Result<()> {
    let ConsoleConfig::File(console) = config.console() else { return Ok(()) };
    let Ok(console) = console.canonicalize() else { return Ok(()) };
    let own = [path, &config.kernel].into_iter().chain(config.initramfs.as_deref());
    let own = own.chain(config.disk.iter().map(|disk| disk.path.as_path()));
    for file in own {
        if file.canonicalize().is_ok_and(|file| file == console) {
            anyhow::bail!("the console cannot go to {}: the machine needs what is in it", file.display());
        }
    }
    Ok(())
}

fn boot_source(config: &Config) -> anyhow::Result<BootSource> {
    let mut command_line = config.command_line.trim().to_owned();
    for argument in (0..config.disk.len() + config.network.len()).filter_map(virtio::kernel_argument) {
        if !command_line.is_empty() {
            command_line.push(' ');
        }
        command_line.push_str(&argument);
    }
    Ok(BootSource {
        kernel: read_image("kernel", &config.kernel, MAX_KERNEL)?,
        initramfs: match &config.initramfs {
            Some(path) => Some(read_image("initramfs", path, config.ram().bytes())?),
            None => None,
        },
        command_line,
        random_seed: random_seed(config)?,
    })
}

/// Reads a file whole, at most `limit` bytes, so that a device or a FIFO by mistake does no harm.
fn read_image(what: &str, path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let read = || -> anyhow::Result<Vec<u8>> {
        let metadata = std::fs::metadata(path)?;
        if metadata.is_dir() {
            anyhow::bail!("it is a directory");
        }
        if !metadata.is_file() {
            anyhow::bail!("it is no ordinary file");
        }
        if metadata.len() > limit {
            anyhow::bail!("it has {} bytes, but {limit} fit; give the guest more memory", metadata.len());
        }
        Ok(std::fs::read(path)?)
    };
    read().with_context(|| format!("cannot read the {what} {}", path.display()))
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
    let host = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    config.wall_clock.unwrap_or_else(|| i64::try_from(host()).unwrap_or(0))
}

fn open_disks(config: &Config) -> anyhow::Result<Vec<DiskImage>> {
    config.disk.iter().map(|disk| Ok(DiskImage::open(&disk.path, disk.read_only)?)).collect()
}

/// The virtio devices: disks first, then networks.
fn slots(config: &Config, disks: &[DiskImage]) -> Vec<Slot> {
    let disks = disks.iter().enumerate().map(|(position, image)| {
        let serial = format!("outlive-disk-{position}");
        let block = Block::new(DiskIndex(position as u8), image.sectors(), image.read_only(), &serial);
        Slot::Block(VirtioMmio::new(block))
    });
    let networks = config.network.iter().enumerate();
    let networks = networks.map(|(position, network)| {
        let net = Net::new(NetworkIndex(position as u8), network.mac(position));
        Slot::Net(VirtioMmio::new(net))
    });
    disks.chain(networks).collect()
}
