//! Which times make sense, and what follows from them.

use std::time::Duration;

use crate::message::Timing;

/// Times by which no pair can work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TimingError {
    /// No time at all.
    #[error("the {0} must be longer than nothing")]
    Zero(&'static str),
    /// Longer than [`Timing::LONGEST`].
    #[error("the {0} is longer than an hour")]
    TooLong(&'static str),
    /// A lease would end before the next heartbeat could renew it, or a side be suspected before it had to speak.
    #[error("the heartbeat ({heartbeat:?}) must be shorter than the {name} ({time:?})")]
    HeartbeatTooSlow {
        /// The heartbeat.
        heartbeat: Duration,
        /// What must be longer.
        name: &'static str,
        /// How long that is.
        time: Duration,
    },
}

impl Timing {
    /// No time may be longer.
    pub const LONGEST: Duration = Duration::from_secs(3600);

    /// Whether a pair can work by these times: each side asks before it believes them.
    ///
    /// # Errors
    ///
    /// If one is zero or longer than an hour, or the heartbeat is no shorter than the lease or the time after which a
    /// side is suspected.
    pub fn check(&self) -> Result<(), TimingError> {
        let Self { suspect_after, lease, heartbeat, lag_limit } = *self;
        let names = [
            ("suspicion", suspect_after),
            ("lease", lease),
            ("heartbeat", heartbeat),
            ("lag limit", lag_limit),
        ];
        for (name, time) in names {
            if time.is_zero() {
                return Err(TimingError::Zero(name));
            }
            if time > Self::LONGEST {
                return Err(TimingError::TooLong(name));
            }
        }
        for (name, time) in [("lease", lease), ("time after which a side is suspected", suspect_after)] {
            if heartbeat >= time {
                return Err(TimingError::HeartbeatTooSlow { heartbeat, name, time });
            }
        }
        Ok(())
    }

    /// For so long after it last heard something does the backup not go live: the lease, and an eighth for clocks
    /// that run at different rates.
    pub(super) fn wait(&self) -> Duration {
        self.lease.saturating_add(self.lease / 8)
    }

    /// So much later is an arbiter asked again that was not available.
    pub(super) fn claim_again(&self) -> Duration {
        self.suspect_after / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Timing = Timing {
        suspect_after: Duration::from_millis(200),
        lease: Duration::from_millis(50),
        heartbeat: Duration::from_millis(10),
        lag_limit: Duration::from_millis(100),
    };

    #[test]
    fn the_usual_times_make_sense() {
        assert_eq!(GOOD.check(), Ok(()));
        assert_eq!(GOOD.wait(), Duration::from_micros(56_250));
    }

    #[test]
    fn times_by_which_no_pair_works_are_refused() {
        let zero = Timing { heartbeat: Duration::ZERO, ..GOOD };
        assert_eq!(zero.check(), Err(TimingError::Zero("heartbeat")));
        let long = Timing { lease: Duration::MAX, ..GOOD };
        assert_eq!(long.check(), Err(TimingError::TooLong("lease")));
        let slow = Timing { heartbeat: GOOD.lease, ..GOOD };
        assert!(matches!(slow.check(), Err(TimingError::HeartbeatTooSlow { name: "lease", .. })));
        let hasty = Timing { suspect_after: GOOD.heartbeat, ..GOOD };
        assert!(matches!(hasty.check(), Err(TimingError::HeartbeatTooSlow { .. })));
    }
}
