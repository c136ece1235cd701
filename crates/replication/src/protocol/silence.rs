//! For how long the other side was silent.

use std::time::Duration;

use crate::Moment;

/// Silence of the other side.
///
/// A side that was frozen itself has heard nothing either, but it notices that it comes late to its own deadline.
/// Then the silence begins anew, once, so that what waits in the socket can be read before the other side is
/// suspected.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Silence {
    allowed: Duration,
    since: Moment,
    is_excused: bool,
}

impl Silence {
    /// Silence that begins now. Longer than `allowed` is too long.
    pub(super) fn new(allowed: Duration, now: Moment) -> Self {
        Self { allowed, since: now, is_excused: false }
    }

    /// The other side was heard.
    pub(super) fn end(&mut self, now: Moment) {
        self.since = self.since.max(now);
        self.is_excused = false;
    }

    /// No earlier than the other side was last heard.
    pub(super) fn since(&self) -> Moment {
        self.since
    }

    /// When it will be too long.
    pub(super) fn deadline(&self) -> Moment {
        self.since.after(self.allowed)
    }

    /// How long it is, if that is too long.
    pub(super) fn judge(&mut self, now: Moment) -> Option<Duration> {
        let deadline = self.deadline();
        if now < deadline {
            return None;
        }
        let late = now.since(deadline);
        if late > self.allowed / 4 && !self.is_excused {
            self.since = now;
            self.is_excused = true;
            return None;
        }
        Some(now.since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Duration = Duration::from_nanos(200);

    #[test]
    fn silence_is_too_long_at_its_deadline_and_not_before() {
        let mut silence = Silence::new(ALLOWED, Moment(1000));
        assert_eq!(silence.deadline(), Moment(1200));
        assert_eq!(silence.judge(Moment(1199)), None);
        assert_eq!(silence.judge(Moment(1200)), Some(ALLOWED));
    }

    #[test]
    fn who_was_frozen_itself_waits_once_more() {
        let mut silence = Silence::new(ALLOWED, Moment(1000));
        assert_eq!(silence.judge(Moment(9000)), None);
        assert_eq!(silence.deadline(), Moment(9200));
        assert_eq!(silence.judge(Moment(20_000)), Some(Duration::from_nanos(11_000)));
    }

    #[test]
    fn a_side_that_was_heard_again_is_excused_again() {
        let mut silence = Silence::new(ALLOWED, Moment(1000));
        assert_eq!(silence.judge(Moment(9000)), None);
        silence.end(Moment(9100));
        assert_eq!(silence.judge(Moment(20_000)), None);
    }
}
