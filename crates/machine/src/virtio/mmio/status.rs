//! The device status field: how far driver and device are with each other (VirtIO 1.2, 2.1).

const ACKNOWLEDGE: u32 = 1;
const DRIVER: u32 = 2;
const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
const DEVICE_NEEDS_RESET: u32 = 64;
const FAILED: u32 = 128;

/// The steps of initialization in their order (VirtIO 1.2, 3.1.1).
const STEPS: [u32; 4] = [ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK];

/// The device status field.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Status(u32);

impl Status {
    /// The field as the driver reads it.
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// The status with these bits; `None` if a device never gets there.
    pub(super) fn from_bits(bits: u32) -> Option<Self> {
        let reachable = Self::default().after_write(bits, true).0 | bits & DEVICE_NEEDS_RESET;
        (bits == reachable).then_some(Self(bits))
    }

    /// The status after the driver has written `bits`, which are not zero.
    ///
    /// A driver must not clear a bit (VirtIO 1.2, 2.1.1): a write that does is ignored. A step is taken only
    /// with or after all steps before it, and `FEATURES_OK` only if the features are acceptable (2.2.2).
    pub(super) fn after_write(self, bits: u32, are_features_acceptable: bool) -> Self {
        let clears = self.0 & !DEVICE_NEEDS_RESET & !bits;
        if clears != 0 {
            return self;
        }
        let may_take = |step| self.has(step) || step != FEATURES_OK || are_features_acceptable;
        let taken = STEPS.into_iter().take_while(|&step| bits & step != 0 && may_take(step));
        Self(taken.fold(self.0 | bits & FAILED, |status, step| status | step))
    }

    /// The status after an error of which only a reset helps.
    pub(super) fn needing_reset(self) -> Self {
        Self(self.0 | DEVICE_NEEDS_RESET)
    }

    /// Whether the device works: the driver is ready and neither has given up.
    pub(super) fn is_live(self) -> bool {
        self.has(DRIVER_OK) && !self.has(DEVICE_NEEDS_RESET) && !self.has(FAILED)
    }

    /// Whether the driver may choose features.
    pub(super) fn may_accept_features(self) -> bool {
        self.has(DRIVER) && !self.has(FEATURES_OK)
    }

    /// Whether the driver may set up queues.
    pub(super) fn may_set_up_queues(self) -> bool {
        self.has(FEATURES_OK)
    }

    fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_out_of_order_are_not_taken() {
        for bits in [DRIVER, DRIVER_OK, FEATURES_OK, FEATURES_OK | DRIVER_OK, DEVICE_NEEDS_RESET, 0x30] {
            assert_eq!(Status::default().after_write(bits, true).bits(), 0, "{bits:#x}");
        }
        let skipping = ACKNOWLEDGE | DRIVER | DRIVER_OK;
        assert_eq!(Status::default().after_write(skipping, true).bits(), ACKNOWLEDGE | DRIVER);
    }

    #[test]
    fn unacceptable_features_leave_features_ok_clear() {
        let all = STEPS.iter().sum();
        assert_eq!(Status::default().after_write(all, false).bits(), ACKNOWLEDGE | DRIVER);
        assert_eq!(Status::default().after_write(all, true).bits(), all);
    }

    #[test]
    fn features_stay_ok_once_they_are() {
        let settled = Status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        assert!(settled.after_write(settled.bits() | DRIVER_OK, false).is_live());
    }

    #[test]
    fn a_write_that_clears_a_bit_is_ignored() {
        let settled = Status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        assert_eq!(settled.after_write(ACKNOWLEDGE | DRIVER, true), settled);
        assert_eq!(settled.after_write(FAILED, true), settled);
    }

    #[test]
    fn the_need_for_a_reset_does_not_hinder_the_driver_and_stays() {
        let broken = Status(ACKNOWLEDGE | DRIVER).needing_reset();
        let failed = broken.after_write(ACKNOWLEDGE | DRIVER | FAILED, true);
        assert_eq!(failed.bits(), ACKNOWLEDGE | DRIVER | FAILED | DEVICE_NEEDS_RESET);
    }

    #[test]
    fn only_reachable_bits_are_a_status() {
        let reachable: Vec<u32> = (0..=0x1ff).filter(|&bits| Status::from_bits(bits).is_some()).collect();
        let ladder = [0, 1, 3, 0xb, 0xf];
        let mut expected: Vec<u32> = [0, DEVICE_NEEDS_RESET, FAILED, DEVICE_NEEDS_RESET | FAILED]
            .iter()
            .flat_map(|flags| ladder.map(|steps| steps | flags))
            .collect();
        expected.sort_unstable();
        assert_eq!(reachable, expected);
    }
}
