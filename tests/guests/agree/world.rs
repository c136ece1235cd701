//! A world without a host whose inputs are a function of the guest's exits.
//!
//! Its clock counts exits, a microsecond each, and the time that the guest has slept: sleeping takes no time
//! here, the clock jumps to what wakes the guest. Exits are what every engine counts alike, whether or not it
//! counts instructions; so whatever happens here (a timer, an answer of the disk, a frame) happens
//! at the same exit on each of them.

use std::convert::Infallible;

use outlive_engine::{ExitNumber, GuestTime, VcpuState};
use outlive_machine::world::{
    DiskIndex, DiskOperation, DiskRequestId, DiskStatus, Input, NetworkIndex, Output, Patience, Place, World,
};

/// How long an exit takes.
const EXIT: u64 = 1000;
/// How long a disk takes to answer.
const DISK: u64 = 20_000;
/// The smallest unit of a disk.
const SECTOR: usize = 512;

/// The world.
pub(super) struct ExitClockWorld {
    /// What time is ahead of the exits.
    ahead: u64,
    deadline: Option<u64>,
    /// What is still to happen, in order of time.
    script: Vec<(u64, Input)>,
    /// The only disk.
    pub(super) disk: Vec<u8>,
    /// What the guest has printed.
    pub(super) console: Vec<u8>,
    /// What else it has shown, and what it got.
    pub(super) events: Vec<(ExitNumber, Event)>,
    /// The guest sleeps and nothing will ever wake it.
    is_dead: bool,
}

/// Something between the machine and the world.
#[derive(PartialEq, Debug)]
pub(super) enum Event {
    Sent(Vec<u8>),
    AskedDisk(DiskOperation),
    Interrupted { vector: u8, at: Box<VcpuState> },
}

impl ExitClockWorld {
    /// A world with a disk, into which these frames come at these nanoseconds of guest time.
    pub(super) fn new(disk: Vec<u8>, frames: Vec<(u64, Vec<u8>)>) -> Self {
        let frame = |(time, bytes)| (time, Input::Frame { network: NetworkIndex(0), bytes });
        let script: Vec<_> = frames.into_iter().map(frame).collect();
        assert!(script.is_sorted_by_key(|(time, _)| *time), "a script is in order");
        Self {
            ahead: 0,
            deadline: None,
            script,
            disk,
            console: Vec::new(),
            events: Vec::new(),
            is_dead: false,
        }
    }

    fn now(&self, at: &dyn Place) -> u64 {
        at.exit().0 * EXIT + self.ahead
    }

    /// When the next thing happens.
    fn next_time(&self) -> Option<u64> {
        let scripted = self.script.first().map(|(time, _)| *time);
        scripted.into_iter().chain(self.deadline).min()
    }

    /// What has happened by now.
    fn due(&mut self, now: u64) -> Option<Input> {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            return Some(Input::ClockTick(GuestTime::from_nanoseconds(now)));
        }
        let is_due = self.script.first().is_some_and(|(time, _)| *time <= now);
        is_due.then(|| self.script.remove(0).1)
    }

    /// The disk does what it is asked at once, and answers later.
    fn ask_disk(&mut self, now: u64, request: DiskRequestId, operation: &DiskOperation) {
        let data = match operation {
            DiskOperation::Read { sector, bytes } => {
                let start = *sector as usize * SECTOR;
                self.disk[start..start + *bytes as usize].to_vec()
            }
            DiskOperation::Write { sector, data } => {
                let start = *sector as usize * SECTOR;
                self.disk[start..start + data.len()].copy_from_slice(data);
                Vec::new()
            }
            DiskOperation::Flush => Vec::new(),
        };
        let answers_at = now + DISK;
        let place = self.script.partition_point(|(time, _)| *time <= answers_at);
        let answer = Input::DiskCompletion { disk: DiskIndex(0), request, status: DiskStatus::Done, data };
        self.script.insert(place, (answers_at, answer));
    }
}

impl World for ExitClockWorld {
    type Error = Infallible;

    fn needs_landmarks(&self) -> bool {
        true
    }

    fn stop_requested(&self) -> bool {
        self.is_dead
    }

    fn read_time(&mut self, at: &mut dyn Place) -> Result<GuestTime, Infallible> {
        Ok(GuestTime::from_nanoseconds(self.now(at)))
    }

    fn next_input(&mut self, at: &mut dyn Place, patience: Patience) -> Result<Option<Input>, Infallible> {
        if patience == Patience::Wait {
            match self.next_time() {
                Some(time) => self.ahead += time.saturating_sub(self.now(at)),
                None => self.is_dead = true,
            }
        }
        Ok(self.due(self.now(at)))
    }

    fn set_deadline(&mut self, deadline: Option<GuestTime>) {
        self.deadline = deadline.map(GuestTime::nanoseconds);
    }

    fn output(&mut self, at: &mut dyn Place, output: Output) -> Result<(), Infallible> {
        match output {
            Output::Console(byte) => self.console.push(byte),
            Output::Frame { bytes, .. } => self.events.push((at.exit(), Event::Sent(bytes))),
            Output::Disk { request, operation, .. } => {
                self.ask_disk(self.now(at), request, &operation);
                self.events.push((at.exit(), Event::AskedDisk(operation)));
            }
        }
        Ok(())
    }

    fn interrupt(&mut self, at: &mut dyn Place, vector: u8) -> Result<(), Infallible> {
        let state = at.state().expect("an interrupt is delivered between two instructions");
        self.events.push((at.exit(), Event::Interrupted { vector, at: Box::new(state) }));
        Ok(())
    }
}
