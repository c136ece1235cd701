//! What primary and backup tell each other.

use std::time::Duration;

use outlive_arbiter::{Generation, Identity};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::borrowed;
use crate::{LogPosition, Moment};

/// The version of the protocol. Both sides must have the same.
pub const VERSION: u32 = 2;

/// What the primary tells the backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FromPrimary {
    /// The answer to the backup's first message: what is to be replicated.
    Hello(Box<PrimaryHello>),
    /// The next entries of the log.
    Batch {
        /// When it was sent, by the primary's clock.
        sent: Moment,
        /// Outputs up to here have left the primary.
        released: LogPosition,
        /// The batch, as `outlive_log::batch` tells.
        #[serde(serialize_with = "serde_bytes::serialize", deserialize_with = "borrowed::bytes")]
        batch: Vec<u8>,
    },
    /// The primary is there.
    Heartbeat {
        /// When it was sent, by the primary's clock.
        sent: Moment,
        /// Outputs up to here have left the primary.
        released: LogPosition,
    },
    /// The primary goes, as planned. It lets nothing out any more, and everything was sent before.
    Leave,
    /// The primary does not want this backup.
    Refused {
        /// Why.
        #[serde(deserialize_with = "borrowed::text")]
        reason: String,
    },
}

/// What the backup tells the primary.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FromBackup {
    /// The first message on a connection. It comes before the primary's, so that a primary tells its machine to the
    /// right backup only.
    Hello(BackupHello),
    /// The machine is built: the guest may start.
    Ready,
    /// What the backup has.
    Ack {
        /// The entries that it has received.
        received: LogPosition,
        /// The entries that its machine has executed.
        executed: LogPosition,
        /// The latest moment that the primary has told.
        echo: Moment,
    },
    /// The backup's machine has done something else than the log says. It will never go live.
    Diverged {
        /// What was expected, and what was found.
        #[serde(deserialize_with = "borrowed::text")]
        report: String,
    },
    /// The backup goes, as planned.
    Leave,
    /// The backup cannot follow this primary.
    Refused {
        /// Why.
        #[serde(deserialize_with = "borrowed::text")]
        reason: String,
    },
}

/// What is to be replicated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PrimaryHello {
    /// [`VERSION`].
    pub version: u32,
    /// The name of the virtual machine, as both configurations have it.
    #[serde(deserialize_with = "borrowed::text")]
    pub name: String,
    /// The number of the pairing.
    pub generation: Generation,
    /// Who has opened it: the primary, as its arbiter knows it. A backup whose arbiter knows another one has another
    /// storage.
    #[serde(serialize_with = "serialize_identity", deserialize_with = "deserialize_identity")]
    pub opener: Identity,
    /// The header of the log, as text: the machine with the digests of its images.
    #[serde(deserialize_with = "borrowed::text")]
    pub header: String,
    /// How long a side may be silent, and the like: both go by what the primary says.
    pub timing: Timing,
}

/// Who asks to be the backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackupHello {
    /// [`VERSION`].
    pub version: u32,
    /// The name of the virtual machine, as the backup's configuration has it.
    #[serde(deserialize_with = "borrowed::text")]
    pub name: String,
}

/// The times that the protocol goes by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Timing {
    /// A side that was not heard for so long is suspected.
    pub suspect_after: Duration,
    /// For so long after a message that the backup has heard may the primary let outputs out.
    pub lease: Duration,
    /// A side that has nothing to tell says so as often.
    pub heartbeat: Duration,
    /// The primary is slowed down when the backup is further behind.
    pub lag_limit: Duration,
}

fn serialize_identity<S: Serializer>(identity: &Identity, serializer: S) -> Result<S::Ok, S::Error> {
    identity.0.serialize(serializer)
}

fn deserialize_identity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Identity, D::Error> {
    u128::deserialize(deserializer).map(Identity)
}
