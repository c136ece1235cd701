//! What brings a live machine its inputs.

use std::time::Instant;

use outlive_engine::GuestTime;

use super::queue::{Event, EventReceiver, EventSender};
use super::{StopHandle, Waiting};
use crate::host::alarm::Alarm;
use crate::host::clock::Clock;
use crate::host::io_thread::IoThread;
use crate::virtio::queue::MAX_SIZE;
use crate::world::{Input, Output, Patience};

/// The side of a live world from which inputs come: clock, typed bytes, frames, and completions of disk requests. It
/// belongs to the vCPU thread.
#[derive(Debug)]
pub struct Inputs {
    // First, for when this is dropped the threads that wait for room in the queue have to end.
    events: EventReceiver,
    sender: EventSender,
    clock: Clock,
    alarm: Alarm,
    disks: usize,
    /// Disk requests whose completions the machine has not taken yet.
    under_way: usize,
    waiting: Waiting,
    _io: IoThread,
}

impl Inputs {
    pub(super) fn new(
        (sender, events): (EventSender, EventReceiver),
        clock: Clock,
        alarm: Alarm,
        io: IoThread,
        disks: usize,
    ) -> Self {
        Self { events, sender, clock, alarm, disks, under_way: 0, waiting: Waiting::default(), _io: io }
    }

    /// A handle to stop the machine with.
    pub fn stop_handle(&self) -> StopHandle {
        StopHandle(self.sender.clone())
    }

    /// How long inputs have waited for the machine.
    pub fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// Takes note that an output is on its way: a disk request that goes out comes back as a completion.
    pub(super) fn note_output(&mut self, output: &Output) {
        self.under_way += usize::from(matches!(output, Output::Disk { .. }));
    }

    pub(super) fn is_stop_requested(&self) -> bool {
        self.sender.is_stop_requested()
    }

    pub(super) fn read_time(&mut self) -> GuestTime {
        self.clock.read()
    }

    pub(super) fn set_deadline(&mut self, deadline: Option<GuestTime>) {
        let moment = self.clock.set_deadline(deadline);
        self.alarm.set(moment);
    }

    pub(super) fn next(&mut self, patience: Patience) -> Option<Input> {
        loop {
            if self.is_stop_requested() {
                return None;
            }
            // The clock goes first: a flood of other events must not stop the guest's time.
            if let Some(tick) = self.due_tick() {
                return Some(tick);
            }
            let patience = if self.disks_are_behind() { Patience::Wait } else { patience };
            let event = match patience {
                Patience::Poll => self.events.poll(),
                Patience::Wait => self.events.wait(self.clock.until_deadline()),
            };
            match (event, patience) {
                (Some(Event::Input { input, since }), _) => return Some(self.accept(input, since)),
                (None, Patience::Poll) => return None,
                (Some(Event::Wake), _) | (None, Patience::Wait) => {}
            }
        }
    }

    /// A clock tick, if the deadline has passed.
    fn due_tick(&mut self) -> Option<Input> {
        let due = self.clock.take_due()?;
        self.waiting.note(due.delay);
        Some(Input::ClockTick(due.time))
    }

    /// Takes note of an input that came out of the queue.
    fn accept(&mut self, input: Input, since: Instant) -> Input {
        if matches!(input, Input::DiskCompletion { .. }) {
            let left = self.under_way.checked_sub(1);
            self.under_way = left.expect("disks were asked for no more than this world has seen");
        }
        self.waiting.note(since.elapsed());
        input
    }

    /// Whether the guest has to wait for its disks. A driver has at most a queue of requests under way, but
    /// one that gives them up by a reset, again and again, could make more than there is memory for.
    fn disks_are_behind(&self) -> bool {
        self.under_way > self.disks * usize::from(MAX_SIZE)
    }
}

#[cfg(test)]
impl Inputs {
    /// The end of the queue at which inputs go in.
    pub(super) fn sender(&self) -> EventSender {
        self.sender.clone()
    }

    /// Pretends that so many requests are under way.
    pub(super) fn pretend_under_way(&mut self, requests: usize) {
        self.under_way = requests;
    }
}
