//! Storage that is away, another one, or does not take it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change, mount_remount};
use rustix::process::Uid;
use rustix::thread::{UnshareFlags, set_thread_uid, unshare_unsafe};

use super::*;

/// Every call, on an arbiter that is in no state to answer.
fn errors(directory: &Path) -> [ArbiterError; 3] {
    let (arbiter, claimant) = (arbiter(directory), primary());
    [
        arbiter.open_generation(&claimant).unwrap_err(),
        arbiter.rehearse(Generation(1), &claimant).unwrap_err(),
        arbiter.claim(Generation(1), &claimant).unwrap_err(),
    ]
}

/// On a small file system of its own, in a thread that has it for itself.
fn on_a_small_file_system(test: impl FnOnce(&Path) + Send) {
    std::thread::scope(|scope| scope.spawn(|| mounted(test)).join().unwrap());
}

fn mounted(test: impl FnOnce(&Path)) {
    // SAFETY: what this thread mounts is seen by this thread only, and descriptors stay shared.
    if let Err(error) = unsafe { unshare_unsafe(UnshareFlags::NEWNS) } {
        eprintln!("SKIPPED: cannot mount a file system here: {error}");
        return;
    }
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    let directory = tempfile::tempdir().unwrap();
    mount("none", directory.path(), "tmpfs", MountFlags::empty(), c"size=64k").unwrap();
    test(directory.path());
    rustix::mount::unmount(directory.path(), rustix::mount::UnmountFlags::empty()).unwrap();
}

#[test]
fn a_missing_directory_is_told_and_not_made() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("share");
    for error in errors(&directory) {
        assert!(matches!(&error, ArbiterError::Missing(path) if *path == directory), "{error}");
    }
    assert!(matches!(arbiter(&directory).list(), Err(ArbiterError::Missing(_))));
    assert!(matches!(machines(&directory), Err(ArbiterError::Missing(_))));
    assert!(!directory.exists());
}

#[test]
fn a_file_instead_of_a_directory_is_told() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("share");
    fs::write(&file, "").unwrap();
    for error in errors(&file) {
        assert!(matches!(&error, ArbiterError::NotADirectory(path) if *path == file), "{error}");
    }
    fs::write(parent.path().join("redis"), "").unwrap();
    for error in errors(parent.path()) {
        assert!(matches!(&error, ArbiterError::NotADirectory(path) if path.ends_with("redis")), "{error}");
    }
}

#[test]
fn nothing_is_won_where_nothing_is_mounted() {
    let (_shared, arbiter_of_primary, primary) = opened();
    let mount_point = tempfile::tempdir().unwrap();
    let error = arbiter(mount_point.path()).claim(Generation(1), &backup()).unwrap_err();
    assert!(matches!(error, ArbiterError::NotOpened { .. }), "{error}");
    assert_eq!(fs::read_dir(mount_point.path()).unwrap().count(), 0);
    assert_eq!(arbiter_of_primary.claim(Generation(1), &primary).unwrap(), Claim::Won);
}

#[test]
fn a_directory_that_is_not_shared_is_found_out_by_a_rehearsal() {
    let (_one, _, primary) = opened();
    let (_other, arbiter, _) = opened();
    let opener = arbiter.rehearse(Generation(1), &backup()).unwrap();
    assert_ne!(opener.identity, primary.identity);
}

#[test]
fn another_directory_than_the_one_that_was_rehearsed_is_not_won() {
    let (shared, arbiter, _) = opened();
    let (other, _, _) = opened();
    let backup = backup();
    arbiter.rehearse(Generation(1), &backup).unwrap();
    // As if another file system were mounted there.
    fs::rename(shared.path().join("redis"), shared.path().join("away")).unwrap();
    fs::rename(other.path().join("redis"), shared.path().join("redis")).unwrap();
    let error = arbiter.claim(Generation(1), &backup).unwrap_err();
    assert!(matches!(error, ArbiterError::OpenedByAnother { .. }), "{error}");
    assert!(!flag(shared.path()).exists());
    fs::rename(shared.path().join("redis"), other.path().join("redis")).unwrap();
    fs::rename(shared.path().join("away"), shared.path().join("redis")).unwrap();
    assert_eq!(arbiter.claim(Generation(1), &backup).unwrap(), Claim::Won);
}

#[test]
fn without_permission_to_write_a_claim_is_refused_and_a_loss_is_still_told() {
    let (directory, winner, primary) = opened();
    winner.open_generation(&primary).unwrap();
    winner.claim(Generation(2), &primary).unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(directory.path().join("redis"), fs::Permissions::from_mode(0o555)).unwrap();
    let path = directory.path();
    std::thread::scope(|scope| {
        let as_nobody = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                // This thread only.
                set_thread_uid(Uid::from_raw(65534)).unwrap();
            }
            for error in errors(path) {
                assert!(matches!(error, ArbiterError::NotPermitted { .. }), "{error}");
            }
            assert_eq!(arbiter(path).claim(Generation(2), &backup()).unwrap(), Claim::Lost(primary));
        });
        as_nobody.join().unwrap();
    });
    fs::set_permissions(path.join("redis"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!flag(path).exists());
}

#[test]
fn a_file_system_that_is_read_only_refuses_claims_and_still_tells_losses() {
    on_a_small_file_system(|directory| {
        let (winner, primary) = (arbiter(directory), primary());
        winner.open_generation(&primary).unwrap();
        winner.open_generation(&primary).unwrap();
        winner.claim(Generation(2), &primary).unwrap();
        mount_remount(directory, MountFlags::RDONLY, c"").unwrap();
        assert!(matches!(winner.rehearse(Generation(1), &primary), Err(ArbiterError::ReadOnly { .. })));
        assert!(matches!(winner.claim(Generation(1), &primary), Err(ArbiterError::ReadOnly { .. })));
        assert!(matches!(winner.open_generation(&primary), Err(ArbiterError::ReadOnly { .. })));
        assert_eq!(winner.claim(Generation(2), &backup()).unwrap(), Claim::Lost(primary));
    });
}

#[test]
fn a_full_file_system_refuses_claims_and_takes_them_when_there_is_space() {
    on_a_small_file_system(|directory| {
        let (arbiter, primary) = (arbiter(directory), primary());
        arbiter.open_generation(&primary).unwrap();
        let ballast = directory.join("ballast");
        fs::write(&ballast, vec![1; 1 << 20]).unwrap_err();
        assert!(matches!(arbiter.rehearse(Generation(1), &primary), Err(ArbiterError::Full { .. })));
        assert!(matches!(arbiter.claim(Generation(1), &primary), Err(ArbiterError::Full { .. })));
        assert!(matches!(arbiter.open_generation(&primary), Err(ArbiterError::Full { .. })));
        assert_eq!(files(directory), [OPENED]);
        fs::remove_file(&ballast).unwrap();
        assert_eq!(arbiter.claim(Generation(1), &primary).unwrap(), Claim::Won);
    });
}
