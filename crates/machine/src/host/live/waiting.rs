//! How long inputs wait.

use std::time::Duration;

/// How long inputs waited for the machine to take them: a frame, typed bytes or a disk completion from when its
/// thread had it, a clock tick from its deadline.
///
/// An engine that lets inputs land at any instruction takes them as soon as the vCPU stands still. On one that lets
/// them land at exits only, an input waits for the guest's next exit: this is the price.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Waiting {
    /// How many inputs the machine has taken.
    pub inputs: u64,
    /// How long they waited, all together.
    pub total: Duration,
    /// How long the one waited that waited longest.
    pub longest: Duration,
}

impl Waiting {
    /// The machine has taken an input that waited so long.
    pub(super) fn note(&mut self, waited: Duration) {
        self.inputs += 1;
        self.total = self.total.saturating_add(waited);
        self.longest = self.longest.max(waited);
    }
}
