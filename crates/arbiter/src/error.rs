//! Why an arbiter gives no answer, and what to do.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::directory::Damage;
use crate::{Claimant, Generation};

/// There is no answer: neither a win nor a loss. All of them can be asked again, and most pass when somebody mends the
/// storage.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum ArbiterError {
    /// The arbiter's directory is not there. It is not made, because it would be made where nothing is mounted.
    #[error(
        "the arbiter's directory {0} is not there: mount the shared file system, or make the directory in it"
    )]
    Missing(PathBuf),
    /// A file stands where a directory should be.
    #[error("{0} is not a directory: name a directory on a file system that both hosts mount")]
    NotADirectory(PathBuf),
    /// The generation has not been opened there. Either it was never opened, or the storage is another one.
    #[error(
        "generation {generation} was never opened in {folder}: is the shared file system mounted there, and is it \
         the same on both hosts?"
    )]
    NotOpened {
        /// Of which the flag was claimed.
        generation: Generation,
        /// The machine's folder.
        folder: PathBuf,
    },
    /// The generation is not the one that was opened or rehearsed before, but another with that number.
    #[error(
        "generation {generation} in {folder} is another than before, opened by {opener}: is the right file system \
         mounted there?"
    )]
    OpenedByAnother {
        /// Of which the flag was claimed.
        generation: Generation,
        /// The machine's folder.
        folder: PathBuf,
        /// Who has opened this one.
        opener: Box<Claimant>,
    },
    /// A file is not what was written. If it is a flag, somebody unknown has raised it, and nobody can win it.
    #[error(
        "{path} cannot be understood, and nobody can win its generation (find out which side goes on, stop the other, \
         and remove the file when no pair of this generation lives any more)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Damage,
    },
    /// This process may not read or write there.
    #[error(
        "no permission to {action} {path}: both sides must run as users with the same number who may write there \
         (mind root_squash on NFS)"
    )]
    NotPermitted {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file system is read-only.
    #[error("cannot {action} {path}: mount the file system for writing")]
    ReadOnly {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file system is full, or the user's share of it is.
    #[error("cannot {action} {path}: make space on the file system, a few kilobytes are enough")]
    Full {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file system cannot give a file a second name.
    #[error(
        "the file system of {folder} has no hard links, so it cannot be an arbiter: take another, such as NFS"
    )]
    NoHardLinks {
        /// The machine's folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something else stands in the way: the server is away, the storage has failed.
    #[error("cannot {action} {path}: is the file server up, and the file system mounted?")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no higher number.
    #[error(
        "{0} holds the highest generation that there can be: somebody else has made that file, remove it"
    )]
    NoNumberLeft(PathBuf),
    /// The claimant's texts are too long.
    #[error("the record of the claimant would take {0} bytes: its role or its host's name is too long")]
    TooLong(usize),
    /// The record has no form as text.
    #[error("the record cannot be written as TOML")]
    Text(#[source] toml::ser::Error),
    /// The system gives no random number.
    #[error("the system gives no random number")]
    Random(#[source] io::Error),
}

impl ArbiterError {
    /// What a system call's failure means.
    pub(crate) fn of(action: &'static str, path: PathBuf, error: Errno) -> Self {
        let source = io::Error::from(error);
        match error {
            Errno::ACCESS | Errno::PERM => Self::NotPermitted { action, path, source },
            Errno::ROFS => Self::ReadOnly { action, path, source },
            Errno::NOSPC | Errno::DQUOT => Self::Full { action, path, source },
            _ => Self::Unavailable { action, path, source },
        }
    }

    /// What the failure of [`std::io`] means.
    pub(crate) fn of_io(action: &'static str, path: PathBuf, error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => Self::of(action, path, errno),
            None => Self::Unavailable { action, path, source: error },
        }
    }
}
