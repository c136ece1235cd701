//! Many claimants at once, in threads and in processes.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;

use super::*;

/// Says to a process that executes one of these tests that it is one of the claimants, and where.
const CHILD: &str = "OUTLIVE_ARBITER_TEST_DIRECTORY";

/// The directory of the test that has started this process, if one has.
pub(super) fn as_a_child() -> Option<PathBuf> {
    env::var_os(CHILD).map(PathBuf::from)
}

/// This very test, in another process.
pub(super) fn again(test: &str, directory: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    let name = format!("directory::tests::{test}");
    command.args(["--exact", &name, "--nocapture"]).env(CHILD, OsString::from(directory));
    command
}

/// Does that in so many threads at once.
fn at_once<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(threads);
    let started = || {
        barrier.wait();
        work()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(started)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// One has won, and all others know who.
fn one_has_won(answers: &[(Claimant, Claim)]) {
    let winners: Vec<_> = answers.iter().filter(|(_, claim)| *claim == Claim::Won).collect();
    let [(winner, _)] = winners[..] else {
        panic!("{} have won", winners.len());
    };
    for (claimant, claim) in answers {
        let expected = if claimant == winner { Claim::Won } else { Claim::Lost(winner.clone()) };
        assert_eq!(*claim, expected);
    }
}

#[test]
fn of_many_threads_one_wins_and_all_others_know_who() {
    let (directory, shared, primary) = opened();
    for round in 1..50 {
        let generation = Generation(round);
        let answers = at_once(16, || {
            let claimant = backup();
            let claim = arbiter(directory.path()).claim(generation, &claimant).unwrap();
            (claimant, claim)
        });
        one_has_won(&answers);
        shared.open_generation(&primary).unwrap();
    }
}

#[test]
fn one_claimant_in_many_threads_wins_in_all_of_them() {
    let (_directory, arbiter, primary) = opened();
    let answers = at_once(16, || arbiter.claim(Generation(1), &primary).unwrap());
    assert!(answers.iter().all(|claim| *claim == Claim::Won));
}

#[test]
fn generations_that_are_opened_at_once_have_different_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let claimant = primary();
    // Some of them are opened by one claimant.
    let numbers = at_once(16, || {
        let arbiter = arbiter(directory.path());
        [&claimant, &primary(), &claimant].map(|claimant| arbiter.open_generation(claimant).unwrap())
    });
    let numbers: BTreeSet<_> = numbers.into_iter().flatten().map(|generation| generation.0).collect();
    assert!(numbers.into_iter().eq(1..=48));
}

/// Claims the first ten generations, opens five, and leaves word of it.
fn take_part(directory: &Path) {
    let (arbiter, claimant) = (arbiter(directory), backup());
    // All begin when the word is given.
    while !directory.join("begin").exists() {
        std::thread::yield_now();
    }
    let claims = (1..=10).map(|number| match arbiter.claim(Generation(number), &claimant).unwrap() {
        Claim::Won => claimant.identity,
        Claim::Lost(winner) => winner.identity,
    });
    let mut lines: Vec<_> = claims.map(|winner| winner.to_string()).collect();
    lines.extend((0..5).map(|_| arbiter.open_generation(&claimant).unwrap().to_string()));
    fs::write(directory.join(claimant.identity.to_string()), lines.join("\n")).unwrap();
}

#[test]
fn of_many_processes_one_wins_and_all_others_know_who() {
    if let Some(directory) = as_a_child() {
        return take_part(&directory);
    }
    let (directory, arbiter, primary) = opened();
    for _ in 2..=10 {
        arbiter.open_generation(&primary).unwrap();
    }
    let test = "races::of_many_processes_one_wins_and_all_others_know_who";
    let start = |_| again(test, directory.path()).stdout(Stdio::null()).spawn().unwrap();
    let children: Vec<_> = (0..12).map(start).collect();
    fs::write(directory.path().join("begin"), "").unwrap();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let (words, identities) = words(directory.path());
    assert_eq!(words.len(), 12);
    for generation in 0..10 {
        let winners: BTreeSet<_> = words.iter().map(|lines| &lines[generation]).collect();
        assert_eq!(winners.len(), 1, "of generation {}", generation + 1);
        assert!(winners.is_subset(&identities.iter().collect()));
    }
    let opened: BTreeSet<u64> =
        words.iter().flat_map(|lines| &lines[10..]).map(|line| line.parse().unwrap()).collect();
    assert!(opened.into_iter().eq(11..=70));
}

/// What the processes have left, and who they were.
fn words(directory: &Path) -> (Vec<Vec<String>>, Vec<String>) {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_word = |path: &PathBuf| path.is_file() && !path.ends_with("begin");
    let word = |path: PathBuf| {
        let lines = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        (lines, path.file_name().unwrap().to_str().unwrap().to_owned())
    };
    entries.filter(is_word).map(word).unzip()
}
