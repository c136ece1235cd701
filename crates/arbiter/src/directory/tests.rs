mod crashes;
mod damage;
mod races;
mod storage;

use std::path::{Path, PathBuf};

use super::*;

/// The file that says who has opened the first generation.
const OPENED: &str = "generation-000001.opened";
/// The flag of the first generation.
const FLAG: &str = "generation-000001.claimed";

fn arbiter(directory: &Path) -> DirectoryArbiter {
    DirectoryArbiter::new(directory, "redis".parse().unwrap())
}

fn primary() -> Claimant {
    Claimant::new("primary").unwrap()
}

fn backup() -> Claimant {
    Claimant::new("backup").unwrap()
}

/// A directory with a machine whose first generation is open, its arbiter, and its primary.
fn opened() -> (tempfile::TempDir, DirectoryArbiter, Claimant) {
    let directory = tempfile::tempdir().unwrap();
    let (arbiter, primary) = (arbiter(directory.path()), primary());
    assert_eq!(arbiter.open_generation(&primary).unwrap(), Generation(1));
    (directory, arbiter, primary)
}

/// What stands in the machine's folder, in order.
fn files(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory.join("redis")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn flag(directory: &Path) -> PathBuf {
    directory.join("redis").join(FLAG)
}

#[test]
fn a_flag_is_won_by_one_side_only() {
    let (_directory, arbiter, primary) = opened();
    assert_eq!(arbiter.claim(Generation(1), &primary).unwrap(), Claim::Won);
    assert_eq!(arbiter.claim(Generation(1), &backup()).unwrap(), Claim::Lost(primary));
}

#[test]
fn who_claims_again_has_won_again_also_through_another_arbiter() {
    let (directory, first, primary) = opened();
    let backup = backup();
    assert_eq!(first.claim(Generation(1), &backup).unwrap(), Claim::Won);
    for _ in 0..3 {
        assert_eq!(first.claim(Generation(1), &backup).unwrap(), Claim::Won);
        assert_eq!(arbiter(directory.path()).claim(Generation(1), &backup).unwrap(), Claim::Won);
        assert_eq!(first.claim(Generation(1), &primary).unwrap(), Claim::Lost(backup.clone()));
    }
}

#[test]
fn each_generation_has_a_flag_of_its_own() {
    let (_directory, arbiter, primary) = opened();
    let backup = backup();
    assert_eq!(arbiter.claim(Generation(1), &primary).unwrap(), Claim::Won);
    assert_eq!(arbiter.open_generation(&primary).unwrap(), Generation(2));
    assert_eq!(arbiter.claim(Generation(2), &backup).unwrap(), Claim::Won);
    assert_eq!(arbiter.claim(Generation(1), &backup).unwrap(), Claim::Lost(primary));
}

#[test]
fn machines_have_nothing_to_do_with_each_other() {
    let (directory, redis, primary) = opened();
    let other = DirectoryArbiter::new(directory.path(), "postgres".parse().unwrap());
    assert!(matches!(other.claim(Generation(1), &primary), Err(ArbiterError::NotOpened { .. })));
    assert_eq!(other.open_generation(&primary).unwrap(), Generation(1));
    let backup = backup();
    assert_eq!(other.claim(Generation(1), &backup).unwrap(), Claim::Won);
    assert_eq!(redis.claim(Generation(1), &primary).unwrap(), Claim::Won);
    let names: Vec<_> = machines(directory.path()).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["postgres", "redis"]);
}

#[test]
fn files_are_read_by_people_and_nothing_else_stays() {
    let (directory, arbiter, primary) = opened();
    arbiter.rehearse(Generation(1), &backup()).unwrap();
    arbiter.claim(Generation(1), &primary).unwrap();
    assert_eq!(files(directory.path()), [FLAG, OPENED]);
    let text = std::fs::read_to_string(flag(directory.path())).unwrap();
    for line in
        ["kind = \"claimed\"", "machine = \"redis\"", "generation = 1", "[claimant]", "role = \"primary\""]
    {
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_rehearsal_claims_nothing_and_tells_who_has_opened() {
    let (_directory, arbiter, primary) = opened();
    let backup = backup();
    assert_eq!(arbiter.rehearse(Generation(1), &backup).unwrap(), primary);
    assert_eq!(arbiter.rehearse(Generation(1), &primary).unwrap(), primary);
    assert_eq!(arbiter.claim(Generation(1), &backup).unwrap(), Claim::Won);
}

#[test]
fn what_was_never_opened_cannot_be_won() {
    let (directory, arbiter, primary) = opened();
    for generation in [0, 2, u64::MAX] {
        let generation = Generation(generation);
        for refused in [
            arbiter.claim(generation, &primary).map(|_| ()),
            arbiter.rehearse(generation, &primary).map(|_| ()),
        ] {
            let error = refused.unwrap_err();
            assert!(
                matches!(&error, ArbiterError::NotOpened { generation: of, .. } if *of == generation),
                "{error}"
            );
        }
    }
    assert_eq!(files(directory.path()), [OPENED]);
}

#[test]
fn a_list_tells_who_has_opened_and_who_has_won() {
    let (directory, arbiter, primary) = opened();
    let backup = backup();
    arbiter.claim(Generation(1), &backup).unwrap();
    arbiter.open_generation(&backup).unwrap();
    let list = arbiter.list().unwrap().unwrap();
    let writer = |recorded: &Option<Recorded>| match recorded {
        Some(Recorded::Written { claimant, .. }) => Some(claimant.clone()),
        Some(Recorded::Damaged(error)) => panic!("{error}"),
        None => None,
    };
    let found: Vec<_> =
        list.iter().map(|one| (one.generation.0, writer(&one.opened), writer(&one.claimed))).collect();
    assert_eq!(found, [(1, Some(primary), Some(backup.clone())), (2, Some(backup), None)]);
    let unknown = DirectoryArbiter::new(directory.path(), "unknown".parse().unwrap());
    assert!(unknown.list().unwrap().is_none());
}

#[test]
fn a_claimant_whose_record_nobody_could_read_is_refused() {
    let (directory, arbiter, _) = opened();
    let claimant = Claimant { role: "x".repeat(5000), ..backup() };
    assert!(matches!(arbiter.claim(Generation(1), &claimant), Err(ArbiterError::TooLong(_))));
    assert!(!flag(directory.path()).exists());
}
