//! The engines at hand.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use super::OUTLIVE;

/// Whether this is the lab.
pub(crate) fn in_lab() -> bool {
    std::env::var_os("OUTLIVE_LAB").is_some()
}

/// What executes a guest in a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Engine {
    Kvm,
    Soft,
}

impl Engine {
    /// As a configuration names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Soft => "soft",
        }
    }

    /// Whether this machine has it. Says so when it has not, for a skipped test must be seen.
    pub(crate) fn at_hand(self) -> bool {
        self == Self::Soft || kvm_at_hand()
    }

    /// Whether runs on it can be recorded here. Says so when they cannot.
    pub(crate) fn records(self) -> bool {
        self == Self::Soft || kvm_records()
    }

    /// Whether it runs Linux guests here. Says so when it does not.
    pub(crate) fn runs_linux(self) -> bool {
        self == Self::Soft || kvm_runs_linux()
    }
}

/// Makes each function a test on either engine: `on_kvm::name` and `on_soft::name`.
macro_rules! on_each_engine {
    ($(fn $name:ident($engine:ident: Engine) $body:block)*) => {
        $(fn $name($engine: $crate::harness::Engine) $body)*

        mod on_kvm {
            $(#[test] fn $name() { super::$name($crate::harness::Engine::Kvm); })*
        }

        mod on_soft {
            $(#[test] fn $name() { super::$name($crate::harness::Engine::Soft); })*
        }
    };
}

pub(crate) use on_each_engine;

/// Whether this machine has a KVM at all. Says so when it has none, for a skipped test must be seen. The lab is
/// there to have one.
pub(crate) fn kvm_at_hand() -> bool {
    let at_hand = Path::new("/dev/kvm").exists();
    if !at_hand {
        assert!(!in_lab(), "the lab has no /dev/kvm");
        eprintln!("SKIPPED: no /dev/kvm on this machine");
    }
    at_hand
}

/// Whether runs on this machine's KVM can be recorded. Says so when they cannot.
pub(crate) fn kvm_records() -> bool {
    if !kvm_at_hand() {
        return false;
    }
    let records =
        doctor_json()["verdict"]["records"].as_bool().expect("the verdict says whether runs are recorded");
    if !records {
        assert!(!in_lab(), "runs on the lab's KVM cannot be recorded");
        eprintln!("SKIPPED: runs on this machine's KVM cannot be recorded");
    }
    records
}

/// Whether this machine's KVM runs Linux guests. Says so when it does not.
pub(crate) fn kvm_runs_linux() -> bool {
    static VERDICT: LazyLock<serde_json::Value> = LazyLock::new(|| doctor_json()["verdict"].clone());
    if !kvm_at_hand() {
        return false;
    }
    let fit = VERDICT["runs_linux"].as_bool().expect("the verdict says whether Linux runs");
    if !fit {
        assert!(!in_lab(), "the lab's KVM does not run Linux: {}", *VERDICT);
        eprintln!("SKIPPED: this machine's KVM does not run Linux: {}", *VERDICT);
    }
    fit
}

/// What `outlive doctor --json` says.
pub(crate) fn doctor_json() -> serde_json::Value {
    let output = Command::new(OUTLIVE).args(["doctor", "--json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).expect("doctor prints JSON")
}

/// What the guest `faults` is told on an engine, because not every processor at hand does everything right.
pub(crate) fn faults_words(engine: Engine) -> &'static str {
    if engine == Engine::Soft {
        "step=1 shadow=1"
    } else if in_lab() {
        // The lab's emulator gets these wrong itself: the error code for an absent gate, the P bit of a
        // fault by a reserved bit, and the exception of a push to a non-canonical address.
        "step=1 shadow=1 skip=gate,reserved,stack"
    } else if kvm_runs_linux() {
        "step=1 shadow=1"
    } else {
        // Hosts that interpret ring 0 know no software interrupts there, and step inexactly.
        "skip=int3,int,gate"
    }
}
