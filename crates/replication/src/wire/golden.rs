//! The layout is frozen: sides of one version understand each other. Whoever changes one of these must raise
//! [`VERSION`](crate::message::VERSION). The first two numbers of a Hello, and `Refused`, must never change.

use super::samples::{backup_hello, primary_hello};
use super::{Frames, Message, encode};
use crate::message::{FromBackup, FromPrimary};
use crate::{LogPosition, Moment};

/// Each message as hexadecimal digits; spaces are there for people.
#[track_caller]
fn frozen<M: Message + PartialEq + std::fmt::Debug>(expected: &[(M, &str)]) {
    for (message, digits) in expected {
        let mut bytes = Vec::new();
        encode(message, &mut bytes).unwrap();
        let found: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digits.replace(' ', ""), "{message:?}");
        let mut frames = Frames::<M>::of_stranger();
        frames.push(&bytes);
        assert_eq!(frames.next_message().unwrap().as_ref(), Some(message));
    }
}

/// Version, name, generation, opener, header, and four durations of seconds and nanoseconds.
const HELLO: &str = "33000000 00 02 057265646973 07 11 10656e67696e65203d2022736f6674220a \
                     00fc00c2eb0b 00fc80f0fa02 00fc80969800 00fc00e1f505";

#[test]
fn messages_of_the_primary() {
    let (sent, released) = (Moment(1 << 40), LogPosition(300));
    frozen(&[
        (FromPrimary::Hello(Box::new(primary_hello("redis"))), HELLO),
        (
            FromPrimary::Batch { sent, released, batch: vec![0xaa, 0xbb, 0xcc] },
            "11000000 01 fd0000000000010000 fb2c01 03aabbcc",
        ),
        (FromPrimary::Heartbeat { sent, released }, "0d000000 02 fd0000000000010000 fb2c01"),
        (FromPrimary::Leave, "01000000 03"),
        (FromPrimary::Refused { reason: "no".to_owned() }, "04000000 04 026e6f"),
    ]);
}

#[test]
fn messages_of_the_backup() {
    let (received, executed) = (LogPosition(300), LogPosition(250));
    frozen(&[
        (backup_hello("redis"), "08000000 00 02 057265646973"),
        (FromBackup::Ready, "01000000 01"),
        (
            FromBackup::Ack { received, executed, echo: Moment(1 << 40) },
            "0e000000 02 fb2c01 fa fd0000000000010000",
        ),
        (FromBackup::Diverged { report: "RIP".to_owned() }, "05000000 03 03524950"),
        (FromBackup::Leave, "01000000 04"),
        (FromBackup::Refused { reason: "no".to_owned() }, "04000000 05 026e6f"),
    ]);
}
