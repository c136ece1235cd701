//! The command port of the 8042 keyboard controller, of which only the reset line is wired.
//!
//! There is no keyboard, and port 0x60 is open bus. What the command port reads serves two drivers of
//! Linux that both would rather wait than give up:
//!
//! * reboot (`kb_wait`) wants bit 1, input buffer full, clear before it writes the reset command;
//! * the keyboard driver (`i8042_flush`) reads data for as long as bit 0, output buffer full, is set. One
//!   that stays set after sixteen reads means that there is no controller. Were the bit clear, the driver
//!   would go on to send commands and wait for each answer for half a second.
//!
//! So the output buffer is always full, and the input buffer is always empty. That is a constant: this
//! device has no state, hence no saved form.

/// Status register: data waits at port 0x60.
const OUTPUT_BUFFER_FULL: u8 = 1 << 0;
/// Commands 0xf0 to 0xff pulse those lines of the output port low whose bits are clear.
const PULSE_OUTPUT_PORT: u8 = 0xf0;
/// Bit 0 of the output port is the processor's reset line.
const NOT_RESET: u8 = 1 << 0;

/// The guest asks for a reset of its machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResetRequest;

/// A read of the status register at port 0x64.
pub fn read() -> u8 {
    OUTPUT_BUFFER_FULL
}

/// A write of a command to port 0x64. All but pulses of the reset line (0xfe, as everybody writes it) are
/// ignored.
#[must_use = "the guest asks for a reset"]
pub fn write(command: u8) -> Option<ResetRequest> {
    (command & (PULSE_OUTPUT_PORT | NOT_RESET) == PULSE_OUTPUT_PORT).then_some(ResetRequest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulses_of_the_reset_line_reset_and_nothing_else_does() {
        let resets: Vec<u8> = (0..=u8::MAX).filter(|&command| write(command).is_some()).collect();
        assert_eq!(resets, [0xf0, 0xf2, 0xf4, 0xf6, 0xf8, 0xfa, 0xfc, 0xfe]);
    }

    #[test]
    fn linux_can_write_its_reset_command_at_once() {
        assert_eq!(read() & 0x02, 0);
    }

    #[test]
    fn linux_finds_a_buffer_that_never_empties_and_gives_up() {
        assert!((0..=16).all(|_| read() & 0x01 != 0));
    }
}
