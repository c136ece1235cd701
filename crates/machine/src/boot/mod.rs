//! From power-on to the guest's first instruction.
//!
//! There is no firmware. The monitor does what a boot loader would have left behind: it puts the images
//! into memory, describes the machine in `boot_params` (the zero page) and starts the processor in long
//! mode at the kernel's entry, as the Linux 64-bit boot protocol says (Linux
//! `Documentation/arch/x86/boot.rst`). Test guests are plain ELF files that start in the same way.
//!
//! * [`image`] reads and checks an ELF kernel;
//! * [`time_reads`] rewrites its RDTSC instructions where the engine cannot trap them;
//! * [`zero_page`] writes `boot_params`, command line and random seed;
//! * [`entry`] is the state of the processor at the first instruction.

pub mod entry;
pub mod image;
pub mod time_reads;
pub mod zero_page;

use std::io::Cursor;

use linux_loader::loader::{Elf, KernelLoader};
use outlive_engine::{GuestRam, TimeReads, VcpuState};
use vm_memory::{Bytes, GuestAddress};

use crate::memory::{RamSize, layout};
use image::{Image, ImageError};
use time_reads::RewriteError;
use zero_page::{Module, ZeroPage};

/// What a machine boots. Images are held in memory: they are read once, and a log names them by digest.
#[derive(Clone, Debug)]
pub struct BootSource {
    /// An ELF kernel.
    pub kernel: Vec<u8>,
    /// An initial RAM file system.
    pub initramfs: Option<Vec<u8>>,
    /// The command line, complete.
    pub command_line: String,
    /// The seed for the guest's random pool.
    pub random_seed: [u8; 32],
}

/// Loads everything into `ram` and returns the state that the processor starts with.
///
/// # Errors
/// When an image is not acceptable or does not fit.
pub fn load(
    source: &BootSource,
    ram: &GuestRam,
    size: RamSize,
    time_reads: TimeReads,
) -> Result<VcpuState, BootError> {
    let mut kernel = source.kernel.clone();
    let image = Image::parse(&kernel)?;
    image.check_fits(size)?;
    if time_reads == TimeReads::MustBeRewritten {
        let rewritten = time_reads::rewrite(&mut kernel)?;
        tracing::debug!(rewritten, "rewrote the kernel's time reads");
    }
    Elf::load(ram, None, &mut Cursor::new(&kernel), None).map_err(BootError::Load)?;
    let initramfs = match &source.initramfs {
        Some(bytes) => Some(place_initramfs(bytes, image.end, ram, size)?),
        None => None,
    };
    let page = ZeroPage {
        command_line: &source.command_line,
        initramfs,
        random_seed: source.random_seed,
        ram: size,
    };
    page.write(ram)?;
    entry::write_tables(ram)?;
    Ok(entry::state(image.entry))
}

/// Puts the initramfs at the end of low RAM, as boot loaders do, so that the kernel has room to grow.
fn place_initramfs(
    bytes: &[u8],
    kernel_end: u64,
    ram: &GuestRam,
    size: RamSize,
) -> Result<Module, BootError> {
    let too_large = || BootError::InitramfsTooLarge {
        initramfs: bytes.len() as u64,
        available: size.below_hole().saturating_sub(kernel_end),
        ram: size.bytes(),
    };
    let start = size.below_hole().checked_sub(bytes.len() as u64).ok_or_else(too_large)? & !0xfff;
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
