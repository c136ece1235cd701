//! Folders on shared storage, by descriptors.
//!
//! All is done relative to an open folder, so what belongs together happens on one file system, even if another is
//! mounted over it meanwhile.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::record::{Damage, MAXIMUM_LENGTH};
use crate::ArbiterError;

/// A folder that is open.
#[derive(Debug)]
pub(super) struct Folder {
    descriptor: OwnedFd,
    path: PathBuf,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens the arbiter's directory.
    pub(super) fn open(path: &Path) -> Result<Self, ArbiterError> {
        match rustix::fs::open(path, FOLDER, Mode::empty()) {
            Ok(descriptor) => Ok(Self { descriptor, path: path.to_owned() }),
            Err(Errno::NOENT) => Err(ArbiterError::Missing(path.to_owned())),
            Err(error) => Err(not_opened(path.to_owned(), error)),
        }
    }

    /// A folder in it, if there is one.
    pub(super) fn subfolder(&self, name: &str) -> Result<Option<Self>, ArbiterError> {
        let path = self.path.join(name);
        match rustix::fs::openat(&self.descriptor, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(descriptor) => Ok(Some(Self { descriptor, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(not_opened(path, error)),
        }
    }

    /// A folder in it, which is made if it is not there. It is durable then.
    pub(super) fn make_subfolder(&self, name: &str) -> Result<Self, ArbiterError> {
        match rustix::fs::mkdirat(&self.descriptor, name, Mode::from_raw_mode(0o755)) {
            // Somebody may have made it and not have come to syncing it.
            Ok(()) | Err(Errno::EXIST) => self.sync()?,
            Err(error) => return Err(self.failed("make the folder", name, error)),
        }
        self.subfolder(name)?.ok_or_else(|| self.failed("open", name, Errno::NOENT))
    }

    /// Where it was found.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// For system calls on what is in it.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// A system call's failure on something in it.
    pub(super) fn failed(&self, action: &'static str, name: &str, error: Errno) -> ArbiterError {
        ArbiterError::of(action, self.path.join(name), error)
    }

    /// Something in it is not what was written.
    pub(super) fn damaged(&self, name: &str, source: Damage) -> ArbiterError {
        ArbiterError::Damaged { path: self.path.join(name), source }
    }

    /// Makes the names in it durable.
    pub(super) fn sync(&self) -> Result<(), ArbiterError> {
        let synced = rustix::fs::fsync(&self.descriptor);
        synced.map_err(|error| ArbiterError::of("sync the folder", self.path.clone(), error))
    }

    /// What is in it, in no order. Names that are no UTF-8 are none of ours.
    pub(super) fn names(&self) -> Result<Vec<String>, ArbiterError> {
        let failed = |error| ArbiterError::of("list the folder", self.path.clone(), error);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.descriptor).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
        }
        Ok(names)
    }

    /// The contents of a file, if it is there. Whatever stands under that name, this neither waits nor takes much memory.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, ArbiterError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.descriptor, name, flags, Mode::empty()) {
            Ok(descriptor) => descriptor,
            Err(Errno::NOENT) => return Ok(None),
            // A symbolic link; a socket.
            Err(Errno::LOOP | Errno::NXIO) => return Err(self.damaged(name, Damage::NotAFile)),
            Err(error) => return Err(self.failed("open", name, error)),
        };
        let status = rustix::fs::fstat(&file).map_err(|error| self.failed("look at", name, error))?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(self.damaged(name, Damage::NotAFile));
        }
        let mut contents = Vec::new();
        let read = File::from(file).take(MAXIMUM_LENGTH + 1).read_to_end(&mut contents);
        read.map_err(|error| ArbiterError::of_io("read", self.path.join(name), error))?;
        if contents.len() as u64 > MAXIMUM_LENGTH {
            return Err(self.damaged(name, Damage::TooLong));
        }
        Ok(Some(contents))
    }

    /// When a file was last written to, in seconds by the storage's clock.
    pub(super) fn written(&self, name: &str) -> Result<i64, Errno> {
        rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW).map(|status| status.st_mtime)
    }
}

fn not_opened(path: PathBuf, error: Errno) -> ArbiterError {
    match error {
        Errno::NOTDIR | Errno::LOOP => ArbiterError::NotADirectory(path),
        error => ArbiterError::of("open", path, error),
    }
}
