//! What a disk image holds, as a digest.
//!
//! A replay needs no disk, for the log holds what was read; but one that is to write its disks again, or that goes
//! on live, must begin with the very contents that the recording began with. The digest tells.
//!
//! It is made of the length, then number and hash of each block that is not all zeros, in order. So it does not
//! depend on where the file has holes, and the holes of a large, mostly empty image are not even read.

use std::io;
use std::os::unix::fs::FileExt;

use blake3::Hasher;

use super::{DiskImage, SECTOR};
use crate::digest::Digest;
use crate::host::sparse::next_data;

/// The bytes that are hashed at once. As many as keep the hash function busy in all of its lanes; part of what the
/// digest means.
const BLOCK: u64 = 64 << 10;

impl DiskImage {
    /// The digest of its length and contents, as they are now. Reads all of it but for holes.
    ///
    /// # Errors
    /// When the host cannot read it.
    pub fn contents_digest(&self) -> io::Result<Digest> {
        let end = self.sectors * SECTOR;
        let mut hasher = Hasher::new_derive_key("outlive digest of disk contents, version 1");
        hasher.update(&end.to_le_bytes());
        let mut block = vec![0; BLOCK as usize];
        let mut from = 0;
        while let Some(data) = next_data(&self.file, from..end) {
            let blocks = data.start / BLOCK..data.end.div_ceil(BLOCK);
            from = (blocks.end * BLOCK).min(end);
            for number in blocks {
                let start = number * BLOCK;
                let block = &mut block[..(end - start).min(BLOCK) as usize];
                self.file.read_exact_at(block, start)?;
                if block.iter().any(|&byte| byte != 0) {
                    hasher.update(&number.to_le_bytes());
                    hasher.update(blake3::hash(block).as_bytes());
                }
            }
        }
        Ok(Digest(*hasher.finalize().as_bytes()))
    }
}

#[cfg(test)]
mod tests;
