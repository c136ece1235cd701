//! The engine on KVM.
