//! Key files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn created() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pair.keys");
    PairKeys::create(&path).unwrap();
    (folder, path)
}

/// What is wrong with a key file of that text.
fn fault_of(text: &[u8]) -> KeyError {
    let (_folder, path) = created();
    fs::write(&path, text).unwrap();
    let error = PairKeys::read(&path).unwrap_err();
    assert!(error.to_string().contains("pair.keys"), "{error} does not tell which file");
    error
}

#[test]
fn a_new_key_file_can_be_read_by_its_owner_alone_and_is_all_that_is_left() {
    let (folder, path) = created();
    assert_eq!(mode(&path), 0o600);
    PairKeys::read(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_copy_serves_both_sides() {
    let (_folder, path) = created();
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).unwrap();
    PairKeys::read(&copy).unwrap();
}

#[test]
fn what_is_there_already_is_not_overwritten() {
    let (folder, path) = created();
    let before = fs::read(&path).unwrap();
    let error = PairKeys::create(&path).unwrap_err();
    assert!(matches!(error, KeyError::Exists(_)), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    let dangling = folder.path().join("dangling");
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    assert!(matches!(PairKeys::create(&dangling), Err(KeyError::Exists(_))));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_file_that_others_can_use_is_refused() {
    let (_folder, path) = created();
    for open in [0o604, 0o640, 0o644, 0o660, 0o610, 0o601] {
        set_mode(&path, open);
        let error = PairKeys::read(&path).unwrap_err();
        let expected = format!("the key file {} has mode {open:04o}", path.display());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    set_mode(&path, 0o400);
    PairKeys::read(&path).unwrap();
}

#[test]
fn a_file_that_was_cut_off_is_refused_wherever_that_was() {
    let (_folder, path) = created();
    let whole = fs::read(&path).unwrap();
    let end = whole.trim_ascii_end().len();
    for length in (0..end).step_by(13).chain(end - 5..end) {
        let error = fault_of(&whole[..length]);
        assert!(matches!(error, KeyError::NotKeys { .. }), "{length}: {error:?}");
    }
}

#[test]
fn a_foreign_file_is_refused() {
    for text in
        ["", "memory = \"16M\"\n", "-----BEGIN NONSENSE-----\nAAAA\n-----END NONSENSE-----\n", "\0\u{7f}"]
    {
        let error = fault_of(text.as_bytes());
        assert!(matches!(error, KeyError::NotKeys { .. }), "{text:?}: {error:?}");
    }
}

/// The sections of a new key file: two certificates, and a key.
fn sections() -> [String; 3] {
    let (_folder, path) = created();
    let text = fs::read_to_string(path).unwrap();
    let mut sections = text.split_inclusive("-----END CERTIFICATE-----\n");
    let mut next = || sections.next().unwrap().to_owned();
    [next(), next(), next()]
}

#[test]
fn parts_of_two_files_are_of_no_use_together() {
    let ([authority, certificate, key], [authority_2, _, key_2]) = (sections(), sections());
    for parts in [[&authority_2, &certificate, &key], [&authority, &certificate, &key_2]] {
        let error = fault_of(parts.map(String::as_str).concat().as_bytes());
        assert!(matches!(error, KeyError::Unusable { .. }), "{error:?}");
    }
    for parts in [vec![&certificate, &key], vec![&authority, &certificate, &key, &key]] {
        let text: String = parts.into_iter().map(String::as_str).collect();
        assert!(matches!(fault_of(text.as_bytes()), KeyError::NotKeys { .. }));
    }
}

#[test]
fn no_key_is_in_the_file_but_that_of_the_sides() {
    let text = sections().concat();
    assert_eq!(text.matches("PRIVATE KEY-----").count(), 2, "one begins, and one ends");
}

#[test]
fn keys_tell_nothing_when_they_are_printed() {
    assert_eq!(format!("{:?}", tls()), "Tls(PairKeys)");
}

#[test]
fn a_missing_file_is_told_by_name() {
    let error = PairKeys::read(Path::new("/nonexistent/pair.keys")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the key file /nonexistent/pair.keys");
    let error = PairKeys::create(Path::new("/nonexistent/pair.keys")).unwrap_err();
    assert_eq!(error.to_string(), "cannot write the key file /nonexistent/pair.keys");
}
