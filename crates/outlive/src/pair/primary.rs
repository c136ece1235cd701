//! `outlive primary`: the side that runs the guest.

use std::process::ExitCode;

use anyhow::Context;
use outlive_arbiter::{Generation, Identity};
use outlive_engine::{Engine, EngineKind, GuestRam, GuestTime};
use outlive_kvm::KvmEngine;
use outlive_log::Header;
use outlive_machine::host::disk::Sharing;
use outlive_machine::host::fence::Fence;
use outlive_machine::host::live::{self, Connections, LiveWorld};
use outlive_machine::machine::Machine;
use outlive_machine::memory::create_ram;
use outlive_replay::Recorder;
use outlive_replication::driver::{Claims, Paired, PrimarySide, StatusBoard, Waiting};
use outlive_replication::message::{PrimaryHello, VERSION};
use outlive_soft::SoftEngine;

use super::control::ControlSocket;
use super::history::History;
use super::stopper::Stopper;
use super::{RECORDING, Side, create_log, end, keep_history, serve_to_the_end};
use crate::config::Pair;
use crate::description::Description;
use crate::engine;
use crate::failure::Failure;
use crate::live::{Preparation, open_console, open_networks};
use crate::record::{header, keep};
use crate::signals::{CaughtSignals, SignalWatch};

/// What the command line says.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) side: super::Arguments,
    /// Where to wait for the backup: an address of this host and a port.
    #[arg(long, value_name = "HOST:PORT", value_parser = super::address)]
    listen: String,
}

/// Runs the primary of a pair. `history` has taken down what was told before, if it is to be kept.
pub(crate) fn primary(arguments: &Arguments, history: Option<History>) -> Result<ExitCode, Failure> {
    let side = Side::of(&arguments.side, "primary", Sharing::PairPrimary)?;
    let engine = engine::choose(side.preparation.config.engine);
    engine::check_landmarks(engine).map_err(Failure::usage)?;
    let ram = create_ram(side.preparation.config.ram()).map_err(Failure::runtime)?;
    match engine {
        EngineKind::Kvm => {
            start(arguments, side, KvmEngine::new(&ram).map_err(Failure::runtime)?, &ram, history)
        }
        EngineKind::Soft => start(arguments, side, SoftEngine::new(&ram), &ram, history),
    }
}

fn start(
    arguments: &Arguments,
    side: Side,
    mut engine: impl Engine,
    ram: &GuestRam,
    history: Option<History>,
) -> Result<ExitCode, Failure> {
    let Side { preparation, pair, security, claimant, arbiter } = side;
    let header = header::of(&preparation, engine.capabilities()).map_err(Failure::runtime)?;
    let Preparation { config, images, disks } = preparation;
    // From what the backup will read, so that both build the same machine.
    let description = Description::of_header(&header).map_err(Failure::usage)?;
    let board = description.power_on(&images, &mut engine, ram)?;
    keep(&images);
    let stopper = Stopper::default();
    let signals = watch_signals(&stopper)?;
    let name = pair.name.0.as_str();
    let waiting = Waiting::listen(&arguments.listen, security, name).map_err(Failure::runtime)?;
    stopper.set(waiting.cancel());
    let generation = arbiter.open_generation(&claimant).context("the arbiter takes no new pairing");
    let generation = generation.map_err(Failure::runtime)?;
    let status = StatusBoard::default();
    status.write(|status| {
        (status.name, status.role, status.phase) = (name.to_owned(), "primary", "waiting");
        status.generation = generation.0;
    });
    let control = ControlSocket::open(arguments.side.control.as_deref(), name, status.clone());
    let _control = control.map_err(Failure::runtime)?;

    // All that can fail comes before the backup, which would take over from a primary that fails.
    let file = create_log(&arguments.side, &header)?;
    let _history = keep_history(&arguments.side, history, &status)?;
    let networks = open_networks(&config)?;
    let Some(paired) = wait(waiting, &header, &pair, generation, claimant.identity)? else {
        return Ok(signals.received().map_or(ExitCode::SUCCESS, |signal| ExitCode::from(128 + signal)));
    };
    let console = open_console(&config)?;
    let fence = Fence::new_closed();
    let connections = Connections { console, disks, networks, fence: fence.clone() };
    let (inputs, outputs) = live::connect(connections, GuestTime::BOOT, engine.kicker())
        .context("cannot connect the machine to the host")
        .map_err(Failure::runtime)?;
    let handle = inputs.stop_handle();
    stopper.set(move || handle.stop());
    let claims = Claims::new(arbiter, generation, claimant);
    let stop = stopper.clone();
    let side = PrimarySide { outputs, fence, stop: Box::new(move || stop.stop()), claims, board: status };
    let started = paired.start(side, file).context("cannot start the pair's driver");
    let (outbox, log, driver) = started.map_err(Failure::runtime)?;

    let world = LiveWorld::new(inputs, outbox);
    let recorder = Recorder::new(world, log, header.counting, ram.clone(), RECORDING);
    let (stop, world) = serve_to_the_end(Machine::new(engine, recorder, board));
    // Without its machine the driver lets go, and the backup takes over.
    let outcome = driver.join();
    drop(world);
    end(outcome, Some(stop), signals.received())
}

fn watch_signals(stopper: &Stopper) -> Result<SignalWatch, Failure> {
    let caught = CaughtSignals::catch().context("cannot catch signals").map_err(Failure::runtime)?;
    let stopper = stopper.clone();
    let watch = SignalWatch::start(caught, move || stopper.stop());
    watch.context("cannot watch for signals").map_err(Failure::runtime)
}

/// Waits for the backup; `None` if a signal ended that.
fn wait(
    waiting: Waiting,
    header: &Header,
    pair: &Pair,
    generation: Generation,
    opener: Identity,
) -> Result<Option<Paired>, Failure> {
    let text =
        toml::to_string(header).context("the machine cannot be described").map_err(Failure::runtime)?;
    let hello = PrimaryHello {
        version: VERSION,
        name: pair.name.0.as_str().to_owned(),
        generation,
        opener,
        header: text,
        timing: pair.timing(),
    };
    tracing::info!(
        target: outlive_replication::TARGET,
        event = "listening",
        address = %waiting.address(),
        generation = generation.0,
        "waiting for the backup; the guest starts when it is ready"
    );
    Ok(waiting.wait(&hello))
}
