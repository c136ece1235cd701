//! One machine, run in many ways, is always the same machine: twice in a row, stopped and looked at wherever
//! one likes, or moved to another process in the middle.
//!
//! The machine runs in this process, on the engine in software, in a [`world`] whose inputs follow from what
//! the guest does and from nothing else. Whatever differs between two runs is then our fault.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[macro_use]
mod guest;

mod alterations;
mod command;
mod cuts;
mod kicks;
mod landings;
mod native;
mod random;
mod record;
mod repeat;
mod snapshot;
mod wild;
mod world;
