//! Reads numbers off the fuzzer's bytes. Behind their end there are zeros.

use super::stage::{CODE, DATA, HOLE, STACK};

/// The bytes that are left.
pub(crate) struct Input<'bytes> {
    left: &'bytes [u8],
}

impl<'bytes> Input<'bytes> {
    pub(crate) fn new(bytes: &'bytes [u8]) -> Self {
        Self { left: bytes }
    }

    fn take<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        let (taken, left) = self.left.split_at(self.left.len().min(BYTES));
        self.left = left;
        let mut bytes = [0; BYTES];
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    pub(crate) fn word(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    pub(crate) fn dword(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    pub(crate) fn qword(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    pub(crate) fn wide(&mut self) -> u128 {
        u128::from_le_bytes(self.take())
    }

    /// A number that a register may well hold: small, an address, at an edge, or any.
    pub(crate) fn likely(&mut self) -> u64 {
        let [kind, byte] = self.take();
        let small = u64::from(byte);
        match kind % 10 {
            0 => small,
            1 => i64::from(byte as i8) as u64,
            2 => DATA + small,
            // Around the edge of a page.
            3 => (DATA + 0x1000).wrapping_add(i64::from(byte as i8) as u64),
            4 => STACK - small,
            5 => CODE + small,
            6 => HOLE + small,
            7 => (1u64 << (byte & 63)).wrapping_sub(u64::from(byte >> 6)),
            // By another translation: a large page, the upper half.
            8 => {
                [0x20_0000, 0x4000_0000, 0xffff_8000_0000_0000, 0xffff_ffff_ffe0_0000][usize::from(byte & 3)]
                    + DATA
            }
            _ => self.qword(),
        }
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'bytes [u8] {
        std::mem::take(&mut self.left)
    }
}
