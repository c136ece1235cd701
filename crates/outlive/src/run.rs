//! `outlive run`: a guest, live, on its own.

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use outlive_engine::{Engine, EngineKind, ExitNumber, GuestRam, GuestTime, InstructionCount, Landing};
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
use outlive_machine::world::{DiskIndex, NetworkIndex, World};
use outlive_soft::SoftEngine;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::config::{Config, EngineChoice};
use crate::doctor;
use crate::failure::Failure;
use crate::signals::{CaughtSignals, SignalWatch};

/// The largest kernel file, debugging information included.
const MAX_KERNEL: u64 = 4 << 30;

/// What is to be told when the machine has come to its end.
#[derive(Clone, Copy)]
pub(crate) struct Afterwards {
    /// What it did.
    pub(crate) statistics: bool,
    /// Its digest.
    pub(crate) digest: bool,
}

/// Runs the machine of a configuration file to its end.
pub(crate) fn run(path: &Path, afterwards: Afterwards) -> Result<ExitCode, Failure> {
    let config = Config::read(path).map_err(Failure::usage)?;
    check_console(&config, path).map_err(Failure::usage)?;
    let source = boot_source(&config).map_err(Failure::usage)?;
    let disks = open_disks(&config).map_err(Failure::usage)?;
    let engine = choose_engine(config.engine);
    let ram = create_ram(config.ram()).map_err(Failure::runtime)?;
    let plan = Plan { config: &config, source: &source, disks, afterwards };
    match engine {
        EngineKind::Kvm => start(KvmEngine::new(&ram).map_err(Failure::runtime)?, ram, plan),
        EngineKind::Soft => start(SoftEngine::new(&ram), ram, plan),
    }
}

/// What is to be run.
struct Plan<'a> {
    config: &'a Config,
    source: &'a BootSource,
    disks: Vec<DiskImage>,
    afterwards: Afterwards,
}

/// Decides which engine runs the guest, and says so where the decision was ours.
fn choose_engine(choice: EngineChoice) -> EngineKind {
    match choice {
        EngineChoice::Kvm => EngineKind::Kvm,
        EngineChoice::Soft => EngineKind::Soft,
        EngineChoice::Auto => doctor::automatic_engine(),
    }
}

fn start(mut engine: impl Engine, ram: GuestRam, plan: Plan<'_>) -> Result<ExitCode, Failure> {
    let Plan { config, source, disks, afterwards } = plan;
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
    let begin = Instant::now();
    let stop = machine.run();
    let executed = Executed::of(&mut machine, begin.elapsed());
    // A machine that could not go on stands nowhere that has a digest.
    let digest = (afterwards.digest && stop.is_ok()).then(|| machine.digest());
    // The person's terminal is restored before anything more is said.
    drop(machine);
    if afterwards.statistics {
        eprintln!("outlive: {executed}");
    }
    if let Some(digest) = digest {
        eprintln!("{}", digest.context("cannot tell the machine's digest").map_err(Failure::runtime)?);
    }
    finish(stop.map_err(Failure::runtime)?, signals.received())
}

/// What a machine did.
struct Executed {
    /// Unless the engine counts none.
    instructions: Option<InstructionCount>,
    exits: ExitNumber,
    elapsed: Duration,
}

impl Executed {
    fn of(machine: &mut Machine<impl Engine, impl World>, elapsed: Duration) -> Self {
        let exits = machine.exits();
        let counts = machine.engine().capabilities().landing == Landing::AnyInstruction;
        Self { instructions: counts.then(|| machine.engine().retired()), exits, elapsed }
    }
}

impl fmt::Display for Executed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        match self.instructions {
            Some(InstructionCount(count)) => {
                let millions = count as f64 / 1e6 / seconds;
                write!(
                    f,
                    "executed {count} instructions in {seconds:.3} s ({millions:.1} million per second)"
                )?;
            }
            None => write!(f, "ran for {seconds:.3} s (this engine counts no instructions)")?,
        }
        write!(f, ", {} exits", self.exits.0)
    }
}

/// Tells how the machine ended.
fn finish(stop: Stop, signal: Option<u8>) -> Result<ExitCode, Failure> {
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
        devices: config.disk.len() + config.network.len(),
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
