//! What the two sides of a pair agree on.

use std::path::PathBuf;
use std::time::Duration;

use outlive_replication::message::Timing;
use schemars::JsonSchema;
use serde::Deserialize;

use super::quantity::{PairName, Span};

/// What the two sides of a pair agree on. The times are the primary's to say; the backup follows it.
#[derive(Deserialize, JsonSchema, Clone, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Pair {
    /// The name of the virtual machine in the arbiter's directory.
    pub(crate) name: PairName,
    /// The arbiter's directory, on a file system that both hosts mount.
    pub(crate) arbiter: PathBuf,
    /// A side that was not heard for so long is suspected.
    #[serde(default = "suspect_after")]
    suspect_after: Span,
    /// For so long after a message that the backup has heard may the primary let outputs out.
    #[serde(default = "lease")]
    lease: Span,
    /// A side that has nothing to tell says so as often.
    #[serde(default = "heartbeat")]
    heartbeat: Span,
    /// The primary is slowed down when the backup is further behind.
    #[serde(default = "lag_limit")]
    lag_limit: Span,
}

impl Pair {
    /// The times that the protocol goes by.
    pub(crate) fn timing(&self) -> Timing {
        let Self { suspect_after, lease, heartbeat, lag_limit, .. } = self;
        Timing {
            suspect_after: suspect_after.0,
            lease: lease.0,
            heartbeat: heartbeat.0,
            lag_limit: lag_limit.0,
        }
    }
}

fn suspect_after() -> Span {
    Span(Duration::from_millis(200))
}

fn lease() -> Span {
    Span(Duration::from_millis(50))
}

fn heartbeat() -> Span {
    Span(Duration::from_millis(10))
}

fn lag_limit() -> Span {
    Span(Duration::from_millis(100))
}
