//! Exits: how the guest hands control to the monitor.

use crate::GuestPhysical;

/// The width of a port access.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AccessSize {
    /// One byte.
    Byte,
    /// Two bytes.
    Word,
    /// Four bytes.
    Dword,
}

impl AccessSize {
    /// The size of `bytes` bytes; `None` unless that is 1, 2 or 4.
    pub fn from_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            1 => Some(Self::Byte),
            2 => Some(Self::Word),
            4 => Some(Self::Dword),
            _ => None,
        }
    }

    /// The width in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Word => 2,
            Self::Dword => 4,
        }
    }

    /// All bits of a value of this width set: what an open bus reads.
    pub fn all_ones(self) -> u32 {
        match self {
            Self::Byte => 0xff,
            Self::Word => 0xffff,
            Self::Dword => 0xffff_ffff,
        }
    }
}

/// Why [`Engine::run`](crate::Engine::run) came back.
///
/// *Numbered* exits are things that the guest did. They happen at the same place in every run with the
/// same inputs, so their count names a place. The others come from outside (a kick) or from what the
/// monitor asked for (a window, a limit), and no count may include them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Exit {
    /// IN or one element of INS. Wants [`Answer::Value`](crate::Answer::Value).
    PortRead {
        /// The port.
        port: u16,
        /// Width of the access.
        size: AccessSize,
    },
    /// OUT or one element of OUTS.
    PortWrite {
        /// The port.
        port: u16,
        /// Width of the access.
        size: AccessSize,
        /// The value, zero-extended.
        value: u32,
    },
    /// A read outside of RAM. Wants [`Answer::Value`](crate::Answer::Value).
    MmioRead {
        /// Guest-physical address.
        address: GuestPhysical,
        /// Bytes: 1 to 8. Longer accesses come as several exits, lowest address first.
        bytes: u8,
    },
    /// A write outside of RAM.
    MmioWrite {
        /// Guest-physical address.
        address: GuestPhysical,
        /// Bytes: 1 to 8.
        bytes: u8,
        /// The value, zero-extended.
        value: u64,
    },
    /// RDMSR of a register that the engine does not keep itself. Wants
    /// [`Answer::Value`](crate::Answer::Value) or [`Answer::GeneralProtection`](crate::Answer).
    MsrRead {
        /// The register's number.
        index: u32,
    },
    /// WRMSR of a register that the engine does not keep itself. Wants
    /// [`Answer::Done`](crate::Answer::Done) or [`Answer::GeneralProtection`](crate::Answer).
    MsrWrite {
        /// The register's number.
        index: u32,
        /// The value.
        value: u64,
    },
    /// A read of the time-stamp counter. Wants [`Answer::Value`](crate::Answer::Value).
    TimeRead,
    /// HLT. RIP stands behind it.
    Halt,
    /// A triple fault. The vCPU cannot go on.
    Shutdown,
    /// The vCPU can take the interrupt that
    /// [`Engine::set_interrupt_window`](crate::Engine::set_interrupt_window) asked for.
    InterruptWindow,
    /// A [`Kicker`](crate::Kicker) was used.
    Kicked,
    /// The [`RunLimit`](crate::RunLimit) was reached.
    LimitReached,
    /// Something that the table of non-determinism does not allow. The guest must be stopped.
    Unhandled(UnhandledExit),
}

impl Exit {
    /// Whether the guest made this exit by itself, so that it counts for landmarks.
    pub fn is_numbered(&self) -> bool {
        match self {
            Self::PortRead { .. }
            | Self::PortWrite { .. }
            | Self::MmioRead { .. }
            | Self::MmioWrite { .. }
            | Self::MsrRead { .. }
            | Self::MsrWrite { .. }
            | Self::TimeRead
            | Self::Halt
            | Self::Shutdown => true,
            Self::InterruptWindow | Self::Kicked | Self::LimitReached | Self::Unhandled(_) => false,
        }
    }
}

/// What an engine met and may not pass on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnhandledExit {
    /// Its name in the engine's own terms, such as `KVM_EXIT_INTERNAL_ERROR`.
    pub name: String,
    /// What else is known: sub-code, hardware reason.
    pub detail: String,
}
