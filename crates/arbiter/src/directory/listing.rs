//! What an arbiter's directory holds, for people.

use std::collections::BTreeSet;
use std::path::Path;

use super::DirectoryArbiter;
use super::folder::Folder;
use super::record::{self, Kind, Record};
use crate::{ArbiterError, Claimant, Date, Generation, MachineName};

/// A generation, as it stands there.
#[derive(Debug)]
pub struct Listed {
    /// Which.
    pub generation: Generation,
    /// By whom it was opened. Always there, unless somebody has removed the file.
    pub opened: Option<Recorded>,
    /// Who has won its flag, if it is raised.
    pub claimed: Option<Recorded>,
}

/// A record, as it stands there.
#[derive(Debug)]
pub enum Recorded {
    /// It is whole.
    Written {
        /// By whom it was written.
        claimant: Claimant,
        /// When, by that one's clock.
        date: Date,
    },
    /// It is not, or it cannot be read: why, and where.
    Damaged(ArbiterError),
}

/// The machines that have a folder in an arbiter's directory, by name. Other files there are passed over.
///
/// # Errors
/// When the directory is not there or cannot be read.
pub fn machines(directory: &Path) -> Result<Vec<MachineName>, ArbiterError> {
    let share = Folder::open(directory)?;
    let mut machines = Vec::new();
    for name in share.names()? {
        let Ok(machine) = MachineName::try_from(name) else {
            continue;
        };
        match share.subfolder(machine.as_str()) {
            Ok(None) | Err(ArbiterError::NotADirectory(_)) => {}
            Ok(Some(_)) => machines.push(machine),
            Err(error) => return Err(error),
        }
    }
    machines.sort();
    Ok(machines)
}

impl DirectoryArbiter {
    /// The machine's generations in their order, or nothing if the machine has no folder. A file that is damaged is
    /// part of the list.
    ///
    /// # Errors
    /// When the directory is not there, or the machine's folder cannot be read.
    pub fn list(&self) -> Result<Option<Vec<Listed>>, ArbiterError> {
        let Some(folder) = self.folder()? else {
            return Ok(None);
        };
        let names = folder.names()?;
        let generations: BTreeSet<_> = names.iter().filter_map(|name| record::generation_of(name)).collect();
        let recorded = |kind, generation| recorded(self.file(kind, generation).read(&folder));
        let listed = |generation| Listed {
            generation,
            opened: recorded(Kind::Opened, generation),
            claimed: recorded(Kind::Claimed, generation),
        };
        Ok(Some(generations.into_iter().map(listed).collect()))
    }
}

fn recorded(read: Result<Option<Record>, ArbiterError>) -> Option<Recorded> {
    match read {
        Ok(record) => {
            record.map(|record| Recorded::Written { claimant: record.claimant, date: record.written })
        }
        Err(error) => Some(Recorded::Damaged(error)),
    }
}
