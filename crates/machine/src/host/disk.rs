//! Disk images: raw files, or block devices. One thread carries out the requests of one disk in order.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::live::EventSender;
use crate::world::{DiskIndex, DiskOperation, DiskRequestId, DiskStatus, Input};

mod contents;

/// The unit of a disk's addresses and lengths, in bytes.
pub const SECTOR: u64 = 512;

/// How long to wait for a lock that somebody holds.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// An opened disk image.
#[derive(Debug)]
pub struct DiskImage {
    file: File,
    sectors: u64,
    read_only: bool,
}

impl DiskImage {
    /// Opens a raw image. A writable one is locked, so that two machines cannot write it at once.
    ///
    /// # Errors
    /// When it cannot be opened, has no whole number of sectors, or is in use.
    pub fn open(path: &Path, read_only: bool) -> Result<Self, DiskError> {
        let at = |source| DiskError::Open { path: path.to_owned(), source };
        // To open a FIFO would wait for its other end.
        let kind = std::fs::metadata(path).map_err(at)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(DiskError::Kind { path: path.to_owned() });
        }
        let mut file = OpenOptions::new().read(true).write(!read_only).open(path).map_err(at)?;
        // The end of a block device, unlike its metadata, tells its size.
        let bytes = file.seek(SeekFrom::End(0)).map_err(at)?;
        if bytes == 0 || !bytes.is_multiple_of(SECTOR) {
            return Err(DiskError::Size { path: path.to_owned(), bytes });
        }
        let lock = if read_only {
            FlockOperation::NonBlockingLockShared
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        lock_patiently(&file, lock).map_err(|source| match source {
            Errno::WOULDBLOCK => DiskError::InUse { path: path.to_owned(), source: source.into() },
            other => DiskError::Lock { path: path.to_owned(), source: other.into() },
        })?;
        Ok(Self { file, sectors: bytes / SECTOR, read_only })
    }

    /// Its size in sectors of 512 bytes.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Whether it was opened for reading only.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Carries out one request. What was read, else nothing.
    fn execute(&self, operation: &DiskOperation) -> io::Result<Vec<u8>> {
        match operation {
            DiskOperation::Read { sector, bytes } => {
                let mut data = vec![0; *bytes as usize];
                self.file.read_exact_at(&mut data, sector * SECTOR)?;
                Ok(data)
            }
            DiskOperation::Write { sector, data } => {
                self.file.write_all_at(data, sector * SECTOR)?;
                Ok(Vec::new())
            }
            DiskOperation::Flush => {
                self.file.sync_data()?;
                Ok(Vec::new())
            }
        }
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

/// The thread of one disk. Dropping it finishes the requests that it was given.
#[derive(Debug)]
pub(super) struct DiskThread {
    requests: Option<Sender<(DiskRequestId, DiskOperation)>>,
    thread: Option<JoinHandle<()>>,
}

impl DiskThread {
    /// Starts the thread; completions go to `events`.
    pub(super) fn start(disk: DiskIndex, image: DiskImage, events: EventSender) -> io::Result<Self> {
        let (requests, queue) = channel();
        let thread = std::thread::Builder::new()
            .name(format!("disk-{}", disk.0))
            .spawn(move || serve(disk, &image, &queue, &events))?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Hands over a request.
    pub(super) fn submit(&self, request: DiskRequestId, operation: DiskOperation) {
        let queue = self.requests.as_ref().expect("the queue is open until the thread is dropped");
        // The thread ends only when the queue is closed, or when the machine is gone and asks for nothing.
        let _ = queue.send((request, operation));
    }
}

impl Drop for DiskThread {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    disk: DiskIndex,
    image: &DiskImage,
    queue: &Receiver<(DiskRequestId, DiskOperation)>,
    events: &EventSender,
) {
    while let Ok((request, operation)) = queue.recv() {
        let (status, data) = match image.execute(&operation) {
            Ok(data) => (DiskStatus::Done, data),
            Err(error) => {
                tracing::error!(disk = disk.0, %error, "the host's storage failed; the guest sees an I/O error");
                (DiskStatus::Failed, Vec::new())
            }
        };
        // Nobody listens any more when the machine is being dropped; writes are still carried out.
        let _ = events.send(Input::DiskCompletion { disk, request, status, data });
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
    /// Somebody has it.
    #[error("the disk image {} is in use by another machine, or twice in this one", path.display())]
    InUse {
        /// The image.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
}
