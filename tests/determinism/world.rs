//! A world without a host: its inputs are a function of the machine alone.
//!
//! Its clock is the guest's own progress, ten nanoseconds an instruction, plus a little for each time that the
//! guest looks at it, plus the time that the guest has slept: sleeping takes no time here, the clock jumps to
//! what wakes it. What happens next (a timer, a byte that somebody types, an answer of the disk) happens
//! at a time, hence after a certain instruction, and [`World::next_landing`] brings the machine to stand still
//! right there. So it does not matter how often the machine asks on its way.

use std::convert::Infallible;

use outlive_engine::{GuestTime, InstructionCount};
use outlive_machine::digest::Digest;
use outlive_machine::encoding::encode;
use outlive_machine::world::{
    DiskIndex, DiskOperation, DiskRequestId, DiskStatus, Input, NetworkIndex, Output, Patience, Place,
    Target, World,
};
use serde::{Deserialize, Serialize};

/// How long an instruction takes.
const INSTRUCTION: u64 = 10;
/// How long a time read takes, besides its instruction.
const TIME_READ: u64 = 100;
/// How long a disk takes to answer.
const DISK: u64 = 20_000;

/// The world. It can be saved, and goes on in another process.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct ScriptedWorld {
    /// What time is ahead of the instructions.
    pub(crate) ahead: u64,
    pub(crate) deadline: Option<u64>,
    /// What is still to happen, in order of time.
    script: Vec<(u64, Event)>,
    pub(crate) disk: Vec<u8>,
    /// What the guest has printed.
    pub(crate) console: Vec<u8>,
    /// The frames that the guest has sent, and the interrupts that it got, each hashed with those before.
    trace: Digest,
    /// The guest sleeps and nothing will ever wake it, or the script says that this is the end.
    is_over: bool,
}

/// Something that happens in the world.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Somebody types.
    Typed(Vec<u8>),
    /// A frame comes in.
    Frame(Vec<u8>),
    /// The only disk answers.
    DiskAnswer { request: u64, data: Vec<u8> },
    /// The machine is stopped.
    Stop,
}

impl Event {
    fn into_input(self) -> Option<Input> {
        match self {
            Self::Typed(bytes) => Some(Input::Console(bytes)),
            Self::Frame(bytes) => Some(Input::Frame { network: NetworkIndex(0), bytes }),
            Self::DiskAnswer { request, data } => Some(Input::DiskCompletion {
                disk: DiskIndex(0),
                request: DiskRequestId(request),
                status: DiskStatus::Done,
                data,
            }),
            Self::Stop => None,
        }
    }
}

impl ScriptedWorld {
    /// A world with a disk, in which these things happen at these nanoseconds of guest time.
    pub(crate) fn new(disk: Vec<u8>, script: Vec<(u64, Event)>) -> Self {
        assert!(script.is_sorted_by_key(|(time, _)| *time), "a script is in order");
        Self {
            ahead: 0,
            deadline: None,
            script,
            disk,
            console: Vec::new(),
            trace: Digest([0; 32]),
            is_over: false,
        }
    }

    /// The digest of everything in it.
    pub(crate) fn digest(&self) -> Digest {
        Digest(*blake3::hash(&encode(self)).as_bytes())
    }

    /// What time it is behind so many instructions.
    pub(crate) fn now(&self, instructions: InstructionCount) -> u64 {
        instructions.0 * INSTRUCTION + self.ahead
    }

    /// When the next thing happens.
    pub(crate) fn next_time(&self) -> Option<u64> {
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
        if !is_due {
            return None;
        }
        let input = self.script.remove(0).1.into_input();
        self.is_over |= input.is_none();
        input
    }

    /// The disk does what it is asked at once, and answers later.
    fn ask_disk(&mut self, now: u64, request: DiskRequestId, operation: DiskOperation) {
        let data = carry_out(&mut self.disk, operation);
        let answers_at = now + DISK;
        let place = self.script.partition_point(|(time, _)| *time <= answers_at);
        self.script.insert(place, (answers_at, Event::DiskAnswer { request: request.0, data }));
    }

    fn note(&mut self, what: &impl Serialize) {
        self.trace = Digest(*blake3::hash(&encode(&(self.trace, what))).as_bytes());
    }
}

/// Does what a disk is asked. Gives back what was read.
pub(crate) fn carry_out(disk: &mut [u8], operation: DiskOperation) -> Vec<u8> {
    match operation {
        DiskOperation::Read { sector, bytes } => {
            let start = sector as usize * 512;
            disk[start..start + bytes as usize].to_vec()
        }
        DiskOperation::Write { sector, data } => {
            let start = sector as usize * 512;
            disk[start..start + data.len()].copy_from_slice(&data);
            Vec::new()
        }
        DiskOperation::Flush => Vec::new(),
    }
}

impl World for ScriptedWorld {
    type Error = Infallible;

    fn needs_landmarks(&self) -> bool {
        true
    }

    fn stop_requested(&self) -> bool {
        self.is_over
    }

    fn read_time(&mut self, at: &mut dyn Place) -> Result<GuestTime, Infallible> {
        self.ahead += TIME_READ;
        Ok(GuestTime::from_nanoseconds(self.now(at.instructions())))
    }

    fn next_input(&mut self, at: &mut dyn Place, patience: Patience) -> Result<Option<Input>, Infallible> {
        let mut now = self.now(at.instructions());
        if patience == Patience::Wait {
            match self.next_time() {
                Some(time) => {
                    self.ahead += time.saturating_sub(now);
                    now = now.max(time);
                }
                None => self.is_over = true,
            }
        }
        Ok(self.due(now))
    }

    fn next_landing(&self) -> Option<Target> {
        let time = self.next_time()?;
        let instructions = time.saturating_sub(self.ahead).div_ceil(INSTRUCTION);
        Some(Target::Instructions(InstructionCount(instructions)))
    }

    fn set_deadline(&mut self, deadline: Option<GuestTime>) {
        self.deadline = deadline.map(GuestTime::nanoseconds);
    }

    fn output(&mut self, at: &mut dyn Place, output: Output) -> Result<(), Infallible> {
        match output {
            Output::Console(byte) => self.console.push(byte),
            Output::Frame { bytes, .. } => self.note(&(at.exit(), at.instructions(), bytes)),
            Output::Disk { request, operation, .. } => {
                self.ask_disk(self.now(at.instructions()), request, operation);
            }
        }
        Ok(())
    }

    fn interrupt(&mut self, at: &mut dyn Place, vector: u8) -> Result<(), Infallible> {
        self.note(&(at.landmark().unwrap(), vector));
        Ok(())
    }
}
