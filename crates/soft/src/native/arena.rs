//! Memory for machine code: one file mapped twice, once to write and once to execute, so that no page is ever
//! both.

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of an arena.
const BYTES: usize = 64 << 20;

/// Machine code, filled from its beginning to its end.
#[derive(Debug)]
pub(super) struct Arena {
    writable: *mut u8,
    executable: *mut u8,
    used: usize,
}

// SAFETY: the mappings belong to the arena alone, wherever it goes.
unsafe impl Send for Arena {}

impl Arena {
    /// An empty arena, unless the host refuses memory that can be executed.
    pub(super) fn new() -> rustix::io::Result<Self> {
        let file = memfd_create("outlive-native-code", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, BYTES as u64)?;
        let map = |protection| {
            // SAFETY: a new mapping at an address of the host's choice touches nothing else.
            unsafe { mmap(std::ptr::null_mut(), BYTES, protection, MapFlags::SHARED, &file, 0) }
        };
        let writable = map(ProtFlags::READ | ProtFlags::WRITE)?.cast();
        match map(ProtFlags::READ | ProtFlags::EXEC) {
            Ok(executable) => Ok(Self { writable, executable: executable.cast(), used: 0 }),
            Err(error) => {
                // SAFETY: the mapping was made above, and nothing points into it.
                unsafe { munmap(writable.cast(), BYTES) }?;
                Err(error)
            }
        }
    }

    /// Where the next code will be executed.
    pub(super) fn next(&self) -> u64 {
        self.executable as usize as u64 + self.used as u64
    }

    /// Appends code that was made for [`next`](Self::next). `None` if it does not fit.
    pub(super) fn append(&mut self, code: &[u8]) -> Option<u64> {
        let at = self.next();
        if code.len() > BYTES - self.used {
            return None;
        }
        // SAFETY: the bytes fit behind those in use.
        unsafe { self.writable.add(self.used).copy_from_nonoverlapping(code.as_ptr(), code.len()) };
        self.used = (self.used + code.len()).next_multiple_of(64).min(BYTES);
        Some(at)
    }

    /// Overwrites 8 bytes at an address of executable memory, as data.
    pub(super) fn patch(&mut self, at: u64, value: u64) {
        let offset = (at - self.executable as usize as u64) as usize;
        assert!(offset + 8 <= self.used, "only what was appended is patched");
        // SAFETY: the bytes are within the mapping.
        unsafe { self.writable.add(offset).cast::<u64>().write_unaligned(value) };
    }

    /// Forgets all code from `start` on.
    pub(super) fn truncate(&mut self, start: u64) {
        self.used = (start - self.executable as usize as u64) as usize;
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for mapping in [self.writable, self.executable] {
            // SAFETY: the arena made the mapping, and nothing points into it any more.
            let unmapped = unsafe { munmap(mapping.cast(), BYTES) };
            debug_assert!(unmapped.is_ok(), "a mapping of ours can be unmapped");
        }
    }
}
