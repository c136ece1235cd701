//! `outlive replay`: a recorded run, again, from its log.

mod disks;
mod output;
mod progress;
mod report;
mod sectors;
mod sparse;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use clap::builder::{OsStringValueParser, TypedValueParser};
use outlive_engine::{Capabilities, Engine, EngineKind, GuestRam, Kicker, Landing, TimeReads};
use outlive_kvm::KvmEngine;
use outlive_log::LogReader;
use outlive_log::header::{Counting, Header};
use outlive_machine::machine::Machine;
use outlive_machine::memory::create_ram;
use outlive_replay::{CheckLevel, Goal, ReplayOptions, Replayer};
use outlive_soft::SoftEngine;

use crate::config::EngineChoice;
use crate::description::Description;
use crate::engine;
use crate::failure::Failure;
use crate::images::Images;
use crate::images::cache::Cache;
use crate::images::search::{self, Given};
use crate::log;
use crate::signals::{CaughtSignals, SignalWatch};
use disks::DiskFile;
use output::SharedSink;
use progress::ProgressDisplay;
use report::Report;

/// What the command line says.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The log.
    #[arg(value_name = "FILE")]
    log: PathBuf,
    /// Which engine executes the guest. By default one that can stop where the log's inputs came.
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    engine: EngineChoice,
    /// Stop at this landmark: behind the exit of this number, and so many steps (or interrupt windows, as the log
    /// counts) further on.
    #[arg(long, value_name = "EXIT[+SINCE]")]
    until: Option<Goal>,
    /// Replay a damaged log up to the damage.
    #[arg(long)]
    until_damage: bool,
    /// How much is checked: `registers` leaves memory out, which is faster.
    #[arg(long, value_name = "LEVEL", default_value = "memory")]
    check: Check,
    /// Print what the guest writes to its console. The summary goes to standard error then.
    #[arg(long)]
    console: bool,
    /// Make a disk as it was when the replay ends, in a new file. N is its position in the configuration, 0 by default.
    #[arg(long, value_name = "[N=]FILE", value_parser = OsStringValueParser::new().try_map(DiskFile::parse))]
    disk_out: Vec<DiskFile>,
    /// The disk as it was when the recording began, for --disk-out. By default the recorded path is tried; if the disk
    /// there is another one by now, the new file holds only what the guest has read and written.
    #[arg(long, value_name = "[N=]FILE", value_parser = OsStringValueParser::new().try_map(DiskFile::parse))]
    disk: Vec<DiskFile>,
    /// The kernel. By default it is taken from where it was, or from the image cache.
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// The initial RAM file system, likewise.
    #[arg(long, value_name = "FILE")]
    initramfs: Option<PathBuf>,
    /// Print the summary, or the report of a divergence, as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// How much of a replay is checked.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Check {
    /// Registers at each interrupt and output; registers and devices at each digest.
    Registers,
    /// Memory at each digest too.
    Memory,
}

/// A log, and what it describes.
struct Recording {
    log: LogReader,
    header: Header,
    description: Description,
    images: Images,
}

impl Recording {
    /// Opens a log and finds what it needs.
    fn open(arguments: &Arguments) -> Result<Self, Failure> {
        let log = log::open(&arguments.log)?;
        let header = log.header().clone();
        let invalid = || format!("the header of {} describes no machine", arguments.log.display());
        let description = Description::of_header(&header).with_context(invalid).map_err(Failure::usage)?;
        let given = Given { kernel: arguments.kernel.as_deref(), initramfs: arguments.initramfs.as_deref() };
        let images = search::find(&header, given, Cache::of_user().as_ref()).map_err(Failure::usage)?;
        Ok(Self { log, header, description, images })
    }
}

/// Replays a log.
pub(crate) fn replay(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let recording = Recording::open(arguments)?;
    let engine = choose_engine(arguments.engine, recording.header.counting);
    engine::check_landmarks(engine).map_err(Failure::usage)?;
    let ram = create_ram(recording.description.ram).map_err(Failure::runtime)?;
    match engine {
        EngineKind::Kvm => start(arguments, recording, KvmEngine::new(&ram).map_err(Failure::runtime)?, &ram),
        EngineKind::Soft => start(arguments, recording, SoftEngine::new(&ram), &ram),
    }
}

/// The engine that is asked for; if none is, one that can stop where the log's inputs came.
fn choose_engine(choice: EngineChoice, counting: Counting) -> EngineKind {
    match (choice, counting) {
        (EngineChoice::Auto, Counting::Steps) => EngineKind::Soft,
        (choice, _) => engine::choose(choice),
    }
}

/// An engine must stop where the recorded inputs came, and see the time reads that the recording saw.
fn check_engine(header: &Header, engine: Capabilities) -> anyhow::Result<()> {
    let name = engine.engine;
    if header.counting == Counting::Steps && engine.landing != Landing::AnyInstruction {
        anyhow::bail!(
            "the {name} engine cannot replay this log: inputs came between any two instructions, and {name} takes \
             them at exits only; use --engine soft"
        );
    }
    if !header.machine.rewritten_time_reads && engine.time_reads == TimeReads::MustBeRewritten {
        anyhow::bail!(
            "the {name} engine cannot replay this log: the guest read the time by RDTSC, which {name} does not see; \
             use --engine soft"
        );
    }
    Ok(())
}

fn start(
    arguments: &Arguments,
    recording: Recording,
    mut engine: impl Engine,
    ram: &GuestRam,
) -> Result<ExitCode, Failure> {
    let Recording { log, header, description, images } = recording;
    check_engine(&header, engine.capabilities()).map_err(Failure::usage)?;
    let board = description.power_on(&images, &mut engine, ram)?;
    drop(images);
    let disks = disks::create(&header, &arguments.disk_out, &arguments.disk)?;
    let stop = Arc::new(AtomicBool::new(false));
    let signals = watch_signals(&stop, engine.kicker())?;

    let sink = SharedSink::new(arguments.console, disks);
    let options = ReplayOptions {
        check: arguments.check.into(),
        until: arguments.until,
        until_damage: arguments.until_damage,
        end_digest: true,
        stop,
    };
    let replayer = Replayer::new(log, Box::new(sink.clone()), ram.clone(), options);
    let progress = arguments.shows_progress().then(|| ProgressDisplay::start(replayer.progress()));
    let mut machine = Machine::new(engine, replayer, board);
    let replayed = outlive_replay::replay(&mut machine);
    drop(machine);
    drop(progress);
    sink.flush_console();
    let report = Report::new(&arguments.log, replayed, arguments.until);
    let printed = report.print(arguments.json, arguments.console);
    // A disk that a diverging replay has made is nobody's.
    if report.is_good() {
        sink.keep_disks()?;
    }
    printed?;
    report.finish(arguments.json, signals.received())
}

/// A signal stops the replay, also one that runs without exits.
fn watch_signals(stop: &Arc<AtomicBool>, kicker: Kicker) -> Result<SignalWatch, Failure> {
    let stop = Arc::clone(stop);
    let signals = CaughtSignals::catch().context("cannot catch signals").map_err(Failure::runtime)?;
    let watch = SignalWatch::start(signals, move || {
        stop.store(true, Ordering::Release);
        kicker.kick();
    });
    watch.context("cannot watch for signals").map_err(Failure::runtime)
}

impl Arguments {
    /// A bar would be in the way of a console, and of programs that read along.
    fn shows_progress(&self) -> bool {
        std::io::stderr().is_terminal() && !self.console && !self.json
    }
}

impl From<Check> for CheckLevel {
    fn from(check: Check) -> Self {
        match check {
            Check::Registers => Self::Registers,
            Check::Memory => Self::Memory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlive_log::header::{Image, Machine};

    const SOFT: Capabilities = Capabilities {
        engine: EngineKind::Soft,
        landing: Landing::AnyInstruction,
        time_reads: TimeReads::Trapped,
    };
    const KVM: Capabilities = Capabilities {
        engine: EngineKind::Kvm,
        landing: Landing::AtExits,
        time_reads: TimeReads::MustBeRewritten,
    };

    fn header(counting: Counting, rewritten_time_reads: bool) -> Header {
        let machine = Machine {
            memory: 16 << 20,
            command_line: String::new(),
            random_seed: [0; 32],
            wall_clock: 0,
            rewritten_time_reads,
        };
        Header {
            engine: String::new(),
            counting,
            version: String::new(),
            recorded: 0,
            machine,
            kernel: Image { path: PathBuf::new(), bytes: 0, digest: [0; 32] },
            initramfs: None,
            disk: Vec::new(),
            network: Vec::new(),
        }
    }

    #[test]
    fn an_engine_replays_what_it_can_and_is_refused_for_the_rest() {
        let check = |counting, rewritten, engine| check_engine(&header(counting, rewritten), engine);
        check(Counting::Steps, false, SOFT).unwrap();
        check(Counting::Windows, true, SOFT).unwrap();
        check(Counting::Windows, true, KVM).unwrap();
        let error = check(Counting::Steps, true, KVM).unwrap_err().to_string();
        assert!(error.contains("kvm") && error.contains("--engine soft"), "{error}");
        let error = check(Counting::Windows, false, KVM).unwrap_err().to_string();
        assert!(error.contains("RDTSC") && error.contains("--engine soft"), "{error}");
    }

    #[test]
    fn a_log_that_counts_steps_is_replayed_by_an_engine_that_does() {
        assert_eq!(choose_engine(EngineChoice::Auto, Counting::Steps), EngineKind::Soft);
        assert_eq!(choose_engine(EngineChoice::Kvm, Counting::Steps), EngineKind::Kvm);
        assert_eq!(choose_engine(EngineChoice::Soft, Counting::Windows), EngineKind::Soft);
    }
}
