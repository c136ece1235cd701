//! Event logs: everything that a deterministic machine could not know by itself, in order.
//!
//! * [`entry`]: what a log holds, as programs handle it;
//! * [`header`]: the machine that was recorded;
//! * [`encoding`]: how entries become few bytes;
//! * [`batch`]: entries under one checksum, the unit of files and of the logging channel;
//! * [`mod@file`]: the layout of a log file. [`LogWriter`] writes one, [`LogReader`] reads one, [`LogFile`] takes whole
//!   batches;
//! * [`verify`] checks a whole file, [`statistics`] tells what its bytes are spent on, [`series`] when.
//!
//! A log is input from strangers. Whatever bytes a reader is given, it answers with entries or with an error that
//! tells the place, and takes no more memory than the largest batch and the index need.

pub mod batch;
pub mod encoding;
pub mod entry;
pub mod file;
pub mod header;
pub mod series;
pub mod statistics;
pub mod verify;

#[cfg(test)]
mod sample;

mod hex;
mod listing;
mod reader;
mod writer;

pub use batch::{BatchDecoder, BatchEncoder, Damage, NumberedEntry};
pub use entry::{Entry, EntryNumber};
pub use file::{FORMAT, Part};
pub use header::Header;
pub use reader::{LogReader, Position, ReadError};
pub use writer::{LogFile, LogSize, LogWriter, WriteError};
