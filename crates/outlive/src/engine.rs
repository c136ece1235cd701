//! Which engine executes a guest.

use outlive_engine::EngineKind;

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
