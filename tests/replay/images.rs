//! A replay wants the very images that were recorded.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Engine, Finished, Guest, finish, image};
use crate::random::Random;
use crate::recording::Recording;
use crate::replaying::{Comparison, refused, replay, with_one_byte_changed};

/// A recording of a guest that has images of its own.
struct Recorded {
    recording: Recording,
    kernel: PathBuf,
    initramfs: PathBuf,
}

impl Recorded {
    fn new() -> Self {
        let own = Guest::bare("hello");
        let [kernel, initramfs] = ["kernel.elf", "initramfs"].map(|name| own.folder().join(name));
        fs::copy(image("bare/disk.elf"), &kernel).unwrap();
        fs::write(&initramfs, "no guest without a kernel looks at this").unwrap();
        let guest = Guest::new(&kernel, "16M").with(&format!("initramfs = \"{}\"", initramfs.display()));
        let recording = Recording::of(guest.with_disk(128, false).0.keeping(own));
        assert_eq!(recording.status, Some(0), "{}{}", recording.console(), recording.errors);
        Self { recording, kernel, initramfs }
    }

    /// A copy of a file in which one byte is another one.
    fn almost(&self, original: &Path) -> PathBuf {
        let copy = self.recording.guest.folder().join("almost");
        let length = fs::metadata(original).unwrap().len();
        let place = Random::new().places(1, length)[0] - 1;
        with_one_byte_changed(original, &copy, place as usize, 0x40);
        copy
    }

    /// Replays with these options, and with the images that were kept when this was recorded.
    fn replayed(&self, options: &[&str]) -> Finished {
        let cache = self.recording.guest.folder().join("cache");
        finish(replay(self.recording.log.path(), options).env("OUTLIVE_CACHE", cache))
    }
}

#[test]
fn a_kernel_or_an_initramfs_that_is_almost_the_recorded_one_is_refused_by_name() {
    let recorded = Recorded::new();
    for (option, original) in [("--kernel", &recorded.kernel), ("--initramfs", &recorded.initramfs)] {
        let almost = recorded.almost(original);
        let almost = almost.to_str().unwrap();
        let finished = recorded.replayed(&[option, almost]);
        refused(&finished, 2, &[almost, option.trim_start_matches('-'), "digest"]);
        let finished = recorded.replayed(&[option, original.to_str().unwrap()]);
        assert_eq!(finished.status, Some(0), "{finished:?}");
    }
}

#[test]
fn a_disk_that_is_almost_the_recorded_one_is_refused_by_name() {
    let recorded = Recorded::new();
    let almost = recorded.almost(&recorded.recording.disks[0].before);
    let out = recorded.recording.guest.folder().join("out");
    let [almost, out] = [&almost, &out].map(|path| path.to_str().unwrap());
    let finished = recorded.replayed(&["--disk-out", out, "--disk", almost]);
    refused(&finished, 2, &[almost, "digest"]);
    assert!(!Path::new(out).exists(), "nothing is left behind");
}

#[test]
fn an_image_that_was_rebuilt_since_is_taken_from_where_the_recording_kept_it() {
    let recorded = Recorded::new();
    for rebuilt in [&recorded.kernel, &recorded.initramfs] {
        fs::write(rebuilt, "rebuilt").unwrap();
    }
    let finished = recorded.replayed(&[]);
    assert_eq!(finished.status, Some(0), "{finished:?}");
    fs::remove_dir_all(recorded.recording.guest.folder().join("cache")).unwrap();
    refused(&recorded.replayed(&[]), 2, &["kernel", recorded.kernel.to_str().unwrap(), "digest"]);
}

#[test]
fn without_a_copy_of_the_disk_there_is_what_the_guest_has_read_and_written() {
    let recorded = Recorded::new();
    let recording = &recorded.recording;
    recording.is_replayed_on(Engine::Soft, Comparison::Whole);
    let out = recording.guest.folder().join("out");
    let finished = recorded.replayed(&["--disk-out", out.to_str().unwrap()]);
    assert_eq!(finished.status, Some(0), "{finished:?}");
    assert!(finished.errors.contains("only what the guest has read and written"), "{finished:?}");
    let [found, expected] = [&out, &recording.disks[0].image].map(|path| fs::read(path).unwrap());
    assert_eq!(found.len(), expected.len());
    for (sector, (found, expected)) in found.chunks(512).zip(expected.chunks(512)).enumerate() {
        assert!(found == expected || found.iter().all(|&byte| byte == 0), "sector {sector}");
    }
    assert!(found.iter().any(|&byte| byte != 0), "something was read or written");
}
