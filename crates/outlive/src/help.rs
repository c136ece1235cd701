//! What `--help` says: each subcommand describes its arguments, and has examples that it accepts.

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command, CommandFactory, Parser};

use crate::Arguments;

/// Each command that has no subcommands, with the words that lead to it.
fn leaves() -> Vec<(Vec<String>, Command)> {
    let mut open = vec![(Vec::new(), Arguments::command())];
    let mut leaves = Vec::new();
    while let Some((path, command)) = open.pop() {
        for subcommand in command.get_subcommands() {
            let path = [&path[..], &[subcommand.get_name().to_owned()]].concat();
            open.push((path, subcommand.clone()));
        }
        if !command.has_subcommands() {
            leaves.push((path, command));
        }
    }
    leaves
}

/// The lines of the examples of a command.
fn examples(command: &Command) -> Vec<String> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut lines = text.lines();
    let heading = lines.next();
    assert!(matches!(heading, None | Some("Example:" | "Examples:")), "{heading:?}");
    let lines =
        lines.map(|line| line.strip_prefix("  ").unwrap_or_else(|| panic!("{line:?} is not indented")));
    lines.map(str::to_owned).collect()
}

/// The words of an example up to where another command, or a file for the output, begins.
fn words(example: &str) -> Vec<String> {
    let own = example.split_whitespace().take_while(|word| !["|", "&&", ">"].contains(word));
    let words: Vec<_> = own.map(str::to_owned).collect();
    assert!(words.iter().all(|word| !word.contains(['"', '\'', '$', ';'])), "{example:?} wants a shell");
    words
}

/// The subcommand that was chosen, and that of the subcommand.
fn chosen(matches: &ArgMatches) -> Vec<String> {
    let chain = std::iter::successors(matches.subcommand(), |(_, matches)| matches.subcommand());
    chain.map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn the_command_tree_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn every_subcommand_and_every_argument_is_described() {
    let described = |command: &Command| {
        assert!(command.get_about().is_some(), "{} has no description", command.get_name());
        let lacking = command.get_arguments().find(|argument| Arg::get_help(argument).is_none());
        assert!(lacking.is_none(), "{}: {lacking:?} has no description", command.get_name());
    };
    for (_, leaf) in leaves() {
        described(&leaf);
    }
    Arguments::command().get_subcommands().for_each(described);
    described(&Arguments::command());
}

#[test]
fn every_subcommand_has_examples_that_it_accepts() {
    for (path, command) in leaves() {
        let examples = examples(&command);
        assert!(!examples.is_empty(), "{path:?} has no example");
        for example in examples {
            let matches = Arguments::command().try_get_matches_from(words(&example));
            let matches = matches.unwrap_or_else(|error| panic!("{example:?} is not accepted: {error}"));
            assert_eq!(chosen(&matches), path, "{example:?} is an example of something else");
        }
    }
}

#[test]
fn the_first_steps_are_accepted_too() {
    let examples = examples(&Arguments::command());
    assert!(!examples.is_empty());
    for example in examples {
        let error = Arguments::try_parse_from(words(&example)).err().map(|error| error.kind());
        assert!(matches!(error, None | Some(ErrorKind::DisplayHelp)), "{example:?}: {error:?}");
    }
}
