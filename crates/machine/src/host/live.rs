//! The live world: inputs come from the host, outputs go to it.
//!
//! Other threads put what happened into one queue and kick the vCPU. The vCPU thread takes events from it
//! when it stands still, in the order in which they were queued. A queue that is full makes the threads
//! wait, so a flood of frames is lost in the host's TAP and not in our memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Instant;

use outlive_engine::{GuestTime, Kicker};

use super::alarm::Alarm;
use super::clock::Clock;
use super::console::Console;
use super::disk::{DiskImage, DiskThread};
use super::io_thread::IoThread;
use super::tap::Tap;
use crate::virtio::queue::MAX_SIZE;
use crate::world::{DiskIndex, Input, Output, Patience, Place, World};

mod waiting;

pub use super::clock::CLOCK_STEP;
pub use waiting::Waiting;

/// How many events wait in the queue before the threads that bring them wait too.
const QUEUE: usize = 1024;

/// What the queue holds.
#[derive(Debug)]
enum Event {
    Input {
        input: Input,
        /// Since when it has been there.
        since: Instant,
    },
    /// A stop was requested: look.
    Wake,
}

/// Nobody takes events any more.
#[derive(Debug)]
pub(super) struct MachineGone;

/// The end of the queue that other threads hold.
#[derive(Clone, Debug)]
pub(super) struct EventSender {
    queue: SyncSender<Event>,
    kicker: Kicker,
    stop: Arc<AtomicBool>,
}

impl EventSender {
    /// Queues an input, waiting for room if need be, and kicks the vCPU.
    pub(super) fn send(&self, input: Input) -> Result<(), MachineGone> {
        let since = Instant::now();
        self.queue.send(Event::Input { input, since }).map_err(|_| MachineGone)?;
        self.kicker.kick();
        Ok(())
    }

    /// Asks the machine to stop.
    pub(super) fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
        // A full queue wakes the machine as well as one event more would.
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(Event::Wake) {
            tracing::trace!("no wake-up needed");
        }
        self.kicker.kick();
    }
}

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
}

/// The world of a machine that is live and neither recorded nor replicated.
#[derive(Debug)]
pub struct LiveWorld {
    // The receiving end goes first when this is dropped: threads that wait for room in the queue end.
    events: Receiver<Event>,
    sender: EventSender,
    clock: Clock,
    alarm: Alarm,
    console: Console,
    networks: Vec<Tap>,
    disks: Vec<DiskThread>,
    /// Disk requests whose completions the machine has not taken yet.
    under_way: usize,
    waiting: Waiting,
    _io: IoThread,
}

impl LiveWorld {
    /// Connects a machine, whose vCPU `kicker` kicks. Guest time goes on from `from`.
    ///
    /// # Errors
    /// When the host refuses a thread or a descriptor.
    pub fn new(connections: Connections, from: GuestTime, kicker: Kicker) -> io::Result<Self> {
        let Connections { mut console, disks, networks } = connections;
        let (queue, events) = sync_channel(QUEUE);
        let sender = EventSender { queue, kicker: kicker.clone(), stop: Arc::default() };
        let start_disk = |(index, image)| DiskThread::start(DiskIndex(index as u8), image, sender.clone());
        let disks = disks.into_iter().enumerate().map(start_disk).collect::<io::Result<_>>()?;
        let readers = networks.iter().map(Tap::try_clone).collect::<io::Result<_>>()?;
        let io = IoThread::start(readers, console.take_input(), sender.clone())?;
        let alarm = Alarm::start(kicker)?;
        Ok(Self {
            events,
            sender,
            clock: Clock::start(from),
            alarm,
            console,
            networks,
            disks,
            under_way: 0,
            waiting: Waiting::default(),
            _io: io,
        })
    }

    /// A handle to stop the machine with.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(self.sender.clone())
    }

    /// How long inputs have waited for the machine.
    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// A clock tick, if the deadline has passed.
    fn due_tick(&mut self) -> Option<Input> {
        let due = self.clock.take_due()?;
        self.waiting.note(due.delay);
        Some(Input::ClockTick(due.time))
    }

    /// Takes note of an input that came out of the queue.
    fn accept(&mut self, input: Input, since: Instant) -> Input {
        self.under_way -= usize::from(matches!(input, Input::DiskCompletion { .. }));
        self.waiting.note(since.elapsed());
        input
    }

    /// Whether the guest has to wait for its disks. A driver has at most a queue of requests under way, but
    /// one that gives them up by a reset, again and again, could make more than there is memory for.
    fn disks_are_behind(&self) -> bool {
        self.under_way > self.disks.len() * usize::from(MAX_SIZE)
    }

    /// Waits for an event, at most until the deadline.
    fn wait(&self) -> Result<Event, RecvTimeoutError> {
        match self.clock.until_deadline() {
            Some(left) => self.events.recv_timeout(left),
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
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
}

impl World for LiveWorld {
    type Error = LiveError;

    fn needs_landmarks(&self) -> bool {
        false
    }

    fn stop_requested(&self) -> bool {
        self.sender.stop.load(Ordering::Acquire)
    }

    fn read_time(&mut self, _at: &mut dyn Place) -> Result<GuestTime, LiveError> {
        Ok(self.clock.read())
    }

    fn next_input(&mut self, _at: &mut dyn Place, patience: Patience) -> Result<Option<Input>, LiveError> {
        loop {
            if self.stop_requested() {
                return Ok(None);
            }
            // The clock goes first: a flood of other events must not stop the guest's time.
            if let Some(tick) = self.due_tick() {
                return Ok(Some(tick));
            }
            let patience = if self.disks_are_behind() { Patience::Wait } else { patience };
            let event = match patience {
                Patience::Poll => self.events.try_recv().ok(),
                Patience::Wait => self.wait().ok(),
            };
            match (event, patience) {
                (Some(Event::Input { input, since }), _) => return Ok(Some(self.accept(input, since))),
                (None, Patience::Poll) => return Ok(None),
                (Some(Event::Wake), _) | (None, Patience::Wait) => {}
            }
        }
    }

    fn set_deadline(&mut self, deadline: Option<GuestTime>) {
        let moment = self.clock.set_deadline(deadline);
        self.alarm.set(moment);
    }

    fn output(&mut self, _at: &mut dyn Place, output: Output) -> Result<(), LiveError> {
        match output {
            Output::Console(byte) => self.console.write(byte),
            Output::Frame { network, bytes } => self.networks[usize::from(network.0)]
                .send(&bytes)
                .map_err(|source| LiveError::Network { network: network.0, source })?,
            Output::Disk { disk, request, operation } => {
                self.disks[usize::from(disk.0)].submit(request, operation);
                self.under_way += 1;
            }
        }
        Ok(())
    }

    fn interrupt(&mut self, _at: &mut dyn Place, _vector: u8) -> Result<(), LiveError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
