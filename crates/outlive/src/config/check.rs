//! `outlive config check`: what a machine a configuration makes.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use outlive_engine::EngineKind;
use outlive_machine::host::console::ConsoleConfig;
use outlive_machine::host::disk::Sharing;
use outlive_machine::memory::create_ram;
use outlive_soft::SoftEngine;

use super::quantity::MacAddress;
use super::{Config, Network, Pair};
use crate::description::Description;
use crate::engine;
use crate::failure::Failure;
use crate::live::Preparation;
use crate::print::print;

/// What the command line says.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The configuration, a TOML file.
    #[arg(value_name = "FILE")]
    config: PathBuf,
}

/// Reads a configuration, prints the machine, and builds it.
///
/// # Errors
/// When the configuration is wrong, or what it names.
pub(super) fn check(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let config = Config::read(&arguments.config).map_err(Failure::usage)?;
    let engine = engine::choose(config.engine);
    // What the file says is told before what may be wrong with it.
    print(Machine { config: &config, engine }.to_string().as_bytes())?;
    build(config, &arguments.config, engine)?;
    print(b"The machine can be built.\n")
}

/// Builds a machine as `run` does, up to its first instruction.
fn build(config: Config, path: &Path, engine: EngineKind) -> Result<(), Failure> {
    // A backup takes no lock of a disk, so the machine may be running meanwhile.
    let preparation = Preparation::of_config(config, path, Sharing::PairBackup)?;
    let Preparation { config, images, disks } = preparation;
    let time_reads = engine::capabilities(engine).time_reads;
    let description = Description::of_config(&config, &disks, time_reads).map_err(Failure::runtime)?;
    let ram = create_ram(config.ram()).map_err(Failure::runtime)?;
    // What is loaded, and whether it can be, does not depend on the engine that will execute it.
    description.power_on(&images, &mut SoftEngine::new(&ram), &ram)?;
    Ok(())
}

/// The machine of a configuration, as a table for people.
struct Machine<'a> {
    config: &'a Config,
    engine: EngineKind,
}

impl fmt::Display for Machine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.config;
        row(f, "memory", format_args!("{} MiB", config.ram().bytes() >> 20))?;
        row(f, "engine", self.engine)?;
        row(f, "kernel", File(&config.kernel))?;
        match &config.initramfs {
            Some(path) => row(f, "initramfs", File(path))?,
            None => row(f, "initramfs", "none")?,
        }
        row(f, "command line", &config.command_line)?;
        match config.console() {
            ConsoleConfig::Stdio => row(f, "console", "standard input and output")?,
            ConsoleConfig::Pty => row(f, "console", "a new pseudo-terminal")?,
            ConsoleConfig::File(path) => row(f, "console", path.display())?,
        }
        row(f, "random seed", config.random_seed.map_or("fresh from the host", |_| "as configured"))?;
        match config.wall_clock {
            Some(seconds) => row(f, "wall clock", format_args!("{seconds} s after the beginning of 1970"))?,
            None => row(f, "wall clock", "the host's")?,
        }
        for (position, disk) in config.disk.iter().enumerate() {
            let access = if disk.read_only { "read only" } else { "read and written" };
            row(f, &format!("disk {position}"), format_args!("{}, {access}", File(&disk.path)))?;
        }
        for (position, network) in config.network.iter().enumerate() {
            row(f, &format!("network {position}"), Attached { network, position })?;
        }
        config.pair.as_ref().map_or(Ok(()), |pair| pair_rows(f, pair))
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    let line = format!("{name:<14}{value}");
    writeln!(f, "{}", line.trim_end())
}

/// The times are told whether or not the configuration does.
fn pair_rows(f: &mut fmt::Formatter<'_>, pair: &Pair) -> fmt::Result {
    let there = if pair.arbiter.is_dir() { "" } else { " (no such directory)" };
    row(f, "pair", pair.name.0.as_str())?;
    row(f, "  arbiter", format_args!("{}{there}", pair.arbiter.display()))?;
    let timing = pair.timing();
    row(f, "  times", format_args!("suspected after {:?}, lease {:?}", timing.suspect_after, timing.lease))?;
    row(f, "", format_args!("heartbeat {:?}, lag limit {:?}", timing.heartbeat, timing.lag_limit))
}

/// A file that the machine needs: its size, or why it cannot be found.
struct File<'a>(&'a Path);

impl fmt::Display for File<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.display())?;
        match fs::metadata(self.0) {
            Ok(metadata) if metadata.is_file() => write!(f, " ({} bytes)", metadata.len()),
            Ok(_) => Ok(()),
            Err(error) => write!(f, " ({error})"),
        }
    }
}

/// A network interface, and what it meets on the host.
struct Attached<'a> {
    network: &'a Network,
    position: usize,
}

impl fmt::Display for Attached<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, position } = self;
        let tap = network.tap();
        let is_there = Path::new("/sys/class/net").join(tap.name.to_string()).exists();
        let made = if is_there { "there already" } else { "made at the start" };
        write!(f, "TAP {} ({made}), guest {}", tap.name, MacAddress(network.mac(*position)))?;
        if let Some((address, prefix)) = tap.host_address {
            write!(f, ", host {address}/{prefix}")?;
        }
        tap.bridge.as_ref().map_or(Ok(()), |bridge| write!(f, ", bridge {bridge}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::explain;

    fn table(text: &str) -> String {
        let config = toml::from_str(text).unwrap();
        Machine { config: &config, engine: EngineKind::Soft }.to_string()
    }

    #[test]
    fn the_table_tells_the_whole_machine() {
        let table = table(explain::example());
        let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        for expected in [
            "memory 256 MiB",
            "engine soft",
            "kernel vmlinux (No such file or directory (os error 2))",
            "console standard input and output",
            "wall clock 1700000000 s after the beginning of 1970",
            "disk 0 disk.img (No such file or directory (os error 2)), read and written",
            "arbiter /shared/outlive (no such directory)",
            "times suspected after 200ms, lease 50ms",
            "heartbeat 10ms, lag limit 100ms",
        ] {
            let expected: Vec<_> = expected.split_whitespace().collect();
            assert!(rows.contains(&expected), "no {expected:?} in\n{table}");
        }
        let network = "guest 52:54:00:12:34:56, host 10.0.2.1/24, bridge br0\n";
        assert!(table.contains("network 0     TAP outlive0 (") && table.contains(network), "{table}");
    }

    #[test]
    fn what_is_left_out_is_told_by_its_default() {
        let table = table("memory = \"16M\"\nkernel = \"x\"\n[[network]]\ntap = \"outlivetest0\"");
        assert!(table.contains("initramfs     none\ncommand line\n"), "{table}");
        assert!(table.contains("random seed   fresh from the host\nwall clock    the host's\n"), "{table}");
        assert!(table.contains("guest 52:54:00:6f:6c:00\n"), "{table}");
        assert!(!table.contains("disk") && !table.contains("pair"), "{table}");
    }
}
