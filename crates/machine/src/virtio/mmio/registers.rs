//! Where the registers are and what they are called (VirtIO 1.2, 4.2.2, table 4.1).

/// The width of every register in bytes.
pub(super) const WIDTH: u8 = 4;

/// Where the device configuration space begins, behind the registers.
pub(super) const CONFIGURATION: u64 = 0x100;

/// `MagicValue`: "virt".
pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"virt");

/// `Version`: the one of the standard; 1 is the one from before.
pub(super) const VERSION: u32 = 2;

/// `VendorID`. Nobody assigns them; QEMU's is "QEMU".
pub(super) const VENDOR: u32 = u32::from_le_bytes(*b"OUTL");

/// All bits of a register.
pub(super) const ALL_ONES: u32 = u32::MAX;

/// What an access of `bytes` bytes reads where nothing answers.
pub(super) fn all_ones(bytes: u8) -> u64 {
    let bits = 8 * u32::from(bytes);
    u64::MAX.checked_shl(bits).map_or(u64::MAX, |higher| !higher)
}

/// A register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Register {
    MagicValue,
    Version,
    DeviceId,
    VendorId,
    DeviceFeatures,
    DeviceFeaturesSelect,
    DriverFeatures,
    DriverFeaturesSelect,
    QueueSelect,
    /// `QueueNumMax` before VirtIO 1.3.
    QueueSizeMax,
    /// `QueueNum` before VirtIO 1.3.
    QueueSize,
    QueueReady,
    QueueNotify,
    InterruptStatus,
    InterruptAcknowledge,
    Status,
    QueueAddress(QueuePart, Half),
    /// Length or address of a shared memory region. There is none, which all ones say.
    SharedMemory,
    ConfigGeneration,
    /// Nothing, or a register for something that is not offered.
    Reserved,
}

/// A part of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum QueuePart {
    Descriptors,
    Available,
    Used,
}

/// Which half of a 64-bit register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Half {
    Low,
    High,
}

impl Register {
    /// The register at `offset`; `None` between two registers and behind the last.
    pub(super) fn at(offset: u64) -> Option<Self> {
        if offset >= CONFIGURATION || !offset.is_multiple_of(WIDTH.into()) {
            return None;
        }
        Some(match offset {
            0x000 => Self::MagicValue,
            0x004 => Self::Version,
            0x008 => Self::DeviceId,
            0x00c => Self::VendorId,
            0x010 => Self::DeviceFeatures,
            0x014 => Self::DeviceFeaturesSelect,
            0x020 => Self::DriverFeatures,
            0x024 => Self::DriverFeaturesSelect,
            0x030 => Self::QueueSelect,
            0x034 => Self::QueueSizeMax,
            0x038 => Self::QueueSize,
            0x044 => Self::QueueReady,
            0x050 => Self::QueueNotify,
            0x060 => Self::InterruptStatus,
            0x064 => Self::InterruptAcknowledge,
            0x070 => Self::Status,
            0x080 => Self::QueueAddress(QueuePart::Descriptors, Half::Low),
            0x084 => Self::QueueAddress(QueuePart::Descriptors, Half::High),
            0x090 => Self::QueueAddress(QueuePart::Available, Half::Low),
            0x094 => Self::QueueAddress(QueuePart::Available, Half::High),
            0x0a0 => Self::QueueAddress(QueuePart::Used, Half::Low),
            0x0a4 => Self::QueueAddress(QueuePart::Used, Half::High),
            0x0b0..=0x0bc => Self::SharedMemory,
            0x0fc => Self::ConfigGeneration,
            _ => Self::Reserved,
        })
    }
}
