//! Reading and checking a bzImage: a compressed Linux kernel as distributions ship it (`vmlinuz`).
//!
//! A bzImage is three things, one behind the other: a boot sector and real-mode code that firmware of old
//! needed, and the *protected-mode code*, which is a small program with the compressed kernel inside it.
//! The boot sector holds the *setup header*, in which kernel and boot loader tell each other what they
//! need to know. We leave the real-mode code out and start the protected-mode code at its 64-bit entry,
//! 0x200 behind its first byte; it unpacks the kernel and jumps there.
//!
//! Where it is loaded: at the address that the kernel prefers, rounded up to its alignment if it can be
//! moved. x86-64 kernels never unpack themselves to a lower place than that, so that there is no use in
//! trying another where memory ends. What it needs from there on, for the unpacked kernel too, is
//! `init_size`.
//!
//! All of this is in Linux `Documentation/arch/x86/boot.rst`.

use linux_loader::loader::bootparam::setup_header;
use vm_memory::ByteValued;

use super::image::{Format, Image, ImageError};

/// Where the setup header begins, in the file as in `boot_params`.
const HEADER: usize = 0x1f1;
/// The header ends at this plus the displacement of the jump instruction before it.
const HEADER_END: usize = 0x202;
/// Where `boot_flag` and `header` are.
const BOOT_FLAG: usize = 0x1fe;
const MAGIC: usize = 0x202;
/// The first version of the protocol that has `xloadflags`, and with it a 64-bit entry.
const OLDEST_VERSION: u16 = 0x020c;
/// The 64-bit entry, from the first byte of the protected-mode code.
const ENTRY: u64 = 0x200;
/// In `loadflags`: the protected-mode code is loaded above 1 MiB.
const LOADED_HIGH: u8 = 1;
/// In `xloadflags`: there is a 64-bit entry.
const XLF_KERNEL_64: u16 = 1;
const SECTOR: usize = 512;
/// What `setup_sects` means when it is 0.
const DEFAULT_SETUP_SECTORS: u8 = 4;
/// The unit of `syssize`.
const PARAGRAPH: usize = 16;

const BEYOND: ImageError = ImageError::DamagedSetup("it ends beyond the address space");

/// Whether a file says that it is a bzImage.
pub fn is_bzimage(bytes: &[u8]) -> bool {
    bytes.get(BOOT_FLAG..BOOT_FLAG + 2) == Some(&[0x55, 0xaa]) && bytes.get(MAGIC..MAGIC + 4) == Some(b"HdrS")
}

/// Reads the setup header of a bzImage.
///
/// # Errors
/// When it is cut or damaged, or has no 64-bit entry.
pub fn parse(bytes: &[u8]) -> Result<Image, ImageError> {
    let mut header = read_header(bytes)?;
    if header.version < OLDEST_VERSION {
        return Err(ImageError::OldProtocol(header.version));
    }
    if header.xloadflags & XLF_KERNEL_64 == 0 {
        return Err(ImageError::No64BitEntry);
    }
    if header.loadflags & LOADED_HIGH == 0 {
        return Err(ImageError::DamagedSetup("it wants to be loaded below 1 MiB"));
    }
    let code = code_offset(&header);
    let needed = code + header.syssize as usize * PARAGRAPH;
    if header.syssize == 0 {
        return Err(ImageError::DamagedSetup("it tells of no code"));
    }
    if bytes.len() < needed {
        return Err(ImageError::Cut { needed: needed as u64, found: bytes.len() as u64 });
    }
    let start = load_address(&header)?;
    let size = u64::from(header.init_size).max((bytes.len() - code) as u64);
    let (Some(entry), Some(end)) = (start.checked_add(ENTRY), start.checked_add(size)) else {
        return Err(BEYOND);
    };
    // A place above 4 GiB does not fit into low memory, which is checked before anything is loaded.
    header.code32_start = start as u32;
    Ok(Image { format: Format::BzImage { header, code }, entry, start, end })
}

/// The header as far as the file has it; the rest is zero, as it would be in `boot_params`.
fn read_header(bytes: &[u8]) -> Result<setup_header, ImageError> {
    let mut header = setup_header::default();
    let place = header.as_mut_slice();
    let end = HEADER_END + usize::from(bytes.get(HEADER_END - 1).copied().unwrap_or(0));
    let length = place.len().min(end - HEADER);
    let cut = ImageError::Cut { needed: end as u64, found: bytes.len() as u64 };
    place[..length].copy_from_slice(bytes.get(HEADER..HEADER + length).ok_or(cut)?);
    Ok(header)
}

/// Where in the file the protected-mode code begins.
fn code_offset(header: &setup_header) -> usize {
    let sectors = if header.setup_sects == 0 { DEFAULT_SETUP_SECTORS } else { header.setup_sects };
    (usize::from(sectors) + 1) * SECTOR
}

fn load_address(header: &setup_header) -> Result<u64, ImageError> {
    if header.relocatable_kernel == 0 {
        return Ok(header.pref_address);
    }
    let alignment = u64::from(header.kernel_alignment);
    if !alignment.is_power_of_two() {
        return Err(ImageError::DamagedSetup("its alignment is no power of two"));
    }
    header.pref_address.checked_next_multiple_of(alignment).ok_or(BEYOND)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Offsets of fields in the file.
    const SETUP_SECTS: usize = 0x1f1;
    const SYSSIZE: usize = 0x1f4;
    const JUMP: usize = 0x200;
    const VERSION: usize = 0x206;
    const LOADFLAGS: usize = 0x211;
    const INITRD_ADDR_MAX: usize = 0x22c;
    const KERNEL_ALIGNMENT: usize = 0x230;
    const RELOCATABLE_KERNEL: usize = 0x234;
    const XLOADFLAGS: usize = 0x236;
    const CMDLINE_SIZE: usize = 0x238;
    const PREF_ADDRESS: usize = 0x258;
    const INIT_SIZE: usize = 0x260;
    const KERNEL_INFO_OFFSET: usize = 0x268;

    /// A bzImage with one setup sector and 4 KiB of protected-mode code, all of it 0xcc, that prefers
    /// 2 MiB and needs 1 MiB there.
    pub(crate) fn bzimage() -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        bytes.resize(1024 + 4096, 0xcc);
        put(&mut bytes, SETUP_SECTS, &[1]);
        put(&mut bytes, SYSSIZE, &256u32.to_le_bytes());
        put(&mut bytes, BOOT_FLAG, &[0x55, 0xaa]);
        put(&mut bytes, JUMP, &[0xeb, 0x6a]);
        put(&mut bytes, MAGIC, b"HdrS");
        put(&mut bytes, VERSION, &0x020fu16.to_le_bytes());
        put(&mut bytes, LOADFLAGS, &[LOADED_HIGH]);
        put(&mut bytes, INITRD_ADDR_MAX, &0x7fff_ffffu32.to_le_bytes());
        put(&mut bytes, KERNEL_ALIGNMENT, &0x20_0000u32.to_le_bytes());
        put(&mut bytes, RELOCATABLE_KERNEL, &[1]);
        put(&mut bytes, XLOADFLAGS, &XLF_KERNEL_64.to_le_bytes());
        put(&mut bytes, CMDLINE_SIZE, &2047u32.to_le_bytes());
        put(&mut bytes, PREF_ADDRESS, &0x20_0000u64.to_le_bytes());
        put(&mut bytes, INIT_SIZE, &0x10_0000u32.to_le_bytes());
        put(&mut bytes, KERNEL_INFO_OFFSET, &0x1234u32.to_le_bytes());
        bytes
    }

    fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
        bytes[at..at + value.len()].copy_from_slice(value);
    }

    /// What becomes of the image with one field changed.
    fn with(at: usize, value: &[u8]) -> Result<Image, ImageError> {
        let mut bytes = bzimage();
        put(&mut bytes, at, value);
        parse(&bytes)
    }

    fn header(image: &Image) -> setup_header {
        match image.format {
            Format::BzImage { header, .. } => header,
            Format::Elf => panic!("{image:?}"),
        }
    }

    #[test]
    fn the_place_and_the_entry_are_what_the_header_asks_for() {
        let image = parse(&bzimage()).unwrap();
        assert_eq!((image.start, image.end, image.entry), (0x20_0000, 0x30_0000, 0x20_0200));
        assert!(matches!(image.format, Format::BzImage { code: 1024, .. }));
        let loaded_at = header(&image).code32_start;
        assert_eq!(loaded_at, 0x20_0000);
    }

    #[test]
    fn a_kernel_that_can_be_moved_is_aligned_and_another_is_not() {
        let unaligned = 0x30_0000u64.to_le_bytes();
        assert_eq!(with(PREF_ADDRESS, &unaligned).unwrap().start, 0x40_0000);
        let mut fixed = bzimage();
        put(&mut fixed, PREF_ADDRESS, &unaligned);
        put(&mut fixed, RELOCATABLE_KERNEL, &[0]);
        put(&mut fixed, KERNEL_ALIGNMENT, &[0; 4]);
        assert_eq!(parse(&fixed).unwrap().start, 0x30_0000);
    }

    #[test]
    fn a_kernel_takes_the_room_of_its_file_when_it_says_too_little() {
        assert_eq!(with(INIT_SIZE, &[0; 4]).unwrap().end, 0x20_1000);
    }

    #[test]
    fn no_setup_sectors_means_four() {
        let mut bytes = bzimage();
        put(&mut bytes, SETUP_SECTS, &[0]);
        put(&mut bytes, SYSSIZE, &32u32.to_le_bytes());
        assert!(matches!(parse(&bytes).unwrap().format, Format::BzImage { code: 2560, .. }));
    }

    #[test]
    fn what_lies_behind_the_header_is_not_taken_for_a_part_of_it() {
        let whole = header(&with(JUMP + 1, &[0xff]).unwrap()).kernel_info_offset;
        let short = header(&with(JUMP + 1, &[0x66]).unwrap()).kernel_info_offset;
        assert_eq!((whole, short), (0x1234, 0));
    }

    #[test]
    fn images_that_cannot_be_booted_are_refused_with_the_reason() {
        let refused = |at, value: &[u8]| with(at, value).unwrap_err();
        assert_eq!(refused(VERSION, &[0x0b, 2]), ImageError::OldProtocol(0x020b));
        assert_eq!(refused(XLOADFLAGS, &[0x7e, 0]), ImageError::No64BitEntry);
        assert!(matches!(refused(LOADFLAGS, &[0]), ImageError::DamagedSetup(_)));
        assert!(matches!(refused(SYSSIZE, &[0; 4]), ImageError::DamagedSetup(_)));
        assert!(matches!(refused(KERNEL_ALIGNMENT, &[3]), ImageError::DamagedSetup(_)));
        assert!(matches!(refused(PREF_ADDRESS, &[0xff; 8]), ImageError::DamagedSetup(_)));
        let mut cut = bzimage();
        cut.pop();
        assert_eq!(parse(&cut), Err(ImageError::Cut { needed: 5120, found: 5119 }));
        assert!(matches!(parse(&cut[..0x210]), Err(ImageError::Cut { .. })));
    }

    proptest! {
        #[test]
        fn no_damage_to_the_header_panics(at in HEADER..0x270, value: [u8; 4], length in 0usize..5120) {
            let mut bytes = bzimage();
            put(&mut bytes, at, &value);
            let _ = parse(&bytes);
            let _ = parse(&bytes[..length]);
        }
    }
}
