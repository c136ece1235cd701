//! What a side of a pair tells of itself: lines of JSON on its standard error.

use std::fmt;

use serde_json::{Map, Value};

use crate::moment::Moment;

/// From where the events of a pair come, in the words of `tracing`.
const TARGET: &str = "outlive::pair";

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What happened, by the name that a side gives it.
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub enum EventKind {
            $($(#[$doc])* $kind,)*
            /// Something that this program does not know.
            Other(String),
        }

        impl From<&str> for EventKind {
            fn from(name: &str) -> Self {
                match name {
                    $($name => Self::$kind,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl fmt::Display for EventKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$kind => $name,)*
                    Self::Other(name) => name,
                })
            }
        }
    };
}

kinds! {
    /// The primary waits for its backup.
    Listening = "listening",
    /// The other side is there.
    Connected = "connected",
    /// Somebody was turned away.
    Refused = "refused",
    /// From now on the guest survives a failure.
    Protected = "protected",
    /// The other side may be gone.
    Suspected = "suspected",
    /// This side asks the arbiter.
    Claiming = "claiming",
    /// This side goes on.
    ClaimWon = "claim_won",
    /// The other side goes on.
    ClaimLost = "claim_lost",
    /// The arbiter cannot be reached.
    ClaimUnavailable = "claim_unavailable",
    /// The backup stands where the log ends.
    Replayed = "replayed",
    /// The backup has become the primary.
    Live = "live",
    /// This side serves without another.
    Alone = "alone",
    /// The other side has said goodbye.
    Left = "left",
    /// This side has ended because the other one goes on.
    StoodDown = "stood_down",
    /// The primary was told that the backup's guest does something else than its own.
    BackupDiverged = "backup_diverged",
    /// The primary is slowed down because the backup is too far behind.
    Slowed = "slowed",
    /// The log file cannot be written any more.
    LogLost = "log_lost",
    /// The guest has ended.
    Ended = "ended",
}

/// One event.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// When.
    pub at: Moment,
    /// What.
    pub kind: EventKind,
    /// The facts.
    pub fields: Map<String, Value>,
}

impl Event {
    /// Reads one line; `None` if it is something else than an event of a pair.
    pub fn parse(line: &str) -> Option<Self> {
        let Value::Object(mut line) = serde_json::from_str(line).ok()? else { return None };
        if line.get("target")?.as_str()? != TARGET {
            return None;
        }
        let at = Moment::parse(line.get("timestamp")?.as_str()?).ok()?;
        let Value::Object(mut fields) = line.remove("fields")? else { return None };
        let kind = EventKind::from(fields.remove("event")?.as_str()?);
        Some(Self { at, kind, fields })
    }

    /// A fact, as text without quotes.
    pub fn fact(&self, name: &str) -> Option<String> {
        match self.fields.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }
}

impl fmt::Display for Event {
    /// The name, and short facts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        for name in self.fields.keys().filter(|name| *name != "message") {
            if let Some(fact) = self.fact(name).filter(|fact| fact.len() <= 40) {
                write!(f, " {name}={fact}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_from_other_lines() {
        let line = r#"{"timestamp":"2026-01-02T03:04:05.678901Z","level":"INFO","fields":{"message":"the backup is live","event":"live","landmark":"120+7","generation":1},"target":"outlive::pair"}"#;
        let event = Event::parse(line).unwrap();
        assert_eq!(event.kind, EventKind::Live);
        assert_eq!(
            (event.fact("landmark").as_deref(), event.fact("generation").as_deref()),
            (Some("120+7"), Some("1"))
        );
        assert_eq!(event.to_string(), "live generation=1 landmark=120+7");
        assert_eq!(event.fact("none"), None);
        for other in [
            "outlive: cannot read",
            "{}",
            "",
            &line.replace("outlive::pair", "outlive::other"),
            &line.replace("\"event\"", "\"x\""),
        ] {
            assert_eq!(Event::parse(other), None, "{other}");
        }
    }

    #[test]
    fn an_event_of_a_later_version_keeps_its_name() {
        assert_eq!(EventKind::from("reunited").to_string(), "reunited");
    }
}
