//! Which engine executes a guest.

use std::path::Path;

use outlive_engine::{Capabilities, EngineKind};
use outlive_kvm::DEVICE;
use outlive_kvm::probe::{Outcome, opens_windows};

use crate::config::EngineChoice;
use crate::doctor;

/// Decides which engine runs the guest, and says so where the decision was ours.
pub(crate) fn choose(choice: EngineChoice) -> EngineKind {
    match choice {
        EngineChoice::Kvm => EngineKind::Kvm,
        EngineChoice::Soft => EngineKind::Soft,
        EngineChoice::Auto => doctor::automatic_engine(),
    }
}

/// What an engine can promise, without making one.
pub(crate) fn capabilities(engine: EngineKind) -> Capabilities {
    match engine {
        EngineKind::Kvm => outlive_kvm::CAPABILITIES,
        EngineKind::Soft => outlive_soft::CAPABILITIES,
    }
}

/// Refuses an engine with which a replay would not find again where inputs landed. There are hosts whose KVM opens
/// interrupt windows too late, or wherever it likes.
pub(crate) fn check_landmarks(engine: EngineKind) -> anyhow::Result<()> {
    if engine == EngineKind::Soft {
        return Ok(());
    }
    match opens_windows(Path::new(DEVICE)) {
        Outcome::Failed(seen) => anyhow::bail!(
            "runs on this host's KVM cannot be recorded or replayed, for an interrupt window must open one instruction \
             after STI, and here {seen}; take the engine soft"
        ),
        // Where KVM does not open at all, the engine says so.
        Outcome::Passed | Outcome::Unavailable(_) => Ok(()),
    }
}
