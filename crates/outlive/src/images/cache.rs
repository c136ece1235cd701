//! The image cache: one file for each image that was recorded, named by its digest.
//!
//! It is in `${OUTLIVE_CACHE:-${XDG_CACHE_HOME:-~/.cache}/outlive}/images`. Files in it may be deleted at any time;
//! what is lost by that is the replay of logs whose images are nowhere else.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use outlive_machine::digest::Digest;

use super::Image;

/// A folder of images.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache of this user; `None` if the environment does not say where it is.
    pub(crate) fn of_user() -> Option<Self> {
        Some(Self::at(base(|name| env::var_os(name))?.join("images")))
    }

    /// The cache in this folder, which need not exist.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where an image is, if it is here.
    pub(crate) fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    /// Keeps a copy of an image, unless there is one.
    ///
    /// # Errors
    /// When the folder or the file cannot be written.
    pub(crate) fn keep(&self, image: &Image) -> io::Result<()> {
        let path = self.path(image.digest());
        if is_copy(&path, image) {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        // Another recording may keep the same image at this moment, so each writes a file of its own, and the last
        // to be complete is the one that stays.
        let begun = self.folder.join(format!("{}.{}.part", image.digest(), std::process::id()));
        let kept = write_new(&begun, &image.contents).and_then(|()| fs::rename(&begun, &path));
        if kept.is_err() {
            let _ = fs::remove_file(&begun);
        }
        kept
    }
}

/// Whether the file holds the image. One that a dying host has left in pieces does not.
fn is_copy(path: &Path, image: &Image) -> bool {
    let length = fs::metadata(path).map(|metadata| metadata.len());
    length.is_ok_and(|length| length == image.contents.len() as u64)
        && fs::read(path).is_ok_and(|contents| contents == image.contents)
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
    file.write_all(contents)
}

/// The folder for everything that Outlive caches, by these variables of the environment. Empty ones count as unset.
fn base(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("OUTLIVE_CACHE")
        .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("outlive")))
        .or_else(|| Some(folder("HOME")?.join(".cache/outlive")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image { path: "vmlinux".into(), contents: b"a kernel".to_vec() }
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn an_image_is_kept_once_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("deep/images"));
        for _ in 0..2 {
            cache.keep(&image()).unwrap();
            assert_eq!(names(&folder.path().join("deep/images")), [image().digest().to_string()]);
        }
        assert_eq!(fs::read(cache.path(image().digest())).unwrap(), b"a kernel");
    }

    #[test]
    fn a_damaged_copy_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        for damaged in [&b"a kern"[..], b"a kernfl"] {
            fs::write(cache.path(image().digest()), damaged).unwrap();
            cache.keep(&image()).unwrap();
            assert_eq!(fs::read(cache.path(image().digest())).unwrap(), b"a kernel");
        }
    }

    #[test]
    fn a_cache_that_cannot_be_written_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().to_owned());
        fs::create_dir(cache.path(image().digest())).unwrap();
        assert!(cache.keep(&image()).is_err(), "a folder is in the way");
        assert_eq!(names(folder.path()), [image().digest().to_string()]);
        assert!(Cache::at("/dev/null/images".into()).keep(&image()).is_err());
    }

    #[test]
    fn the_environment_says_where_the_cache_is() {
        let base = |variables: &[(&str, &str)]| {
            base(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        let home = ("HOME", "/home/me");
        let xdg = ("XDG_CACHE_HOME", "/xdg");
        assert_eq!(base(&[home]), Some("/home/me/.cache/outlive".into()));
        assert_eq!(base(&[home, xdg]), Some("/xdg/outlive".into()));
        assert_eq!(base(&[home, xdg, ("OUTLIVE_CACHE", "/mine")]), Some("/mine".into()));
        assert_eq!(
            base(&[home, ("XDG_CACHE_HOME", ""), ("OUTLIVE_CACHE", "")]),
            Some("/home/me/.cache/outlive".into())
        );
        assert_eq!(base(&[]), None);
    }
}
