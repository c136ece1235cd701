//! The command line as a stranger meets it: help, completions, manual pages, and what a configuration says.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Finished, Guest, OUTLIVE, checkout, finish};

fn outlive(arguments: &[&str]) -> Finished {
    finish(Command::new(OUTLIVE).args(arguments))
}

#[test]
fn help_is_there_for_whoever_asks_and_goes_to_standard_error_for_whoever_does_not_know() {
    let asked = outlive(&["help", "replay"]);
    assert_eq!((asked.status, asked.errors.as_str()), (Some(0), ""), "{asked:#?}");
    assert!(
        asked.console.contains("Usage: outlive replay") && asked.console.contains("Examples:"),
        "{asked:#?}"
    );
    let alone = outlive(&[]);
    assert_eq!((alone.status, alone.console.as_str()), (Some(2), ""), "{alone:#?}");
    assert!(
        alone.errors.contains("Commands:") && alone.errors.contains("outlive config explain"),
        "{alone:#?}"
    );
    let unknown = outlive(&["reply"]);
    assert_eq!(unknown.status, Some(2), "{unknown:#?}");
    assert!(unknown.errors.contains("'reply'") && unknown.errors.contains("'replay'"), "{unknown:#?}");
    let run = outlive(&["run", "--help"]);
    assert!(run.console.contains("outlive config explain"), "{run:#?}");
}

/// What bash offers at the end of a command line.
fn completed_by_bash(words: &[&str]) -> Vec<String> {
    let complete = r#"
        source <("$0" completions bash)
        function=$(complete -p outlive | sed 's/.*-F \([^ ]*\).*/\1/')
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "$function" outlive "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let finished = finish(Command::new("bash").args(["-uc", complete, OUTLIVE]).args(words));
    assert_eq!((finished.status, finished.errors.as_str()), (Some(0), ""), "{finished:#?}");
    finished.console.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_subcommands_options_and_values() {
    assert_eq!(completed_by_bash(&["outlive", "rep"]), ["replay"]);
    assert_eq!(completed_by_bash(&["outlive", "log", "ver"]), ["verify"]);
    assert_eq!(completed_by_bash(&["outlive", "config", "sch"]), ["schema"]);
    assert_eq!(completed_by_bash(&["outlive", "record", "--over"]), ["--overwrite"]);
    assert_eq!(completed_by_bash(&["outlive", "replay", "--engine", "so"]), ["soft"]);
    assert_eq!(completed_by_bash(&["outlive", "record", "--log", "/etc/hostn"]), ["/etc/hostname"]);
    // Where nothing is offered, `-o default` makes bash offer files.
    assert_eq!(completed_by_bash(&["outlive", "run", "/etc/hostn"]), [""]);
    let script = outlive(&["completions", "bash"]).console;
    let registered: Vec<_> = script.lines().filter(|line| line.trim().starts_with("complete -F")).collect();
    assert!(
        !registered.is_empty() && registered.iter().all(|line| line.contains("-o default")),
        "{registered:?}"
    );
}

#[test]
fn groff_takes_every_manual_page_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let written = outlive(&["man", "--out", folder.path().to_str().unwrap()]);
    assert_eq!((written.status, written.errors.as_str()), (Some(0), ""), "{written:#?}");
    let pages: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.iter().any(|page| page.ends_with("outlive-config-check.1")), "{pages:?}");
    for page in pages {
        let groff = Command::new("groff").args(["-man", "-ww", "-Tutf8", "-P-cbu"]).arg(&page).output();
        let groff = groff.expect("groff is there (scripts/setup installs it)");
        let warnings = String::from_utf8_lossy(&groff.stderr);
        assert!(groff.status.success() && warnings.is_empty(), "{}: {warnings}", page.display());
        let text = String::from_utf8_lossy(&groff.stdout);
        let has_either = text.contains("EXAMPLES") || text.contains("SUBCOMMANDS");
        assert!(text.contains("SYNOPSIS") && has_either, "{}: {text}", page.display());
    }
    let whole = outlive(&["man"]);
    assert_eq!(whole.output, fs::read(folder.path().join("outlive.1")).unwrap());
}

/// Runs the command with a standard output that somebody has closed.
fn status_with_nobody_listening(arguments: &[&str]) -> Option<i32> {
    let mut child =
        Command::new(OUTLIVE).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "", "{arguments:?}");
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), None, "{arguments:?}");
    status.code()
}

#[test]
fn a_reader_that_goes_away_has_seen_enough() {
    for arguments in [
        &["config", "schema"][..],
        &["config", "explain"],
        &["man"],
        &["completions", "bash"],
        &["help", "replay"],
        &["--help"],
        &["--version"],
    ] {
        assert_eq!(status_with_nobody_listening(arguments), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_full_disk_is_an_error_and_no_panic() {
    for arguments in [&["config", "schema"][..], &["man"], &["completions", "zsh"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(OUTLIVE).args(arguments).stdout(full).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert!(errors.contains("outlive: cannot write to standard output: No space left"), "{errors}");
    }
}

#[test]
fn the_schema_that_is_printed_is_the_one_that_is_kept() {
    let printed = outlive(&["config", "schema"]);
    assert_eq!(printed.output, fs::read(checkout().join("docs/configuration.schema.json")).unwrap());
}

#[test]
fn what_is_explained_is_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let explained = outlive(&["config", "explain"]);
    let file = folder.path().join("machine.toml");
    fs::write(&file, explained.console.replace("engine = \"auto\"", "engine = \"soft\"")).unwrap();
    let checked = outlive(&["config", "check", file.to_str().unwrap()]);
    // It is understood; what it names is not there.
    assert_eq!(checked.status, Some(2), "{checked:#?}");
    assert!(checked.console.contains("lag limit 100ms"), "{checked:#?}");
    let kernel = folder.path().join("vmlinux");
    let missing = format!("outlive: cannot read the kernel {}: No such file", kernel.display());
    assert!(checked.errors.starts_with(&missing), "{checked:#?}");
}

/// Checks the configuration of a guest.
fn checked(guest: &Guest) -> Finished {
    let run = guest.command();
    finish(Command::new(OUTLIVE).args(["config", "check"]).args(run.get_args().skip(1)))
}

#[test]
fn a_good_configuration_is_told_even_while_its_machine_runs() {
    let guest = Guest::bare("kv");
    let disk = guest.folder().join("disk.img");
    fs::write(&disk, vec![0; 1024]).unwrap();
    let guest = guest.disk(&disk, false).network("outlivetest12", "10.92.0.1/24");
    let before = checked(&guest);
    assert_eq!((before.status, before.errors.as_str()), (Some(0), ""), "{before:#?}");
    assert!(before.console.contains("disk.img (1024 bytes), read and written"), "{before:#?}");
    assert!(before.console.contains("TAP outlivetest12 (made at the start)"), "{before:#?}");
    assert!(before.console.ends_with("The machine can be built.\n"), "{before:#?}");
    let mut running = guest.start();
    running.wait_for("kv: ready");
    let meanwhile = checked(&guest);
    assert_eq!(meanwhile.status, Some(0), "{meanwhile:#?}");
    assert!(meanwhile.console.contains("TAP outlivetest12 (there already)"), "{meanwhile:#?}");
}

#[test]
fn a_check_refuses_what_a_run_refuses_with_the_same_words() {
    let text = Guest::new(Path::new("/etc/passwd"), "16M");
    let small = Guest::bare("hello");
    let initramfs = small.folder().join("initramfs");
    fs::File::create(&initramfs).unwrap().set_len(32 << 20).unwrap();
    let small = small.with(&format!("initramfs = \"{}\"", initramfs.display()));
    let odd = Guest::bare("hello");
    let disk = odd.folder().join("disk.img");
    fs::write(&disk, vec![0; 700]).unwrap();
    let odd = odd.disk(&disk, false);
    let console = Guest::bare("hello").engine("soft").console("{ file = \"disk.img\" }");
    let own = console.folder().join("disk.img");
    fs::write(&own, vec![0; 512]).unwrap();
    let console = console.disk(&own, false);
    for guest in [text, small, odd, console] {
        let (run, check) = (guest.run(), checked(&guest));
        assert_eq!((run.status, check.status), (Some(2), Some(2)), "{check:#?}");
        assert_eq!(run.errors, check.errors);
        assert!(check.console.starts_with("memory        16 MiB\n"), "{check:#?}");
    }
}

#[test]
fn what_is_no_configuration_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, contents: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, contents).unwrap();
        path
    };
    let long = file("long", b"");
    fs::File::options().write(true).open(&long).unwrap().set_len(8 << 30).unwrap();
    for (path, words) in [
        (folder.path().to_owned(), "it is a directory"),
        (file("empty", b""), "missing field `memory`"),
        (file("binary", b"\x7fELF\xff\xfe\x00"), "it is no text"),
        (long, "it is too long for a configuration"),
    ] {
        for command in [&["run"][..], &["config", "check"]] {
            let finished = finish(Command::new(OUTLIVE).args(command).arg(&path));
            assert_eq!((finished.status, finished.console.as_str()), (Some(2), ""), "{finished:#?}");
            assert!(
                finished.errors.starts_with("outlive: ") && finished.errors.contains(words),
                "{finished:#?}"
            );
            assert!(finished.errors.contains(path.to_str().unwrap()), "{finished:#?}");
        }
    }
}
