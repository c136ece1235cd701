//! Reading and checking a kernel before anything is loaded. ELF kernels are read here, compressed ones in
//! [`bzimage`].

use linux_loader::loader::bootparam::setup_header;
use object::elf::{EM_X86_64, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{FileKind, LittleEndian};

use super::bzimage;
use crate::memory::{RamSize, layout};

/// What the boot needs to know of a kernel.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Image {
    /// How it stands in its file.
    pub format: Format,
    /// The physical address of the first instruction.
    pub entry: u64,
    /// The lowest physical address that it occupies.
    pub start: u64,
    /// The first physical address behind it, uninitialised data included.
    pub end: u64,
}

/// How a kernel stands in its file.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Format {
    /// An ELF executable, to be loaded segment by segment.
    Elf,
    /// A compressed kernel.
    BzImage {
        /// What it says of itself, to be handed to it in `boot_params`.
        header: setup_header,
        /// Where in the file its protected-mode code begins.
        code: usize,
    },
}

impl Image {
    /// Reads the headers of a kernel.
    ///
    /// # Errors
    /// When it is neither a 64-bit x86 ELF executable nor a bzImage with a 64-bit entry, or when it loads
    /// below 1 MiB.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let image = match FileKind::parse(bytes) {
            Ok(FileKind::Elf64) => Self::parse_elf(bytes),
            _ if bzimage::is_bzimage(bytes) => bzimage::parse(bytes),
            _ => Err(ImageError::UnknownFormat { looks_like: describe(bytes) }),
        }?;
        image.check_place()
    }

    fn parse_elf(bytes: &[u8]) -> Result<Self, ImageError> {
        let malformed = |_| ImageError::Malformed;
        let header = FileHeader64::<LittleEndian>::parse(bytes).map_err(malformed)?;
        let endian = header.endian().map_err(malformed)?;
        if header.e_machine(endian) != EM_X86_64 {
            return Err(ImageError::WrongMachine(header.e_machine(endian)));
        }
        let segments = header.program_headers(endian, bytes).map_err(malformed)?;
        let mut image = Self { format: Format::Elf, entry: header.e_entry(endian), start: u64::MAX, end: 0 };
        for segment in segments.iter().filter(|s| s.p_type(endian) == PT_LOAD && s.p_memsz(endian) > 0) {
            segment.data(endian, bytes).map_err(|()| ImageError::Malformed)?;
            let (start, size) = (segment.p_paddr(endian), segment.p_memsz(endian));
            if segment.p_filesz(endian) > size {
                return Err(ImageError::Malformed);
            }
            image.start = image.start.min(start);
            image.end = image.end.max(start.checked_add(size).ok_or(ImageError::Malformed)?);
        }
        Ok(image)
    }

    fn check_place(self) -> Result<Self, ImageError> {
        if self.end == 0 {
            return Err(ImageError::Empty);
        }
        if self.start < layout::HIGH_RAM_START {
            return Err(ImageError::TooLow(self.start));
        }
        if !(self.start..self.end).contains(&self.entry) {
            return Err(ImageError::EntryOutside(self.entry));
        }
        Ok(self)
    }

    /// Checks that guest memory holds the kernel.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_fits(&self, size: RamSize) -> Result<(), ImageError> {
        if self.end > size.below_hole() {
            return Err(ImageError::TooLarge { end: self.end, ram: size.bytes() });
        }
        Ok(())
    }
}

/// Names what people pass by mistake.
fn describe(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "it is empty",
        [0x1f, 0x8b, ..] => "it is compressed by gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "it is compressed by zstd",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "it is compressed by xz",
        [0x7f, b'E', b'L', b'F', 1, ..] => "it is a 32-bit ELF file",
        _ => "it has the header of neither",
    }
}

/// Why a kernel is not acceptable.
#[derive(thiserror::Error, PartialEq, Eq, Debug)]
pub enum ImageError {
    /// No kind of file that we know.
    #[error("the kernel is not a 64-bit ELF file and not a bzImage: {looks_like}")]
    UnknownFormat {
        /// What it is instead.
        looks_like: &'static str,
    },
    /// Headers that contradict one another or the file's length.
    #[error("the kernel is a damaged ELF file: its headers point outside of it or overflow")]
    Malformed,
    /// For another processor.
    #[error("the kernel is for another processor than x86-64 (ELF machine {0})")]
    WrongMachine(u16),
    /// Nothing to load.
    #[error("the kernel has no segment to load")]
    Empty,
    /// A bzImage of a protocol without a 64-bit entry.
    #[error(
        "the bzImage speaks version {}.{} of the boot protocol, but one that has a 64-bit entry speaks 2.12 \
         or later",
        .0 >> 8,
        .0 & 0xff
    )]
    OldProtocol(u16),
    /// A bzImage of a 32-bit kernel.
    #[error("the bzImage has no 64-bit entry: it is not a kernel for x86-64")]
    No64BitEntry,
    /// A setup header that cannot be meant.
    #[error("the bzImage is damaged: according to its header {0}")]
    DamagedSetup(&'static str),
    /// A bzImage that ends early.
    #[error("the bzImage is cut: its header tells of {needed} bytes, the file has {found}")]
    Cut {
        /// The bytes that there should be.
        needed: u64,
        /// The bytes that there are.
        found: u64,
    },
    /// Where boot data lies.
    #[error("the kernel loads to {0:#x}, but the first MiB is taken by boot data")]
    TooLow(u64),
    /// An entry that is not in the kernel.
    #[error("the kernel's entry {0:#x} lies outside of what it loads; it must be a physical address")]
    EntryOutside(u64),
    /// Does not fit.
    #[error("the kernel ends at {end:#x}, beyond guest memory of {ram} bytes; give the guest more memory")]
    TooLarge {
        /// The first address behind it.
        end: u64,
        /// Guest memory.
        ram: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A minimal ELF file with one segment of `size` bytes at `address`.
    pub(crate) fn elf(address: u64, size: u64, entry: u64) -> Vec<u8> {
        let mut bytes = vec![0u8; 0x1000];
        bytes[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0]);
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(16, &2u16.to_le_bytes());
        put(18, &62u16.to_le_bytes());
        put(20, &1u32.to_le_bytes());
        put(24, &entry.to_le_bytes());
        put(32, &64u64.to_le_bytes());
        put(52, &64u16.to_le_bytes());
        put(54, &56u16.to_le_bytes());
        put(56, &1u16.to_le_bytes());
        put(64, &1u32.to_le_bytes());
        put(64 + 8, &0x200u64.to_le_bytes());
        put(64 + 16, &address.to_le_bytes());
        put(64 + 24, &address.to_le_bytes());
        put(64 + 32, &0x10u64.to_le_bytes());
        put(64 + 40, &size.to_le_bytes());
        bytes
    }

    #[test]
    fn a_kernel_is_found_where_its_headers_say() {
        let image = Image::parse(&elf(0x10_0000, 0x5000, 0x10_0010)).unwrap();
        let format = Format::Elf;
        assert_eq!(image, Image { format, entry: 0x10_0010, start: 0x10_0000, end: 0x10_5000 });
    }

    #[test]
    fn kernels_that_cannot_be_loaded_are_refused_with_the_reason() {
        let refused = |bytes: &[u8]| Image::parse(bytes).unwrap_err();
        assert_eq!(refused(&elf(0x1000, 0x5000, 0x1000)), ImageError::TooLow(0x1000));
        assert_eq!(refused(&elf(0x10_0000, 0x10, 0x20_0000)), ImageError::EntryOutside(0x20_0000));
        assert_eq!(refused(&elf(u64::MAX - 4, 0x5000, 0)), ImageError::Malformed);
        assert_eq!(refused(&elf(0x10_0000, 4, 0x10_0000)), ImageError::Malformed, "file longer than memory");
        assert_eq!(refused(b""), ImageError::UnknownFormat { looks_like: "it is empty" });
        assert_eq!(
            refused(b"#!/bin/sh\n"),
            ImageError::UnknownFormat { looks_like: "it has the header of neither" }
        );
        let mut other = elf(0x10_0000, 0x5000, 0x10_0000);
        other[18] = 183;
        assert_eq!(refused(&other), ImageError::WrongMachine(183));
        let mut low = bzimage::tests::bzimage();
        low[0x258..0x260].fill(0);
        assert_eq!(refused(&low), ImageError::TooLow(0));
        let mut cut = elf(0x10_0000, 0x5000, 0x10_0000);
        cut.truncate(0x208);
        assert_eq!(refused(&cut), ImageError::Malformed);
    }

    #[test]
    fn a_kernel_larger_than_memory_is_refused() {
        let image = Image::parse(&elf(0x10_0000, 0x40_0000, 0x10_0000)).unwrap();
        let size = RamSize::from_bytes(4 << 20).unwrap();
        assert_eq!(image.check_fits(size), Err(ImageError::TooLarge { end: 0x50_0000, ram: 4 << 20 }));
    }

    proptest! {
        #[test]
        fn no_damage_to_the_headers_panics(at in 0usize..0x78, value: u8) {
            let mut bytes = elf(0x10_0000, 0x5000, 0x10_0000);
            bytes[at] = value;
            let _ = Image::parse(&bytes);
        }
    }
}
