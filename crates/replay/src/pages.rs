//! Which pages of memory have changed since the digest before, by sixteen bits of the hash of each.

use outlive_engine::GuestRam;
use outlive_log::entry::{Hash, PageCheck};
use outlive_machine::digest::Digest;
use outlive_machine::memory::PAGE_SIZE;
use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};

/// What each page of a machine's memory was when it was looked at last.
#[derive(Clone, Debug)]
pub(crate) struct PageHistory {
    ram: GuestRam,
    checks: Vec<u16>,
}

impl PageHistory {
    /// Memory as it is now.
    pub(crate) fn new(ram: GuestRam) -> Self {
        let checks = hash(&ram).1;
        Self { ram, checks }
    }

    /// Looks again: the digest of memory, and what has changed.
    pub(crate) fn look(&mut self) -> (Hash, Vec<PageCheck>) {
        let (digest, checks) = hash(&self.ram);
        let before = std::mem::replace(&mut self.checks, checks);
        let changed = self.checks.iter().zip(before).enumerate().filter(|(_, (now, before))| *now != before);
        let changed = changed.map(|(page, (&check, _))| PageCheck { page: page as u64, check });
        (digest, changed.collect())
    }

    /// Takes over what a log tells of changed pages, instead of looking.
    pub(crate) fn believe(&mut self, changed: &[PageCheck]) {
        for change in changed {
            if let Some(check) = usize::try_from(change.page).ok().and_then(|page| self.checks.get_mut(page))
            {
                *check = change.check;
            }
        }
    }

    /// The pages whose check is another one in `other`: number, ours, theirs.
    pub(crate) fn differences(&self, other: &Self) -> impl Iterator<Item = (u64, u16, u16)> {
        let pairs = self.checks.iter().zip(&other.checks).enumerate();
        pairs
            .filter(|(_, (ours, theirs))| ours != theirs)
            .map(|(page, (&ours, &theirs))| (page as u64, ours, theirs))
    }
}

fn hash(ram: &GuestRam) -> (Hash, Vec<u16>) {
    let end = ram.iter().map(|region| region.start_addr().0 + region.len()).max().unwrap_or(0);
    let mut checks = vec![0; usize::try_from(end).unwrap_or(usize::MAX).div_ceil(PAGE_SIZE)];
    let digest = Digest::of_memory_by_page(ram, |page, hash| {
        let bytes = hash.as_bytes();
        // Zero says that the page is all zeros.
        checks[page as usize] = u16::from_le_bytes([bytes[0], bytes[1]]).max(1);
    });
    (digest.0, checks)
}
