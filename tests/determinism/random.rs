//! Random places, from a seed that a failing test prints.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

/// A stream of numbers that follows from its seed: SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    /// A stream from the seed in the environment variable `OUTLIVE_SEED`, else from a fresh one. Prints it: a
    /// test's output is shown if it fails.
    pub(crate) fn new() -> Self {
        let given =
            std::env::var("OUTLIVE_SEED").ok().map(|seed| seed.parse().expect("OUTLIVE_SEED is a number"));
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0u8));
        println!("repeat this with OUTLIVE_SEED={seed}");
        Self(seed)
    }

    /// Another stream that follows from this one.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// `count` different numbers from 1 to `last`, in order; all of them if there are no more.
    pub(crate) fn places(&mut self, count: usize, last: u64) -> Vec<u64> {
        if last <= count as u64 {
            return (1..=last).collect();
        }
        let mut places = BTreeSet::new();
        while places.len() < count {
            places.insert(1 + self.next() % last);
        }
        places.into_iter().collect()
    }
}
