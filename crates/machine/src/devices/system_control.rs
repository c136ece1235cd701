//! System control port B at 0x61: gate and output of the 8254's channel 2, and what else PCs have there.
//!
//! | bit | | |
//! | --- | --- | --- |
//! | 0 | gate of channel 2 | read and write |
//! | 1 | speaker data | read and write; there is no speaker |
//! | 2, 3 | checks of memory parity and of the bus are off | read and write; there are no such errors |
//! | 4 | toggles with each refresh of memory | read |
//! | 5 | output of channel 2 | read |
//! | 6, 7 | an error of the bus, of memory | read as 0 |

use outlive_engine::GuestTime;
use serde::{Deserialize, Serialize};

use super::InvalidState;
use super::pit::{self, Pit};

const GATE: u8 = 1 << 0;
const REFRESH: u8 = 1 << 4;
const OUTPUT: u8 = 1 << 5;
/// Bits that read as they were written and do nothing.
const STORED: u8 = 0b1110;

/// Ticks of the 8254 between two refreshes: what channel 1 was made for, 15.085 µs.
const REFRESH_TICKS: u64 = 18;

/// The port. Bit 0 is kept by the PIT.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SystemControl {
    stored: u8,
}

/// The saved form of [`SystemControl`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// Bits 1 to 3, as they were written.
    pub stored: u8,
}

impl SystemControl {
    /// The port at power-on: all bits clear.
    pub fn new() -> Self {
        Self::default()
    }

    /// A read of the port.
    pub fn read(&self, pit: &Pit, now: GuestTime) -> u8 {
        let refresh = now.ticks(pit::FREQUENCY) / REFRESH_TICKS % 2 == 1;
        self.stored | bit(GATE, pit.gate()) | bit(REFRESH, refresh) | bit(OUTPUT, pit.output(2, now))
    }

    /// A write to the port.
    pub fn write(&mut self, value: u8, pit: &mut Pit, now: GuestTime) {
        self.stored = value & STORED;
        pit.set_gate(value & GATE != 0, now);
    }

    /// The saved form.
    pub fn save(&self) -> State {
        State { stored: self.stored }
    }

    /// The port that was saved as `state`.
    ///
    /// # Errors
    /// When the state has bits that the port does not keep.
    pub fn restore(state: &State) -> Result<Self, InvalidState> {
        let kept = state.stored & !STORED == 0;
        InvalidState::unless(kept, "system control port", "it keeps bits that it has not got")?;
        Ok(Self { stored: state.stored })
    }
}

fn bit(mask: u8, set: bool) -> u8 {
    if set { mask } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(nanoseconds: u64) -> GuestTime {
        GuestTime::from_nanoseconds(nanoseconds)
    }

    #[test]
    fn linux_calibrates_its_tsc_against_channel_2() {
        let (mut port, mut pit) = (SystemControl::new(), Pit::new());
        let before = port.read(&pit, at(0));
        port.write(before & !0x02 | 0x01, &mut pit, at(0));
        pit.write(0x43, 0xb0, at(0));
        pit.write(0x42, 0xff, at(0));
        pit.write(0x42, 0x2e, at(0));
        assert_eq!(port.read(&pit, at(10_050_000)) & OUTPUT, 0);
        assert_eq!(port.read(&pit, at(10_100_000)) & OUTPUT, OUTPUT);
    }

    #[test]
    fn refresh_toggles_every_fifteen_microseconds() {
        let (port, pit) = (SystemControl::new(), Pit::new());
        let refresh = |nanoseconds| port.read(&pit, at(nanoseconds)) & REFRESH != 0;
        let toggles = (0..1_000_000).step_by(1000).filter(|&t| refresh(t) != refresh(t + 1000)).count();
        assert_eq!(toggles, 1_000_000 / 15_085);
    }

    #[test]
    fn writable_bits_read_back() {
        let (mut port, mut pit) = (SystemControl::new(), Pit::new());
        port.write(0xff, &mut pit, at(0));
        assert_eq!(port.read(&pit, at(0)) & 0xcf, 0x0f);
        port.write(0, &mut pit, at(0));
        assert_eq!(port.read(&pit, at(0)) & 0xcf, 0);
    }

    proptest! {
        #[test]
        fn a_restored_port_goes_on_alike(value: u8, nanoseconds: u64) {
            let (mut port, mut pit) = (SystemControl::new(), Pit::new());
            port.write(value, &mut pit, at(nanoseconds));
            let restored = SystemControl::restore(&port.save()).unwrap();
            prop_assert_eq!(restored.read(&pit, at(nanoseconds)), port.read(&pit, at(nanoseconds)));
        }

        #[test]
        fn bits_that_the_port_has_not_got_are_refused(stored: u8) {
            prop_assert_eq!(SystemControl::restore(&State { stored }).is_ok(), stored & !STORED == 0);
        }
    }
}
