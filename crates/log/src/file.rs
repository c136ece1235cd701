//! The layout of a log file.
//!
//! ```text
//! outlive event log
//! format 00002
//! state open  
//! header 00000634 bytes, crc32c 1a2b3c4d
//! engine = "soft"                              header: TOML
//! ...
//! <section B> <section B> ...                  batches
//! <section I> <section F>                      index and footer, if the log is closed
//! ```
//!
//! The four lines of the *prefix* have a fixed length, so that any program and any person can tell what the file is.
//! They are compared as they are, to the last byte. `state` becomes `closed` last of all, when everything else has
//! reached the disk: a log that was not closed looks unfinished, and can be read to its last whole batch.
//!
//! All else are *sections*: a kind, a length and a checksum that covers all of it. One changed byte
//! anywhere is noticed. What one cannot notice in a log that is open is that whole batches are missing at its end.
//!
//! | bytes of a section | what |
//! | --- | --- |
//! | 1 | kind: `B`, `I` or `F` |
//! | 4 | length of the content |
//! | 4 | CRC32C of these five bytes |
//! | 4 | CRC32C of these nine bytes and the content |
//! | | the content |

pub(crate) mod index;
pub(crate) mod prefix;
pub(crate) mod section;

use std::fmt;

pub use prefix::MAXIMUM_HEADER;
pub use section::{FRAME_BYTES, MAXIMUM_BYTES};

/// The version of the format of log files and of batches. A reader reads its own only.
pub const FORMAT: u32 = 2;

/// A part of a log file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The four lines that the file begins with.
    Prefix,
    /// The header.
    Header,
    /// A batch of entries. The first one is number 0.
    Batch(u64),
    /// The index.
    Index,
    /// The footer.
    Footer,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix => f.write_str("its first lines"),
            Self::Header => f.write_str("its header"),
            Self::Batch(number) => write!(f, "batch {number}"),
            Self::Index => f.write_str("its index"),
            Self::Footer => f.write_str("its footer"),
        }
    }
}
