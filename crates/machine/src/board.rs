//! The main board: all devices, the two buses that lead to them, and the wires to the 8259s.
//!
//! Ports are decoded by [`outlive_engine::ports`], the very table that says how each port is kept
//! deterministic, so that no device can answer at a port that the table does not know. Devices of a PC are
//! eight bits wide: a wider access reaches them as accesses to consecutive ports, lowest first, as an ISA
//! bus does it.

use outlive_engine::determinism::Treatment;
use outlive_engine::ports::{self, PortDevice};
use outlive_engine::{AccessSize, GuestPhysical, GuestRam, GuestTime};

use crate::devices::pic::InterruptController;
use crate::devices::pit::Pit;
use crate::devices::rtc::Rtc;
use crate::devices::serial::Serial;
use crate::devices::system_control::SystemControl;
use crate::devices::{debug_exit, keyboard_controller, pm_timer};
use crate::virtio::{self, CompletionError, SLOT_IRQS, Slot};
use crate::world::{DiskIndex, DiskRequestId, DiskStatus, Input, NetworkIndex, Output};

mod state;

pub use state::{BoardState, RestoreError};

/// Inputs of the 8259s.
mod irq {
    pub(super) const TIMER: u8 = 0;
    pub(super) const SERIAL: u8 = 4;
    pub(super) const RTC: u8 = 8;
}

/// Inputs of the 8259s that nothing ever drives: those of a PC's keyboard, parallel ports, coprocessor and second
/// disk.
const OPEN_LINES: [u8; 4] = [1, 7, 13, 15];

/// What a byte-wide device reads that is not there.
const OPEN_BUS: u8 = 0xff;

/// The guest wants its machine to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndRequest {
    /// By the keyboard controller's reset line.
    Reset,
    /// By a number at the debug-exit port.
    DebugExit(u8),
}

/// An input that does not fit the machine: it came from a log or a peer of another machine.
#[derive(thiserror::Error, Debug)]
pub enum InputError {
    /// There is no such disk.
    #[error("there is no disk number {}", .0.0)]
    NoSuchDisk(DiskIndex),
    /// There is no such network.
    #[error("there is no network number {}", .0.0)]
    NoSuchNetwork(NetworkIndex),
    /// The disk did not ask for that.
    #[error(transparent)]
    Completion(#[from] CompletionError),
}

/// All devices of the machine.
#[derive(Debug)]
pub struct Board {
    ram: GuestRam,
    interrupts: InterruptController,
    pit: Pit,
    control: SystemControl,
    rtc: Rtc,
    serial: Serial,
    slots: Vec<Slot>,
    outputs: Vec<Output>,
}

impl Board {
    /// A board at power-on. `wall_clock` is what its real-time clock shows then, in Unix seconds; `slots`
    /// are its virtio devices, at most as many as there are [`SLOT_IRQS`].
    pub fn new(ram: GuestRam, wall_clock: i64, slots: Vec<Slot>) -> Self {
        assert!(slots.len() <= SLOT_IRQS.len(), "{} devices for {} slots", slots.len(), SLOT_IRQS.len());
        Self {
            ram,
            interrupts: InterruptController::new(),
            pit: Pit::new(),
            control: SystemControl::new(),
            rtc: Rtc::new(wall_clock),
            serial: Serial::new(),
            slots,
            outputs: Vec::new(),
        }
    }

    /// Guest memory.
    pub fn ram(&self) -> &GuestRam {
        &self.ram
    }

    /// Whether the processor's interrupt pin is high.
    pub fn interrupt_pending(&self) -> bool {
        self.interrupts.pending()
    }

    /// The processor takes the interrupt: its vector.
    pub fn acknowledge_interrupt(&mut self) -> u8 {
        self.interrupts.acknowledge()
    }

    /// When the next device timer is due.
    pub fn deadline(&self) -> Option<GuestTime> {
        [self.pit.deadline(), self.rtc.deadline()].into_iter().flatten().min()
    }

    /// What the devices want the world to see since the last call, in order.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Whether an access to these ports needs the time: it shows it to the guest, or starts a timer.
    pub fn port_wants_time(&self, port: u16, size: AccessSize) -> bool {
        byte_ports(port, size)
            .any(|port| ports::lookup(port).is_some_and(|range| range.treatment == Treatment::Recorded))
    }

    /// IN.
    pub fn port_read(&mut self, port: u16, size: AccessSize, now: GuestTime) -> u32 {
        let value = match device_at(port) {
            Some(PortDevice::PmTimer) => pm_timer::read(port - ports::PM_TIMER_PORT, size, now),
            _ => {
                let mut bytes = [0; 4];
                for (byte, port) in bytes.iter_mut().zip(byte_ports(port, size)) {
                    *byte = self.read_byte(port, now);
                }
                u32::from_le_bytes(bytes)
            }
        };
        self.wire();
        value
    }

    fn read_byte(&mut self, port: u16, now: GuestTime) -> u8 {
        match device_at(port) {
            Some(PortDevice::MasterPic | PortDevice::SlavePic | PortDevice::ElcrRegisters) => {
                self.interrupts.read(port)
            }
            Some(PortDevice::Pit) => self.pit.read(port, now),
            Some(PortDevice::SystemControl) => self.control.read(&self.pit, now),
            Some(PortDevice::KeyboardController) => keyboard_controller::read(),
            Some(PortDevice::Rtc) => self.rtc.read(port, now),
            Some(PortDevice::Serial) => self.serial.read(port - ports::SERIAL_PORT),
            Some(PortDevice::PmTimer) => {
                pm_timer::read(port - ports::PM_TIMER_PORT, AccessSize::Byte, now) as u8
            }
            // Time reads are 32 bits wide and do not come here.
            Some(PortDevice::PowerOnSelfTest | PortDevice::TimeRead | PortDevice::DebugExit) | None => {
                OPEN_BUS
            }
        }
    }

    /// OUT. The guest may want its machine to end by it.
    #[must_use = "the guest may ask for its machine to end"]
    pub fn port_write(
        &mut self,
        port: u16,
        size: AccessSize,
        value: u32,
        now: GuestTime,
    ) -> Option<EndRequest> {
        let end = match device_at(port) {
            Some(PortDevice::DebugExit) => debug_exit::write(size, value).map(EndRequest::DebugExit),
            _ => {
                let bytes = value.to_le_bytes();
                let mut writes = byte_ports(port, size).zip(bytes);
                writes.find_map(|(port, byte)| self.write_byte(port, byte, now))
            }
        };
        self.wire();
        end
    }

    fn write_byte(&mut self, port: u16, value: u8, now: GuestTime) -> Option<EndRequest> {
        match device_at(port) {
            Some(PortDevice::MasterPic | PortDevice::SlavePic | PortDevice::ElcrRegisters) => {
                self.interrupts.write(port, value);
            }
            Some(PortDevice::Pit) => self.pit.write(port, value, now),
            Some(PortDevice::SystemControl) => self.control.write(value, &mut self.pit, now),
            Some(PortDevice::KeyboardController) => {
                return keyboard_controller::write(value).map(|_| EndRequest::Reset);
            }
            Some(PortDevice::Rtc) => self.rtc.write(port, value, now),
            Some(PortDevice::Serial) => {
                let sent = self.serial.write(port - ports::SERIAL_PORT, value);
                self.outputs.extend(sent.map(Output::Console));
            }
            Some(
                PortDevice::PowerOnSelfTest
                | PortDevice::TimeRead
                | PortDevice::DebugExit
                | PortDevice::PmTimer,
            )
            | None => {}
        }
        None
    }

    /// A read outside of RAM, of 1 to 8 bytes.
    pub fn mmio_read(&mut self, address: GuestPhysical, bytes: u8) -> u64 {
        let slot =
            virtio::locate(address).and_then(|(slot, offset)| Some((self.slots.get_mut(slot)?, offset)));
        match slot {
            Some((slot, offset)) => slot.read(offset, bytes),
            None => u64::MAX,
        }
    }

    /// A write outside of RAM, of 1 to 8 bytes.
    pub fn mmio_write(&mut self, address: GuestPhysical, bytes: u8, value: u64) {
        let slot =
            virtio::locate(address).and_then(|(slot, offset)| Some((self.slots.get_mut(slot)?, offset)));
        if let Some((slot, offset)) = slot {
            slot.write(offset, bytes, value, &self.ram, &mut self.outputs);
        }
        self.wire();
    }

    /// Applies an input.
    ///
    /// # Errors
    /// When it does not fit this machine.
    pub fn apply(&mut self, input: Input) -> Result<(), InputError> {
        match input {
            Input::ClockTick(now) => self.tick(now),
            Input::Console(bytes) => self.serial.receive(&bytes),
            Input::Frame { network, bytes } => self.receive(network, &bytes)?,
            Input::DiskCompletion { disk, request, status, data } => {
                self.complete(disk, request, status, &data)?;
            }
        }
        self.wire();
        Ok(())
    }

    fn tick(&mut self, now: GuestTime) {
        if self.pit.advance(now) {
            self.interrupts.pulse(irq::TIMER);
        }
        self.rtc.advance(now);
    }

    fn receive(&mut self, network: NetworkIndex, frame: &[u8]) -> Result<(), InputError> {
        let device = self.slots.iter_mut().find_map(|slot| slot.as_network(network));
        device.ok_or(InputError::NoSuchNetwork(network))?.receive(frame, &self.ram);
        Ok(())
    }

    fn complete(
        &mut self,
        disk: DiskIndex,
        request: DiskRequestId,
        status: DiskStatus,
        data: &[u8],
    ) -> Result<(), InputError> {
        let device = self.slots.iter_mut().find_map(|slot| slot.as_disk(disk));
        device.ok_or(InputError::NoSuchDisk(disk))?.complete(request, status, data, &self.ram)?;
        Ok(())
    }

    /// Carries the devices' interrupt lines to the 8259s.
    fn wire(&mut self) {
        self.interrupts.drive(irq::SERIAL, self.serial.take_line());
        self.interrupts.set_line(irq::RTC, self.rtc.interrupt());
        for (slot, irq) in self.slots.iter().zip(SLOT_IRQS) {
            self.interrupts.set_line(irq, slot.interrupt_line());
        }
    }
}

fn device_at(port: u16) -> Option<PortDevice> {
    ports::lookup(port).map(|range| range.device)
}

/// The ports that an access reaches, lowest first. The space of ports wraps around.
fn byte_ports(port: u16, size: AccessSize) -> impl Iterator<Item = u16> {
    (0..size.bytes() as u16).map(move |offset| port.wrapping_add(offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{RamSize, create_ram};
    use proptest::prelude::*;

    fn board() -> Board {
        let ram = create_ram(RamSize::from_bytes(2 << 20).unwrap()).unwrap();
        Board::new(ram, 1_700_000_000, Vec::new())
    }

    fn sizes() -> impl Strategy<Value = AccessSize> {
        prop_oneof![Just(AccessSize::Byte), Just(AccessSize::Word), Just(AccessSize::Dword)]
    }

    #[test]
    fn ports_without_a_device_read_all_ones() {
        let mut board = board();
        for port in (0..=u16::MAX).filter(|&port| device_at(port).is_none()) {
            assert_eq!(board.read_byte(port, GuestTime::BOOT), 0xff, "port {port:#x}");
        }
        assert_eq!(board.port_read(0xcf8, AccessSize::Dword, GuestTime::BOOT), u32::MAX, "no PCI");
    }

    #[test]
    fn addresses_without_a_device_read_all_ones() {
        let mut board = board();
        for address in [0xd000_0000, 0xd000_7fff, 0xfec0_0000, 0xfee0_0000, u64::MAX] {
            assert_eq!(board.mmio_read(GuestPhysical(address), 4), u64::MAX, "{address:#x}");
        }
    }

    #[test]
    fn a_wide_access_reaches_the_next_port_too() {
        let mut board = board();
        let _ = board.port_write(0x20, AccessSize::Word, 0x5a00, GuestTime::BOOT);
        assert_eq!(board.read_byte(0x21, GuestTime::BOOT), 0x5a, "the master's mask register");
    }

    #[test]
    fn inputs_for_devices_that_are_not_there_are_refused() {
        let frame = Input::Frame { network: NetworkIndex(0), bytes: vec![0; 60] };
        assert!(matches!(board().apply(frame), Err(InputError::NoSuchNetwork(NetworkIndex(0)))));
        let (disk, request) = (DiskIndex(3), DiskRequestId(0));
        let done = Input::DiskCompletion { disk, request, status: DiskStatus::Done, data: Vec::new() };
        assert!(matches!(board().apply(done), Err(InputError::NoSuchDisk(DiskIndex(3)))));
    }

    proptest! {
        #[test]
        fn no_sequence_of_port_accesses_panics(
            accesses in proptest::collection::vec((0u16..0x700, sizes(), any::<u32>(), any::<bool>(), 0u64..1 << 32), 1..200),
        ) {
            let mut board = board();
            let mut now = 0;
            for (port, size, value, write, passed) in accesses {
                now += passed;
                let time = GuestTime::from_nanoseconds(now);
                if write {
                    let _ = board.port_write(port, size, value, time);
                } else {
                    board.port_read(port, size, time);
                }
                if board.deadline().is_some_and(|deadline| deadline <= time) {
                    board.apply(Input::ClockTick(time)).unwrap();
                }
                if board.interrupt_pending() {
                    board.acknowledge_interrupt();
                }
            }
        }
    }
}
