//! No page shows a command that nothing executes.

use crate::page::{checkout, commands, pages, read};

/// The source of the tests that execute commands.
const SOURCES: [&str; 4] = [
    include_str!("guests.rs"),
    include_str!("linux.rs"),
    include_str!("operations.rs"),
    include_str!("readme.rs"),
];

/// What `scripts/test` cannot execute, being it, is executed by continuous integration.
const EXECUTED_BY_CI: [&str; 2] = ["scripts/setup", "scripts/test"];

#[test]
fn each_command_that_a_page_shows_stands_in_a_test() {
    let sources = SOURCES.concat();
    let mut forgotten = Vec::new();
    for page in pages() {
        for command in commands(&read(&page)) {
            // As a literal of Rust, plain or raw.
            let literals = [format!("{command:?}"), format!("r#\"{command}\"#")];
            let is_executed = literals.iter().any(|literal| sources.contains(literal.as_str()));
            if !is_executed && !EXECUTED_BY_CI.contains(&command.as_str()) {
                forgotten.push(format!("{page}: {command}"));
            }
        }
    }
    assert!(forgotten.is_empty(), "nothing executes\n{}", forgotten.join("\n"));
}

#[test]
fn continuous_integration_executes_the_readmes_test_command() {
    let ci = read(".ci/run");
    for command in EXECUTED_BY_CI {
        assert!(ci.lines().any(|line| line.trim() == command), "{command} is not in .ci/run");
    }
}

/// An indented line that somebody would type.
fn looks_like_a_command(line: &str) -> bool {
    let programs = ["outlive", "target/release/outlive", "scripts/", "cargo"];
    let words: Vec<&str> = line.strip_prefix("    ").unwrap_or_default().split(' ').collect();
    let [program, argument, ..] = words[..] else { return false };
    // The first line of a log begins like a command.
    programs.iter().any(|known| program.starts_with(known)) && !argument.is_empty() && argument != "event"
}

/// Commands in a block without a mark would be executed by nobody.
#[test]
fn each_block_of_a_page_says_what_it_is() {
    for page in pages() {
        let mut is_within = false;
        for (number, line) in (1..).zip(read(&page).lines()) {
            if let Some(kind) = line.strip_prefix("```") {
                assert!(is_within == kind.is_empty(), "{page}:{number}: a block without a kind");
                is_within = !is_within;
            }
            let is_bare = !is_within && looks_like_a_command(line);
            assert!(!is_bare, "{page}:{number}: a command outside of a block of kind sh");
        }
    }
    assert!(checkout().join("README.md").exists());
}
