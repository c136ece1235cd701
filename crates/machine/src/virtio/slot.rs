//! Places for devices on the bus.

use outlive_engine::{GuestPhysical, GuestRam};
use serde::{Deserialize, Serialize};

use super::block::{Block, BlockState};
use super::fault::RestoreError;
use super::mmio::{MmioState, VirtioMmio};
use super::net::{Net, NetState};
use crate::memory::layout;
use crate::world::{DiskIndex, NetworkIndex, Output};

/// Where slot 0 begins.
pub const SLOT_BASE: u64 = layout::DEVICE_HOLE_START;

/// The size of a slot, and the distance to the next one.
pub const SLOT_BYTES: u64 = 0x1000;

/// The interrupt input of each slot. There are no more slots than free inputs.
pub const SLOT_IRQS: [u8; 8] = [5, 9, 10, 11, 12, 6, 3, 14];

/// Which slot an address belongs to, and the offset in it; `None` if it is not in a slot.
pub fn locate(address: GuestPhysical) -> Option<(usize, u64)> {
    let offset = address.0.checked_sub(SLOT_BASE)?;
    let slot = usize::try_from(offset / SLOT_BYTES).ok()?;
    (slot < SLOT_IRQS.len()).then_some((slot, offset % SLOT_BYTES))
}

/// What tells a Linux kernel on its command line that slot `slot` holds a device; `None` if there is no
/// such slot.
pub fn kernel_argument(slot: usize) -> Option<String> {
    let irq = SLOT_IRQS.get(slot)?;
    let address = SLOT_BASE + slot as u64 * SLOT_BYTES;
    Some(format!("virtio_mmio.device=4K@{address:#x}:{irq}"))
}

/// A device with its transport.
#[derive(Debug)]
pub enum Slot {
    /// A disk.
    Block(VirtioMmio<Block>),
    /// A network interface.
    Net(VirtioMmio<Net>),
}

/// The saved form of a [`Slot`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SlotState {
    /// A disk.
    Block(MmioState<BlockState>),
    /// A network interface.
    Net(MmioState<NetState>),
}

impl Slot {
    /// Reads `bytes` bytes at `offset` of the slot.
    pub fn read(&self, offset: u64, bytes: u8) -> u64 {
        match self {
            Self::Block(transport) => transport.read(offset, bytes),
            Self::Net(transport) => transport.read(offset, bytes),
        }
    }

    /// Writes `bytes` bytes at `offset` of the slot. What the device wants the world to do is appended to
    /// `outputs`.
    pub fn write(
        &mut self,
        offset: u64,
        bytes: u8,
        value: u64,
        memory: &GuestRam,
        outputs: &mut Vec<Output>,
    ) {
        match self {
            Self::Block(transport) => transport.write(offset, bytes, value, memory, outputs),
            Self::Net(transport) => transport.write(offset, bytes, value, memory, outputs),
        }
    }

    /// Whether the device asserts its interrupt line.
    pub fn interrupt_line(&self) -> bool {
        match self {
            Self::Block(transport) => transport.interrupt_line(),
            Self::Net(transport) => transport.interrupt_line(),
        }
    }

    /// The disk that sits here, if it is this one.
    pub fn as_disk(&mut self, disk: DiskIndex) -> Option<&mut VirtioMmio<Block>> {
        match self {
            Self::Block(transport) if transport.device().disk() == disk => Some(transport),
            _ => None,
        }
    }

    /// The network interface that sits here, if it is this one.
    pub fn as_network(&mut self, network: NetworkIndex) -> Option<&mut VirtioMmio<Net>> {
        match self {
            Self::Net(transport) if transport.device().network() == network => Some(transport),
            _ => None,
        }
    }

    /// The state that is not configuration.
    pub fn save(&self) -> SlotState {
        match self {
            Self::Block(transport) => SlotState::Block(transport.save()),
            Self::Net(transport) => SlotState::Net(transport.save()),
        }
    }

    /// This slot with a saved state. Configuration stays as it is.
    ///
    /// # Errors
    /// When no device of this configuration could have saved that.
    pub fn restore(self, state: SlotState, memory: &GuestRam) -> Result<Self, RestoreError> {
        match (self, state) {
            (Self::Block(transport), SlotState::Block(state)) => {
                Ok(Self::Block(transport.restore(state, memory)?))
            }
            (Self::Net(transport), SlotState::Net(state)) => Ok(Self::Net(transport.restore(state, memory)?)),
            _ => Err(RestoreError::DeviceType),
        }
    }
}

impl From<Block> for Slot {
    fn from(device: Block) -> Self {
        Self::Block(VirtioMmio::new(device))
    }
}

impl From<Net> for Slot {
    fn from(device: Net) -> Self {
        Self::Net(VirtioMmio::new(device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::driver::test_ram;

    #[test]
    fn every_address_of_a_slot_is_located_and_no_other() {
        assert_eq!(locate(GuestPhysical(SLOT_BASE - 1)), None);
        assert_eq!(locate(GuestPhysical(SLOT_BASE)), Some((0, 0)));
        assert_eq!(locate(GuestPhysical(SLOT_BASE + 0x1fff)), Some((1, 0xfff)));
        assert_eq!(locate(GuestPhysical(SLOT_BASE + 0x7fff)), Some((7, 0xfff)));
        assert_eq!(locate(GuestPhysical(SLOT_BASE + 0x8000)), None);
        assert_eq!(locate(GuestPhysical(u64::MAX)), None);
    }

    #[test]
    fn the_kernel_is_told_where_each_slot_is() {
        assert_eq!(kernel_argument(0).as_deref(), Some("virtio_mmio.device=4K@0xd0000000:5"));
        assert_eq!(kernel_argument(7).as_deref(), Some("virtio_mmio.device=4K@0xd0007000:14"));
        assert_eq!(kernel_argument(8), None);
    }

    #[test]
    fn a_state_of_the_other_device_type_is_refused() {
        let disk = Slot::from(Block::new(DiskIndex(0), 8, false, "disk"));
        let network = Slot::from(Net::new(NetworkIndex(0), [2, 0, 0, 0, 0, 1]));
        let refused = network.restore(disk.save(), &test_ram());
        assert_eq!(refused.err(), Some(RestoreError::DeviceType));
    }

    #[test]
    fn slots_are_found_by_what_they_hold() {
        let mut slot = Slot::from(Net::new(NetworkIndex(3), [2, 0, 0, 0, 0, 1]));
        assert!(slot.as_network(NetworkIndex(3)).is_some());
        assert!(slot.as_network(NetworkIndex(0)).is_none());
        assert!(slot.as_disk(DiskIndex(3)).is_none());
    }
}
