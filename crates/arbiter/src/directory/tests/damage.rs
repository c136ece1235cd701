//! Files that are not what was written.

use std::fs;
use std::path::Path;

use rustix::fs::{FileType, Mode};

use super::*;

/// Everybody is told of the file, and nobody wins.
fn nobody_wins(directory: &Path, file: &str) {
    for claimant in [primary(), backup()] {
        for _ in 0..2 {
            let error = arbiter(directory).claim(Generation(1), &claimant).unwrap_err();
            assert!(matches!(&error, ArbiterError::Damaged { path, .. } if path.ends_with(file)), "{error}");
            assert!(error.to_string().contains(file), "{error}");
        }
    }
}

#[test]
fn a_flag_that_was_cut_off_anywhere_is_won_by_nobody() {
    let (directory, arbiter, primary) = opened();
    arbiter.claim(Generation(1), &primary).unwrap();
    let flag = flag(directory.path());
    let whole = fs::read(&flag).unwrap();
    // Without the newline at its end it says the same.
    for length in 0..whole.len() - 1 {
        fs::write(&flag, &whole[..length]).unwrap();
        let error = arbiter.claim(Generation(1), &primary).unwrap_err();
        assert!(matches!(error, ArbiterError::Damaged { .. }), "{length}: {error}");
        assert!(matches!(arbiter.rehearse(Generation(1), &primary), Err(ArbiterError::Damaged { .. })));
    }
    nobody_wins(directory.path(), FLAG);
}

#[test]
fn a_flag_with_foreign_contents_is_won_by_nobody() {
    let (directory, arbiter, primary) = opened();
    arbiter.claim(Generation(1), &primary).unwrap();
    let flag = flag(directory.path());
    let whole = fs::read_to_string(&flag).unwrap();
    let foreign = [
        "\n".to_owned(),
        "claimed = true\n".to_owned(),
        "\0".repeat(whole.len()),
        "x".repeat(1 << 20),
        format!("{whole}more = 1\n"),
        whole.replace("claimed", "opened"),
        whole.replace("redis", "postgres"),
        whole.replace("generation = 1", "generation = 2"),
        whole.replace("generation = 1", "generation = -1"),
    ];
    for contents in foreign {
        assert_ne!(contents, whole);
        fs::write(&flag, contents).unwrap();
        nobody_wins(directory.path(), FLAG);
    }
    fs::write(&flag, [0xFF, 0xFE]).unwrap();
    nobody_wins(directory.path(), FLAG);
}

#[test]
fn a_flag_that_is_no_file_is_won_by_nobody_and_keeps_nobody_waiting() {
    let (directory, _, _) = opened();
    let flag = flag(directory.path());
    fs::create_dir(&flag).unwrap();
    nobody_wins(directory.path(), FLAG);
    fs::remove_dir(&flag).unwrap();
    std::os::unix::fs::symlink("nowhere", &flag).unwrap();
    nobody_wins(directory.path(), FLAG);
    fs::remove_file(&flag).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &flag, FileType::Fifo, Mode::RWXU, 0).unwrap();
    nobody_wins(directory.path(), FLAG);
    fs::remove_file(&flag).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&flag).unwrap();
    nobody_wins(directory.path(), FLAG);
}

#[test]
fn a_generation_with_a_damaged_opening_is_won_by_nobody() {
    let (directory, _, _) = opened();
    fs::write(directory.path().join("redis").join(OPENED), "").unwrap();
    nobody_wins(directory.path(), OPENED);
    assert!(!flag(directory.path()).exists());
}

#[test]
fn a_flag_without_an_opening_is_won_by_nobody_and_its_number_is_not_used_again() {
    let (directory, arbiter, primary) = opened();
    arbiter.claim(Generation(1), &primary).unwrap();
    fs::remove_file(directory.path().join("redis").join(OPENED)).unwrap();
    assert!(matches!(arbiter.claim(Generation(1), &primary), Err(ArbiterError::NotOpened { .. })));
    assert_eq!(arbiter.open_generation(&primary).unwrap(), Generation(2));
    let list = arbiter.list().unwrap().unwrap();
    assert!(matches!(list[0], Listed { opened: None, claimed: Some(Recorded::Written { .. }), .. }));
}

#[test]
fn what_is_damaged_is_listed_and_its_number_is_not_used_again() {
    let (directory, arbiter, primary) = opened();
    fs::write(flag(directory.path()), "").unwrap();
    fs::write(directory.path().join("redis/generation-000007.opened"), "?").unwrap();
    let list = arbiter.list().unwrap().unwrap();
    let is_damaged = |recorded: &Option<Recorded>| matches!(recorded, Some(Recorded::Damaged(_)));
    assert!(!is_damaged(&list[0].opened) && is_damaged(&list[0].claimed));
    assert!(list[1].generation == Generation(7) && is_damaged(&list[1].opened) && list[1].claimed.is_none());
    assert_eq!(arbiter.open_generation(&primary).unwrap(), Generation(8));
}

#[test]
fn files_of_others_are_passed_over() {
    let (directory, arbiter, primary) = opened();
    let names = [
        "generation-1.opened",
        "generation-0000008.opened",
        "generation-000000.opened",
        "generation-000009.opened~",
        "generation-+00009.opened",
        "generation-99999999999999999999.opened",
        "notes.txt",
    ];
    for name in names {
        fs::write(directory.path().join("redis").join(name), "?").unwrap();
        fs::write(directory.path().join(name), "?").unwrap();
    }
    assert_eq!(arbiter.open_generation(&primary).unwrap(), Generation(2));
    assert_eq!(arbiter.list().unwrap().unwrap().len(), 2);
    assert_eq!(machines(directory.path()).unwrap(), ["redis".parse().unwrap()]);
}

#[test]
fn behind_the_highest_number_there_is_none() {
    let (directory, arbiter, primary) = opened();
    fs::write(directory.path().join(format!("redis/generation-{}.opened", u64::MAX - 1)), "").unwrap();
    let last = arbiter.open_generation(&primary).unwrap();
    assert_eq!(last, Generation(u64::MAX));
    assert_eq!(arbiter.claim(last, &primary).unwrap(), Claim::Won);
    assert!(matches!(arbiter.open_generation(&primary), Err(ArbiterError::NoNumberLeft(_))));
}
