//! `outlive backup`: the side that follows, and takes over.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use outlive_engine::{Engine, EngineKind, GuestRam, GuestTime, Kicker};
use outlive_kvm::KvmEngine;
use outlive_log::Header;
use outlive_log::header::Counting;
use outlive_machine::host::announcement::AddressSnoop;
use outlive_machine::host::disk::{DiskImage, Lock, Sharing};
use outlive_machine::host::fence::Fence;
use outlive_machine::host::live::{self, Connections, HostOutputs, Inputs, LiveWorld};
use outlive_machine::machine::Machine;
use outlive_machine::memory::create_ram;
use outlive_replay::{CheckLevel, ReplayEnd, ReplayError, ReplayOptions, Replayed, Replayer};
use outlive_replication::driver::{
    BackupMachine, BackupSide, Claims, ConnectionWanted, DriverThread, Following, StatusBoard,
};
use outlive_replication::vcpu::{Feed, Outbox, Pace, PairLog, ToDriver, VcpuEvent};
use outlive_soft::SoftEngine;

use super::control::ControlSocket;
use super::history::History;
use super::networks::Networks;
use super::stopper::Stopper;
use super::{RECORDING, Side, create_log, end, end_with_guest, keep_history, mismatch, serve_to_the_end};
use crate::config::{Config, EngineChoice};
use crate::description::Description;
use crate::engine;
use crate::failure::Failure;
use crate::live::open_console;
use crate::record::{header, keep};
use crate::signals::{CaughtSignals, SignalWatch};

/// What the command line says.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) side: super::Arguments,
    /// Where the primary waits.
    #[arg(long, value_name = "HOST:PORT", value_parser = super::address)]
    connect: String,
    /// Tell digests of the whole state when going live, to be compared with a replay of the primary's log. The guest
    /// stands still meanwhile.
    #[arg(long)]
    digest_at_go_live: bool,
}

/// A machine that follows.
type Follower<E> = Machine<E, Replayer<Feed<HostOutputs>>>;

/// Runs the backup of a pair. `history` has taken down what was told before, if it is to be kept.
pub(crate) fn backup(arguments: &Arguments, history: Option<History>) -> Result<ExitCode, Failure> {
    let side = Side::of(&arguments.side, "backup", Sharing::PairBackup)?;
    let stopper = Stopper::default();
    let caught = CaughtSignals::catch().context("cannot catch signals").map_err(Failure::runtime)?;
    let stop = stopper.clone();
    let signals = SignalWatch::start(caught, move || stop.stop());
    let signals = signals.context("cannot watch for signals").map_err(Failure::runtime)?;
    let wanted = ConnectionWanted::new().map_err(Failure::runtime)?;
    stopper.set(wanted.cancel());
    let found = wanted.find(&arguments.connect, &side.security, side.pair.name.0.as_str());
    let Some(following) = found.map_err(Failure::runtime)? else {
        return Ok(signals.received().map_or(ExitCode::SUCCESS, |signal| ExitCode::from(128 + signal)));
    };
    let (header, engine) = match agree(&side, &following) {
        Ok(agreed) => agreed,
        Err(error) => {
            following.refuse(&format!("{error:#}"));
            return Err(Failure::usage(error));
        }
    };
    let ram = create_ram(side.preparation.config.ram()).map_err(Failure::runtime)?;
    let host = Host { arguments, side, following, header, stopper, signals, ram, history };
    match engine {
        EngineKind::Kvm => {
            let engine = KvmEngine::new(&host.ram).map_err(Failure::runtime)?;
            host.start(engine)
        }
        EngineKind::Soft => {
            let engine = SoftEngine::new(&host.ram);
            host.start(engine)
        }
    }
}

/// The machine that the primary wants to have replicated, if it is ours, and the engine that can.
fn agree(side: &Side, following: &Following) -> anyhow::Result<(Header, EngineKind)> {
    let hello = following.hello();
    let header: Header = toml::from_str(&hello.header).context("the primary's machine is not understood")?;
    hello.timing.check().context("the primary's times do not fit together")?;
    let engine = match (side.preparation.config.engine, header.counting) {
        (EngineChoice::Auto, Counting::Steps) => EngineKind::Soft,
        (EngineChoice::Kvm, Counting::Steps) => anyhow::bail!(
            "the primary's engine counts single instructions, and kvm here cannot follow it: take the engine soft"
        ),
        (choice, _) => engine::choose(choice),
    };
    engine::check_landmarks(engine)?;
    let ours = header::of(&side.preparation, engine::capabilities(engine))?;
    mismatch::check(&ours, &header).map_err(anyhow::Error::msg)?;
    let opener = side.arbiter.rehearse(hello.generation, &side.claimant);
    let opener = opener.context("the arbiter of this host does not know the primary's pairing")?;
    anyhow::ensure!(
        opener.identity == hello.opener,
        "another primary has opened generation {} in the arbiter of this host: {opener}; do both hosts mount the same \
         storage?",
        hello.generation
    );
    Ok((header, engine))
}

/// What is at hand before there is a machine.
struct Host<'a> {
    arguments: &'a Arguments,
    side: Side,
    following: Following,
    header: Header,
    stopper: Stopper,
    signals: SignalWatch,
    ram: GuestRam,
    history: Option<History>,
}

impl Host<'_> {
    /// Builds the machine, and follows.
    fn start<E: Engine>(self, mut engine: E) -> Result<ExitCode, Failure> {
        let Self { arguments, side, following, header, stopper, signals, ram, history } = self;
        let Side { preparation, pair, claimant, arbiter, .. } = side;
        let description = Description::of_header(&header).map_err(Failure::usage)?;
        let board = description.power_on(&preparation.images, &mut engine, &ram)?;
        keep(&preparation.images);
        let name = pair.name.0.as_str();
        let generation = following.hello().generation;
        let status = StatusBoard::default();
        status.write(|status| {
            (status.name, status.role, status.phase) = (name.to_owned(), "backup", "following");
            status.generation = generation.0;
        });
        let control = ControlSocket::open(arguments.side.control.as_deref(), name, status.clone());
        let _control = control.map_err(Failure::runtime)?;
        let file = create_log(&arguments.side, &header)?;
        let _history = keep_history(&arguments.side, history, &status)?;
        let claims = Claims::new(arbiter, generation, claimant);
        let stop = stopper.clone();
        let addresses = Arc::new(Mutex::new(AddressSnoop::default()));
        let networks = Networks::new(&preparation.config, &description, Arc::clone(&addresses));
        let early = networks.clone();
        let won = Box::new(move || early.attach_early());
        let side = BackupSide { stop: Box::new(move || stop.stop()), won, claims, board: status };
        let started = following.start(side, addresses, header.counting, file);
        let (machine, driver) =
            started.context("cannot start the pair's driver").map_err(Failure::runtime)?;
        let BackupMachine { feed, outputs, driver: to_driver, decision } = machine;
        let host = LiveHost {
            config: preparation.config,
            disks: preparation.disks,
            networks,
            to_driver: to_driver.clone(),
            stopper: stopper.clone(),
            kicker: engine.kicker(),
        };
        let options = replay_options(arguments, &stopper, &engine, &to_driver);
        let replayer = Replayer::new(feed, Box::new(outputs), ram, options);
        let mut machine = Machine::new(engine, replayer, board);
        let replayed = outlive_replay::replay(&mut machine);
        match replayed {
            Ok(Replayed { end: ReplayEnd::Complete(reason), .. }) => {
                tracing::info!(target: outlive_replication::TARGET, event = "ended", ?reason, "the guest has ended");
                to_driver.tell(VcpuEvent::Ended);
                if decision.wait() {
                    host.finish(machine)?;
                }
                drop(to_driver);
                return end_with_guest(driver.join(), &reason, signals.received());
            }
            Ok(replayed) if matches!(replayed.end, ReplayEnd::Unfinished) && decision.wait() => {
                tell_replayed(&replayed);
                return host.serve(machine, driver, to_driver, &signals);
            }
            Ok(Replayed { end: ReplayEnd::Damaged(error), .. }) => diverged(&to_driver, &error.into()),
            Ok(_) => {}
            Err(error) => diverged(&to_driver, &error),
        }
        drop(to_driver);
        end(driver.join(), None, signals.received())
    }
}

/// How a backup replays. A signal makes it leave; so the driver has to be told too.
fn replay_options<E: Engine>(
    arguments: &Arguments,
    stopper: &Stopper,
    engine: &E,
    to_driver: &ToDriver<HostOutputs>,
) -> ReplayOptions {
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, kicker, driver) = (Arc::clone(&stop), engine.kicker(), to_driver.clone());
    stopper.set(move || {
        // The driver ends the log, which wakes a machine that waits for more.
        driver.tell(VcpuEvent::Stopped);
        flag.store(true, Ordering::Release);
        kicker.kick();
    });
    ReplayOptions {
        check: CheckLevel::Memory,
        until: None,
        until_damage: false,
        end_digest: arguments.digest_at_go_live,
        stop,
    }
}

fn diverged(to_driver: &ToDriver<HostOutputs>, error: &ReplayError) {
    let report = crate::failure::chain(error);
    eprintln!("outlive: {report}");
    to_driver.tell(VcpuEvent::Diverged(report));
}

fn tell_replayed(replayed: &Replayed) {
    let summary = &replayed.summary;
    let digests = summary.digests.as_ref();
    tracing::info!(
        target: outlive_replication::TARGET,
        event = "replayed",
        entries = summary.entries,
        landmark = summary.landmark,
        registers = digests.map(|digests| digests.registers.as_str()),
        memory = digests.and_then(|digests| digests.memory.as_deref()),
        devices = digests.map(|digests| digests.devices.as_str()),
        disks = digests.map(|digests| digests.disks.as_str()),
        "everything that the primary has logged is executed"
    );
}

/// What a machine that goes live is connected to.
struct LiveHost {
    config: Config,
    disks: Vec<DiskImage>,
    networks: Networks,
    to_driver: ToDriver<HostOutputs>,
    stopper: Stopper,
    kicker: Kicker,
}

impl LiveHost {
    /// Takes the machine live, and serves until it ends.
    fn serve<E: Engine>(
        self,
        machine: Follower<E>,
        driver: DriverThread,
        to_driver: ToDriver<HostOutputs>,
        signals: &SignalWatch,
    ) -> Result<ExitCode, Failure> {
        let inputs = self.connect(machine.time())?;
        let mut machine = outlive_replay::go_live(machine, RECORDING, |feed: Feed<_>, _time| {
            let (file, next, bases) = feed.into_parts();
            let log = PairLog::new(to_driver.clone(), Pace::default(), next, bases, file);
            (LiveWorld::new(inputs, Outbox::new(to_driver)), log)
        });
        tracing::warn!(target: outlive_replication::TARGET, event = "live", "the guest is live on this host");
        machine.reissue_disk_requests().map_err(Failure::runtime)?;
        let (stop, world) = serve_to_the_end(machine);
        let outcome = driver.join();
        drop(world);
        end(outcome, Some(stop), signals.received())
    }

    /// The guest has ended where the log says so, but the primary did not live to let its last outputs out.
    fn finish<E: Engine>(self, machine: Follower<E>) -> Result<(), Failure> {
        let to_driver = self.to_driver.clone();
        let inputs = self.connect(machine.time())?;
        let outbox = Outbox::new(to_driver.clone());
        let mut machine = machine.change_world(|_follower| LiveWorld::new(inputs, outbox));
        machine.reissue_disk_requests().map_err(Failure::runtime)?;
        to_driver.tell(VcpuEvent::Ended);
        Ok(())
    }

    /// Connects this host, on which guest time goes on from `from`.
    fn connect(self, from: GuestTime) -> Result<Inputs, Failure> {
        let Self { config, disks, networks, to_driver, stopper, kicker } = self;
        for disk in &disks {
            if disk.go_live().map_err(Failure::runtime)? == Lock::HeldByOther {
                tracing::warn!(
                    target: outlive_replication::TARGET,
                    "the other side still holds the lock of a disk: it may be frozen, and has lost its right to write"
                );
            }
        }
        let (taps, console) = (networks.attach()?, open_console(&config)?);
        let connections = Connections { console, disks, networks: taps, fence: Fence::new_open() };
        let (inputs, outputs) = live::connect(connections, from, kicker)
            .context("cannot connect the machine to the host")
            .map_err(Failure::runtime)?;
        let handle = inputs.stop_handle();
        stopper.set(move || handle.stop());
        to_driver.tell(VcpuEvent::Live(Box::new(outputs)));
        Ok(inputs)
    }
}
