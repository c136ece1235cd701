//! Where the outputs of a replay go: nowhere, unless somebody wants to see them.

use std::cell::RefCell;
use std::io::{self, Stdout, Write};
use std::rc::Rc;

use outlive_machine::world::{DiskIndex, DiskRequestId, Output};
use outlive_replay::Outputs;

use super::disks::DiskOutput;
use crate::failure::Failure;

/// What a person wants to see of a replay.
#[derive(Debug)]
pub(super) struct Sink {
    console: Option<Stdout>,
    disks: Vec<DiskOutput>,
}

/// A sink that the replay holds too.
#[derive(Clone, Debug)]
pub(super) struct SharedSink(Rc<RefCell<Sink>>);

impl SharedSink {
    /// A sink that writes the guest's console to standard output, if so, and these disks.
    pub(super) fn new(console: bool, disks: Vec<DiskOutput>) -> Self {
        Self(Rc::new(RefCell::new(Sink { console: console.then(io::stdout), disks })))
    }

    /// The replay went well: the disks stay.
    ///
    /// # Errors
    /// When one cannot be written.
    pub(super) fn keep_disks(&self) -> Result<(), Failure> {
        self.0.borrow_mut().disks.iter_mut().try_for_each(DiskOutput::keep).map_err(Failure::runtime)
    }

    /// Writes what is left of the last line.
    pub(super) fn flush_console(&self) {
        if let Some(console) = &mut self.0.borrow_mut().console {
            // Nobody reads any more.
            let _ = console.flush();
        }
    }
}

impl Sink {
    /// A reader that goes away, such as `head`, does not end the replay.
    fn print(&mut self, byte: u8) -> io::Result<()> {
        let Some(console) = &mut self.console else { return Ok(()) };
        match console.write_all(&[byte]) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.console = None;
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn disk(&mut self, disk: DiskIndex) -> Option<&mut DiskOutput> {
        self.disks.iter_mut().find(|output| output.position() == usize::from(disk.0))
    }
}

impl Outputs for SharedSink {
    fn output(&mut self, output: &Output) -> io::Result<()> {
        let mut sink = self.0.borrow_mut();
        match output {
            Output::Console(byte) => sink.print(*byte),
            Output::Frame { .. } => Ok(()),
            Output::Disk { disk, request, operation } => {
                sink.disk(*disk).map_or(Ok(()), |output| output.request(*request, operation))
            }
        }
    }

    fn disk_completion(&mut self, disk: DiskIndex, request: DiskRequestId, data: &[u8]) -> io::Result<()> {
        self.0.borrow_mut().disk(disk).map_or(Ok(()), |output| output.completion(request, data))
    }
}
