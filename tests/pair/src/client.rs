//! Clients that put load on the guest's service and write down what they saw.
//!
//! Each client is a thread with one connection, and asks one thing after the other. What it asks:
//!
//! * its *own* keys, `own-<client>-<n>`, are set by it alone, to numbers that grow: they show whether an acknowledged
//!   write is lost;
//! * *shared* keys are set by everybody, each time to a number that nobody else uses: they show stale reads and orders
//!   that cannot be;
//! * *counters* (redis only) are incremented by everybody: they show what was done twice.

mod kv;
mod load;
mod recorder;
mod redis;

use std::net::Ipv4Addr;

use crate::history::{Answer, Call};
pub use load::{ClientReport, Load, Outcome, Plan};
pub use recorder::Recorder;

/// What the guest runs.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// A bare guest with a key-value server on UDP.
    Kv,
    /// Linux with redis, on TCP.
    Redis,
}

impl Service {
    /// Whether it can count.
    pub(crate) fn counts(self) -> bool {
        self == Self::Redis
    }

    /// Whether its clients ask again when they hear nothing.
    pub(crate) fn repeats(self) -> Repeats {
        match self {
            Self::Kv => Repeats::WhenUnanswered,
            Self::Redis => Repeats::Never,
        }
    }

    /// Opens a connection to it, from the namespace of the calling thread.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn connect(self, address: Ipv4Addr) -> anyhow::Result<Box<dyn Connection>> {
        Ok(match self {
            Self::Kv => Box::new(kv::Kv::connect(address)?),
            Self::Redis => Box::new(redis::Redis::connect(address)?),
        })
    }
}

/// Whether a request may reach the service more than once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Repeats {
    /// TCP sees to it that none does.
    Never,
    /// The client sends it again.
    WhenUnanswered,
}

/// A connection to a service.
pub trait Connection {
    /// Asks for one thing, waits for the answer, and has both written down.
    ///
    /// # Errors
    /// When the connection is broken, or there is no answer for [`PATIENCE`], or one that is no answer.
    fn ask(&mut self, key: &str, call: Call, recorder: &mut Recorder) -> anyhow::Result<Answer>;

    /// What the *server* calls this connection. A client that connected again would be told another number. `None` if
    /// the service has no connections.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    fn identity(&mut self) -> anyhow::Result<Option<u64>>;
}

/// How long a client waits for an answer: far longer than any failover that is worth the name.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
