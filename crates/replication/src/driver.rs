//! What drives the protocol: one thread for each side, with sockets, clock, arbiter and the host's outputs.
//!
//! The state machines of [`protocol`](crate::protocol) say what is to be done; this does it. A driver waits for whatever comes
//! first, a message, an event of the vCPU thread, the answer of the arbiter, the next deadline, tells the state machine, and
//! carries out what that answers. Nothing here decides anything.
//!
//! Where primary, backup and their guests share few processors, each time that a driver wakes up is time that a guest
//! does not get. So whatever is there is worked off in one *round*: all events of the vCPU thread, and on the backup all
//! messages that have arrived together, which one acknowledgement answers. What is to be sent goes out before the next
//! message is looked at, for somebody waits for it.
//!
//! A driver is a future. Its own thread polls it whenever something has come, and the vCPU thread does where it has cut a
//! batch, so that it is sent without a wake-up: see `driver/task.rs`.
//!
//! All outputs of a side leave in its driver, behind a look at the clock each. Claims are made on a thread of
//! their own, because storage that is away may block its caller for as long as it likes.

mod alarm;
mod backup;
mod claims;
mod exits;
mod link;
mod precedence;
mod primary;
mod status;
mod task;

use std::thread::JoinHandle;

use outlive_machine::host::live::LiveError;

use crate::protocol::StandDown;
use crate::transport::ListenError;

pub use backup::{BackupMachine, BackupSide, ConnectionWanted, Decision, Following};
pub use claims::Claims;
pub use primary::{Paired, PrimarySide, Waiting};
pub use status::{Delays, Failover, Status, StatusBoard};

/// How a side came to its end.
#[derive(Debug)]
pub enum Outcome {
    /// The guest has ended, and all that it put out has left.
    Finished,
    /// This side does not go on.
    StoodDown(StandDown),
    /// The machine has ended without a word: its engine or its host has failed it.
    MachineGone,
    /// Outputs cannot leave any more. This side lets go, so that the other one takes over.
    OutputsFailed(LiveError),
}

/// What the driver calls to stop the machine.
pub type StopMachine = Box<dyn Fn() + Send>;

/// Why there is no backup.
#[derive(thiserror::Error, Debug)]
pub enum WaitError {
    /// The host gives no thread for the network.
    #[error("the host refuses what the network needs")]
    Runtime(#[source] std::io::Error),
    /// The address.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// The thread of a driver.
#[derive(Debug)]
pub struct DriverThread(JoinHandle<Outcome>);

impl DriverThread {
    fn new(thread: JoinHandle<Outcome>) -> Self {
        Self(thread)
    }

    /// Waits for the driver's end, which comes behind the machine's.
    pub fn join(self) -> Outcome {
        // A driver that panics has lost its connection, and so the other side takes over.
        self.0.join().unwrap_or(Outcome::MachineGone)
    }
}
