//! Every guest is recorded, replayed and compared, by the command as a person would use it.
//!
//! [`recording`] runs a guest under `outlive record` and keeps what it did: its console, its disks, the state it
//! ended in. [`replaying`] runs `outlive replay` on the log and compares all of that. What is recorded on an engine
//! is replayed on each engine at hand that can stop where the log's inputs came. A new guest is one line in
//! [`bare`].
//!
//! The log of a test that failed is kept, and the command that replays it is printed. [`lab`] runs this program
//! again where there is a genuine KVM.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alteration;
mod altered;
mod bad_input;
mod bare;
mod clock;
mod damaged;
mod ends;
#[path = "../harness/mod.rs"]
mod harness;
mod images;
mod independent;
mod kv;
mod lab;
mod linux;
mod load;
mod log_file;
#[allow(dead_code, reason = "the other tests need more of it")]
#[path = "../determinism/random.rs"]
mod random;
mod recording;
mod replaying;
mod report;
mod unfinished;
mod until;
