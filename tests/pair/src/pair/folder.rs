//! Where a rehearsal keeps its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};

use crate::leftovers::{self, Guard};

/// A folder that is removed when it is dropped, unless it is to be kept.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Removes it. `None` if it is to be kept.
    guard: Option<Guard>,
}

impl Folder {
    /// Makes a folder for one rehearsal: in the host's folder for temporary files, or, to be kept, below `base`.
    ///
    /// # Errors
    /// When it cannot be made, or is there already.
    pub fn new(base: Option<&Path>, name: &str) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let path = match base {
            Some(base) => std::path::absolute(base.join(name)).context("the working directory is gone")?,
            None => leftovers::folder(NUMBER.fetch_add(1, Ordering::Relaxed)),
        };
        ensure!(!path.exists(), "{} is there already", path.display());
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let guard = base.is_none().then(|| Guard::folder(&path));
        Ok(Self { path, guard })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it where it is when this is dropped.
    pub fn keep(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.disarm();
        }
    }

    /// Removes it when this is dropped.
    pub fn remove(&mut self) {
        self.guard.get_or_insert_with(|| Guard::folder(&self.path));
    }

    /// Whether it will be left.
    pub fn is_kept(&self) -> bool {
        self.guard.is_none()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep();
        }
    }
}
