//! What the vCPU thread of a side holds: the ends of the queues to and from the driver.
//!
//! The vCPU never waits for the network. It puts outputs and batches into one queue, in order, and goes on; the driver
//! takes them on a thread of its own. So the outputs in the queue before a batch are those that belong to it.
//!
//! * [`Outbox`]: where the outputs of a live machine go;
//! * [`PairLog`]: where its recording goes, cut into batches;
//! * [`Feed`]: where the entries of a machine that follows come from;
//! * [`FollowerOutputs`]: where the outputs of such a machine go.

mod feed;
mod outbox;
mod pace;
mod pair_log;
mod queue;

use outlive_machine::world::Output;

use crate::{LogPosition, Moment};

pub use feed::{Fed, Feed};
pub use outbox::{FollowerOutputs, Outbox};
pub use pace::Pace;
pub use pair_log::PairLog;
pub use queue::ToDriver;
pub(crate) use queue::{CarryOn, FromVcpu, queue};

/// What a vCPU thread tells its driver.
#[derive(Debug)]
pub enum VcpuEvent<S> {
    /// The machine has put something out. It belongs to the batch that is being made, or executed.
    Output {
        /// What.
        output: Output,
        /// When, by this host's clock.
        made: Moment,
    },
    /// A batch is whole. The machine stands between two turns.
    Cut {
        /// The batch, as `outlive_log::batch` tells.
        bytes: Vec<u8>,
        /// The entries of the log with it.
        end: LogPosition,
    },
    /// A machine that follows has executed all entries up to here, the end of a batch.
    Executed(LogPosition),
    /// A machine that follows does something else than the log says.
    Diverged(String),
    /// A machine that followed stands at the log's end and goes live: outputs leave through this.
    Live(Box<S>),
    /// The guest has ended. The batch before was the last one.
    Ended,
    /// The machine was stopped. The batch before was the last one.
    Stopped,
}
