//! Claimants that die at any point.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};

use super::races::again;
use super::*;

/// The first steps of a claim, by a claimant who dies then.
#[derive(Clone, Copy, Debug)]
enum Died {
    Created,
    HalfWritten,
    Written,
    /// The flag is raised.
    Linked,
}

fn die(directory: &Path, claimant: &Claimant, died: Died) {
    let folder = Folder::open(directory).unwrap().subfolder("redis").unwrap().unwrap();
    let name: MachineName = "redis".parse().unwrap();
    let text = Record::new(Kind::Claimed, &name, Generation(1), claimant).unwrap().to_text().unwrap();
    let written = match died {
        Died::Created => 0,
        Died::HalfWritten => text.len() / 2,
        Died::Written | Died::Linked => text.len(),
    };
    let temporary = Temporary::write(&folder, &text[..written]).unwrap();
    if let Died::Linked = died {
        assert_eq!(temporary.publish(FLAG).unwrap(), Published::Made);
    }
    // Nothing is tidied up.
    std::mem::forget(temporary);
}

#[test]
fn who_dies_before_the_link_leaves_no_flag() {
    for died in [Died::Created, Died::HalfWritten, Died::Written] {
        let (directory, arbiter, primary) = opened();
        die(directory.path(), &primary, died);
        assert_eq!(files(directory.path()).len(), 2, "{died:?}");
        let backup = backup();
        assert_eq!(arbiter.claim(Generation(1), &backup).unwrap(), Claim::Won, "{died:?}");
        assert_eq!(arbiter.claim(Generation(1), &primary).unwrap(), Claim::Lost(backup), "{died:?}");
    }
}

#[test]
fn who_dies_after_the_link_leaves_a_whole_flag() {
    let (directory, arbiter, primary) = opened();
    die(directory.path(), &primary, Died::Linked);
    assert_eq!(arbiter.claim(Generation(1), &backup()).unwrap(), Claim::Lost(primary.clone()));
    assert_eq!(arbiter.claim(Generation(1), &primary).unwrap(), Claim::Won);
}

#[test]
fn a_link_that_worked_and_was_told_to_have_failed_has_worked() {
    let (directory, _, primary) = opened();
    let folder = Folder::open(directory.path()).unwrap().subfolder("redis").unwrap().unwrap();
    let temporary = Temporary::write(&folder, "this").unwrap();
    assert_eq!(temporary.publish("name").unwrap(), Published::Made);
    // As an NFS client does whose answer was lost.
    assert_eq!(temporary.publish("name").unwrap(), Published::Made);
    let other = Temporary::write(&folder, "that").unwrap();
    assert_eq!(other.publish("name").unwrap(), Published::Taken);
    drop((temporary, other));
    // Two openings by one claimant differ, though all that people see may be the same.
    let name: MachineName = "redis".parse().unwrap();
    let record = || Record::new(Kind::Opened, &name, Generation(1), &primary).unwrap();
    assert_ne!(record().to_text().unwrap(), record().to_text().unwrap());
}

#[test]
fn a_claim_whose_temporary_file_was_swept_away_is_an_error_and_can_be_repeated() {
    let (directory, arbiter, primary) = opened();
    let folder = Folder::open(directory.path()).unwrap().subfolder("redis").unwrap().unwrap();
    let (temporary, _) = arbiter.prepare(&folder, Generation(1), &primary).unwrap();
    let left = files(directory.path()).into_iter().find(|name| name.starts_with(".temporary-")).unwrap();
    fs::remove_file(directory.path().join("redis").join(left)).unwrap();
    assert!(matches!(temporary.publish(FLAG), Err(ArbiterError::Unavailable { .. })));
    assert_eq!(arbiter.claim(Generation(1), &primary).unwrap(), Claim::Won);
}

#[test]
fn only_old_temporary_files_are_swept_when_a_generation_is_opened() {
    let (directory, arbiter, primary) = opened();
    die(directory.path(), &primary, Died::Written);
    let young = files(directory.path()).into_iter().find(|name| name.starts_with(".temporary-")).unwrap();
    let folder = directory.path().join("redis");
    let old = format!("{young}-old");
    let ages_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(4000);
    for name in [old.as_str(), "notes"] {
        fs::File::create(folder.join(name)).unwrap().set_modified(ages_ago).unwrap();
    }
    arbiter.open_generation(&primary).unwrap();
    assert_eq!(files(directory.path()), [young.as_str(), OPENED, "generation-000002.opened", "notes"]);
}

/// Opens and claims until it is killed, and tells of each win.
fn claim_for_ever(directory: &Path) -> ! {
    let (arbiter, claimant) = (arbiter(directory), primary());
    let mut wins = fs::File::create(directory.join("wins")).unwrap();
    loop {
        let generation = arbiter.open_generation(&claimant).unwrap();
        assert_eq!(arbiter.claim(generation, &claimant).unwrap(), Claim::Won);
        writeln!(wins, "{generation}").unwrap();
    }
}

fn wins(directory: &Path) -> usize {
    fs::read_to_string(directory.join("wins")).map_or(0, |wins| wins.lines().count())
}

#[test]
fn who_is_killed_while_claiming_leaves_whole_flags_or_none() {
    if let Some(directory) = races::as_a_child() {
        claim_for_ever(&directory);
    }
    let rounds = 20;
    for round in 0..rounds {
        let directory = tempfile::tempdir().unwrap();
        let mut child: Child =
            again("crashes::who_is_killed_while_claiming_leaves_whole_flags_or_none", directory.path())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
        while wins(directory.path()) <= round % 5 {
            assert_eq!(child.try_wait().unwrap(), None, "the claimant died by itself");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        survives(directory.path());
    }
}

/// What was told as won is won, nothing is damaged, and life goes on.
fn survives(directory: &Path) {
    let (arbiter, backup) = (arbiter(directory), backup());
    let list = arbiter.list().unwrap().unwrap();
    let is_whole = |recorded: &Recorded| matches!(recorded, Recorded::Written { .. });
    for one in &list {
        assert!(
            one.opened.as_ref().is_some_and(is_whole) && one.claimed.as_ref().is_none_or(is_whole),
            "{one:?}"
        );
        let expected = one.claimed.is_none();
        assert_eq!(arbiter.claim(one.generation, &backup).unwrap() == Claim::Won, expected, "{one:?}");
    }
    let claimed = list.iter().filter(|one| one.claimed.is_some()).count();
    // The last one may not have been told any more.
    assert!((wins(directory)..=wins(directory) + 1).contains(&claimed));
    assert_eq!(arbiter.open_generation(&backup).unwrap().0, list.len() as u64 + 1);
}
