//! The saved form of a board, and how a board is made from it.

use serde::{Deserialize, Serialize};

use super::{Board, OPEN_LINES, irq};
use crate::devices::{InvalidState, pic, pit, rtc, serial, system_control};
use crate::virtio::{self, SLOT_IRQS, Slot, SlotState};
use crate::world::Output;

/// The saved form of a [`Board`]: all its devices, but for those without a state and for memory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BoardState {
    /// Both 8259s.
    pub interrupts: pic::State,
    /// The 8254.
    pub pit: pit::State,
    /// System control port B.
    pub control: system_control::State,
    /// The real-time clock.
    pub rtc: rtc::State,
    /// The serial port.
    pub serial: serial::State,
    /// The virtio devices, in the order of their slots.
    pub slots: Vec<SlotState>,
}

/// Why a saved state of a board was refused.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum RestoreError {
    /// It has more or fewer devices than this machine's configuration.
    #[error("the saved state has {found} virtio devices, but the machine has {expected}")]
    Slots {
        /// How many this machine has.
        expected: usize,
        /// How many the state has.
        found: usize,
    },
    /// A device of the PC.
    #[error(transparent)]
    Device(#[from] InvalidState),
    /// A virtio device.
    #[error("virtio device number {slot} cannot go on from its saved state")]
    Slot {
        /// Which.
        slot: usize,
        /// What is wrong.
        source: virtio::RestoreError,
    },
    /// An interrupt input whose level is not that of the device that drives it.
    #[error("the saved state is damaged: input {irq} of the interrupt controllers is not what drives it")]
    Wire {
        /// Which input.
        irq: u8,
    },
}

impl Board {
    /// The state that is not configuration. Between two turns of the machine, that is: then the world has
    /// taken all outputs, so they are no part of the state, and who restores it sends none of them again.
    ///
    /// # Panics
    /// When there are outputs that [`take_outputs`](Self::take_outputs) has not taken.
    pub fn save(&self) -> BoardState {
        assert!(self.outputs.is_empty(), "saved before the world took all outputs");
        BoardState {
            interrupts: self.interrupts.save(),
            pit: self.pit.save(),
            control: self.control.save(),
            rtc: self.rtc.save(),
            serial: self.serial.save(),
            slots: self.slots.iter().map(Slot::save).collect(),
        }
    }

    /// This board with a saved state. Configuration (which devices, and which memory) stays as it is; the
    /// memory already has the contents that belong to the state.
    ///
    /// # Errors
    /// When no board of this configuration could have saved that.
    pub fn restore(self, state: BoardState) -> Result<Self, RestoreError> {
        let (expected, found) = (self.slots.len(), state.slots.len());
        if expected != found {
            return Err(RestoreError::Slots { expected, found });
        }
        let Self { ram, slots, .. } = self;
        let restore = |(slot, (device, state)): (usize, (Slot, SlotState))| {
            device.restore(state, &ram).map_err(|source| RestoreError::Slot { slot, source })
        };
        let slots = slots.into_iter().zip(state.slots).enumerate().map(restore).collect::<Result<_, _>>()?;
        let board = Self {
            interrupts: pic::InterruptController::restore(&state.interrupts)?,
            pit: pit::Pit::restore(&state.pit)?,
            control: system_control::SystemControl::restore(&state.control)?,
            rtc: rtc::Rtc::restore(&state.rtc)?,
            serial: serial::Serial::restore(&state.serial)?,
            slots,
            outputs: Vec::new(),
            ram,
        };
        board.check_wires()?;
        Ok(board)
    }

    /// All requests to disks that wait for a completion, in the order in which a disk got them: what a
    /// machine that goes live asks again, for nobody knows which of them were carried out.
    pub fn disk_requests(&self) -> Vec<Output> {
        let mut outputs = Vec::new();
        for slot in &self.slots {
            let Slot::Block(transport) = slot else { continue };
            let block = transport.device();
            let output = |(request, operation)| Output::Disk { disk: block.disk(), request, operation };
            outputs.extend(block.reissue().into_iter().map(output));
        }
        outputs
    }

    /// After each access and input, the lines of devices are carried to the 8259s: see `wire`. The timer's is
    /// not among them, for it is pulsed.
    fn check_wires(&self) -> Result<(), RestoreError> {
        let slots = self.slots.iter().zip(SLOT_IRQS).map(|(slot, irq)| (irq, slot.interrupt_line()));
        let empty = SLOT_IRQS[self.slots.len()..].iter().map(|&irq| (irq, false));
        let open = OPEN_LINES.map(|irq| (irq, false));
        let own = [(irq::SERIAL, self.serial.interrupt()), (irq::RTC, self.rtc.interrupt())];
        let mut lines = own.into_iter().chain(slots).chain(empty).chain(open);
        match lines.find(|&(irq, high)| self.interrupts.line(irq) != high) {
            Some((irq, _)) => Err(RestoreError::Wire { irq }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{RamSize, create_ram};
    use crate::virtio::{Block, Net};
    use crate::world::{DiskIndex, Input, NetworkIndex};
    use outlive_engine::{AccessSize, GuestTime};
    use proptest::prelude::*;

    fn board() -> Board {
        let ram = create_ram(RamSize::from_bytes(2 << 20).unwrap()).unwrap();
        let disk = Block::new(DiskIndex(0), 64, false, "disk");
        let net = Net::new(NetworkIndex(0), [2, 0, 0, 0, 0, 1]);
        Board::new(ram, 1_700_000_000, vec![disk.into(), net.into()])
    }

    fn out(board: &mut Board, port: u16, value: u32, now: GuestTime) {
        let _ = board.port_write(port, AccessSize::Byte, value, now);
        board.take_outputs();
    }

    fn restored(state: BoardState) -> Result<Board, RestoreError> {
        board().restore(state)
    }

    #[test]
    fn a_board_at_power_on_is_restored() {
        assert_eq!(restored(board().save()).unwrap().save(), board().save());
    }

    #[test]
    #[should_panic(expected = "saved before the world took all outputs")]
    fn a_board_is_not_saved_before_its_outputs_are_taken() {
        let mut board = board();
        let _ = board.port_write(0x3f8, AccessSize::Byte, 0x21, GuestTime::BOOT);
        board.save();
    }

    #[test]
    fn a_state_of_another_configuration_is_refused() {
        let mut fewer = board().save();
        fewer.slots.pop();
        assert_eq!(restored(fewer).unwrap_err(), RestoreError::Slots { expected: 2, found: 1 });
        let mut swapped = board().save();
        swapped.slots.swap(0, 1);
        let source = virtio::RestoreError::DeviceType;
        assert_eq!(restored(swapped).unwrap_err(), RestoreError::Slot { slot: 0, source });
    }

    #[test]
    fn every_interrupt_input_must_be_at_the_level_of_what_drives_it() {
        for irq in (0..16).filter(|irq| ![0, 2].contains(irq)) {
            let mut state = board().save();
            let chips = &mut state.interrupts;
            let chip = if irq < 8 { &mut chips.master } else { &mut chips.slave };
            chip.lines |= 1 << (irq % 8);
            assert_eq!(restored(state).unwrap_err(), RestoreError::Wire { irq }, "input {irq}");
        }
    }

    #[test]
    fn a_damaged_device_is_refused() {
        let mut state = board().save();
        state.control.stored = 1;
        assert!(matches!(restored(state), Err(RestoreError::Device(_))));
    }

    proptest! {
        #[test]
        fn a_restored_board_goes_on_as_the_saved_one_does(
            before in proptest::collection::vec((0u16..0x500, any::<u8>(), 0u64..1 << 24), 0..100),
            after in proptest::collection::vec((0u16..0x500, any::<u8>(), 0u64..1 << 24), 0..100),
            typed: Vec<u8>,
        ) {
            let mut now = 0;
            let mut one = board();
            one.apply(Input::Console(typed)).unwrap();
            for (port, value, passed) in before {
                now += passed;
                out(&mut one, port, value.into(), GuestTime::from_nanoseconds(now));
            }
            let mut other = restored(one.save()).unwrap();
            for (port, value, passed) in after {
                now += passed;
                let now = GuestTime::from_nanoseconds(now);
                prop_assert_eq!(one.deadline(), other.deadline());
                for board in [&mut one, &mut other] {
                    if board.deadline().is_some_and(|deadline| deadline <= now) {
                        board.apply(Input::ClockTick(now)).unwrap();
                    }
                    out(board, port, value.into(), now);
                    board.port_read(port ^ 1, AccessSize::Byte, now);
                    if board.interrupt_pending() {
                        board.acknowledge_interrupt();
                    }
                }
            }
            prop_assert_eq!(one.save(), other.save());
        }
    }
}
