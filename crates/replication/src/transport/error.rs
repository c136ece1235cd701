//! Why there is no connection.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::connection::ReceiveError;
use crate::wire::WireError;

/// Why the primary cannot listen.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum ListenError {
    /// The address is none.
    #[error("cannot find the address {address}")]
    Resolve {
        /// As it was given.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Without keys others could listen or speak.
    #[error(
        "{address} can be reached from other hosts: without keys, only addresses of the loopback will do"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be had.
    #[error("cannot listen at {address}")]
    Bind {
        /// As it was given.
        address: String,
        /// Why.
        source: io::Error,
    },
}

/// Why the backup has no primary.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is none.
    #[error("cannot find the address {address}")]
    Resolve {
        /// As it was given.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Without keys others could listen or speak.
    #[error("{address} is not on this host: without keys, only addresses of the loopback will do")]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// Nobody is there, or not yet. Of several addresses, this is the last.
    #[error("cannot connect to {address}")]
    Unreachable {
        /// As it was given.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The connection ended in the handshake, or what answers speaks no TLS 1.3.
    #[error("the primary's side of the TLS handshake is wrong")]
    Handshake(#[source] io::Error),
    /// The primary has another key.
    #[error("the primary has another key file than this host")]
    ForeignPrimary(#[source] io::Error),
    /// The primary does not accept our key.
    #[error("the primary does not accept the key of this host: has it the same key file?")]
    KeyRefused(#[source] io::Error),
    /// Our Hello cannot be sent.
    #[error("cannot introduce this host to the primary")]
    Hello(#[source] WireError),
    /// The primary gave no answer that can be understood.
    #[error("the primary did not answer")]
    Answer(#[source] ReceiveError),
    /// The primary gave no answer in time.
    #[error("the primary did not answer in time")]
    Silent,
    /// The primary does not want us.
    #[error("the primary refuses this backup: {reason}")]
    Refused {
        /// What it says.
        reason: String,
    },
    /// The primary runs another machine.
    #[error("the primary runs the machine {theirs:?}, but this is the backup of {ours:?}")]
    Name {
        /// The name in our configuration.
        ours: String,
        /// The name in the primary's.
        theirs: String,
    },
    /// The primary said something else than Hello.
    #[error("the primary said something before its Hello")]
    Unexpected,
}

/// Why there are no keys.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// There is something under that name.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// The file cannot be written.
    #[error("cannot write the key file {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No keys can be made.
    #[error("cannot make keys")]
    Generate(#[source] rcgen::Error),
    /// The file cannot be read.
    #[error("cannot read the key file {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner can use the file.
    #[error("the key file {path} has mode {mode:04o}: others must not be able to use it (chmod 600)")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file is not what `outlive keys` writes, or not all of it.
    #[error("{path} is not a whole key file of Outlive: {what}")]
    NotKeys {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The parts of the file do not belong together, or this host's clock is wrong beyond all measure.
    #[error(
        "the keys in {path} are of no use: one does not belong to the other, or this host's clock is wrong"
    )]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What TLS says of them.
        source: rustls::Error,
    },
}
