//! Under what circumstances an address leads to code.
//!
//! Who runs, in which code size, and the *epoch*: how often translations were forgotten. Two numbers say all of
//! that: one for code in global pages of the upper half of the address space (a kernel's), whose epoch changes
//! of the address space leave alone, and one for all other code. What is remembered of an address holds as
//! long as its number does.

use super::tlb::Mode;

/// How code is to be decoded: what else than its bytes decides what instructions do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum CodeSize {
    /// 64-bit mode.
    Long,
    /// Compatibility mode with a default of 32 bits.
    Compatibility,
}

/// Which translations are forgotten.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Flush {
    /// All but those of global pages in the upper half of the address space.
    Local,
    /// All.
    All,
}

/// The bit of a number that says that it is for code in global pages.
const GLOBAL: u64 = 1 << 7;

/// The circumstances, as they are now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// Of most code, and of code in global pages. Never zero, never alike.
    numbers: [u64; 2],
    epochs: [u64; 2],
}

impl Circumstances {
    /// At the beginning.
    pub(crate) fn new(mode: Mode, size: CodeSize) -> Self {
        let mut this = Self { numbers: [0; 2], epochs: [1; 2] };
        this.set(mode, size);
        this
    }

    /// Another mode or code size.
    pub(crate) fn set(&mut self, mode: Mode, size: CodeSize) {
        for (global, (number, epoch)) in self.numbers.iter_mut().zip(self.epochs).enumerate() {
            *number = epoch << 8 | if global == 1 { GLOBAL } else { 0 } | (mode as u64) << 1 | size as u64;
        }
    }

    /// Translations are forgotten.
    pub(crate) fn forget(&mut self, flush: Flush) {
        let count = |epoch: &mut u64, number: &mut u64| {
            *epoch += 1;
            *number += 1 << 8;
        };
        let [local, global] = &mut self.numbers;
        count(&mut self.epochs[0], local);
        if flush == Flush::All {
            count(&mut self.epochs[1], global);
        }
    }

    /// The number that holds for code in global pages of the upper half, or for other code.
    #[inline]
    pub(crate) fn number(&self, is_global: bool) -> u64 {
        self.numbers[usize::from(is_global)]
    }

    /// Whether a number is that of one or the other code now.
    #[inline]
    pub(crate) fn are(&self, number: u64) -> bool {
        number == self.numbers[0] || number == self.numbers[1]
    }

    /// Where in the structure the number is that takes the place of this one, for native code.
    pub(crate) fn offset(number: u64) -> usize {
        let is_global = number & GLOBAL != 0;
        std::mem::offset_of!(Self, numbers) + 8 * usize::from(is_global)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_address_space_leaves_global_code_alone() {
        let mut now = Circumstances::new(Mode::Supervisor, CodeSize::Long);
        let before = [now.number(false), now.number(true)];
        assert_ne!(before[0], before[1]);
        now.forget(Flush::Local);
        assert_eq!((now.are(before[0]), now.are(before[1])), (false, true));
        now.forget(Flush::All);
        assert!(!now.are(before[1]));
    }

    #[test]
    fn mode_and_code_size_are_told_apart_and_come_back() {
        let mut now = Circumstances::new(Mode::Supervisor, CodeSize::Long);
        let before = now.number(false);
        for (mode, size) in [(Mode::User, CodeSize::Long), (Mode::Supervisor, CodeSize::Compatibility)] {
            now.set(mode, size);
            assert!(!now.are(before));
        }
        now.set(Mode::Supervisor, CodeSize::Long);
        assert!(now.are(before));
    }
}
