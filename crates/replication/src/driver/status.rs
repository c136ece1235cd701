//! What a side tells of itself while it runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::Moment;
use crate::clock;

/// Where a side stands, for a person or a program that asks.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Status {
    /// The name of the virtual machine.
    pub name: String,
    /// What it began as: `primary` or `backup`.
    pub role: &'static str,
    /// What it is doing: `waiting`, `protected`, `following`, `claiming`, `live`, `alone`, `stood-down`, `finished`.
    pub phase: &'static str,
    /// The number of the pairing; zero before there is one.
    pub generation: u64,
    /// Whether the guest would survive the death of one host.
    pub protected: bool,
    /// The entries of the log.
    pub entries: u64,
    /// The bytes of the log.
    pub log_bytes: u64,
    /// Bytes of the log per second, over the last second or so.
    pub log_bytes_per_second: f64,
    /// Entries that the backup has not executed.
    pub lag_entries: u64,
    /// Bytes of the log that the backup has not executed.
    pub lag_bytes: u64,
    /// How old the oldest batch is that the backup has not executed.
    pub lag_milliseconds: f64,
    /// Outputs that wait in the gate.
    pub held_outputs: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Whether the guest is slowed down now, because the backup is behind.
    pub slowed: bool,
    /// How long the last frames have waited, from where the guest made them until they left, in microseconds: the median.
    pub gate_microseconds_median: Option<f64>,
    /// The 99th percentile.
    pub gate_microseconds_99th: Option<f64>,
    /// The last failover that this side has seen.
    pub last_failover: Option<Failover>,
}

/// A failover.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Failover {
    /// Why the other side was not counted on any more.
    pub reason: String,
    /// When, in Unix seconds.
    pub at: f64,
    /// How long it took from there until this side went on alone.
    pub milliseconds: Option<f64>,
}

/// Where a driver writes its [`Status`] and others read it.
#[derive(Clone, Debug, Default)]
pub struct StatusBoard(Arc<Mutex<Status>>);

impl StatusBoard {
    /// The status.
    pub fn read(&self) -> Status {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the status.
    pub fn write(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Failover {
    /// One that begins now.
    pub(super) fn now(reason: String) -> Self {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        Self { reason, at, milliseconds: None }
    }
}

/// The status is written no more often than that, however much happens.
const REPORT_EVERY: Duration = Duration::from_millis(5);

/// When a driver writes its status: soon after something has changed.
#[derive(Debug, Default)]
pub(super) struct Reports {
    last: Moment,
    is_expected: bool,
}

impl Reports {
    /// Something has changed.
    pub(super) fn expect(&mut self) {
        self.is_expected = true;
    }

    /// Something has changed that others should know at once.
    pub(super) fn hurry(&mut self) {
        (self.last, self.is_expected) = (Moment::default(), true);
    }

    /// Whether the status is to be written now.
    pub(super) fn is_due(&self) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= clock::now())
    }

    /// When it is to be written.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.is_expected.then(|| self.last.after(REPORT_EVERY))
    }

    /// It is written.
    pub(super) fn note(&mut self) {
        (self.last, self.is_expected) = (clock::now(), false);
    }
}

/// Over how long a time bytes per second are told.
const RATE_TIME: Duration = Duration::from_secs(1);

/// How fast a log grows.
#[derive(Debug)]
pub(super) struct Rate {
    bytes: u64,
    at_begin: u64,
    begin: Instant,
    per_second: f64,
}

/// What a [`Rate`] tells.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct RateReading {
    pub(super) bytes: u64,
    pub(super) per_second: f64,
    /// Whether it has changed.
    pub(super) is_news: bool,
}

impl Default for Rate {
    fn default() -> Self {
        Self { bytes: 0, at_begin: 0, begin: Instant::now(), per_second: 0.0 }
    }
}

impl Rate {
    pub(super) fn note(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    pub(super) fn read(&mut self) -> RateReading {
        let elapsed = self.begin.elapsed();
        let is_news = elapsed >= RATE_TIME;
        if is_news {
            self.per_second = (self.bytes - self.at_begin) as f64 / elapsed.as_secs_f64();
            (self.at_begin, self.begin) = (self.bytes, Instant::now());
        }
        RateReading { bytes: self.bytes, per_second: self.per_second, is_news }
    }
}

/// How many delays are kept.
const KEPT: usize = 4096;

/// The last delays, for their distribution.
#[derive(Clone, Debug, Default)]
pub struct Delays {
    microseconds: Vec<f32>,
    /// Where the next one goes.
    at: usize,
}

impl Delays {
    /// Takes note of one.
    pub fn note(&mut self, delay: Duration) {
        let microseconds = delay.as_secs_f32() * 1e6;
        if self.microseconds.len() < KEPT {
            self.microseconds.push(microseconds);
        } else {
            self.microseconds[self.at] = microseconds;
        }
        self.at = (self.at + 1) % KEPT;
    }

    /// The delay in microseconds below which so large a share of them is, from 0 to 1. `None` without any.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let mut sorted = self.microseconds.clone();
        sorted.sort_by(f32::total_cmp);
        let position = (share * (sorted.len().checked_sub(1)?) as f64).round() as usize;
        sorted.get(position).map(|&delay| f64::from(delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_last_delays() {
        let mut delays = Delays::default();
        assert_eq!(delays.quantile(0.5), None);
        for _ in 0..KEPT {
            delays.note(Duration::from_secs(1));
        }
        for microseconds in 0..KEPT as u64 {
            delays.note(Duration::from_micros(microseconds));
        }
        let median = delays.quantile(0.5).unwrap();
        assert!((median - KEPT as f64 / 2.0).abs() < 2.0, "{median}");
        assert!(delays.quantile(1.0).unwrap() < KEPT as f64);
    }
}
