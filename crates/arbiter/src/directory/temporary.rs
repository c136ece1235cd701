//! Files that appear under their name with all their contents, or not at all.

use std::fs::File;
use std::io::Write;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::folder::Folder;
use crate::{ArbiterError, Identity};

/// Names of temporary files begin with this.
const PREFIX: &str = ".temporary-";
/// Temporary files that are older are nobody's any more, in seconds. Should one be removed from under a claimant that
/// stood still that long, then its claim fails, and is repeated.
const OLD: i64 = 3600;

/// What became of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Published {
    /// It is this file's.
    Made,
    /// It is another's.
    Taken,
}

/// A durable file under a name that nobody looks for. It is removed in the end.
#[derive(Debug)]
pub(super) struct Temporary<'a> {
    folder: &'a Folder,
    name: String,
    text: String,
}

impl<'a> Temporary<'a> {
    /// Writes it and makes its contents durable.
    pub(super) fn write(folder: &'a Folder, text: &str) -> Result<Self, ArbiterError> {
        let name = new_name()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = rustix::fs::openat(folder.descriptor(), &name, flags, Mode::from_raw_mode(0o644))
            .map_err(|error| folder.failed("create", &name, error))?;
        // From here on it is removed whatever comes.
        let temporary = Self { folder, name, text: text.to_owned() };
        let mut file = File::from(descriptor);
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        let failed = |error| ArbiterError::of_io("write", folder.path().join(&temporary.name), error);
        written.map_err(failed)?;
        Ok(temporary)
    }

    /// Gives the file that name too, unless it is taken.
    ///
    /// On NFS, the name may be this file's although the system says that it was taken, or that something failed. So
    /// what stands under that name decides.
    pub(super) fn publish(&self, name: &str) -> Result<Published, ArbiterError> {
        let Err(error) = self.link(name) else {
            return Ok(Published::Made);
        };
        match self.folder.read(name)? {
            Some(contents) if contents == self.text.as_bytes() => Ok(Published::Made),
            Some(_) => Ok(Published::Taken),
            None => Err(self.link_failed(name, error)),
        }
    }

    /// Finds out whether names can be given.
    pub(super) fn rehearse(&self) -> Result<(), ArbiterError> {
        let name = new_name()?;
        self.link(&name).map_err(|error| self.link_failed(&name, error))?;
        let removed = rustix::fs::unlinkat(self.folder.descriptor(), &name, AtFlags::empty());
        removed.map_err(|error| self.folder.failed("remove", &name, error))
    }

    fn link(&self, name: &str) -> Result<(), Errno> {
        let folder = self.folder.descriptor();
        rustix::fs::linkat(folder, &self.name, folder, name, AtFlags::empty())
    }

    /// EPERM says here that there are no links: the file could be created, so there is permission.
    fn link_failed(&self, name: &str, error: Errno) -> ArbiterError {
        match error {
            Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK => {
                ArbiterError::NoHardLinks { folder: self.folder.path().to_owned(), source: error.into() }
            }
            error => self.folder.failed("create", name, error),
        }
    }

    /// Removes temporary files that were left behind long before this one was written. Both times are the storage's.
    /// That one cannot be removed does no harm.
    pub(super) fn sweep(&self) {
        let (Ok(now), Ok(names)) = (self.folder.written(&self.name), self.folder.names()) else {
            return;
        };
        for name in names.iter().filter(|name| name.starts_with(PREFIX)) {
            if self.folder.written(name).is_ok_and(|written| now.saturating_sub(written) > OLD) {
                let _ = rustix::fs::unlinkat(self.folder.descriptor(), name, AtFlags::empty());
            }
        }
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // One that stays is swept later.
        let _ = rustix::fs::unlinkat(self.folder.descriptor(), &self.name, AtFlags::empty());
    }
}

fn new_name() -> Result<String, ArbiterError> {
    Ok(format!("{PREFIX}{}", Identity::random().map_err(ArbiterError::Random)?))
}
