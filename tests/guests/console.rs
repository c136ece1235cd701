//! The three places that a console can go to.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::harness::Guest;

#[test]
fn a_console_file_holds_what_the_guest_printed_and_nothing_older() {
    let guest = Guest::bare("hello").console("{ file = \"console.log\" }");
    let file = guest.folder().join("console.log");
    fs::write(&file, "older\n".repeat(1000)).unwrap();
    let finished = guest.run();
    assert_eq!((finished.status, finished.console.as_str()), (Some(0), ""), "{finished:#?}");
    let console = fs::read_to_string(&file).unwrap().replace('\r', "");
    assert!(console.starts_with("hello:") && console.ends_with("hello: ok\n"), "{console}");
}

#[test]
fn a_pseudo_terminal_is_named_and_carries_the_console() {
    // A guest that goes on until it is told to stop, so that there is time to attach.
    let guest = Guest::bare("kv").console("\"pty\"").network("outlivetest7", "10.83.0.1/24");
    let mut machine = guest.command().stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(machine.stderr.take().unwrap());
    let mut line = String::new();
    errors.read_line(&mut line).unwrap();
    let name = line.trim().strip_prefix("outlive: the console is ").unwrap_or_else(|| panic!("{line}"));
    let mut terminal = BufReader::new(fs::File::open(name).unwrap()).lines();
    assert!(terminal.any(|line| line.unwrap().trim() == "kv: ready"));
    machine.kill().unwrap();
    machine.wait().unwrap();
}
