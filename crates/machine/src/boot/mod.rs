//! From power-on to the guest's first instruction.
//!
//! There is no firmware. The monitor does what a boot loader would have left behind: it puts the images
//! into memory, describes the machine in `boot_params` (the zero page) and starts the processor in long
//! mode at the kernel's entry, as the Linux 64-bit boot protocol says (Linux
//! `Documentation/arch/x86/boot.rst`). Test guests are plain ELF files that start in the same way.
//!
//! * [`image`] reads and checks a kernel, [`bzimage`] one that is compressed;
//! * [`time_reads`] rewrites its RDTSC instructions, for engines that cannot trap them;
//! * [`acpi`] writes the tables by which a kernel finds its virtio devices;
//! * [`zero_page`] writes `boot_params`, command line and random seed;
//! * [`entry`] is the state of the processor at the first instruction.

pub mod acpi;
pub mod bzimage;
pub mod entry;
pub mod image;
pub mod time_reads;
pub mod zero_page;

use std::io::Cursor;

use linux_loader::loader::bootparam::setup_header;
use linux_loader::loader::{Elf, KernelLoader};
use outlive_engine::{GuestRam, VcpuState};
use vm_memory::{Bytes, GuestAddress};

use crate::memory::{RamSize, layout};
use image::{Format, Image, ImageError};
use time_reads::RewriteError;
use zero_page::{Module, ZeroPage};

/// What a machine boots. Images are held in memory: they are read once, and a log names them by digest.
#[derive(Clone, Debug)]
pub struct BootSource {
    /// An ELF kernel or a bzImage.
    pub kernel: Vec<u8>,
    /// An initial RAM file system.
    pub initramfs: Option<Vec<u8>>,
    /// The command line, complete.
    pub command_line: String,
    /// The seed for the guest's random pool.
    pub random_seed: [u8; 32],
    /// How many virtio devices there are: they take the first slots.
    pub devices: usize,
}

/// Loads everything into `ram` and returns the state that the processor starts with.
///
/// `rewrite_time_reads` tells whether the kernel's RDTSC instructions become reads of a port. A machine that is
/// new asks its engine whether that must be ([`TimeReads`](outlive_engine::TimeReads)). A machine that is replayed
/// does as the recorded one did, whichever engine runs it now: its memory must be the same.
///
/// # Errors
/// When an image is not acceptable or does not fit.
pub fn load(
    source: &BootSource,
    ram: &GuestRam,
    size: RamSize,
    rewrite_time_reads: bool,
) -> Result<VcpuState, BootError> {
    let image = Image::parse(&source.kernel)?;
    image.check_fits(size)?;
    let header = load_kernel(&source.kernel, &image, ram, rewrite_time_reads)?;
    let initramfs = match &source.initramfs {
        Some(bytes) => Some(place_initramfs(bytes, image.end, &header, ram, size)?),
        None => None,
    };
    acpi::write(ram, source.devices)?;
    let page = ZeroPage {
        header,
        command_line: &source.command_line,
        initramfs,
        random_seed: source.random_seed,
        ram: size,
    };
    page.write(ram)?;
    entry::write_tables(ram)?;
    Ok(entry::state(image.entry))
}

/// Puts the kernel into memory and returns the setup header that goes into `boot_params`.
fn load_kernel(
    bytes: &[u8],
    image: &Image,
    ram: &GuestRam,
    rewrite_time_reads: bool,
) -> Result<setup_header, BootError> {
    match image.format {
        Format::Elf => {
            let mut kernel = bytes.to_vec();
            if rewrite_time_reads {
                let rewritten = time_reads::rewrite(&mut kernel)?;
                tracing::debug!(rewritten, "rewrote the kernel's time reads");
            }
            Elf::load(ram, None, &mut Cursor::new(&kernel), None).map_err(BootError::Load)?;
            Ok(zero_page::header_of_elf())
        }
        Format::BzImage { .. } if rewrite_time_reads => Err(RewriteError::Compressed.into()),
        Format::BzImage { header, code } => {
            ram.write_slice(&bytes[code..], GuestAddress(image.start)).map_err(BootError::Memory)?;
            Ok(header)
        }
    }
}

/// Puts the initramfs at the end of low RAM, as boot loaders do, so that the kernel has room to grow, or
/// as high as the kernel can take it.
fn place_initramfs(
    bytes: &[u8],
    kernel_end: u64,
    header: &setup_header,
    ram: &GuestRam,
    size: RamSize,
) -> Result<Module, BootError> {
    let end = size.below_hole().min(u64::from(header.initrd_addr_max) + 1);
    let too_large = || BootError::InitramfsTooLarge {
        initramfs: bytes.len() as u64,
        available: end.saturating_sub(kernel_end),
        ram: size.bytes(),
    };
    let start = end.checked_sub(bytes.len() as u64).ok_or_else(too_large)? & !0xfff;
    if start < kernel_end.max(layout::HIGH_RAM_START) {
        return Err(too_large());
    }
    ram.write_slice(bytes, GuestAddress(start)).map_err(BootError::Memory)?;
    Ok(Module { start: start as u32, bytes: bytes.len() as u32 })
}

/// Why a machine could not boot.
#[derive(thiserror::Error, Debug)]
pub enum BootError {
    /// The kernel is not acceptable.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The kernel's time reads could not be rewritten.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// The loader refused the kernel.
    #[error("the kernel could not be loaded")]
    Load(#[source] linux_loader::loader::Error),
    /// The initramfs does not fit behind the kernel.
    #[error(
        "the initramfs of {initramfs} bytes does not fit: guest memory of {ram} bytes has {available} \
         left beside the kernel; give the guest more memory"
    )]
    InitramfsTooLarge {
        /// Its size.
        initramfs: u64,
        /// What is left.
        available: u64,
        /// Guest memory.
        ram: u64,
    },
    /// The command line is too long.
    #[error("the command line has {length} bytes with its devices, but the guest takes {most} at most")]
    CommandLineTooLong {
        /// Its length.
        length: usize,
        /// The limit.
        most: usize,
    },
    /// The command line has a character that would end it early.
    #[error("the command line contains a NUL character")]
    CommandLineNul,
    /// Boot data could not be written.
    #[error("boot data could not be written to guest memory")]
    Memory(#[source] vm_memory::GuestMemoryError),
    /// `boot_params` could not be written.
    #[error("boot parameters could not be written to guest memory")]
    ZeroPage(#[source] linux_loader::configurator::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::create_ram;

    fn source(kernel: Vec<u8>) -> BootSource {
        let command_line = "quiet".to_owned();
        BootSource { kernel, initramfs: Some(vec![7; 5000]), command_line, random_seed: [0; 32], devices: 2 }
    }

    fn load_compressed(
        kernel: Vec<u8>,
        rewrite_time_reads: bool,
    ) -> Result<(GuestRam, VcpuState), BootError> {
        let size = RamSize::from_bytes(8 << 20).unwrap();
        let ram = create_ram(size).unwrap();
        let state = load(&source(kernel), &ram, size, rewrite_time_reads)?;
        Ok((ram, state))
    }

    fn read<const N: usize>(ram: &GuestRam, address: u64) -> [u8; N] {
        let mut bytes = [0; N];
        ram.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }

    #[test]
    fn a_compressed_kernel_lies_where_it_asked_and_finds_its_own_header() {
        let (ram, state) = load_compressed(bzimage::tests::bzimage(), false).unwrap();
        assert_eq!(state.rip, 0x20_0200);
        assert_eq!(read::<4>(&ram, 0x20_0000), [0xcc; 4], "the protected-mode code");
        assert_eq!(read::<4>(&ram, 0x20_0ffc), [0xcc; 4], "to its last byte");
        let params = state.general.rsi;
        assert_eq!(read::<4>(&ram, params + 0x202), *b"HdrS");
        assert_eq!(read::<4>(&ram, params + 0x260), 0x10_0000u32.to_le_bytes(), "init_size, as it was");
        assert_eq!(read::<1>(&ram, params + 0x210), [0xff], "the loader");
        let start = u32::from_le_bytes(read(&ram, params + 0x218));
        assert_eq!(u32::from_le_bytes(read(&ram, params + 0x21c)), 5000);
        assert_eq!(read::<4>(&ram, start.into()), [7; 4], "the initramfs");
        assert_eq!(read::<8>(&ram, u64::from_le_bytes(read(&ram, params + 0x70))), *b"RSD PTR ");
    }

    #[test]
    fn an_initramfs_is_put_no_higher_than_the_kernel_takes_it() {
        let mut kernel = bzimage::tests::bzimage();
        kernel[0x22c..0x230].copy_from_slice(&0x5f_ffffu32.to_le_bytes());
        let (ram, state) = load_compressed(kernel, false).unwrap();
        let start = u32::from_le_bytes(read(&ram, state.general.rsi + 0x218));
        assert_eq!(start, (0x60_0000 - 5000) & !0xfff);
    }

    #[test]
    fn a_compressed_kernel_is_refused_where_its_time_reads_would_have_to_be_rewritten() {
        let error = load_compressed(bzimage::tests::bzimage(), true).unwrap_err();
        assert!(matches!(error, BootError::Rewrite(RewriteError::Compressed)));
        let text = error.to_string();
        assert!(text.contains("vmlinux") && text.contains("engine = \"soft\""), "{text}");
    }

    #[test]
    fn a_compressed_kernel_that_would_not_fit_unpacked_is_refused() {
        let mut kernel = bzimage::tests::bzimage();
        kernel[0x260..0x264].copy_from_slice(&0x80_0000u32.to_le_bytes());
        let error = load_compressed(kernel, false).unwrap_err();
        assert!(matches!(error, BootError::Image(ImageError::TooLarge { end: 0xa0_0000, .. })), "{error}");
    }

    #[test]
    fn a_command_line_longer_than_the_kernel_takes_is_refused() {
        let mut kernel = bzimage::tests::bzimage();
        kernel[0x238..0x23c].copy_from_slice(&4u32.to_le_bytes());
        let error = load_compressed(kernel, false).unwrap_err();
        assert!(matches!(error, BootError::CommandLineTooLong { length: 5, most: 4 }), "{error}");
    }
}
