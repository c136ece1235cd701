//! Pairings are numbered.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of a pairing of a primary and a backup. Each has its own flag to test and set. The first one is 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
