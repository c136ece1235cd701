//! What lets a live machine's outputs out.

use super::LiveError;
use crate::host::console::Console;
use crate::host::disk::DiskThread;
use crate::host::tap::Tap;
use crate::world::Output;

/// Where the outputs of a live machine go: to the host, or into a queue of somebody who lets them out later.
pub trait OutputSink {
    /// Takes an output.
    ///
    /// # Errors
    /// When it cannot; the machine stops.
    fn output(&mut self, output: Output) -> Result<(), LiveError>;
}

/// The side of a live world into which outputs go: console, TAPs, and one thread per disk. It may belong to another
/// thread than the machine's.
///
/// Dropping it carries out the disk requests that it was given, and waits for that, but gives up writes and flushes
/// for which the [`Fence`](crate::host::fence::Fence) is closed. So once it is gone, nothing of this machine reaches
/// the host any more.
#[derive(Debug)]
pub struct HostOutputs {
    console: Console,
    networks: Vec<Tap>,
    disks: Vec<DiskThread>,
}

impl HostOutputs {
    pub(super) fn new(console: Console, networks: Vec<Tap>, disks: Vec<DiskThread>) -> Self {
        Self { console, networks, disks }
    }
}

#[cfg(test)]
impl HostOutputs {
    pub(super) fn console(&self) -> &Console {
        &self.console
    }
}

impl OutputSink for HostOutputs {
    /// Lets an output out. Completions of disk requests come to the [`Inputs`](super::Inputs) that were made together
    /// with this. Each request must have passed the [`LiveWorld`](super::LiveWorld) of these, which counts them.
    fn output(&mut self, output: Output) -> Result<(), LiveError> {
        match output {
            Output::Console(byte) => self.console.write(byte),
            Output::Frame { network, bytes } => self.networks[usize::from(network.0)]
                .send(&bytes)
                .map_err(|source| LiveError::Network { network: network.0, source })?,
            Output::Disk { disk, request, operation } => {
                self.disks[usize::from(disk.0)].submit(request, operation);
            }
        }
        Ok(())
    }
}
