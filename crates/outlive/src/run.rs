//! `outlive run`: a guest, live, on its own.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use outlive_engine::{Engine, EngineKind, ExitNumber, GuestRam, InstructionCount, Landing};
use outlive_kvm::KvmEngine;
use outlive_machine::machine::Machine;
use outlive_machine::memory::create_ram;
use outlive_machine::world::World;
use outlive_soft::SoftEngine;

use crate::description::Description;
use crate::engine;
use crate::failure::Failure;
use crate::live::{Connection, Preparation, finish};

/// What the command line says.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The machine's configuration, a TOML file.
    config: PathBuf,
    /// Tell on standard error in the end how many instructions were executed, and how fast.
    #[arg(long)]
    stats: bool,
    /// Print on standard error in the end the digests of registers, memory and devices: machines that are
    /// alike have equal ones.
    #[arg(long)]
    digest: bool,
}

/// Runs the machine of a configuration file to its end.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let preparation = Preparation::of(&arguments.config)?;
    let engine = engine::choose(preparation.config.engine);
    let ram = create_ram(preparation.config.ram()).map_err(Failure::runtime)?;
    match engine {
        EngineKind::Kvm => {
            start(arguments, preparation, KvmEngine::new(&ram).map_err(Failure::runtime)?, &ram)
        }
        EngineKind::Soft => start(arguments, preparation, SoftEngine::new(&ram), &ram),
    }
}

fn start(
    arguments: &Arguments,
    preparation: Preparation,
    mut engine: impl Engine,
    ram: &GuestRam,
) -> Result<ExitCode, Failure> {
    let Preparation { config, images, disks } = preparation;
    let description = Description::of_config(&config, &disks, engine.capabilities().time_reads);
    let board = description.map_err(Failure::runtime)?.power_on(&images, &mut engine, ram)?;
    let Connection { world, signals } = Connection::establish(&config, disks, engine.kicker())?;

    let mut machine = Machine::new(engine, world, board);
    let begin = Instant::now();
    let stop = machine.run();
    let executed = Executed::of(&mut machine, begin.elapsed());
    // A machine that could not go on stands nowhere that has a digest.
    let digest = (arguments.digest && stop.is_ok()).then(|| machine.digest());
    // The person's terminal is restored before anything more is said.
    drop(machine);
    if arguments.stats {
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
