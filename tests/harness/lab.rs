//! The lab: a machine with a genuine KVM.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{checkout, in_lab};

/// Seconds after which the lab gives up: a little before the test would be ended (.config/nextest.toml), so that it
/// can say what stood still in there.
const PATIENCE: &str = "450";

/// Runs the tests of this program whose names contain one of `filters` in the lab, where this folder can be written.
pub(crate) fn run_in_lab(filters: &[&str], writable: Option<&Path>) {
    if in_lab() {
        eprintln!("SKIPPED: this is the lab");
        return;
    }
    let this = std::env::current_exe().unwrap();
    for filter in filters {
        // A filter that nothing passes would be a test that proves nothing.
        let list = Command::new(&this).args(["--list", "--skip", "lab::", filter]).output().unwrap();
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(list.contains(": test\n"), "no test is named {filter}: {list}");
    }
    let mut lab = Command::new(checkout().join("scripts/kvm-lab"));
    lab.args(["--timeout", PATIENCE]);
    if let Some(folder) = writable {
        lab.arg("--share").arg(folder);
    }
    let status = lab
        .arg(this)
        .args(["--test-threads=1", "--nocapture", "--skip", "lab::"])
        .args(filters)
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the tests in the lab ended with {status}");
}
