//! The memory that both processors see: a few pages at fixed addresses, with nothing mapped around them.

use crate::memory::PAGE_SIZE;

/// What ring 3 may do with pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    /// Read and execute.
    Code,
    /// Read.
    Constant,
    /// Read and write.
    Data,
}

/// Pages that lie together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    /// The linear address of the first page.
    pub(super) address: u64,
    /// Its place in the memory that is behind all regions.
    pub(super) offset: u64,
    pub(super) pages: u64,
    pub(super) access: Access,
}

impl Region {
    pub(super) const fn bytes(&self) -> u64 {
        self.pages * PAGE_SIZE
    }

    /// The address behind the last byte.
    pub(super) const fn end(&self) -> u64 {
        self.address + self.bytes()
    }
}

/// Where the instruction is.
pub(super) const CODE: Region = Region { address: 0x1000_0000, offset: 0, pages: 2, access: Access::Code };
/// Pages that cannot be written to.
pub(super) const CONSTANT: Region =
    Region { address: 0x1000_4000, offset: CODE.bytes(), pages: 1, access: Access::Constant };
/// Where most operands are.
pub(super) const DATA: Region = Region {
    address: 0x1000_8000,
    offset: CONSTANT.offset + CONSTANT.bytes(),
    pages: 2,
    access: Access::Data,
};
/// Where RSP points to, usually.
pub(super) const STACK: Region =
    Region { address: 0x1000_c000, offset: DATA.offset + DATA.bytes(), pages: 1, access: Access::Data };
/// A page that no address of 32 bits reaches.
pub(super) const HIGH: Region = Region {
    address: 0x2345_6789_a000,
    offset: STACK.offset + STACK.bytes(),
    pages: 1,
    access: Access::Data,
};

/// All regions, in the order of their offsets.
pub(super) const REGIONS: [Region; 5] = [CODE, CONSTANT, DATA, STACK, HIGH];
/// How much memory is behind them.
pub(super) const BYTES: u64 = HIGH.offset + HIGH.bytes();

/// Where the memory that instructions can write to begins: it reaches to the end.
pub(super) const IMAGE: u64 = DATA.offset;
/// How much of it there is.
pub(super) const IMAGE_BYTES: usize = (BYTES - IMAGE) as usize;

/// What FS and GS add in 64-bit mode.
pub(super) const FS_BASE: u64 = DATA.address + 0x100;
pub(super) const GS_BASE: u64 = HIGH.address - 0x1_0000;

/// What fills the code pages around the instruction: INT3, which also ends a block.
pub(super) const FILLER: u8 = 0xcc;

/// The place in memory of `bytes` bytes at a linear address, if they are in one region.
pub(super) fn offset_of(linear: u64, bytes: usize) -> Option<usize> {
    REGIONS
        .iter()
        .find(|region| {
            linear >= region.address
                && linear.checked_add(bytes as u64).is_some_and(|end| end <= region.end())
        })
        .map(|region| (region.offset + linear - region.address) as usize)
}

/// The linear address of a byte of memory.
pub(super) fn address_of(offset: usize) -> u64 {
    let offset = offset as u64;
    let region =
        REGIONS.iter().rfind(|region| region.offset <= offset).expect("the first region begins at 0");
    region.address + offset - region.offset
}
