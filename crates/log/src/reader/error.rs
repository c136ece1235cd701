//! Why a log cannot be read.

use std::io;

use crate::batch::Damage;
use crate::file::prefix::MAGIC;
use crate::file::{FORMAT, Part};

/// Why a log cannot be read.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened.
    #[error("cannot open the log")]
    Open(#[source] io::Error),
    /// The file cannot be read.
    #[error("cannot read {part} from byte {offset} of the log")]
    Io {
        /// Where in the file.
        offset: u64,
        /// What was to be read.
        part: Part,
        /// Why.
        source: io::Error,
    },
    /// Something else.
    #[error("this is not an event log of Outlive")]
    NotALog,
    /// A log that another version of Outlive has written.
    #[error("this log has format {found}, but this Outlive reads {FORMAT}")]
    Version {
        /// The format of the log.
        found: u32,
    },
    /// Something has changed, or is missing.
    #[error("the log is damaged at byte {offset}, in {part}")]
    Damaged {
        /// Where in the file.
        offset: u64,
        /// In what.
        part: Part,
        /// In what way.
        source: Damage,
    },
}

impl ReadError {
    /// The byte of the file at which it was noticed.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Open(_) | Self::NotALog => 0,
            Self::Version { .. } => MAGIC.len() as u64,
            Self::Io { offset, .. } | Self::Damaged { offset, .. } => *offset,
        }
    }

    /// Whether the file is a log that has changed: what is before that is good.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}
