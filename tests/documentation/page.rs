//! The pages, and the commands that they show.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the checkout.
pub(crate) fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A page, by its path in the checkout.
pub(crate) fn read(page: &str) -> String {
    fs::read_to_string(checkout().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// README.md and all pages of docs.
pub(crate) fn pages() -> Vec<String> {
    let names = fs::read_dir(checkout().join("docs")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let docs = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    let mut pages: Vec<String> = docs.chain(["README.md".to_owned()]).collect();
    pages.sort();
    pages
}

/// The lines of all blocks of a page that are marked as `sh`: the commands, without what a comment behind them says.
pub(crate) fn commands(text: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut is_within = false;
    for line in text.lines() {
        match line {
            "```sh" => is_within = true,
            "```" => is_within = false,
            _ if is_within => {
                let command = line.split("  #").next().unwrap_or(line).trim();
                if !command.is_empty() && !command.starts_with('#') {
                    commands.push(command.to_owned());
                }
            }
            _ => {}
        }
    }
    commands
}

/// Fails unless some page shows this command.
pub(crate) fn assert_shown(command: &str) {
    let is_shown = pages().iter().any(|page| commands(&read(page)).iter().any(|shown| shown == command));
    assert!(is_shown, "no page shows the command `{command}`: which one was meant?");
}

#[test]
fn commands_are_the_lines_of_shell_blocks() {
    let text = "prose\n\n```sh\nls -l      # all of it\n\n# a remark\ncd /\n```\n\n    indented\n\n```toml\nkey = 1\n```\n";
    assert_eq!(commands(text), ["ls -l", "cd /"]);
}
