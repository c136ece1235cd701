//! Messages for tests.

use std::time::Duration;

use outlive_arbiter::{Generation, Identity};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::message::{BackupHello, FromBackup, FromPrimary, PrimaryHello, Timing, VERSION};
use crate::{LogPosition, Moment};

/// What a primary answers.
pub(crate) fn primary_hello(name: &str) -> PrimaryHello {
    PrimaryHello {
        version: VERSION,
        name: name.to_owned(),
        generation: Generation(7),
        opener: Identity(0x11),
        header: "engine = \"soft\"\n".to_owned(),
        timing: Timing {
            suspect_after: Duration::from_millis(200),
            lease: Duration::from_millis(50),
            heartbeat: Duration::from_millis(10),
            lag_limit: Duration::from_millis(100),
        },
    }
}

/// What a backup says first.
pub(crate) fn backup_hello(name: &str) -> FromBackup {
    FromBackup::Hello(BackupHello { version: VERSION, name: name.to_owned() })
}

/// A batch of so many bytes, none of which are entries.
pub(crate) fn batch(sent: u64, bytes: usize) -> FromPrimary {
    let batch = (0..bytes).map(|at| (at as u64).wrapping_mul(sent | 1) as u8).collect();
    FromPrimary::Batch { sent: Moment(sent), released: LogPosition(sent / 2), batch }
}

/// Any message of a primary.
pub(crate) fn from_primary() -> impl Strategy<Value = FromPrimary> {
    let moments = || (any::<u64>().prop_map(Moment), any::<u64>().prop_map(LogPosition));
    let duration = || any::<u64>().prop_map(Duration::from_nanos);
    let timing = (duration(), duration(), duration(), duration()).prop_map(
        |(suspect_after, lease, heartbeat, lag_limit)| Timing { suspect_after, lease, heartbeat, lag_limit },
    );
    let parts = (".{0,20}", any::<u64>(), any::<u128>(), ".{0,300}", timing);
    let hello = parts.prop_map(|(name, number, opener, header, timing)| {
        let (generation, opener) = (Generation(number), Identity(opener));
        FromPrimary::Hello(Box::new(PrimaryHello {
            version: VERSION,
            name,
            generation,
            opener,
            header,
            timing,
        }))
    });
    prop_oneof![
        hello,
        (moments(), vec(any::<u8>(), 0..3000)).prop_map(|((sent, released), batch)| FromPrimary::Batch {
            sent,
            released,
            batch
        }),
        moments().prop_map(|(sent, released)| FromPrimary::Heartbeat { sent, released }),
        Just(FromPrimary::Leave),
        ".{0,60}".prop_map(|reason| FromPrimary::Refused { reason }),
    ]
}

/// Any message of a backup.
pub(crate) fn from_backup() -> impl Strategy<Value = FromBackup> {
    let ack = (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(received, executed, echo)| {
        let (received, executed) = (LogPosition(received), LogPosition(executed));
        FromBackup::Ack { received, executed, echo: Moment(echo) }
    });
    prop_oneof![
        ".{0,20}".prop_map(|name| backup_hello(&name)),
        Just(FromBackup::Ready),
        ack,
        ".{0,300}".prop_map(|report| FromBackup::Diverged { report }),
        Just(FromBackup::Leave),
        ".{0,60}".prop_map(|reason| FromBackup::Refused { reason }),
    ]
}
