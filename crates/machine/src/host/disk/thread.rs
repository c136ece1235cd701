//! The thread that carries out the requests of one disk.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::{DiskImage, SECTOR};
use crate::host::fence::{Fence, FenceIsOver};
use crate::host::live::EventSender;
use crate::world::{DiskIndex, DiskOperation, DiskRequestId, DiskStatus, Input};

/// The running thread. Dropping it finishes the requests that it was given, but for those for which the fence is
/// closed: they are given up.
#[derive(Debug)]
pub(in crate::host) struct DiskThread {
    requests: Option<Sender<(DiskRequestId, DiskOperation)>>,
    fence: Fence,
    thread: Option<JoinHandle<()>>,
}

impl DiskThread {
    /// Starts the thread. It writes while `fence` is open; completions go to `events`.
    pub(in crate::host) fn start(
        disk: DiskIndex,
        image: DiskImage,
        fence: Fence,
        events: EventSender,
    ) -> io::Result<Self> {
        let (requests, queue) = channel();
        let server = Server { disk, image, fence: fence.clone(), events };
        let thread = std::thread::Builder::new()
            .name(format!("disk-{}", disk.0))
            .spawn(move || server.serve(&queue))?;
        Ok(Self { requests: Some(requests), fence, thread: Some(thread) })
    }

    /// Hands over a request.
    pub(in crate::host) fn submit(&self, request: DiskRequestId, operation: DiskOperation) {
        let queue = self.requests.as_ref().expect("the queue is open until the thread is dropped");
        // The thread ends before that only by a panic, which has been told.
        let _ = queue.send((request, operation));
    }
}

impl Drop for DiskThread {
    fn drop(&mut self) {
        self.requests = None;
        self.fence.expect_no_opening();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Server {
    disk: DiskIndex,
    image: DiskImage,
    fence: Fence,
    events: EventSender,
}

/// Why a request was not carried out.
enum Failure {
    Host(io::Error),
    GivenUp,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}

impl From<FenceIsOver> for Failure {
    fn from(_: FenceIsOver) -> Self {
        Self::GivenUp
    }
}

impl Server {
    fn serve(&self, queue: &Receiver<(DiskRequestId, DiskOperation)>) {
        let disk = self.disk;
        while let Ok((request, operation)) = queue.recv() {
            let (status, data) = match self.execute(&operation) {
                Ok(data) => (DiskStatus::Done, data),
                Err(Failure::Host(error)) => {
                    tracing::error!(disk = disk.0, %error, "the host's storage failed; the guest sees an I/O error");
                    (DiskStatus::Failed, Vec::new())
                }
                Err(Failure::GivenUp) => {
                    tracing::debug!(
                        disk = disk.0,
                        request = request.0,
                        "given up: the disk may not be written"
                    );
                    continue;
                }
            };
            // Nobody listens any more when the machine is being dropped; writes are still carried out.
            let _ = self.events.complete(Input::DiskCompletion { disk, request, status, data });
        }
    }

    /// Carries out one request. What was read, else nothing.
    fn execute(&self, operation: &DiskOperation) -> Result<Vec<u8>, Failure> {
        match operation {
            DiskOperation::Read { sector, bytes } => {
                let mut data = vec![0; *bytes as usize];
                self.image.file.read_exact_at(&mut data, sector * SECTOR)?;
                Ok(data)
            }
            DiskOperation::Write { sector, data } => {
                self.write(data, sector * SECTOR)?;
                Ok(Vec::new())
            }
            DiskOperation::Flush => {
                self.fence.pass()?;
                self.image.file.sync_data()?;
                Ok(Vec::new())
            }
        }
    }

    /// As `write_all_at`, but for the fence before each system call.
    fn write(&self, mut data: &[u8], mut at: u64) -> Result<(), Failure> {
        while !data.is_empty() {
            self.fence.pass()?;
            match self.image.file.write_at(data, at) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => {
                    data = &data[written..];
                    at += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
