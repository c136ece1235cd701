//! How far a replay has got.

use std::sync::atomic::{AtomicU64, Ordering};

use outlive_engine::GuestTime;

/// How far a replay has got, for another thread to look at.
#[derive(Debug, Default)]
pub struct Progress {
    read: AtomicU64,
    bytes: AtomicU64,
    time: AtomicU64,
}

impl Progress {
    /// The log has so many bytes.
    pub(crate) fn begin(&self, bytes: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// So many of them have been read, and guest time is this.
    pub(crate) fn note(&self, read: u64, time: GuestTime) {
        self.time.store(time.nanoseconds(), Ordering::Relaxed);
        self.read.store(read, Ordering::Relaxed);
    }

    /// How much of the log has been replayed, from 0 to 1.
    pub fn fraction(&self) -> f64 {
        let bytes = self.bytes.load(Ordering::Relaxed).max(1);
        (self.read.load(Ordering::Relaxed) as f64 / bytes as f64).min(1.0)
    }

    /// Guest time.
    pub fn time(&self) -> GuestTime {
        GuestTime::from_nanoseconds(self.time.load(Ordering::Relaxed))
    }
}
