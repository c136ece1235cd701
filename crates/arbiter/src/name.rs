//! Names of virtual machines.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
const MAXIMUM_LENGTH: usize = 64;

/// The name of a virtual machine, which is the name of its folder too: 1 to 64 letters and digits of ASCII, `.`, `_`
/// and `-`, not beginning with a dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineName(String);

/// A text is no name of a machine.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error(
    "{0:?} is no name of a machine: 1 to {MAXIMUM_LENGTH} of a-z, A-Z, 0-9, '.', '_', '-', not beginning with a dot"
)]
pub struct InvalidName(String);

impl MachineName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MachineName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_good = (1..=MAXIMUM_LENGTH).contains(&text.len())
            && text.bytes().all(is_allowed)
            && !text.starts_with('.');
        if is_good { Ok(Self(text)) } else { Err(InvalidName(text)) }
    }
}

impl FromStr for MachineName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.to_owned().try_into()
    }
}

impl From<MachineName> for String {
    fn from(name: MachineName) -> Self {
        name.0
    }
}

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    proptest! {
        #[test]
        fn what_the_rule_allows_is_a_name(text in "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,63}") {
            prop_assert_eq!(text.parse().map(|name: MachineName| name.to_string()), Ok(text));
        }

        #[test]
        fn every_name_is_one_plain_component_of_a_path(text in "[./a\\PC]{0,70}") {
            if let Ok(name) = text.parse::<MachineName>() {
                let components: Vec<_> = Path::new(name.as_str()).components().collect();
                prop_assert!(matches!(components[..], [Component::Normal(one)] if one == name.as_str()));
                prop_assert!(name.as_str().len() <= 64 && !name.as_str().starts_with('.'));
            }
        }

        #[test]
        fn one_bad_character_makes_a_bad_name(
            front in "[a-z]{0,5}", bad in "[^a-zA-Z0-9._-]", back in "[a-z]{0,5}"
        ) {
            let text = format!("{front}{bad}{back}");
            prop_assert_eq!(text.parse::<MachineName>(), Err(InvalidName(text)));
        }
    }

    #[test]
    fn the_edges_of_the_rule_are_kept() {
        for bad in ["", ".", "..", ".redis", "a/b", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert_eq!(bad.parse::<MachineName>(), Err(InvalidName(bad.to_owned())));
        }
        for good in ["a", "-", "redis.7", "A_b-c", &"x".repeat(64)] {
            assert_eq!(good.parse::<MachineName>().unwrap().to_string(), good);
        }
    }
}
