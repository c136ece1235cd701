//! The live world: inputs come from the host, outputs go to it.
//!
//! Other threads put what happened into one queue and kick the vCPU. The vCPU thread takes events from it
//! when it stands still, in the order in which they were queued. A queue that is full makes the threads
//! wait, so a flood of frames is lost in the host's TAP and not in our memory.
//!
//! **Two halves.** [`connect`] gives what brings inputs ([`Inputs`]) and what lets outputs out ([`HostOutputs`]). A
//! machine on its own has both in one [`LiveWorld`] on the vCPU thread. In a pair an output has to wait until the
//! other side could reproduce it, while the vCPU goes on: the world's sink is then a queue, and the thread that has
//! the other end of it lets the outputs out. Either half can be dropped first, on whichever thread.

use std::io;

use outlive_engine::{GuestTime, Kicker};

use super::alarm::Alarm;
use super::clock::Clock;
use super::console::Console;
use super::disk::{DiskImage, DiskThread};
use super::fence::Fence;
use super::io_thread::IoThread;
use super::tap::Tap;
use crate::world::{DiskIndex, Input, Output, Patience, Place, World};

mod inputs;
mod outputs;
mod queue;
mod waiting;

pub use super::clock::CLOCK_STEP;
pub use inputs::Inputs;
pub use outputs::{HostOutputs, OutputSink};
pub(super) use queue::{EventSender, MachineGone};
pub use waiting::Waiting;

/// Asks a live machine to stop, from any thread.
#[derive(Clone, Debug)]
pub struct StopHandle(EventSender);

impl StopHandle {
    /// Asks; the machine stops at the next place where it looks.
    pub fn stop(&self) {
        self.0.request_stop();
    }
}

/// What a live machine is connected to.
#[derive(Debug)]
pub struct Connections {
    /// The serial console.
    pub console: Console,
    /// Disk images, in the order of the configuration.
    pub disks: Vec<DiskImage>,
    /// TAPs, in the order of the configuration.
    pub networks: Vec<Tap>,
    /// Whether disks may be written; [`Fence::new_open`] for a machine that shares them with nobody.
    pub fence: Fence,
}

/// Connects a machine, whose vCPU `kicker` kicks. Guest time goes on from `from`, now.
///
/// # Errors
/// When the host refuses a thread or a descriptor.
pub fn connect(
    connections: Connections,
    from: GuestTime,
    kicker: Kicker,
) -> io::Result<(Inputs, HostOutputs)> {
    let Connections { mut console, disks, networks, fence } = connections;
    let (sender, events) = queue::event_queue(kicker.clone());
    let start_disk =
        |(index, image)| DiskThread::start(DiskIndex(index as u8), image, fence.clone(), sender.clone());
    let disks = disks.into_iter().enumerate().map(start_disk).collect::<io::Result<Vec<_>>>()?;
    let readers = networks.iter().map(Tap::try_clone).collect::<io::Result<_>>()?;
    let io = IoThread::start(readers, console.take_input(), sender.clone())?;
    let alarm = Alarm::start(kicker)?;
    let inputs = Inputs::new((sender, events), Clock::start(from), alarm, io, disks.len());
    Ok((inputs, HostOutputs::new(console, networks, disks)))
}

/// The world of a machine that is live. Its outputs go into `S`.
///
/// A machine whose disks are far behind is made to wait for them wherever it asks for input, even with
/// [`Patience::Poll`]. So a sink that holds outputs back must be able to let them out meanwhile.
#[derive(Debug)]
pub struct LiveWorld<S = HostOutputs> {
    inputs: Inputs,
    sink: S,
}

impl LiveWorld {
    /// Connects a machine directly to the host: see [`connect`].
    ///
    /// # Errors
    /// When the host refuses a thread or a descriptor.
    pub fn connected(connections: Connections, from: GuestTime, kicker: Kicker) -> io::Result<Self> {
        let (inputs, outputs) = connect(connections, from, kicker)?;
        Ok(Self::new(inputs, outputs))
    }
}

impl<S: OutputSink> LiveWorld<S> {
    /// A world whose inputs come from there and whose outputs go into `sink`.
    pub fn new(inputs: Inputs, sink: S) -> Self {
        Self { inputs, sink }
    }

    /// A handle to stop the machine with.
    pub fn stop_handle(&self) -> StopHandle {
        self.inputs.stop_handle()
    }

    /// How long inputs have waited for the machine.
    pub fn waiting(&self) -> Waiting {
        self.inputs.waiting()
    }

    /// Where outputs go.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// Where outputs go, to be told something.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }
}

/// What can go wrong while a machine is live.
#[derive(thiserror::Error, Debug)]
pub enum LiveError {
    /// A TAP went away.
    #[error("cannot send to the guest's network number {network}")]
    Network {
        /// Which.
        network: u8,
        /// What the host said.
        source: io::Error,
    },
    /// The thread that was to let outputs out has ended. For sinks that hand outputs to one.
    #[error("nobody takes the machine's outputs any more")]
    OutputsGone,
}

impl<S: OutputSink> World for LiveWorld<S> {
    type Error = LiveError;

    fn needs_landmarks(&self) -> bool {
        false
    }

    fn stop_requested(&self) -> bool {
        self.inputs.is_stop_requested()
    }

    fn read_time(&mut self, _at: &mut dyn Place) -> Result<GuestTime, LiveError> {
        Ok(self.inputs.read_time())
    }

    fn next_input(&mut self, _at: &mut dyn Place, patience: Patience) -> Result<Option<Input>, LiveError> {
        Ok(self.inputs.next(patience))
    }

    fn set_deadline(&mut self, deadline: Option<GuestTime>) {
        self.inputs.set_deadline(deadline);
    }

    fn output(&mut self, _at: &mut dyn Place, output: Output) -> Result<(), LiveError> {
        self.inputs.note_output(&output);
        self.sink.output(output)
    }

    fn interrupt(&mut self, _at: &mut dyn Place, _vector: u8) -> Result<(), LiveError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
