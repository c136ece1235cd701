//! An arbiter that is a directory on shared storage. [The crate's page](crate) tells how and why.

mod folder;
mod listing;
mod record;
mod temporary;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;

use crate::{Arbiter, ArbiterError, Claim, Claimant, Generation, Identity, MachineName};
use folder::Folder;
use record::{FileName, Kind, Record};
use temporary::{Published, Temporary};

pub use listing::{Listed, Recorded, machines};
pub use record::Damage;

/// Flags in a directory that both hosts mount, for one virtual machine.
#[derive(Debug)]
pub struct DirectoryArbiter {
    directory: PathBuf,
    name: MachineName,
    /// The openings that were made or rehearsed here, by the random numbers of their records.
    seen: Mutex<BTreeMap<Generation, Identity>>,
}

impl DirectoryArbiter {
    /// The arbiter of that machine. The directory is looked at by each call anew, so it may be away now.
    pub fn new(directory: impl Into<PathBuf>, name: MachineName) -> Self {
        Self { directory: directory.into(), name, seen: Mutex::default() }
    }

    /// The machine's folder, if there is one.
    fn folder(&self) -> Result<Option<Folder>, ArbiterError> {
        Folder::open(&self.directory)?.subfolder(self.name.as_str())
    }

    /// The machine's folder. It must be there for a generation to be claimed.
    fn opened_folder(&self, generation: Generation) -> Result<Folder, ArbiterError> {
        self.folder()?.ok_or_else(|| ArbiterError::NotOpened {
            generation,
            folder: self.directory.join(self.name.as_str()),
        })
    }

    fn file(&self, kind: Kind, generation: Generation) -> FileName<'_> {
        FileName { machine: &self.name, generation, kind }
    }

    /// The record of the generation's opening, if it is there.
    fn opening(&self, folder: &Folder, generation: Generation) -> Result<Option<Record>, ArbiterError> {
        self.file(Kind::Opened, generation).read(folder)
    }

    fn note(&self, opening: &Record) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(opening.generation, opening.attempt);
    }

    /// Insists on this being the opening that was noted, if one was.
    fn insist(&self, folder: &Folder, opening: Record) -> Result<(), ArbiterError> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = seen.get(&opening.generation).is_none_or(|attempt| *attempt == opening.attempt);
        if is_same {
            return Ok(());
        }
        let folder = folder.path().to_owned();
        Err(ArbiterError::OpenedByAnother {
            generation: opening.generation,
            folder,
            opener: Box::new(opening.claimant),
        })
    }

    /// Writes a claim without making it, and insists on the generation having been opened. This is looked for after a
    /// file was created in the folder: an NFS client that remembers the record's absence looks again then.
    fn prepare<'a>(
        &self,
        folder: &'a Folder,
        generation: Generation,
        claimant: &Claimant,
    ) -> Result<(Temporary<'a>, Record), ArbiterError> {
        let record = Record::new(Kind::Claimed, &self.name, generation, claimant)?;
        let temporary = Temporary::write(folder, &record.to_text()?)?;
        let not_opened = || ArbiterError::NotOpened { generation, folder: folder.path().to_owned() };
        let opening = self.opening(folder, generation)?.ok_or_else(not_opened)?;
        Ok((temporary, opening))
    }

    /// What the flag says, if it is raised.
    fn verdict(
        &self,
        folder: &Folder,
        generation: Generation,
        claimant: &Claimant,
    ) -> Result<Option<Claim>, ArbiterError> {
        let Some(flag) = self.file(Kind::Claimed, generation).read(folder)? else {
            return Ok(None);
        };
        if flag.claimant.identity != claimant.identity {
            return Ok(Some(Claim::Lost(flag.claimant)));
        }
        // Whoever has raised it may not have come to this.
        folder.sync()?;
        Ok(Some(Claim::Won))
    }
}

impl Arbiter for DirectoryArbiter {
    fn open_generation(&self, claimant: &Claimant) -> Result<Generation, ArbiterError> {
        let folder = Folder::open(&self.directory)?.make_subfolder(self.name.as_str())?;
        let names = folder.names()?;
        // Flags count too: a flag without a record of its opening must not be taken for one of a new generation.
        let highest = names.iter().filter_map(|name| record::generation_of(name)).max();
        let mut generation = highest.unwrap_or(Generation(0));
        loop {
            let no_number = || ArbiterError::NoNumberLeft(folder.path().to_owned());
            generation = generation.0.checked_add(1).map(Generation).ok_or_else(no_number)?;
            let record = Record::new(Kind::Opened, &self.name, generation, claimant)?;
            let temporary = Temporary::write(&folder, &record.to_text()?)?;
            let file = self.file(Kind::Opened, generation).to_string();
            if temporary.publish(&file)? == Published::Made {
                folder.sync()?;
                temporary.sweep();
                self.note(&record);
                return Ok(generation);
            }
        }
    }

    fn rehearse(&self, generation: Generation, claimant: &Claimant) -> Result<Claimant, ArbiterError> {
        let folder = self.opened_folder(generation)?;
        let (temporary, opening) = self.prepare(&folder, generation, claimant)?;
        // A flag that is damaged already would be in the way.
        self.verdict(&folder, generation, claimant)?;
        temporary.rehearse()?;
        folder.sync()?;
        self.note(&opening);
        Ok(opening.claimant)
    }

    fn claim(&self, generation: Generation, claimant: &Claimant) -> Result<Claim, ArbiterError> {
        let folder = self.opened_folder(generation)?;
        // A flag that is raised can be read even where nothing can be written.
        if let Some(opening) = self.opening(&folder, generation)? {
            self.insist(&folder, opening)?;
            if let Some(verdict) = self.verdict(&folder, generation, claimant)? {
                return Ok(verdict);
            }
        }
        let (temporary, opening) = self.prepare(&folder, generation, claimant)?;
        self.insist(&folder, opening)?;
        let flag = self.file(Kind::Claimed, generation).to_string();
        if temporary.publish(&flag)? == Published::Made {
            folder.sync()?;
            return Ok(Claim::Won);
        }
        // Another was faster, or this very claimant in another thread.
        let verdict = self.verdict(&folder, generation, claimant)?;
        verdict.ok_or_else(|| ArbiterError::of("read", folder.path().join(flag), Errno::NOENT))
    }
}
