//! How entries become bytes.
//!
//! An idle guest makes a hundred timer ticks a second, and a log may have to hold weeks of them. So an entry says
//! only what could not be guessed from those before it. Both sides keep the same context: the last time that was
//! told, the last point that was named, the last interrupt. An entry is coded as a difference to that, and changes
//! it. The context is made anew for each batch, so that every batch can be read on its own.
//!
//! # The leading number
//!
//! An entry begins with a number in bincode's variable length (one byte up to 250). Its two low bits tell what kind
//! of thing it is, and the bits above hold as much of it as fits:
//!
//! | low bits | meaning | the bits above |
//! | --- | --- | --- |
//! | 00 | time read | steps of [`TIME_QUANTUM`] since the last time |
//! | 01 | time read; one byte follows | steps: 63 + 256 × these bits + that byte |
//! | 10 | input or interrupt | bits 0 to 2: how the landmark is written; above: which kind |
//! | 11 | anything else | which kind; a console output also holds how many exits lie between |
//!
//! Times are told by a clock in steps (see [`TIME_QUANTUM`]), so most time reads take one byte, and one after
//! a pause of up to 4 ms takes two. A time that is not on a step, or lies back, is
//! written as its distance from the last one, as some other kind.
//!
//! # Landmarks
//!
//! A landmark is the same as the last one (an interrupt right behind its input), or tells how many exits
//! later it is. Behind the same exit, what has happened since that exit is the difference to the last landmark. RIP is
//! mostly one of the last sixteen, and then takes one byte.
//!
//! # Ticks
//!
//! A periodic timer is due at nearly constant distances: the next tick is expected as far from the last one as
//! that was from the one before, and only the error is written, if there is one.
//!
//! # Noise
//!
//! Two things cannot be guessed from anything: the check of an interrupt or output, which is a piece of a digest, and the
//! lower byte of a time read's steps, in which the host's own timing is. Each stands at the end of its entry, so
//! that a batch that is compressed can put them aside: between what repeats itself they would only be in the way.
//!
//! # What is not checked here
//!
//! Every value of every field can be written and read back, in any order: differences wrap. Whether times and
//! landmarks go forward as they should is for [`verify`](crate::verify) to tell.

mod bytes;
mod context;
mod instruction_pointers;
mod kinds;
mod state;

pub use context::{Bases, TIME_QUANTUM};

pub(crate) use bytes::{Source, put};
pub(crate) use context::Context;
pub(crate) use kinds::{decode, encode};

/// Bytes that are no entry.
#[derive(thiserror::Error, Debug)]
pub enum DecodeError {
    /// They end within the entry.
    #[error("the bytes end within an entry")]
    Short,
    /// A number or a structure is none.
    #[error("the bytes are no value of the kind that belongs here")]
    Value(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A number is too large for what it tells.
    #[error("a number is too large for {0}")]
    Range(&'static str),
    /// The entry's kind is unknown.
    #[error("there is no entry of kind {0}")]
    Kind(u64),
    /// A part of the entry is of an unknown kind.
    #[error("there is no {0} of kind {1}")]
    Part(&'static str, u64),
}

#[cfg(test)]
mod golden;
#[cfg(test)]
pub(crate) mod tests;
