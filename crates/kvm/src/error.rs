//! What can go wrong between this crate and the host, in words that a person can act upon.

use std::io;
use std::path::PathBuf;

use outlive_engine::{EngineError, EngineKind};

/// Why KVM cannot be used.
#[derive(thiserror::Error, Debug)]
pub enum KvmError {
    /// The device node does not exist.
    #[error(
        "{path} does not exist: turn on virtualization in the firmware and load kvm_intel or kvm_amd, \
         or use engine = \"soft\""
    )]
    MissingDevice {
        /// The device node.
        path: PathBuf,
    },
    /// The device node may not be opened.
    #[error("{path} may not be opened by this user: add it to the group kvm and log in again")]
    NoPermission {
        /// The device node.
        path: PathBuf,
    },
    /// The device node cannot be opened for another reason.
    #[error("{path} cannot be opened")]
    Open {
        /// The device node.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// The device speaks another version of the interface.
    #[error("KVM on this host speaks version {found} of its interface; version {wanted} is needed")]
    ApiVersion {
        /// What it speaks.
        found: i32,
        /// What this crate speaks.
        wanted: i32,
    },
    /// A capability is missing that the engine cannot do without.
    #[error("KVM on this host lacks {name}, which {needed_for} needs: a newer kernel has it")]
    MissingCapability {
        /// The kernel's name for it.
        name: &'static str,
        /// What it is for.
        needed_for: &'static str,
    },
    /// The host refused an operation while the machine was set up.
    #[error("KVM did not {operation}")]
    Host {
        /// What was tried, as the end of a sentence.
        operation: &'static str,
        /// What the host said.
        source: io::Error,
    },
    /// The process could not get something that it needs, without KVM being to blame.
    #[error("this process could not {operation}")]
    Process {
        /// What was tried, as the end of a sentence.
        operation: &'static str,
        /// What the host said.
        source: io::Error,
    },
    /// The guest's RAM is laid out in a way that KVM cannot map.
    #[error("KVM cannot map the guest's RAM at {address:#x}: its {what} is not a multiple of a page")]
    Unaligned {
        /// Where the region begins.
        address: u64,
        /// What is not aligned.
        what: &'static str,
    },
}

/// Makes a [`KvmError::Host`] of what kvm-ioctls returns.
pub(crate) fn setup(operation: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> KvmError {
    move |error| KvmError::Host { operation, source: io_error(error) }
}

/// Makes an [`EngineError::Host`] of what kvm-ioctls returns.
pub(crate) fn host(operation: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> EngineError {
    move |error| host_io(operation)(io_error(error))
}

/// Makes an [`EngineError::Host`] of an [`io::Error`].
pub(crate) fn host_io(operation: &'static str) -> impl FnOnce(io::Error) -> EngineError {
    move |source| EngineError::Host { engine: EngineKind::Kvm, operation, source }
}

/// What this engine does not promise.
pub(crate) fn unsupported(operation: &'static str) -> EngineError {
    EngineError::Unsupported { engine: EngineKind::Kvm, operation }
}

/// kvm-ioctls has an error type of its own; upper layers expect the standard one.
pub(crate) fn io_error(error: kvm_ioctls::Error) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}
