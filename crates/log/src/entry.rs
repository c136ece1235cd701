//! Log entries: one non-deterministic fact each, or one marker.
//!
//! These are the entries as a program handles them, with absolute landmarks and times. How they become bytes
//! is told in [`encoding`](crate::encoding).

use std::fmt;

use outlive_engine::{ExitNumber, GuestTime, InstructionCount, VcpuState};
use serde::{Deserialize, Serialize};

/// The number of an entry in its log. The first one is number 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
pub struct EntryNumber(pub u64);

impl fmt::Display for EntryNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A point of the guest's execution, as a log names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Landmark {
    /// The last numbered exit before it.
    pub exit: ExitNumber,
    /// What has happened since that exit, in the unit that the log's header tells: see
    /// [`Counting`](crate::header::Counting).
    pub since_exit: u64,
    /// RIP there: a check, not part of the name.
    pub rip: u64,
}

impl Landmark {
    /// What names the point: an order in which the guest passes them.
    pub fn name(&self) -> (ExitNumber, u64) {
        (self.exit, self.since_exit)
    }
}

impl fmt::Display for Landmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{} (rip {:#x})", self.exit.0, self.since_exit, self.rip)
    }
}

/// Sixteen bits of the running digest of registers, outputs and interrupts up to here: of each interrupt its place and
/// vector too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug, Serialize, Deserialize)]
pub struct Check(pub u16);

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// The answer to a time read.
    Time(GuestTime),
    /// An input, and where it was applied.
    Input {
        /// Where.
        at: Landmark,
        /// What.
        input: Input,
    },
    /// An external interrupt was delivered.
    Interrupt {
        /// Where: before the instruction at this point.
        at: Landmark,
        /// Its vector.
        vector: u8,
        /// The registers there, and everything before.
        check: Check,
    },
    /// The machine let something out. What it was is not in the log: a replay makes it again.
    Output {
        /// The last exit.
        exit: ExitNumber,
        /// What kind of output.
        output: OutputMarker,
        /// The registers there, the output's contents, and everything before.
        check: Check,
    },
    /// The registers at the interrupt or output that is the next entry. Only in logs that were asked to hold
    /// them.
    Registers(Box<VcpuState>),
    /// The whole state, hashed.
    Digest(Box<StateDigest>),
    /// The recording ends. The last entry of a log that was closed.
    End(Box<End>),
}

/// Something that happened in the world.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// Guest time has reached this moment.
    ClockTick(GuestTime),
    /// Bytes typed at the console.
    Console(Vec<u8>),
    /// A frame came in.
    Frame {
        /// At which network: its position in the configuration.
        network: u8,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// A disk has carried out a request.
    DiskCompletion {
        /// Which disk: its position in the configuration.
        disk: u8,
        /// Which of its requests.
        request: u64,
        /// Whether the host's storage failed.
        failed: bool,
        /// What a read has read.
        data: Vec<u8>,
    },
}

/// What kind of output, and how large.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum OutputMarker {
    /// A byte of console.
    Console,
    /// A frame.
    Frame {
        /// At which network.
        network: u8,
        /// Its length.
        bytes: u32,
    },
    /// A disk request.
    Disk {
        /// To which disk.
        disk: u8,
        /// What it asks.
        operation: DiskOperation,
        /// How many bytes it reads or writes.
        bytes: u32,
    },
}

/// What a disk was asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum DiskOperation {
    /// Read.
    Read,
    /// Write.
    Write,
    /// Make writes durable.
    Flush,
}

/// A digest: 256 bits. What it is of, and how it is made, is for the layers above to know.
pub type Hash = [u8; 32];

/// The whole state of a machine at one point, hashed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StateDigest {
    /// Where.
    pub at: Landmark,
    /// The last guest time that anybody has seen there.
    pub time: GuestTime,
    /// How many instructions the guest had executed: zero if the engine counts none.
    pub instructions: InstructionCount,
    /// The running digest of which each [`Check`] is sixteen bits.
    pub running: Hash,
    /// The registers, in full, so that a divergence can be named.
    pub registers: VcpuState,
    /// Of memory.
    pub memory: Hash,
    /// Of the devices.
    pub devices: Hash,
    /// Of all requests to disks since power-on.
    pub disks: Hash,
    /// The pages of memory that have changed since the digest before this one, in ascending order.
    pub pages: Vec<PageCheck>,
}

/// Sixteen bits of the hash of one page, so that a divergence can be named.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct PageCheck {
    /// The page's number: its guest-physical address divided by 4096.
    pub page: u64,
    /// The first two bytes of its hash, the lower one first, and 1 in the place of 0. Zero if the page is all zeros.
    pub check: u16,
}

/// How a recording ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// The last exit.
    pub exit: ExitNumber,
    /// The state there, unless the guest stood where the engine cannot tell it.
    pub state: Option<StateDigest>,
}

/// Why a recording ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EndReason {
    /// The guest powered its machine off.
    PowerOff,
    /// The guest asked for a reset.
    Reset,
    /// A test guest ended itself with this number.
    DebugExit(u8),
    /// Somebody stopped the machine.
    Requested,
    /// The guest met a triple fault.
    TripleFault,
    /// The guest did what the table of non-determinism refuses.
    Refused(String),
}
