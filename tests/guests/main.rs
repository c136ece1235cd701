//! Whole guests on the whole command: each test writes a configuration, runs `outlive run` on it as a
//! person would, and looks at what the guest did.
//!
//! The tests run on the KVM of the machine that they find themselves on. [`lab`] runs this very program
//! again inside the lab, whose KVM is a genuine one, so that every guest is tried on each KVM at hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agree;
mod bad_input;
mod bare;
mod bench;
mod command_line;
mod console;
mod debian;
mod doctor;
#[path = "../harness/mod.rs"]
mod harness;
mod lab;
mod linux;
mod network;
mod rdtsc;
