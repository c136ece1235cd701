//! What a driver can do wrong, and what can be wrong with a saved state.

use outlive_engine::GuestPhysical;

/// How a driver has broken the rules of a ring, so that the device needs a reset.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum DriverFault {
    /// VirtIO 1.2, 2.7: a queue's size is a power of 2; 4.2.2.2: not above `QueueNumMax`.
    #[error("a queue of {0} entries")]
    QueueSize(u32),
    /// VirtIO 1.2, 2.7: each part of a queue has an alignment, and all lie in memory.
    #[error(
        "a queue that is misaligned or not in RAM: descriptors at {descriptors}, available ring at \
         {available}, used ring at {used}"
    )]
    QueueAddress {
        /// The descriptor table.
        descriptors: GuestPhysical,
        /// The available ring.
        available: GuestPhysical,
        /// The used ring.
        used: GuestPhysical,
    },
    /// VirtIO 1.2, 2.7.13.3: at most as many chains can be available as the queue has entries.
    #[error("an available index that is further ahead than the queue is long")]
    AvailableIndex,
    /// A head or a `next` field that is not in the descriptor table.
    #[error("descriptor {0} does not exist")]
    DescriptorIndex(u16),
    /// VirtIO 1.2, 2.7.5.2: loops are forbidden.
    #[error("the chain from descriptor {0} loops")]
    Loop(u16),
    /// VirtIO 1.2, 2.7.5.2: a chain's bytes are at most 2^32.
    #[error("the chain from descriptor {0} has more than 2^32 bytes")]
    ChainBytes(u16),
    /// VirtIO 1.2, 2.7.5.3.1: no indirect descriptors unless negotiated; they are not offered.
    #[error("descriptor {0} is indirect, which was not negotiated")]
    Indirect(u16),
    /// VirtIO 1.2, 2.7.4.2: device-readable descriptors come first.
    #[error("descriptor {0} is readable and comes after a writable one")]
    ReadableAfterWritable(u16),
    /// A buffer that is not wholly in RAM.
    #[error("a buffer of {bytes} bytes at {address} is not in RAM")]
    BufferAddress {
        /// Where.
        address: GuestPhysical,
        /// How long.
        bytes: u32,
    },
    /// A chain that ends before the part of it that every request has.
    #[error("a chain with {found} bytes where {wanted} are needed")]
    ChainTooShort {
        /// How many bytes a request needs there.
        wanted: u64,
        /// How many there are.
        found: u64,
    },
    /// A chain that was made available again before it was used.
    #[error("the chain from descriptor {0} was made available while in use")]
    InUse(u16),
    /// VirtIO 1.2, 5.1.6.3 and 5.1.6.2: receive buffers are for writing only, and packets for reading.
    #[error("the chain from descriptor {0} has buffers of the wrong direction")]
    Direction(u16),
}

/// Why a saved state was refused.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum RestoreError {
    /// The state of another type of device.
    #[error("the saved state is that of another type of device")]
    DeviceType,
    /// A part that no device could have saved.
    #[error("the saved state of a virtio device has an impossible {0}")]
    Impossible(&'static str),
    /// A queue that no device could have been using.
    #[error("the saved state of a virtio device has an impossible queue")]
    Queue(#[from] DriverFault),
}
