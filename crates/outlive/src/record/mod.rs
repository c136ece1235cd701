//! `outlive record`: a guest, live, whose run is written down.

pub(crate) mod header;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use outlive_engine::{Engine, EngineKind, GuestRam};
use outlive_kvm::KvmEngine;
use outlive_log::LogWriter;
use outlive_machine::machine::Machine;
use outlive_machine::memory::create_ram;
use outlive_replay::{RecordOptions, Recorder};
use outlive_soft::SoftEngine;

use crate::config::Config;
use crate::description::Description;
use crate::engine;
use crate::failure::Failure;
use crate::images::Images;
use crate::images::cache::Cache;
use crate::live::{Connection, Preparation, are_same, finish, own_files};
use report::Report;

/// What the command line says.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The machine's configuration, a TOML file.
    config: PathBuf,
    /// The log to write. The file must not exist, unless --overwrite is given.
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// Replace the log if there is one already.
    #[arg(long)]
    overwrite: bool,
    /// Write a digest of the whole state whenever so much guest time has passed; 0 means only in the end. A replay
    /// compares them.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    digest_every: Duration,
    /// Write all registers at each interrupt and output, so that a divergence can be told by name. The log becomes
    /// many times larger.
    #[arg(long)]
    registers: bool,
    /// Print the summary as one line of JSON. It goes to standard error as well, for standard output is the guest's.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    fn options(&self) -> RecordOptions {
        let digest_every = Some(self.digest_every).filter(|every| !every.is_zero());
        RecordOptions { digest_every, registers: self.registers }
    }
}

/// Runs the machine of a configuration file to its end, and records it.
pub(crate) fn record(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let preparation = Preparation::of(&arguments.config)?;
    let Arguments { config, log, overwrite, .. } = arguments;
    check_log(log, *overwrite, &preparation.config, config).map_err(Failure::usage)?;
    let engine = engine::choose(preparation.config.engine);
    engine::check_landmarks(engine).map_err(Failure::usage)?;
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
    let capabilities = engine.capabilities();
    let header = header::of(&preparation, capabilities).map_err(Failure::runtime)?;
    let Preparation { config, images, disks } = preparation;
    // From what a replay will read, so that both build the same machine.
    let description = Description::of_header(&header).map_err(Failure::usage)?;
    let board = description.power_on(&images, &mut engine, ram)?;
    keep(&images);
    let Connection { world, signals } = Connection::establish(&config, disks, engine.kicker())?;
    // Last, when all the rest has proved good: there may be an older log under this name.
    let log = LogWriter::create(&arguments.log, &header, arguments.overwrite).map_err(Failure::runtime)?;

    let recorder = Recorder::new(world, log, header.counting, ram.clone(), arguments.options());
    let recorded = outlive_replay::record(Machine::new(engine, recorder, board));
    let (recorded, world) = recorded.map_err(Failure::runtime)?;
    let report = Report::new(&arguments.log, &recorded, world.waiting(), capabilities.landing);
    // The person's terminal is restored before anything more is said.
    drop(world);
    report.print(arguments.json)?;
    finish(recorded.stop, signals.received())
}

/// Finds out early whether the log can be written, and that nothing else is lost by that.
/// `path` is that of the configuration.
pub(crate) fn check_log(log: &Path, overwrite: bool, config: &Config, path: &Path) -> anyhow::Result<()> {
    check_output("log", log, overwrite, config, path)
}

/// The same for another file that is written while a machine runs; `what` is its name in messages.
pub(crate) fn check_output(
    what: &str,
    output: &Path,
    overwrite: bool,
    config: &Config,
    path: &Path,
) -> anyhow::Result<()> {
    let shown = output.display();
    let console = match &config.console {
        crate::config::Console::File(path) => Some(path.as_path()),
        _ => None,
    };
    if own_files(config, path).chain(console).any(|file| are_same(file, output)) {
        anyhow::bail!("the {what} cannot be {shown}: the machine needs what is in it");
    }
    match std::fs::metadata(output) {
        Ok(metadata) if metadata.is_dir() => anyhow::bail!("the {what} cannot be {shown}: it is a directory"),
        Ok(metadata) if !metadata.is_file() => {
            anyhow::bail!("the {what} cannot be {shown}: it is no ordinary file")
        }
        Ok(_) if !overwrite => anyhow::bail!("{shown} exists already: --overwrite replaces it"),
        Ok(_) => Ok(()),
        Err(_) if !folder(output).is_dir() => {
            anyhow::bail!("the {what} cannot be {shown}: there is no such folder")
        }
        Err(_) => Ok(()),
    }
}

fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Keeps copies of the images, so that the log can be replayed when they have been rebuilt. A recording without
/// copies is better than none.
pub(crate) fn keep(images: &Images) {
    let Some(cache) = Cache::of_user() else {
        eprintln!(
            "outlive: no copies of the images are kept: neither OUTLIVE_CACHE, XDG_CACHE_HOME nor HOME is set"
        );
        return;
    };
    for image in [Some(&images.kernel), images.initramfs.as_ref()].into_iter().flatten() {
        if let Err(error) = cache.keep(image) {
            let copy = cache.path(image.digest());
            eprintln!("outlive: no copy of {} is kept as {}: {error}", image.path.display(), copy.display());
        }
    }
}

/// Guest time on the command line.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds was expected".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(log: &Path, overwrite: bool) -> Result<(), String> {
        let folder = log.ancestors().find(|folder| folder.join("machine.toml").exists()).unwrap();
        let path = folder.join("machine.toml");
        let config = Config::read(&path).unwrap();
        check_log(log, overwrite, &config, &path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_log_never_takes_the_place_of_something_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let text = "memory = \"16M\"\nkernel = \"vmlinux\"\nconsole = { file = \"console\" }\n[[disk]]\npath = \"disk\"";
        std::fs::write(path("machine.toml"), text).unwrap();
        for name in ["vmlinux", "disk", "old.log"] {
            std::fs::write(path(name), name).unwrap();
        }
        std::fs::hard_link(path("disk"), path("link")).unwrap();
        for own in ["vmlinux", "disk", "machine.toml", "link", "console"] {
            let refused = check(&path(own), true).unwrap_err();
            assert!(refused.contains("the machine needs what is in it"), "{own}: {refused}");
        }
        assert!(check(folder.path(), true).unwrap_err().contains("directory"));
        assert!(check(&path("none/log"), false).unwrap_err().contains("no such folder"));
        assert!(check(&path("old.log"), false).unwrap_err().contains("--overwrite"));
        check(&path("old.log"), true).unwrap();
        check(&path("new.log"), false).unwrap();
        assert_eq!(std::fs::read(path("old.log")).unwrap(), b"old.log", "nothing is lost by the check");
    }

    #[test]
    fn seconds_may_have_a_fraction_but_no_sign() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        for bad in ["", "-1", "x", "inf", "nan", "1e300"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
