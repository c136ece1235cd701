//! The ACPI power management timer: 24 bits that count at 3,579,545 Hz (ACPI 6.5, section 4.8.3.3).
//!
//! Linux takes it as its clock source when the kernel command line has `pmtmr=0x608`. The count is a
//! function of guest time alone: this device has no state, hence no saved form. TMR_STS and its interrupt
//! belong to ACPI's fixed hardware, which this machine has not.

use outlive_engine::{AccessSize, GuestTime};

/// Three times the colour subcarrier of NTSC television.
const FREQUENCY: u64 = 3_579_545;
/// The counter is 24 bits wide: TMR_VAL_EXT is clear.
const COUNTER_MASK: u32 = 0x00ff_ffff;

/// What the counter shows at `now`.
pub fn count(now: GuestTime) -> u32 {
    (now.ticks(FREQUENCY) as u32) & COUNTER_MASK
}

/// A read of `size` bytes at `offset` (0 to 3) from the timer's first port. Bytes beyond the register read
/// all ones.
pub fn read(offset: u16, size: AccessSize, now: GuestTime) -> u32 {
    let register_and_open_bus = u64::from(count(now)) | u64::from(u32::MAX) << 32;
    let shifted = register_and_open_bus >> (8 * u32::from(offset).min(4));
    shifted as u32 & size.all_ones()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_hour_is_counted_without_drift() {
        let hour = GuestTime::from_nanoseconds(3_600_000_000_000);
        assert_eq!(u64::from(count(hour)), (3600 * FREQUENCY) % (1 << 24));
    }

    #[test]
    fn bytes_beyond_the_register_are_open_bus() {
        assert_eq!(read(2, AccessSize::Dword, GuestTime::BOOT), 0xffff_0000);
        assert_eq!(read(9, AccessSize::Byte, GuestTime::BOOT), 0xff);
    }

    proptest! {
        #[test]
        fn partial_reads_are_pieces_of_the_full_one(nanoseconds: u64, offset in 0u16..4) {
            let now = GuestTime::from_nanoseconds(nanoseconds);
            let bytes = read(0, AccessSize::Dword, now).to_le_bytes();
            let byte = read(offset, AccessSize::Byte, now);
            prop_assert_eq!(byte, u32::from(bytes[usize::from(offset)]));
            prop_assert_eq!(bytes[3], 0);
        }

        #[test]
        fn no_access_panics(nanoseconds: u64, offset: u16, size in 0usize..5) {
            if let Some(size) = AccessSize::from_bytes(size) {
                let value = read(offset, size, GuestTime::from_nanoseconds(nanoseconds));
                prop_assert!(value <= size.all_ones());
            }
        }
    }
}
