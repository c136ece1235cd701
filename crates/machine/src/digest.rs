//! Digests: fingerprints by which two runs are compared.
//!
//! A digest is the BLAKE3 hash of a saved form in its [`encoding`](crate::encoding), so whatever a saved form
//! holds, a digest covers. Equal digests mean equal machines, for all that anybody can do. Each kind of digest
//! hashes under a name of its own, with the version of its format in it.
//!
//! Memory is hashed page by page: the regions of RAM first, then number and hash of each page that is not
//! all zeros, in order. So the digest of a mostly empty memory is made in no time, and does not depend on
//! which pages the host has given to the guest. The hashes of the pages come with it for nothing: they tell which
//! pages differ between two memories.
//!
//! Taking a digest changes nothing: the machine goes on as if nobody had looked.

use std::fmt;
use std::str::FromStr;

use blake3::{Hash, Hasher};
use outlive_engine::{GuestRam, GuestTime, VcpuState};
use serde::{Deserialize, Serialize};
use vm_memory::{GuestMemoryBackend, GuestMemoryRegion};

use crate::board::BoardState;
use crate::encoding::encode_into;
use crate::memory::visit_pages;

/// A fingerprint of 256 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

/// What is no digest.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
#[error("a digest has 64 hexadecimal digits")]
pub struct DigestError;

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(DigestError);
        }
        let mut digest = [0; 32];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| DigestError)?;
        }
        Ok(Self(digest))
    }
}

impl Digest {
    /// The digest of a processor.
    pub fn of_registers(state: &VcpuState) -> Self {
        let mut hasher = Hasher::new_derive_key("outlive digest of registers, version 1");
        encode_into(state, &mut hasher);
        Self::finish(&hasher)
    }

    /// The digest of all devices, and of the time that their clocks are functions of.
    pub fn of_devices(board: &BoardState, time: GuestTime) -> Self {
        let mut hasher = Hasher::new_derive_key("outlive digest of devices, version 1");
        encode_into(&(board, time), &mut hasher);
        Self::finish(&hasher)
    }

    /// The digest of memory.
    pub fn of_memory(ram: &GuestRam) -> Self {
        Self::of_memory_by_page(ram, |_, _| {})
    }

    /// The digest of memory, and on the way to it the BLAKE3 hash of each page that is not all zeros, which `report`
    /// is told with the number of the page, lowest first.
    pub fn of_memory_by_page(ram: &GuestRam, mut report: impl FnMut(u64, &Hash)) -> Self {
        let mut hasher = Hasher::new_derive_key("outlive digest of memory, version 2");
        let regions: Vec<_> = ram.iter().map(|region| (region.start_addr().0, region.len())).collect();
        encode_into(&regions, &mut hasher);
        visit_pages(ram, |page, contents| {
            let hash = blake3::hash(contents);
            hasher.update(&page.to_le_bytes());
            hasher.update(hash.as_bytes());
            report(page, &hash);
        });
        Self::finish(&hasher)
    }

    fn finish(hasher: &Hasher) -> Self {
        Self(*hasher.finalize().as_bytes())
    }
}

/// The digest of a machine, in parts, so that a difference says where to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MachineDigest {
    /// Of the processor.
    pub registers: Digest,
    /// Of RAM.
    pub memory: Digest,
    /// Of the devices and of guest time.
    pub devices: Digest,
}

impl fmt::Display for MachineDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "digest of registers {}", self.registers)?;
        writeln!(f, "digest of memory {}", self.memory)?;
        write!(f, "digest of devices {}", self.devices)
    }
}

#[cfg(test)]
mod tests;
