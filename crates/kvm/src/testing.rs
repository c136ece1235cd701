//! What the tests of this crate share: small guests on the host's KVM.

use std::path::Path;

use outlive_engine::{Engine, Exit, RunLimit};

use crate::error::KvmError;
use crate::host::{DEVICE, Host};
use crate::probe::guest::{Guest, Ring};

/// The host's KVM; `None`, after saying so, where there is none. One that is there must work.
pub(crate) fn host() -> Option<Host> {
    match Host::open(Path::new(DEVICE)) {
        Ok(host) => Some(host),
        Err(error @ (KvmError::MissingDevice { .. } | KvmError::NoPermission { .. })) => {
            eprintln!("SKIPPED, there is no KVM to test with: {error}");
            None
        }
        Err(error) => panic!("the host's KVM does not do: {error}"),
    }
}

/// A guest that executes `code` in ring 0.
pub(crate) fn guest(code: &[u8]) -> Option<Guest> {
    Some(Guest::new(&host()?, Ring::Kernel, code).unwrap())
}

/// Runs the guest to its next exit.
pub(crate) fn run(guest: &mut Guest) -> Exit {
    guest.engine.run(RunLimit::Unlimited).unwrap()
}

/// Says that a test ends here because the host's KVM does not do what the manual says. `scripts/kvm-lab`
/// has one that does everything, so there this is a failure.
pub(crate) fn skip_on_this_host(what: &str) {
    assert!(!in_lab(), "on a conforming KVM {what}");
    eprintln!("SKIPPED, {what}");
}

/// Whether this host opens interrupt windows where the manual has them. Says so when it does not.
pub(crate) fn opens_windows() -> bool {
    let seen = crate::probe::opens_windows(Path::new(DEVICE));
    if seen != crate::probe::Outcome::Passed {
        skip_on_this_host(&format!("interrupt windows do not open where they must: {seen:?}"));
    }
    seen == crate::probe::Outcome::Passed
}

/// Whether the tests run in the emulated machine of `scripts/kvm-lab`.
pub(crate) fn in_lab() -> bool {
    std::env::var_os("OUTLIVE_LAB").is_some()
}
