//! `outlive arbiter`: looking into the directory that decides which side of a pair goes on.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Subcommand;
use outlive_arbiter::{
    ArbiterError, Claimant, Date, DirectoryArbiter, Listed, MachineName, Recorded, machines,
};
use serde::Serialize;

use crate::failure::{Failure, chain};
use crate::print::print_line;

/// What to look at.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// List the pairings of each virtual machine: who has begun them, and which side goes on alone.
    ///
    /// Exit status: 0 when all could be read, 1 when something is damaged, 2 when there is no such directory or machine.
    #[command(after_help = "Examples:
  outlive arbiter show /shared/outlive
  outlive arbiter show /shared/outlive redis --json | jq '.machines[0].generations[-1].claimed'")]
    Show {
        /// The arbiter's directory.
        directory: PathBuf,
        /// The virtual machine. All of them if there is none.
        name: Option<MachineName>,
        /// Print JSON for programs.
        #[arg(long)]
        json: bool,
    },
}

/// Looks at an arbiter.
pub(crate) fn look(command: &Command) -> Result<ExitCode, Failure> {
    let Command::Show { directory, name, json } = command;
    let contents = Contents::of(directory, name.as_ref())?;
    let text = if *json {
        serde_json::to_string_pretty(&contents).map_err(Failure::runtime)?
    } else {
        contents.to_string()
    };
    print_line(text.trim_end())?;
    Ok(if contents.is_damaged() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What an arbiter's directory holds. As JSON, keys are never renamed; new ones may come.
#[derive(Serialize, Debug)]
struct Contents {
    directory: String,
    machines: Vec<Machine>,
}

#[derive(Serialize, Debug)]
struct Machine {
    name: MachineName,
    generations: Vec<Generation>,
}

#[derive(Serialize, Debug)]
struct Generation {
    generation: u64,
    /// Always there, unless somebody has removed the file.
    opened: Option<Entry>,
    /// If a side goes on alone.
    claimed: Option<Entry>,
}

/// A record: who and when, or what is wrong with it.
#[derive(Serialize, Debug)]
#[serde(untagged)]
enum Entry {
    Written { date: Date, by: Claimant },
    Damaged { damaged: String },
}

impl Contents {
    fn of(directory: &Path, name: Option<&MachineName>) -> Result<Self, Failure> {
        let names = match name {
            Some(name) => vec![name.clone()],
            None => machines(directory).map_err(failure)?,
        };
        let mut contents = Self { directory: directory.display().to_string(), machines: Vec::new() };
        for machine in names {
            let list = DirectoryArbiter::new(directory, machine.clone()).list().map_err(failure)?;
            let generations = list.map(|list| list.into_iter().map(Generation::from).collect());
            contents.machines.extend(generations.map(|generations| Machine { name: machine, generations }));
        }
        match name {
            Some(name) if contents.machines.is_empty() => {
                let cause = anyhow!("{} knows no machine {name}", directory.display());
                Err(Failure::usage(cause))
            }
            _ => Ok(contents),
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let generations = self.machines.iter().flat_map(|machine| &machine.generations);
        generations.flat_map(|generation| [&generation.opened, &generation.claimed]).flatten()
    }

    fn is_damaged(&self) -> bool {
        self.entries().any(|entry| matches!(entry, Entry::Damaged { .. }))
    }
}

/// Whoever named a directory that is not there has made a mistake; what fails later is none.
fn failure(error: ArbiterError) -> Failure {
    match error {
        ArbiterError::Missing(_) | ArbiterError::NotADirectory(_) => Failure::usage(error),
        _ => Failure::runtime(error),
    }
}

impl From<Listed> for Generation {
    fn from(listed: Listed) -> Self {
        let Listed { generation, opened, claimed } = listed;
        Self { generation: generation.0, opened: opened.map(Entry::from), claimed: claimed.map(Entry::from) }
    }
}

impl From<Recorded> for Entry {
    fn from(recorded: Recorded) -> Self {
        match recorded {
            Recorded::Written { claimant, date } => Self::Written { date, by: claimant },
            Recorded::Damaged(error) => Self::Damaged { damaged: chain(&error) },
        }
    }
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.machines.is_empty() {
            return writeln!(f, "{} knows no machine", self.directory);
        }
        let width = self.machines.iter().map(|machine| machine.name.as_str().len()).max().unwrap_or(0).max(7);
        writeln!(f, "{:<width$}  {:>10}  {:<7}  {:<20}  by", "machine", "generation", "", "date (UTC)")?;
        for machine in &self.machines {
            for generation in &machine.generations {
                let row = format!("{:<width$}  {:>10}", machine.name, generation.generation);
                row_of(f, &row, "opened", generation.opened.as_ref())?;
                row_of(f, &row, "claimed", generation.claimed.as_ref())?;
            }
        }
        let damages = self.entries().filter_map(|entry| match entry {
            Entry::Damaged { damaged } => Some(damaged),
            Entry::Written { .. } => None,
        });
        damages.into_iter().try_for_each(|damage| write!(f, "\ndamaged: {}\n", damage.escape_debug()))
    }
}

/// A line of the table. A flag that nobody has claimed has none.
fn row_of(f: &mut fmt::Formatter<'_>, row: &str, what: &str, entry: Option<&Entry>) -> fmt::Result {
    match entry {
        Some(Entry::Written { date, by }) => writeln!(f, "{row}  {what:<7}  {date}  {by}"),
        Some(Entry::Damaged { .. }) => writeln!(f, "{row}  {what:<7}  damaged"),
        None if what == "opened" => writeln!(f, "{row}  {what:<7}  its record is gone"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlive_arbiter::{Arbiter, Generation as Number};

    /// A directory with a machine whose first generation the backup has won, and whose second one is damaged.
    fn directory() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let arbiter = DirectoryArbiter::new(directory.path(), "redis".parse().unwrap());
        let claimant = |role| Claimant { host: "alpha".into(), process: 7, ..Claimant::new(role).unwrap() };
        arbiter.open_generation(&claimant("primary")).unwrap();
        arbiter.claim(Number(1), &claimant("backup")).unwrap();
        arbiter.open_generation(&claimant("primary")).unwrap();
        std::fs::write(directory.path().join("redis/generation-000002.claimed"), "").unwrap();
        directory
    }

    fn show(directory: &Path, name: Option<&str>) -> Result<Contents, Failure> {
        Contents::of(directory, name.map(|name| name.parse().unwrap()).as_ref())
    }

    #[test]
    fn the_table_tells_who_goes_on_and_what_is_damaged() {
        let directory = directory();
        let contents = show(directory.path(), None).unwrap();
        let table = contents.to_string();
        let rows: Vec<_> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
        assert_eq!(rows[1][..3], ["redis", "1", "opened"]);
        assert_eq!(rows[1][4..], ["primary", "on", "alpha,", "process", "7"]);
        assert_eq!(rows[2][..3], ["redis", "1", "claimed"]);
        assert_eq!(rows[2][4], "backup");
        assert_eq!(rows[3][..3], ["redis", "2", "opened"]);
        assert_eq!(rows[4], ["redis", "2", "claimed", "damaged"]);
        assert!(table.contains("generation-000002.claimed cannot be understood"), "{table}");
        assert!(contents.is_damaged());
    }

    #[test]
    fn json_tells_the_same() {
        let directory = directory();
        let json = serde_json::to_value(show(directory.path(), Some("redis")).unwrap()).unwrap();
        let generations = &json["machines"][0]["generations"];
        assert_eq!(json["machines"][0]["name"], "redis");
        assert_eq!(generations[0]["generation"], 1);
        assert_eq!(generations[0]["opened"]["by"]["role"], "primary");
        assert_eq!(generations[0]["claimed"]["by"]["host"], "alpha");
        assert!(generations[0]["claimed"]["date"].as_str().unwrap().ends_with('Z'));
        assert!(generations[1]["claimed"]["damaged"].as_str().unwrap().contains("it is empty"));
    }

    #[test]
    fn what_is_not_there_is_a_mistake_of_the_command_line() {
        let directory = tempfile::tempdir().unwrap();
        let usage = format!("{:?}", ExitCode::from(2));
        for (path, name) in [(directory.path().join("none"), None), (directory.path().into(), Some("redis"))]
        {
            let failure = show(&path, name).unwrap_err();
            assert_eq!(format!("{:?}", failure.exit_code()), usage, "{failure}");
        }
        let contents = show(directory.path(), None).unwrap();
        assert!(contents.to_string().contains("knows no machine") && !contents.is_damaged());
    }
}
