//! Who opens generations and claims flags.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use crate::{Date, Identity};

/// A process that is one side of a pair.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Claimant {
    /// Tells it from all others. All else is for people.
    pub identity: Identity,
    /// What it is, such as `primary` or `backup`.
    pub role: String,
    /// The name of its host.
    pub host: String,
    /// Its process identifier on that host.
    pub process: u32,
    /// When it began, by its host's clock.
    pub since: Date,
}

impl Claimant {
    /// This process, in that role, with a new identity. One for each side of a pair, kept as long as it lives: two
    /// claimants are two sides, even in one process.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(role: &str) -> io::Result<Self> {
        Ok(Self {
            identity: Identity::random()?,
            role: role.to_owned(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            process: std::process::id(),
            since: Date::now(),
        })
    }
}

impl fmt::Display for Claimant {
    /// One line. Its texts come from a file that others can write, so none reaches a terminal as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, host) = (self.role.escape_debug(), self.host.escape_debug());
        write!(f, "{role} on {host}, process {}", self.process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_claimants_of_one_process_are_two() {
        let (one, other) = (Claimant::new("primary").unwrap(), Claimant::new("primary").unwrap());
        assert_ne!(one.identity, other.identity);
        assert_eq!(one.process, std::process::id());
    }

    #[test]
    fn no_control_character_of_a_claimant_reaches_a_terminal() {
        let claimant = Claimant { host: "a\u{1b}[2Jb\n".into(), ..Claimant::new("backup").unwrap() };
        assert!(!claimant.to_string().contains(char::is_control), "{claimant:?}");
    }
}
