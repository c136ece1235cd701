//! The images that a machine boots: a kernel, and perhaps an initial RAM file system.
//!
//! A log names them by digest, and a replay needs the same ones. [`cache`] keeps a copy of whatever was recorded,
//! so that a log can be replayed when the image has been rebuilt since; [`search`] is how a replay finds them.

pub(crate) mod cache;
pub(crate) mod search;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use outlive_log::header;
use outlive_machine::digest::Digest;

use crate::config::Config;

/// The largest kernel file, debugging information included.
pub(crate) const MAX_KERNEL: u64 = 4 << 30;

/// An image in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Image {
    /// Where it was read.
    pub(crate) path: PathBuf,
    /// What was there.
    pub(crate) contents: Vec<u8>,
}

/// What a machine boots.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Images {
    /// The kernel.
    pub(crate) kernel: Image,
    /// The initial RAM file system.
    pub(crate) initramfs: Option<Image>,
}

impl Images {
    /// Reads the images of a configuration.
    ///
    /// # Errors
    /// When one cannot be read or is too large; the message names it.
    pub(crate) fn of_config(config: &Config) -> anyhow::Result<Self> {
        let initramfs = config.initramfs.as_deref();
        let initramfs = initramfs.map(|path| Image::read("initramfs", path, config.ram().bytes()));
        Ok(Self {
            kernel: Image::read("kernel", &config.kernel, MAX_KERNEL)?,
            initramfs: initramfs.transpose()?,
        })
    }
}

impl Image {
    /// Reads a file whole. `what` tells what it is to be, for the message.
    fn read(what: &str, path: &Path, limit: u64) -> anyhow::Result<Self> {
        let contents = read_file(path, limit);
        let contents = contents.with_context(|| format!("cannot read the {what} {}", path.display()))?;
        Ok(Self { path: path.to_owned(), contents })
    }

    /// The BLAKE3 hash.
    pub(crate) fn digest(&self) -> Digest {
        Digest(blake3::hash(&self.contents).into())
    }

    /// As a log's header names it.
    pub(crate) fn header(&self) -> header::Image {
        header::Image {
            path: recorded_path(&self.path),
            bytes: self.contents.len() as u64,
            digest: self.digest().0,
        }
    }
}

/// A path as a header holds it: absolute, so that it means the same from wherever the log is replayed, and from a
/// folder without links, so that it means the same when they lead elsewhere. A header is text, so what is no text in
/// the path is lost; the digest tells what was meant.
pub(crate) fn recorded_path(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let path = match (folder.canonicalize(), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    };
    PathBuf::from(path.to_string_lossy().into_owned())
}

/// Reads a file whole, at most `limit` bytes, so that a device or a FIFO by mistake does no harm.
fn read_file(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        anyhow::bail!("it is a directory");
    }
    if !metadata.is_file() {
        anyhow::bail!("it is no ordinary file");
    }
    if metadata.len() > limit {
        anyhow::bail!("it has {} bytes, but {limit} fit; give the guest more memory", metadata.len());
    }
    let mut contents = Vec::with_capacity(metadata.len() as usize);
    // It may have grown since.
    File::open(path)?.take(limit).read_to_end(&mut contents)?;
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ordinary_files_that_fit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        fs::write(&path, [7; 100]).unwrap();
        assert_eq!(Image::read("kernel", &path, 100).unwrap().contents, [7; 100]);
        for (path, limit, word) in [
            (path.as_path(), 99, "100 bytes, but 99 fit"),
            (folder.path(), 100, "it is a directory"),
            (Path::new("/dev/zero"), 100, "no ordinary file"),
            (Path::new("/nonexistent"), 100, "No such file"),
        ] {
            let error = format!("{:#}", Image::read("kernel", path, limit).unwrap_err());
            assert!(error.contains(word) && error.contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_header_names_an_image_by_an_absolute_path_and_its_digest() {
        let image = Image { path: "../outlive/vmlinux".into(), contents: b"abc".to_vec() };
        let header = image.header();
        let here = std::env::current_dir().unwrap();
        assert_eq!(header.path, here.join("vmlinux"), "tests run in the folder of their crate");
        assert_eq!(header.bytes, 3);
        // The published test value of BLAKE3.
        let digest = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
        assert_eq!(image.digest().to_string(), digest);
    }
}
