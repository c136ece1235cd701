//! Disk images: raw files, or block devices. One thread carries out the requests of one disk in order.
//!
//! **Disks of a pair.** Both hosts see the same image, by a network file system or as a shared block device, and one
//! side at a time writes it. Three things of a host's page cache must not stand between them:
//!
//! * A completed write must be on the shared storage. A guest may rely on it as soon as it hears of it, and the backup
//!   hears of it by the log; a page of a host that died would be lost to both. So a pair writes with `O_DSYNC`.
//! * The side that goes live must read what the other one wrote. It drops the pages that it has cached before
//!   ([`DiskImage::go_live`]).
//! * The lock that keeps two machines from one image must not keep a backup from its primary's. A backup opens the
//!   image without, and takes the lock when it goes live.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, FlockOperation, fadvise, flock};
use rustix::io::Errno;

mod contents;
mod thread;

pub(super) use thread::DiskThread;

/// The unit of a disk's addresses and lengths, in bytes.
pub const SECTOR: u64 = 512;

/// How long to wait for a lock that somebody holds.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// With whom a machine shares its disks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// With nobody: the image is locked.
    Alone,
    /// With its backup: the image is locked, and written through to the storage.
    PairPrimary,
    /// With its primary, which has the lock and writes: the image is not locked before
    /// [`go_live`](DiskImage::go_live). From then on it is written through to the storage.
    PairBackup,
}

/// Whether a machine that went live has the lock of its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// It has.
    Taken,
    /// Somebody else has, such as a primary that was frozen and does not know yet that it is none any more.
    HeldByOther,
}

/// An opened disk image.
#[derive(Debug)]
pub struct DiskImage {
    path: PathBuf,
    file: File,
    sectors: u64,
    read_only: bool,
}

impl DiskImage {
    /// Opens a raw image that is shared with nobody. A writable one is locked, so that two machines cannot write it
    /// at once.
    ///
    /// # Errors
    /// When it cannot be opened, has no whole number of sectors, or is in use.
    pub fn open(path: &Path, read_only: bool) -> Result<Self, DiskError> {
        Self::open_shared(path, read_only, Sharing::Alone)
    }

    /// Opens a raw image that may be shared. A writable one has one owner, images that are only read have any number
    /// of readers.
    ///
    /// # Errors
    /// When it cannot be opened, has no whole number of sectors, or is in use although it is not opened as a
    /// backup's.
    pub fn open_shared(path: &Path, read_only: bool, sharing: Sharing) -> Result<Self, DiskError> {
        let at = |source| DiskError::Open { path: path.to_owned(), source };
        // To open a FIFO would wait for its other end.
        let kind = std::fs::metadata(path).map_err(at)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(DiskError::Kind { path: path.to_owned() });
        }
        let mut options = OpenOptions::new();
        options.read(true).write(!read_only);
        if !read_only && sharing != Sharing::Alone {
            options.custom_flags(libc::O_DSYNC);
        }
        let mut file = options.open(path).map_err(at)?;
        // The end of a block device, unlike its metadata, tells its size.
        let bytes = file.seek(SeekFrom::End(0)).map_err(at)?;
        if bytes == 0 || !bytes.is_multiple_of(SECTOR) {
            return Err(DiskError::Size { path: path.to_owned(), bytes });
        }
        let image = Self { path: path.to_owned(), file, sectors: bytes / SECTOR, read_only };
        if sharing != Sharing::PairBackup {
            lock_patiently(&image.file, image.lock()).map_err(|source| match source {
                Errno::WOULDBLOCK => DiskError::InUse { path: path.to_owned(), source: source.into() },
                other => DiskError::Lock { path: path.to_owned(), source: other.into() },
            })?;
        }
        Ok(image)
    }

    /// Makes a backup's image that of the live side: tries to take the lock, without waiting for it, and drops what
    /// this host has cached of it. To be called when the other side may not write any more, and before the first
    /// request.
    ///
    /// That somebody has the lock is no error: who won the pair's claim may go on, and a primary that is frozen keeps
    /// its locks.
    ///
    /// # Errors
    /// When the host can do neither.
    pub fn go_live(&self) -> Result<Lock, DiskError> {
        let lock = match flock(&self.file, self.lock()) {
            Ok(()) => Lock::Taken,
            Err(Errno::WOULDBLOCK) => Lock::HeldByOther,
            Err(error) => return Err(DiskError::Lock { path: self.path.clone(), source: error.into() }),
        };
        fadvise(&self.file, 0, None, Advice::DontNeed)
            .map_err(|error| DiskError::Cache { path: self.path.clone(), source: error.into() })?;
        Ok(lock)
    }

    fn lock(&self) -> FlockOperation {
        if self.read_only {
            FlockOperation::NonBlockingLockShared
        } else {
            FlockOperation::NonBlockingLockExclusive
        }
    }

    /// Its size in sectors of 512 bytes.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Whether it was opened for reading only.
    pub fn read_only(&self) -> bool {
        self.read_only
    }
}

/// Locks a file. A machine that was killed a moment ago may still hold it while the host cleans up.
fn lock_patiently(file: &File, lock: FlockOperation) -> Result<(), Errno> {
    let begun = Instant::now();
    loop {
        match flock(file, lock) {
            Err(Errno::WOULDBLOCK) if begun.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_PATIENCE / 100);
            }
            outcome => return outcome,
        }
    }
}

/// Why a disk image could not be used.
#[derive(thiserror::Error, Debug)]
pub enum DiskError {
    /// It could not be opened.
    #[error("cannot open the disk image {}", path.display())]
    Open {
        /// The image.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// It is no disk.
    #[error(
        "the disk image {} has {bytes} bytes, which is no whole number of 512-byte sectors above zero",
        path.display()
    )]
    Size {
        /// The image.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// It cannot be a disk.
    #[error("the disk image {} is neither a file nor a block device", path.display())]
    Kind {
        /// The image.
        path: PathBuf,
    },
    /// It cannot be locked.
    #[error("the disk image {} cannot be locked", path.display())]
    Lock {
        /// The image.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// What is cached of it cannot be dropped.
    #[error("what this host has cached of the disk image {} cannot be dropped", path.display())]
    Cache {
        /// The image.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// Somebody has it.
    #[error("the disk image {} is in use by another machine, or twice in this one", path.display())]
    InUse {
        /// The image.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
