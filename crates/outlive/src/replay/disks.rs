//! `--disk-out`: disks as they are when a replay ends.
//!
//! A log holds what the guest has read of its disks, but not what it has written: the replay makes that again. So a
//! copy of the disk as it was when the recording began, with all writes carried out, is the disk at the end. Without
//! that copy, what the guest has read and written can still be told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use outlive_log::header::{self, Header};
use outlive_machine::digest::Digest;
use outlive_machine::host::disk::{DiskImage, SECTOR};
use outlive_machine::world::{DiskOperation, DiskRequestId};

use super::sectors::SectorSet;
use super::sparse;
use crate::failure::Failure;

/// A file for one of the disks: `[N=]FILE` on the command line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DiskFile {
    position: usize,
    path: PathBuf,
}

impl DiskFile {
    /// Reads `[N=]FILE`.
    pub(super) fn parse(argument: OsString) -> Result<Self, String> {
        let bytes = argument.as_bytes();
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (position, path) = match bytes.get(digits) {
            Some(b'=') if digits > 0 => {
                let position = String::from_utf8_lossy(&bytes[..digits]).parse();
                let position = position.map_err(|_| "there is no disk of this number".to_owned())?;
                (position, OsString::from_vec(bytes[digits + 1..].to_vec()))
            }
            _ => (0, argument),
        };
        if path.is_empty() {
            return Err("give a file".to_owned());
        }
        Ok(Self { position, path: path.into() })
    }
}

/// Creates the files of `--disk-out`.
///
/// # Errors
/// When the arguments do not fit the log, or a file cannot be made.
pub(super) fn create(
    header: &Header,
    wanted: &[DiskFile],
    given: &[DiskFile],
) -> Result<Vec<DiskOutput>, Failure> {
    check(header, wanted, given).map_err(Failure::usage)?;
    let create = |file: &DiskFile| {
        let origin = given.iter().find(|given| given.position == file.position);
        DiskOutput::create(file, &header.disk[file.position], origin.map(|given| given.path.as_path()))
    };
    wanted.iter().map(create).collect()
}

/// Whether the arguments fit the log, and each other.
fn check(header: &Header, wanted: &[DiskFile], given: &[DiskFile]) -> anyhow::Result<()> {
    for files in [wanted, given] {
        for (at, file) in files.iter().enumerate() {
            if file.position >= header.disk.len() {
                anyhow::bail!(
                    "there is no disk {}: the recorded machine has {}",
                    file.position,
                    header.disk.len()
                );
            }
            if files[..at].iter().any(|other| other.position == file.position) {
                anyhow::bail!("two files are given for disk {}", file.position);
            }
        }
    }
    match given.iter().find(|given| wanted.iter().all(|wanted| wanted.position != given.position)) {
        Some(idle) => anyhow::bail!("--disk {0}=... is of no use without --disk-out {0}=FILE", idle.position),
        None => Ok(()),
    }
}

/// A disk that a replay makes. Its file is removed when this is dropped, unless it was kept.
#[derive(Debug)]
pub(super) struct DiskOutput {
    position: usize,
    file: File,
    path: PathBuf,
    is_kept: bool,
    /// Without a copy to begin with: what is known of the disk.
    known: Option<Known>,
}

/// What is known of a disk.
#[derive(Default, Debug)]
struct Known {
    sectors: SectorSet,
    /// The first sectors of reads that have not completed.
    reads: BTreeMap<DiskRequestId, u64>,
}

impl DiskOutput {
    /// Creates the file, and fills it with the disk as it was.
    fn create(wanted: &DiskFile, disk: &header::Disk, given: Option<&Path>) -> Result<Self, Failure> {
        let origin = match given {
            Some(path) => Some(open_origin(path, disk).map_err(Failure::usage)?),
            None => look_for_origin(wanted, disk),
        };
        let cannot = || format!("cannot create {}", wanted.path.display());
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&wanted.path);
        let file = file.with_context(cannot).map_err(Failure::usage)?;
        let output = Self {
            position: wanted.position,
            file,
            path: wanted.path.clone(),
            is_kept: false,
            known: origin.is_none().then(Known::default),
        };
        let filled = output.fill(disk, origin.as_ref()).with_context(cannot);
        filled.map_err(Failure::runtime)?;
        Ok(output)
    }

    fn fill(&self, disk: &header::Disk, origin: Option<&File>) -> io::Result<()> {
        self.file.set_len(disk.sectors * SECTOR)?;
        origin.map_or(Ok(()), |origin| sparse::copy(origin, &self.file))
    }

    /// Its position in the configuration.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Takes note of a request. Writes are carried out at once, for nothing can come between that anybody sees.
    pub(super) fn request(&mut self, request: DiskRequestId, operation: &DiskOperation) -> io::Result<()> {
        match operation {
            DiskOperation::Write { sector, data } => {
                self.file.write_all_at(data, sector * SECTOR)?;
                if let Some(known) = &mut self.known {
                    known.sectors.insert(*sector..sector + data.len() as u64 / SECTOR);
                }
            }
            DiskOperation::Read { sector, .. } => {
                if let Some(known) = &mut self.known {
                    known.reads.insert(request, *sector);
                }
            }
            DiskOperation::Flush => {}
        }
        Ok(())
    }

    /// Takes note of what a request has read. It tells of the disk before all writes that were made since.
    pub(super) fn completion(&mut self, request: DiskRequestId, data: &[u8]) -> io::Result<()> {
        let Some(known) = &mut self.known else { return Ok(()) };
        let Some(first) = known.reads.remove(&request) else { return Ok(()) };
        let sectors = first..first + data.len() as u64 / SECTOR;
        for gap in known.sectors.gaps(sectors.clone()) {
            let at = |sector: u64| ((sector - first) * SECTOR) as usize;
            self.file.write_all_at(&data[at(gap.start)..at(gap.end)], gap.start * SECTOR)?;
        }
        known.sectors.insert(sectors);
        Ok(())
    }

    /// The replay went well: the file stays.
    ///
    /// # Errors
    /// When the host cannot write it.
    pub(super) fn keep(&mut self) -> anyhow::Result<()> {
        self.file.sync_all().with_context(|| format!("cannot write {}", self.path.display()))?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for DiskOutput {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens a copy of the disk as it was when the recording began.
///
/// # Errors
/// When it is something else.
fn open_origin(path: &Path, disk: &header::Disk) -> anyhow::Result<File> {
    let image = DiskImage::open(path, true)?;
    if image.sectors() != disk.sectors {
        anyhow::bail!(
            "the disk {} has {} sectors, but the recorded one has {}",
            path.display(),
            image.sectors(),
            disk.sectors
        );
    }
    let found =
        image.contents_digest().with_context(|| format!("cannot read the disk {}", path.display()))?;
    let wanted = Digest(disk.digest);
    if found != wanted {
        anyhow::bail!(
            "the contents of the disk {} have digest {found}, but those that the recording began with have {wanted}",
            path.display()
        );
    }
    Ok(File::open(path)?)
}

/// The disk at the recorded path, if it is still as it was.
fn look_for_origin(wanted: &DiskFile, disk: &header::Disk) -> Option<File> {
    match open_origin(&disk.path, disk) {
        Ok(origin) => Some(origin),
        Err(error) => {
            eprintln!(
                "outlive: {} holds only what the guest has read and written, for the disk as it was when the \
                 recording began was not found ({error:#}); name a copy of it with --disk {}=FILE",
                wanted.path.display(),
                wanted.position
            );
            None
        }
    }
}

#[cfg(test)]
mod tests;
