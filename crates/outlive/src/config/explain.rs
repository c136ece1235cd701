//! `outlive config explain`: the example that `docs/configuration.md` is about.

/// The page of the documentation.
const PAGE: &str = include_str!("../../../../docs/configuration.md");

/// A configuration that has every key, each with a comment that says what it means and what its default is.
pub(super) fn example() -> &'static str {
    let block = PAGE.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    block.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::schema;

    /// The comment above each key, by the section and the key.
    fn comments() -> BTreeMap<(String, String), String> {
        let (mut comments, mut section, mut comment) = (BTreeMap::new(), String::new(), String::new());
        for line in example().lines() {
            if let Some(words) = line.strip_prefix('#') {
                comment += words;
                continue;
            }
            if let Some((key, _)) = line.split_once(" = ") {
                comments.insert((section.clone(), key.to_owned()), comment.clone());
            } else if line.starts_with('[') {
                section = line.trim_matches(['[', ']']).to_owned();
            }
            comment.clear();
        }
        comments
    }

    #[test]
    fn the_example_has_exactly_the_keys_of_the_schema() {
        let explained: Vec<_> = comments().into_keys().collect();
        let mut keys: Vec<_> = schema::keys().into_iter().map(|key| (key.section, key.name)).collect();
        keys.sort();
        assert_eq!(explained, keys);
    }

    #[test]
    fn every_key_is_explained_and_every_default_told() {
        let comments = comments();
        for key in schema::keys() {
            let comment = &comments[&(key.section.clone(), key.name.clone())];
            assert!(!comment.is_empty(), "{key:?} is not explained");
            assert!(key.required || comment.contains("efault"), "{key:?} has a default, but it is not told");
            let told = match key.default.as_deref() {
                Some("") => "empty",
                Some(default) => default,
                None => continue,
            };
            assert!(comment.contains(told), "the default of {key:?} is told wrongly:{comment}");
        }
    }
}
