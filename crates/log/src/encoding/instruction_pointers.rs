//! RIPs: a guest is interrupted at the same few instructions over and over.

use super::DecodeError;
use super::bytes::{Source, put, unzigzag, zigzag};

/// How many are remembered.
const REMEMBERED: usize = 16;

/// Where the upper 2 GiB begin, with the kernel in them.
const LINUX_KERNEL: u64 = 0xffff_ffff_8000_0000;

/// The last different RIPs, the newest first; zeros before there were any.
///
/// One that is remembered is written as its place in the list. Another one is written as its distance from the
/// newest one in the same half of the address space, for a kernel lives in the upper half and programs in the lower.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct RecentRips {
    rips: [u64; REMEMBERED],
}

impl RecentRips {
    /// The last one.
    pub(super) fn last(&self) -> u64 {
        self.rips[0]
    }

    pub(super) fn encode(&mut self, rip: u64, to: &mut Vec<u8>) {
        match self.rips.iter().position(|&known| known == rip) {
            Some(place) => put(to, place as u64),
            None => put(to, self.coded_distance(rip)),
        }
        self.remember(rip);
    }

    pub(super) fn decode(&mut self, from: &mut Source<'_>) -> Result<u64, DecodeError> {
        let coded: u128 = from.get()?;
        let rip = match self.rips.get(usize::try_from(coded).unwrap_or(usize::MAX)) {
            Some(&known) => known,
            None => self.at_coded_distance(coded)?,
        };
        self.remember(rip);
        Ok(rip)
    }

    /// Behind the places come the distances, the lowest bit telling the half. That is one bit more than 64.
    fn coded_distance(&self, rip: u64) -> u128 {
        let half = rip >> 63;
        let distance = zigzag(rip.wrapping_sub(self.newest_in(half)));
        (u128::from(distance) << 1 | u128::from(half)) + REMEMBERED as u128
    }

    fn at_coded_distance(&self, coded: u128) -> Result<u64, DecodeError> {
        let distance = coded - REMEMBERED as u128;
        let number = u64::try_from(distance >> 1).map_err(|_| DecodeError::Range("RIP"))?;
        Ok(self.newest_in((distance & 1) as u64).wrapping_add(unzigzag(number)))
    }

    /// If there was none yet, where Linux has its kernel, or the beginning.
    fn newest_in(&self, half: u64) -> u64 {
        self.rips.iter().copied().find(|rip| rip >> 63 == half).unwrap_or(half * LINUX_KERNEL)
    }

    fn remember(&mut self, rip: u64) {
        let place = self.rips.iter().position(|&known| known == rip).unwrap_or(REMEMBERED - 1);
        self.rips[..=place].rotate_right(1);
        self.rips[0] = rip;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lengths(rips: &[u64]) -> Vec<usize> {
        let mut recent = RecentRips::default();
        let length = |&rip: &u64| {
            let mut bytes = Vec::new();
            recent.encode(rip, &mut bytes);
            bytes.len()
        };
        rips.iter().map(length).collect()
    }

    #[test]
    fn a_rip_that_is_remembered_takes_one_byte() {
        let mut rips: Vec<u64> = (0..16).map(|n| 0xffff_ffff_8100_0000 + n * 0x12345).collect();
        rips.extend(rips.clone());
        assert_eq!(lengths(&rips)[16..], [1; 16]);
    }

    #[test]
    fn a_program_between_kernel_places_takes_five_bytes() {
        let kernel = 0xffff_ffff_8100_0000;
        let program = 0x5555_5555_0000;
        let rips = [kernel, program, kernel + 0x10_0000, program + 0x1_0000, kernel + 0x20_0000];
        assert_eq!(lengths(&rips)[2..], [5, 5, 5]);
    }

    #[test]
    fn the_first_rip_in_a_kernel_takes_five_bytes() {
        assert_eq!(lengths(&[0xffff_ffff_8100_0000]), [5]);
    }

    fn rips() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec(prop_oneof![any::<u64>(), 0..40u64, Just(u64::MAX)], 0..80)
    }

    proptest! {
        #[test]
        fn every_rip_comes_back(rips in rips()) {
            let mut bytes = Vec::new();
            let mut recent = RecentRips::default();
            rips.iter().for_each(|&rip| recent.encode(rip, &mut bytes));
            let mut source = Source::new(&bytes);
            let mut decoder = RecentRips::default();
            for &rip in &rips {
                prop_assert_eq!(decoder.decode(&mut source).unwrap(), rip);
            }
            prop_assert_eq!(source.left(), 0);
            prop_assert_eq!(recent, decoder);
        }
    }
}
