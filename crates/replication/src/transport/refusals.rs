//! What the log tells of strangers: enough to notice them, and never more than a line a second for long.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::admission::Refusal;

/// So many lines are told at once.
const BURST: u32 = 10;

/// After that, one as often.
const EVERY: Duration = Duration::from_secs(1);

/// Tells of those that were turned away. `hidden` is how many were not told since the line before.
#[derive(Debug)]
pub(super) struct Refusals {
    /// How many lines may be told now.
    allowed: u32,
    /// When the last one was added to that.
    added: Instant,
    /// How many were not told since the last line.
    hidden: u64,
}

impl Refusals {
    pub(super) fn new(now: Instant) -> Self {
        Self { allowed: BURST, added: now, hidden: 0 }
    }

    /// Somebody was turned away.
    pub(super) fn tell(&mut self, now: Instant, peer: SocketAddr, refusal: &Refusal) {
        let Some(hidden) = self.admit(now) else { return };
        warn!(target: "outlive::pair", event = "refused", %peer, reason = %refusal, hidden);
    }

    /// Whether one more may be told, and how many before it were not.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let earned = now.duration_since(self.added).as_secs() / EVERY.as_secs();
        if earned > 0 {
            self.allowed = self.allowed.saturating_add(earned.try_into().unwrap_or(BURST)).min(BURST);
            self.added = now;
        }
        if self.allowed == 0 {
            self.hidden += 1;
            return None;
        }
        self.allowed -= 1;
        Some(std::mem::take(&mut self.hidden))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_in_few_lines_that_count_the_others() {
        let start = Instant::now();
        let mut refusals = Refusals::new(start);
        let mut told = 0;
        let mut hidden = 0;
        for millisecond in 0..10_000 {
            if let Some(before) = refusals.admit(start + Duration::from_millis(millisecond)) {
                told += 1;
                hidden += before;
            }
        }
        assert_eq!(told, 10 + 9);
        assert_eq!(told + hidden + refusals.hidden, 10_000);
    }

    #[test]
    fn a_pause_allows_no_more_than_a_burst() {
        let start = Instant::now();
        let mut refusals = Refusals::new(start);
        let later = start + Duration::from_secs(100_000);
        let told = (0..100).filter(|_| refusals.admit(later).is_some()).count();
        assert_eq!(told, BURST as usize);
    }
}
