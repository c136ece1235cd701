//! The other side, for tests: a driver that does what Linux does, or whatever a test wants.

use outlive_engine::GuestRam;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryRegion};

use super::device::VirtioDevice;
use super::mmio::VirtioMmio;
use crate::world::Output;

/// Offsets of registers.
pub(super) mod register {
    pub(in crate::virtio) const DEVICE_FEATURES: u64 = 0x10;
    pub(in crate::virtio) const DEVICE_FEATURES_SELECT: u64 = 0x14;
    pub(in crate::virtio) const DRIVER_FEATURES: u64 = 0x20;
    pub(in crate::virtio) const DRIVER_FEATURES_SELECT: u64 = 0x24;
    pub(in crate::virtio) const QUEUE_SELECT: u64 = 0x30;
    pub(in crate::virtio) const QUEUE_SIZE_MAX: u64 = 0x34;
    pub(in crate::virtio) const QUEUE_SIZE: u64 = 0x38;
    pub(in crate::virtio) const QUEUE_READY: u64 = 0x44;
    pub(in crate::virtio) const QUEUE_NOTIFY: u64 = 0x50;
    pub(in crate::virtio) const INTERRUPT_STATUS: u64 = 0x60;
    pub(in crate::virtio) const INTERRUPT_ACKNOWLEDGE: u64 = 0x64;
    pub(in crate::virtio) const STATUS: u64 = 0x70;
    pub(in crate::virtio) const QUEUE_DESCRIPTORS: u64 = 0x80;
    pub(in crate::virtio) const QUEUE_AVAILABLE: u64 = 0x90;
    pub(in crate::virtio) const QUEUE_USED: u64 = 0xa0;
}

/// Values of `Status`.
pub(super) mod status {
    pub(in crate::virtio) const DRIVER: u32 = 3;
    pub(in crate::virtio) const FEATURES_OK: u32 = 11;
    pub(in crate::virtio) const DRIVER_OK: u32 = 15;
    pub(in crate::virtio) const NEEDS_RESET: u32 = 64;
}

/// Values of `InterruptStatus`.
pub(super) const USED_BUFFER: u32 = 1;
pub(super) const CONFIGURATION_CHANGE: u32 = 2;

/// Flags of a descriptor.
pub(super) const NEXT: u16 = 1;
pub(super) const WRITE: u16 = 2;
pub(super) const INDIRECT: u16 = 4;

/// RAM of the tests: from 0 up to here, and as much as that from 4 GiB on.
pub(super) const RAM_END: u64 = 0x10_0000;
pub(super) const HIGH_RAM: u64 = 0x1_0000_0000;

/// Where tests may put buffers: behind the rings.
pub(super) const DATA: u64 = 0x4_0000;

/// RAM of zeros with a hole.
pub(super) fn test_ram() -> GuestRam {
    let bytes = RAM_END as usize;
    GuestRam::from_ranges(&[(GuestAddress(0), bytes), (GuestAddress(HIGH_RAM), bytes)]).unwrap()
}

/// All bytes of a RAM.
pub(super) fn dump(memory: &GuestRam) -> Vec<u8> {
    let mut bytes = Vec::new();
    for region in memory.iter() {
        let mut part = vec![0; region.len() as usize];
        memory.read_slice(&mut part, region.start_addr()).unwrap();
        bytes.append(&mut part);
    }
    bytes
}

/// A buffer of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Buffer {
    pub(super) address: u64,
    pub(super) bytes: u32,
    pub(super) flags: u16,
}

/// A buffer for the device to read.
pub(super) fn readable(address: u64, bytes: u32) -> Buffer {
    Buffer { address, bytes, flags: 0 }
}

/// A buffer for the device to write.
pub(super) fn writable(address: u64, bytes: u32) -> Buffer {
    Buffer { address, bytes, flags: WRITE }
}

/// Where a queue is, and its size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) size: u32,
    pub(super) descriptors: u64,
    pub(super) available: u64,
    pub(super) used: u64,
}

impl Place {
    /// Where the driver puts the queue `queue` if nobody tells otherwise.
    pub(super) fn usual(queue: u32, size: u32) -> Self {
        let base = 0x1_0000 * (u64::from(queue) + 1);
        Self { size, descriptors: base, available: base + 0x4000, used: base + 0x8000 }
    }
}

/// What the driver knows about a queue.
#[derive(Clone, Copy, Debug)]
struct Ring {
    place: Place,
    next_descriptor: u16,
    available: u16,
    seen: u16,
}

/// A driver with its device.
#[derive(Debug)]
pub(super) struct Driver<D> {
    pub(super) transport: VirtioMmio<D>,
    pub(super) memory: GuestRam,
    pub(super) outputs: Vec<Output>,
    rings: Vec<Ring>,
}

impl<D: VirtioDevice> Driver<D> {
    /// A driver that has done nothing yet.
    pub(super) fn new(device: D) -> Self {
        let ring =
            |queue| Ring { place: Place::usual(queue as u32, 0), next_descriptor: 0, available: 0, seen: 0 };
        Self {
            transport: VirtioMmio::new(device),
            memory: test_ram(),
            outputs: Vec::new(),
            rings: (0..D::QUEUES).map(ring).collect(),
        }
    }

    /// A driver that has brought the device up, with queues of `size` entries.
    pub(super) fn ready(device: D, size: u32) -> Self {
        let mut driver = Self::new(device);
        driver.bring_up(size);
        driver
    }

    pub(super) fn get(&self, register: u64) -> u32 {
        self.transport.read(register, 4) as u32
    }

    pub(super) fn set(&mut self, register: u64, value: u32) {
        self.transport.write(register, 4, value.into(), &self.memory, &mut self.outputs);
    }

    /// Initialization in Linux' order (drivers/virtio/virtio.c and virtio_mmio.c).
    pub(super) fn bring_up(&mut self, size: u32) {
        self.set(register::STATUS, 0);
        self.set(register::STATUS, 1);
        self.set(register::STATUS, status::DRIVER);
        let offered = self.offered();
        assert!(self.settle(offered.into()), "the device refused what it offers");
        for queue in 0..self.rings.len() as u32 {
            self.set_up_queue(queue, Place::usual(queue, size));
            assert_eq!(self.get(register::QUEUE_READY), 1);
        }
        self.set(register::STATUS, status::DRIVER_OK);
        assert_eq!(self.get(register::STATUS), status::DRIVER_OK);
    }

    pub(super) fn offered(&mut self) -> u64 {
        self.set(register::DEVICE_FEATURES_SELECT, 1);
        let high = self.get(register::DEVICE_FEATURES);
        self.set(register::DEVICE_FEATURES_SELECT, 0);
        u64::from(high) << 32 | u64::from(self.get(register::DEVICE_FEATURES))
    }

    /// Accepts features and tells whether the device agrees.
    pub(super) fn settle(&mut self, features: u128) -> bool {
        for select in (0..4).rev() {
            self.set(register::DRIVER_FEATURES_SELECT, select);
            self.set(register::DRIVER_FEATURES, (features >> (32 * select)) as u32);
        }
        self.set(register::STATUS, status::FEATURES_OK);
        self.get(register::STATUS) == status::FEATURES_OK
    }

    /// Sets a queue up and takes it into use.
    pub(super) fn set_up_queue(&mut self, queue: u32, place: Place) {
        self.set(register::QUEUE_SELECT, queue);
        self.set(register::QUEUE_SIZE, place.size);
        let parts = [
            (register::QUEUE_DESCRIPTORS, place.descriptors),
            (register::QUEUE_AVAILABLE, place.available),
            (register::QUEUE_USED, place.used),
        ];
        for (register, address) in parts {
            self.set(register, address as u32);
            self.set(register + 4, (address >> 32) as u32);
        }
        self.set(register::QUEUE_READY, 1);
        if let Some(ring) = self.rings.get_mut(queue as usize) {
            *ring = Ring { place, next_descriptor: 0, available: 0, seen: 0 };
        }
    }

    pub(super) fn store<const N: usize>(&self, address: u64, bytes: [u8; N]) {
        self.memory.write_slice(&bytes, GuestAddress(address)).unwrap();
    }

    pub(super) fn fill(&self, address: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(address)).unwrap();
    }

    pub(super) fn load(&self, address: u64, bytes: usize) -> Vec<u8> {
        let mut found = vec![0; bytes];
        self.memory.read_slice(&mut found, GuestAddress(address)).unwrap();
        found
    }

    fn load_u16(&self, address: u64) -> u16 {
        self.memory.read_obj(GuestAddress(address)).unwrap()
    }

    /// Writes one descriptor.
    pub(super) fn describe(&self, queue: usize, index: u16, buffer: Buffer, next: u16) {
        let address = self.rings[queue].place.descriptors + 16 * u64::from(index);
        self.store(address, buffer.address.to_le_bytes());
        self.store(address + 8, buffer.bytes.to_le_bytes());
        self.store(address + 12, buffer.flags.to_le_bytes());
        self.store(address + 14, next.to_le_bytes());
    }

    /// Writes a chain into the descriptors that were used longest ago and makes it available.
    pub(super) fn offer(&mut self, queue: usize, buffers: &[Buffer]) -> u16 {
        let size = self.rings[queue].place.size as u16;
        let head = self.rings[queue].next_descriptor;
        let mut index = head;
        for (i, buffer) in buffers.iter().enumerate() {
            let next = (index + 1) % size;
            let is_last = i + 1 == buffers.len();
            let flags = if is_last { buffer.flags } else { buffer.flags | NEXT };
            self.describe(queue, index, Buffer { flags, ..*buffer }, if is_last { 0 } else { next });
            index = next;
        }
        self.rings[queue].next_descriptor = index;
        self.make_available(queue, head);
        head
    }

    /// Puts a head into the available ring.
    pub(super) fn make_available(&mut self, queue: usize, head: u16) {
        let Ring { place, available, .. } = self.rings[queue];
        let slot = u64::from(available % place.size as u16);
        self.store(place.available + 4 + 2 * slot, head.to_le_bytes());
        self.advance_available(queue, 1);
    }

    /// Moves the available index on.
    pub(super) fn advance_available(&mut self, queue: usize, by: u16) {
        let ring = &mut self.rings[queue];
        ring.available = ring.available.wrapping_add(by);
        let (address, index) = (ring.place.available + 2, ring.available);
        self.store(address, index.to_le_bytes());
    }

    /// Asks the device not to interrupt.
    pub(super) fn suppress_interrupts(&self, queue: usize) {
        self.store(self.rings[queue].place.available, 1u16.to_le_bytes());
    }

    pub(super) fn notify(&mut self, queue: u32) {
        self.set(register::QUEUE_NOTIFY, queue);
    }

    /// What the device has used since the last call: heads and lengths.
    pub(super) fn take_used(&mut self, queue: usize) -> Vec<(u32, u32)> {
        let Ring { place, seen, .. } = self.rings[queue];
        let count = self.load_u16(place.used + 2).wrapping_sub(seen);
        let entry = |i: u16| {
            let slot = seen.wrapping_add(i) % place.size as u16;
            let address = place.used + 4 + 8 * u64::from(slot);
            let read = |at| self.memory.read_obj::<u32>(GuestAddress(at)).unwrap();
            (read(address), read(address + 4))
        };
        let used = (0..count).map(entry).collect();
        self.rings[queue].seen = seen.wrapping_add(count);
        used
    }

    /// Reads and acknowledges the interrupt status.
    pub(super) fn take_interrupts(&mut self) -> u32 {
        let interrupts = self.get(register::INTERRUPT_STATUS);
        self.set(register::INTERRUPT_ACKNOWLEDGE, interrupts);
        interrupts
    }

    /// Whether the device has given up on this driver.
    pub(super) fn is_broken(&self) -> bool {
        self.get(register::STATUS) & status::NEEDS_RESET != 0
    }

    /// A second driver and device that are where these are, by way of the saved form.
    pub(super) fn duplicate(&self, device: D) -> Self {
        let memory = test_ram();
        for region in self.memory.iter() {
            let mut bytes = vec![0; region.len() as usize];
            self.memory.read_slice(&mut bytes, region.start_addr()).unwrap();
            memory.write_slice(&bytes, region.start_addr()).unwrap();
        }
        let transport = VirtioMmio::new(device).restore(self.transport.save(), &memory).unwrap();
        Self { transport, memory, outputs: self.outputs.clone(), rings: self.rings.clone() }
    }
}
