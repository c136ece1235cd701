//! Every command that README.md and docs/ show is executed here as it stands there, in surroundings like those that the
//! page describes; and no page shows one that is not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod every_command;
mod guests;
mod linux;
mod operations;
mod page;
mod readme;
mod surroundings;
