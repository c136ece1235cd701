//! The queue between the threads that bring inputs and the machine that takes them.
//!
//! What comes in by itself, frames and typed bytes, finds *room* or waits for it, so a flood of frames is lost in the
//! host's TAP and not in our memory. Completions of disk requests never wait: there are no more of them than requests
//! that the machine has made, and those are bounded where they are made. So a disk thread always comes to its end,
//! whether or not the machine still takes inputs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outlive_engine::Kicker;

use crate::world::Input;

/// How many inputs that came by themselves wait in the queue before the threads that bring them wait too.
pub(super) const ROOM: usize = 1024;

/// What the queue holds.
#[derive(Debug)]
pub(super) enum Event {
    /// Something happened.
    Input {
        /// What.
        input: Input,
        /// Since when it has been there.
        since: Instant,
    },
    /// A stop was requested: look.
    Wake,
}

/// Nobody takes events any more.
#[derive(Debug)]
pub(in crate::host) struct MachineGone;

/// How many more inputs the queue takes; `None` when the machine is gone.
#[derive(Debug)]
struct Room {
    left: Mutex<Option<usize>>,
    changed: Condvar,
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, Option<usize>> {
        // It is one word: whole even if a thread panicked while it held the lock.
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for one input, waiting for it if need be.
    fn take(&self) -> Result<(), MachineGone> {
        let full = |left: &mut Option<usize>| *left == Some(0);
        let mut left = self.changed.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        *left = Some(left.ok_or(MachineGone)? - 1);
        Ok(())
    }

    fn give_back(&self) {
        if let Some(left) = &mut *self.lock() {
            *left += 1;
        }
        self.changed.notify_one();
    }

    fn close(&self) {
        *self.lock() = None;
        self.changed.notify_all();
    }
}

/// The end of the queue that other threads hold.
#[derive(Clone, Debug)]
pub(in crate::host) struct EventSender {
    queue: Sender<Event>,
    room: Arc<Room>,
    kicker: Kicker,
    stop: Arc<AtomicBool>,
}

impl EventSender {
    /// Queues an input, waiting for room if need be, and kicks the vCPU.
    pub(in crate::host) fn send(&self, input: Input) -> Result<(), MachineGone> {
        let since = Instant::now();
        self.room.take()?;
        self.queue(input, since)
    }

    /// Queues the completion of a disk request without waiting, and kicks the vCPU.
    pub(in crate::host) fn complete(&self, completion: Input) -> Result<(), MachineGone> {
        debug_assert!(!takes_room(&completion));
        self.queue(completion, Instant::now())
    }

    fn queue(&self, input: Input, since: Instant) -> Result<(), MachineGone> {
        self.queue.send(Event::Input { input, since }).map_err(|_| MachineGone)?;
        self.kicker.kick();
        Ok(())
    }

    /// Asks the machine to stop.
    pub(in crate::host) fn request_stop(&self) {
        self.stop.store(true, Ordering::Release);
        // A machine that is gone has stopped.
        let _ = self.queue.send(Event::Wake);
        self.kicker.kick();
    }

    /// Whether the machine was asked to stop.
    pub(super) fn is_stop_requested(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// Whether an input takes room in the queue.
fn takes_room(input: &Input) -> bool {
    !matches!(input, Input::DiskCompletion { .. })
}

/// The machine's end of the queue. Dropping it ends the wait of the threads that wait for room.
#[derive(Debug)]
pub(super) struct EventReceiver {
    events: Receiver<Event>,
    room: Arc<Room>,
}

impl EventReceiver {
    /// The next event, if there is one.
    pub(super) fn poll(&self) -> Option<Event> {
        self.events.try_recv().ok().inspect(|event| self.make_room(event))
    }

    /// The next event, waiting for it as long as that, or for ever; `None` if it did not come.
    pub(super) fn wait(&self, longest: Option<Duration>) -> Option<Event> {
        let event = match longest {
            Some(longest) => self.events.recv_timeout(longest),
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        event.ok().inspect(|event| self.make_room(event))
    }

    fn make_room(&self, behind: &Event) {
        if matches!(behind, Event::Input { input, .. } if takes_room(input)) {
            self.room.give_back();
        }
    }
}

impl Drop for EventReceiver {
    fn drop(&mut self) {
        self.room.close();
    }
}

/// A queue to a machine whose vCPU `kicker` kicks.
pub(super) fn event_queue(kicker: Kicker) -> (EventSender, EventReceiver) {
    let (queue, events) = channel();
    let room = Arc::new(Room { left: Mutex::new(Some(ROOM)), changed: Condvar::new() });
    let sender = EventSender { queue, room: Arc::clone(&room), kicker, stop: Arc::default() };
    (sender, EventReceiver { events, room })
}
