//! The debug exit: a port through which a test guest ends its machine with a number.
//!
//! It has no state, hence no saved form.

use outlive_engine::AccessSize;

/// A write to [`DEBUG_EXIT_PORT`](outlive_engine::ports::DEBUG_EXIT_PORT). Returns the number with which
/// the machine is to end, 0 for success. Only byte writes count, so that probing drivers end no machine.
#[must_use = "the guest asks for its machine to end"]
pub fn write(size: AccessSize, value: u32) -> Option<u8> {
    match size {
        AccessSize::Byte => u8::try_from(value).ok(),
        AccessSize::Word | AccessSize::Dword => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_byte_write_ends_the_machine() {
        assert_eq!(write(AccessSize::Byte, 0), Some(0));
        assert_eq!(write(AccessSize::Byte, 0xff), Some(0xff));
        assert_eq!(write(AccessSize::Word, 1), None);
        assert_eq!(write(AccessSize::Dword, 1), None);
    }

    #[test]
    fn a_value_wider_than_its_access_ends_nothing() {
        assert_eq!(write(AccessSize::Byte, 0x100), None);
    }
}
