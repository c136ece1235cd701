//! Finding the images that a log was recorded with.
//!
//! A file that is named on the command line must be the right one. Without that, the recorded path is tried, then the
//! cache. What is found is taken only if its digest is the recorded one.

use std::path::{Path, PathBuf};

use outlive_log::header::{self, Header};
use outlive_machine::digest::Digest;

use super::cache::Cache;
use super::{Image, Images, MAX_KERNEL, read_file};

/// Where a person says that the images are.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Given<'a> {
    /// The kernel.
    pub(crate) kernel: Option<&'a Path>,
    /// The initial RAM file system.
    pub(crate) initramfs: Option<&'a Path>,
}

/// Why an image was not found.
#[derive(thiserror::Error, Debug)]
pub(crate) enum SearchError {
    /// The file that was named is another one.
    #[error(
        "the {what} {} has digest {found}, but the log was recorded with {wanted}",
        path.display()
    )]
    Other {
        /// Kernel or initramfs.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its digest.
        found: Digest,
        /// The recorded digest.
        wanted: Digest,
    },
    /// The file that was named cannot be read.
    #[error("cannot read the {what} {}", path.display())]
    Read {
        /// Kernel or initramfs.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is nowhere.
    #[error(
        "the {what} that the log was recorded with, digest {wanted}, was not found: {}; name it with --{what} FILE",
        seen.join("; ")
    )]
    Nowhere {
        /// Kernel or initramfs.
        what: &'static str,
        /// The recorded digest.
        wanted: Digest,
        /// Where it was looked for, and what was there.
        seen: Vec<String>,
    },
    /// The recorded machine had no initramfs.
    #[error("the log was recorded without an initramfs, so none can be given")]
    NoInitramfs,
}

/// Finds the images of a recorded machine.
///
/// # Errors
/// When one is not found, or is too large for the machine.
pub(crate) fn find(header: &Header, given: Given<'_>, cache: Option<&Cache>) -> Result<Images, SearchError> {
    let kernel = Search { what: "kernel", wanted: &header.kernel, limit: MAX_KERNEL, cache };
    let kernel = kernel.find(given.kernel)?;
    let initramfs = match &header.initramfs {
        Some(wanted) => {
            let search = Search { what: "initramfs", wanted, limit: header.machine.memory, cache };
            Some(search.find(given.initramfs)?)
        }
        None if given.initramfs.is_some() => return Err(SearchError::NoInitramfs),
        None => None,
    };
    Ok(Images { kernel, initramfs })
}

/// The search for one image.
struct Search<'a> {
    what: &'static str,
    wanted: &'a header::Image,
    limit: u64,
    cache: Option<&'a Cache>,
}

impl Search<'_> {
    fn find(&self, given: Option<&Path>) -> Result<Image, SearchError> {
        match given {
            Some(path) => self.take(path),
            None => self.look_around(),
        }
    }

    fn digest(&self) -> Digest {
        Digest(self.wanted.digest)
    }

    /// Takes the image from this file, which must be the right one.
    fn take(&self, path: &Path) -> Result<Image, SearchError> {
        let (what, path) = (self.what, path.to_owned());
        let contents = match read_file(&path, self.limit) {
            Ok(contents) => contents,
            Err(source) => return Err(SearchError::Read { what, path, source: source.into() }),
        };
        let image = Image { path, contents };
        let (found, wanted) = (image.digest(), self.digest());
        if found == wanted {
            Ok(image)
        } else {
            Err(SearchError::Other { what, path: image.path, found, wanted })
        }
    }

    /// Looks at the recorded path, then in the cache.
    fn look_around(&self) -> Result<Image, SearchError> {
        let cached = self.cache.map(|cache| cache.path(self.digest()));
        let mut seen = Vec::new();
        for path in [Some(self.wanted.path.clone()), cached].into_iter().flatten() {
            match self.take(&path) {
                Ok(image) => return Ok(image),
                Err(SearchError::Other { found, .. }) => {
                    seen.push(format!("{} has digest {found}", path.display()));
                }
                Err(SearchError::Read { source, .. }) => {
                    seen.push(format!("{} cannot be read ({source})", path.display()));
                }
                Err(other) => return Err(other),
            }
        }
        if self.cache.is_none() {
            seen.push(
                "there is no image cache, for neither OUTLIVE_CACHE, XDG_CACHE_HOME nor HOME is set"
                    .to_owned(),
            );
        }
        Err(SearchError::Nowhere { what: self.what, wanted: self.digest(), seen })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn image(folder: &TempDir, name: &str, contents: &[u8]) -> Image {
        let path = folder.path().join(name);
        fs::write(&path, contents).unwrap();
        Image { path, contents: contents.to_vec() }
    }

    fn search<'a>(wanted: &'a header::Image, cache: Option<&'a Cache>) -> Search<'a> {
        Search { what: "kernel", wanted, limit: 100, cache }
    }

    #[test]
    fn the_recorded_path_is_taken_while_the_image_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(&folder, "vmlinux", b"a kernel");
        assert_eq!(search(&image.header(), None).find(None).unwrap(), image);
    }

    #[test]
    fn the_cache_has_the_image_when_it_was_rebuilt_or_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(&folder, "vmlinux", b"a kernel");
        let cache = Cache::at(folder.path().join("cache"));
        cache.keep(&image).unwrap();
        fs::write(&image.path, b"another").unwrap();
        assert_eq!(search(&image.header(), Some(&cache)).find(None).unwrap().contents, b"a kernel");
        fs::remove_file(&image.path).unwrap();
        assert_eq!(search(&image.header(), Some(&cache)).find(None).unwrap().contents, b"a kernel");
    }

    #[test]
    fn a_file_that_is_named_must_be_the_right_one() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(&folder, "vmlinux", b"a kernel");
        let other = self::image(&folder, "other", b"another");
        let error = search(&image.header(), None).find(Some(&other.path)).unwrap_err().to_string();
        for word in [other.path.to_str().unwrap(), &other.digest().to_string(), &image.digest().to_string()] {
            assert!(error.contains(word), "no {word} in {error}");
        }
        let copy = self::image(&folder, "copy", b"a kernel");
        assert_eq!(search(&image.header(), None).find(Some(&copy.path)).unwrap().path, copy.path);
    }

    #[test]
    fn an_image_that_is_nowhere_is_reported_with_all_places_and_digests() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(&folder, "vmlinux", b"a kernel");
        let cache = Cache::at(folder.path().join("cache"));
        fs::write(&image.path, b"another").unwrap();
        let error = search(&image.header(), Some(&cache)).find(None).unwrap_err().to_string();
        let other = Digest(blake3::hash(b"another").into()).to_string();
        for word in [&image.digest().to_string(), &other, "cache", "No such file", "--kernel FILE"] {
            assert!(error.contains(word), "no {word} in {error}");
        }
        let error = search(&image.header(), None).find(None).unwrap_err().to_string();
        assert!(error.contains("no image cache"), "{error}");
    }

    #[test]
    fn an_image_beyond_the_limit_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(&folder, "vmlinux", &[7; 101]);
        assert!(matches!(
            search(&image.header(), None).find(Some(&image.path)),
            Err(SearchError::Read { .. })
        ));
    }
}
