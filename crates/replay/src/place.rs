//! Places of execution, as a log names them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use outlive_engine::{EngineError, ExitNumber, Landing};
use outlive_log::entry::Landmark;
use outlive_log::header::Counting;
use outlive_machine::world::Place;

/// What the landmarks of an engine count between exits.
pub fn counting(landing: Landing) -> Counting {
    match landing {
        Landing::AnyInstruction => Counting::Steps,
        Landing::AtExits => Counting::Windows,
    }
}

/// The landmark of a place; `None` within an instruction that makes several exits, which has none.
pub(crate) fn landmark(at: &mut dyn Place, counting: Counting) -> Result<Option<Landmark>, EngineError> {
    match certain_landmark(at, counting) {
        Ok(landmark) => Ok(Some(landmark)),
        Err(EngineError::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The landmark of a place that must have one.
pub(crate) fn certain_landmark(at: &mut dyn Place, counting: Counting) -> Result<Landmark, EngineError> {
    let found = at.landmark()?;
    let since_exit = match counting {
        Counting::Steps => found.since_exit.0,
        Counting::Windows => at.windows(),
    };
    Ok(Landmark { exit: found.exit, since_exit, rip: found.rip })
}

/// A point ahead of a replay, as a person names it: `EXIT` or `EXIT+SINCE`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Goal {
    /// The last numbered exit before it.
    pub exit: ExitNumber,
    /// What has happened since, in the unit that the log's header tells.
    pub since_exit: u64,
}

impl Goal {
    /// Where the goal is, seen from `here`.
    pub(crate) fn seen_from(self, here: &Landmark) -> Ordering {
        (self.exit, self.since_exit).cmp(&here.name())
    }
}

impl From<Landmark> for Goal {
    fn from(landmark: Landmark) -> Self {
        Self { exit: landmark.exit, since_exit: landmark.since_exit }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.exit.0, self.since_exit)
    }
}

/// What is no landmark.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
#[error("a landmark is the number of an exit, or EXIT+COUNT, such as 1234+56")]
pub struct GoalError;

impl FromStr for Goal {
    type Err = GoalError;

    fn from_str(text: &str) -> Result<Self, GoalError> {
        let (exit, since_exit) = text.split_once('+').unwrap_or((text, "0"));
        let number = |text: &str| match text.bytes().all(|digit| digit.is_ascii_digit()) {
            true => text.parse().map_err(|_| GoalError),
            false => Err(GoalError),
        };
        Ok(Self { exit: ExitNumber(number(exit)?), since_exit: number(since_exit)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_read_back_from_what_it_prints() {
        let goal = Goal { exit: ExitNumber(12), since_exit: 34 };
        assert_eq!(goal.to_string().parse(), Ok(goal));
        assert_eq!("12".parse(), Ok(Goal { exit: ExitNumber(12), since_exit: 0 }));
        for bad in ["", "+", "1+", "+1", "1+2+3", "-1", "1 + 2", "x", "99999999999999999999"] {
            assert_eq!(bad.parse::<Goal>(), Err(GoalError), "{bad:?}");
        }
    }
}
