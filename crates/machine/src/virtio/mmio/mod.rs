//! The transport: a device's registers in memory (VirtIO 1.2, 4.2), version 2 only.
//!
//! Registers are 32 bits wide and are accessed as such; an access of another width or between two
//! registers reads all ones and writes nothing. The configuration space behind them can be read in any
//! way.
//!
//! The driver brings a device up in an order (VirtIO 1.2, 3.1.1), and steps out of order are refused: the
//! bit in `Status` stays clear, the queue stays out of use. Not offered are indirect descriptors, event
//! indices, packed rings, queue reset and notification data: a driver does without them, and what is not
//! there cannot differ between two runs.

mod registers;
mod state;
mod status;
#[cfg(test)]
mod tests;

use outlive_engine::{GuestPhysical, GuestRam};

use super::device::VirtioDevice;
use super::fault::DriverFault;
use super::queue::{MAX_SIZE, QueueSetup, Virtqueue};
use crate::world::Output;
use registers::Register;
pub use state::MmioState;
use status::Status;

/// `VIRTIO_F_VERSION_1` (VirtIO 1.2, 6): the driver does not speak a version from before the standard.
pub(super) const VERSION_1: u64 = 1 << 32;

/// Bits of `InterruptStatus` (VirtIO 1.2, 4.2.2).
mod interrupt {
    pub(super) const USED_BUFFER: u32 = 1;
    pub(super) const CONFIGURATION_CHANGE: u32 = 2;
}

/// A device with its registers.
#[derive(Debug)]
pub struct VirtioMmio<D> {
    device: D,
    status: Status,
    interrupts: u32,
    device_features_select: u32,
    driver_features_select: u32,
    /// What the driver has accepted, whether offered or not. There are 128 feature bits (VirtIO 1.2, 2.2).
    driver_features: u128,
    queue_select: u32,
    queues: Vec<Virtqueue>,
}

impl<D: VirtioDevice> VirtioMmio<D> {
    /// A device after power-on.
    pub fn new(device: D) -> Self {
        Self {
            device,
            status: Status::default(),
            interrupts: 0,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
            queues: (0..D::QUEUES).map(|_| Virtqueue::default()).collect(),
        }
    }

    /// The device behind the registers.
    pub fn device(&self) -> &D {
        &self.device
    }

    pub(super) fn device_mut(&mut self) -> &mut D {
        &mut self.device
    }

    /// Whether the device asserts its interrupt line: until the driver has acknowledged everything.
    pub fn interrupt_line(&self) -> bool {
        self.interrupts != 0
    }

    /// Whether the device is at work: the driver has set it up and neither has given up since.
    pub fn is_live(&self) -> bool {
        self.status.is_live()
    }

    /// Whether the device has such a queue and the driver has taken it into use.
    pub(super) fn is_queue_ready(&self, queue: usize) -> bool {
        self.queues.get(queue).is_some_and(Virtqueue::is_ready)
    }

    /// Reads `bytes` bytes at `offset`.
    pub fn read(&self, offset: u64, bytes: u8) -> u64 {
        match offset.checked_sub(registers::CONFIGURATION) {
            Some(offset) => self.read_config(offset, bytes),
            None if bytes == registers::WIDTH => {
                Register::at(offset).map_or(registers::ALL_ONES.into(), |register| self.get(register).into())
            }
            None => registers::all_ones(bytes),
        }
    }

    /// Writes `bytes` bytes at `offset`. What the device wants the world to do is appended to `outputs`.
    pub fn write(
        &mut self,
        offset: u64,
        bytes: u8,
        value: u64,
        memory: &GuestRam,
        outputs: &mut Vec<Output>,
    ) {
        // The configuration space of these devices has no field that a driver may write.
        if bytes == registers::WIDTH
            && let Some(register) = Register::at(offset)
        {
            self.set(register, value as u32, memory, outputs);
        }
    }

    /// Bytes behind the end of the configuration space are zero.
    fn read_config(&self, offset: u64, bytes: u8) -> u64 {
        let byte = |i: u8| {
            let index = offset.checked_add(i.into()).and_then(|index| usize::try_from(index).ok());
            index.and_then(|index| self.device.config().get(index)).copied().unwrap_or(0)
        };
        (0..bytes.min(8)).map(|i| u64::from(byte(i)) << (8 * i)).fold(0, |value, byte| value | byte)
    }

    fn get(&self, register: Register) -> u32 {
        match register {
            Register::MagicValue => registers::MAGIC,
            Register::Version => registers::VERSION,
            Register::DeviceId => D::ID,
            Register::VendorId => registers::VENDOR,
            Register::DeviceFeatures => half(self.offered_features(), self.device_features_select),
            Register::QueueSizeMax => self.queue_size_max(),
            Register::QueueReady => self.is_queue_ready(self.queue_select as usize).into(),
            Register::InterruptStatus => self.interrupts,
            Register::Status => self.status.bits(),
            Register::SharedMemory => registers::ALL_ONES,
            // It never changes.
            Register::ConfigGeneration => 0,
            Register::DeviceFeaturesSelect
            | Register::DriverFeatures
            | Register::DriverFeaturesSelect
            | Register::QueueSelect
            | Register::QueueSize
            | Register::QueueNotify
            | Register::InterruptAcknowledge
            | Register::QueueAddress(..)
            | Register::Reserved => 0,
        }
    }

    fn set(&mut self, register: Register, value: u32, memory: &GuestRam, outputs: &mut Vec<Output>) {
        match register {
            Register::DeviceFeaturesSelect => self.device_features_select = value,
            Register::DriverFeaturesSelect => self.driver_features_select = value,
            Register::DriverFeatures => self.accept_features(value),
            Register::QueueSelect => self.queue_select = value,
            Register::QueueSize => self.set_up_queue(|setup| setup.size = value),
            Register::QueueAddress(part, half) => {
                self.set_up_queue(|setup| half.replace(part.address(setup), value));
            }
            Register::QueueReady => self.set_queue_ready(value, memory),
            Register::QueueNotify => self.notify(value, memory, outputs),
            Register::InterruptAcknowledge => self.interrupts &= !value,
            Register::Status => self.set_status(value),
            Register::MagicValue
            | Register::Version
            | Register::DeviceId
            | Register::VendorId
            | Register::DeviceFeatures
            | Register::QueueSizeMax
            | Register::InterruptStatus
            | Register::SharedMemory
            | Register::ConfigGeneration
            | Register::Reserved => {}
        }
    }

    fn offered_features(&self) -> u64 {
        self.device.offered_features() | VERSION_1
    }

    /// VirtIO 1.2, 3.1.1, step 4. What is accepted is settled with step 5, `FEATURES_OK`.
    fn accept_features(&mut self, value: u32) {
        if !self.status.may_accept_features() || self.driver_features_select >= 4 {
            return;
        }
        let shift = 32 * self.driver_features_select;
        let others = self.driver_features & !(u128::from(u32::MAX) << shift);
        self.driver_features = others | u128::from(value) << shift;
    }

    /// VirtIO 1.2, 2.2.2 and 6.2.
    fn are_features_acceptable(&self) -> bool {
        let (offered, accepted) = (u128::from(self.offered_features()), self.driver_features);
        let demanded = u128::from(self.device.demanded_features() | VERSION_1);
        accepted & !offered == 0 && accepted & demanded == demanded
    }

    fn set_status(&mut self, value: u32) {
        if value == 0 {
            self.reset();
        } else {
            self.status = self.status.after_write(value, self.are_features_acceptable());
        }
    }

    /// VirtIO 1.2, 2.4.
    fn reset(&mut self) {
        for queue in 0..D::QUEUES {
            self.queues[queue].reset();
            self.device.queue_stopped(queue);
        }
        self.status = Status::default();
        self.interrupts = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.driver_features = 0;
        self.queue_select = 0;
    }

    /// Zero for a queue that does not exist (VirtIO 1.2, 4.2.2).
    fn queue_size_max(&self) -> u32 {
        if self.queue_select as usize >= D::QUEUES { 0 } else { MAX_SIZE.into() }
    }

    /// Queues are set up after the features are settled (VirtIO 1.2, 3.1.1, step 7).
    fn set_up_queue(&mut self, change: impl FnOnce(&mut QueueSetup)) {
        if self.status.may_set_up_queues()
            && let Some(queue) = self.queues.get_mut(self.queue_select as usize)
        {
            queue.set_up(change);
        }
    }

    fn set_queue_ready(&mut self, value: u32, memory: &GuestRam) {
        let index = self.queue_select as usize;
        let Some(queue) = self.queues.get_mut(index) else { return };
        match value {
            0 => {
                queue.stop();
                self.device.queue_stopped(index);
            }
            1 if self.status.may_set_up_queues() => {
                let started = queue.start(memory);
                self.demand_reset_after(started);
            }
            _ => {}
        }
    }

    /// VirtIO 1.2, 3.1.1: the device takes no buffers before `DRIVER_OK`.
    fn notify(&mut self, queue: u32, memory: &GuestRam, outputs: &mut Vec<Output>) {
        let index = queue as usize;
        if self.is_queue_ready(index) {
            self.work(memory, |device, queues| device.notified(index, queues, memory, outputs));
        }
    }

    /// Lets the device work on its queues, if it is live, and tells the driver what came of it. This is the
    /// only way to the rings.
    pub(super) fn work(
        &mut self,
        memory: &GuestRam,
        task: impl FnOnce(&mut D, &mut [Virtqueue]) -> Result<(), DriverFault>,
    ) {
        if !self.status.is_live() {
            return;
        }
        let outcome = task(&mut self.device, &mut self.queues);
        for queue in &mut self.queues {
            if queue.announce(memory) {
                self.interrupts |= interrupt::USED_BUFFER;
            }
        }
        self.demand_reset_after(outcome);
    }

    /// VirtIO 1.2, 2.1.2: a live device also tells the driver that it needs a reset.
    fn demand_reset_after(&mut self, outcome: Result<(), DriverFault>) {
        let Err(fault) = outcome else { return };
        // Not a warning: a guest could fill the host's log with them.
        tracing::debug!(device = D::ID, %fault, "the driver of a virtio device has broken the rules");
        if self.status.is_live() {
            self.interrupts |= interrupt::CONFIGURATION_CHANGE;
        }
        self.status = self.status.needing_reset();
    }
}

/// The half of 64 bits that a selector selects; zero beyond.
fn half(bits: u64, select: u32) -> u32 {
    match select {
        0 => bits as u32,
        1 => (bits >> 32) as u32,
        _ => 0,
    }
}

impl registers::QueuePart {
    fn address(self, setup: &mut QueueSetup) -> &mut GuestPhysical {
        match self {
            Self::Descriptors => &mut setup.descriptors,
            Self::Available => &mut setup.available,
            Self::Used => &mut setup.used,
        }
    }
}

impl registers::Half {
    fn replace(self, address: &mut GuestPhysical, value: u32) {
        let value = u64::from(value);
        address.0 = match self {
            Self::Low => address.0 & !0xffff_ffff | value,
            Self::High => address.0 & 0xffff_ffff | value << 32,
        };
    }
}
