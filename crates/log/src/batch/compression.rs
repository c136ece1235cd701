//! The compressed entries of a batch: one zstd frame that says how long they are without their noise, and the noise.

use std::fmt;
use std::io;

use zstd::bulk;
use zstd::zstd_safe::{compress_bound, find_frame_compressed_size, get_frame_content_size};

use super::FULL_BYTES;
use crate::file::MAXIMUM_BYTES;

/// From so many bytes of entries on, a batch is compressed if that makes it shorter.
pub const COMPRESSED_FROM: usize = 256;

/// The fastest of zstd's ordinary levels.
pub(super) const LEVEL: i32 = 1;

/// A slower one, for what is to become short and comes seldom.
pub(super) const THOROUGH_LEVEL: i32 = 12;

/// A block of a zstd frame holds no more (RFC 8878, 3.1.1.2.4).
const MAXIMUM_BLOCK: usize = 128 << 10;

/// A block that holds anything takes no less: three bytes of header, and one that is repeated (RFC 8878, 3.1.1.2).
const MINIMUM_BLOCK: usize = 4;

/// How much memory is kept from batch to batch.
const KEPT_BYTES: usize = 2 * FULL_BYTES;

/// Why the entries of a batch cannot be decompressed.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum CompressionError {
    /// They are cut off, or they were never compressed.
    #[error("they do not begin with a zstd frame")]
    Frame,
    /// The frame does not say how long they are.
    #[error("they do not say how long they are")]
    NoLength,
    /// Longer than a batch can be, or than anything that was compressed to so few bytes.
    #[error("they claim a length of {0} bytes")]
    Length(u64),
    /// The frame is no good, or has another length than it says.
    #[error("zstd refuses them")]
    Content(#[source] io::Error),
}

/// Compresses bodies of batches, in memory that is used again.
#[derive(Default)]
pub(super) struct Compressor {
    /// Made when it is needed: most batches of a logging channel are short.
    context: Option<bulk::Compressor<'static>>,
    /// What is compressed.
    regular: Vec<u8>,
    noise: Vec<u8>,
    frame: Vec<u8>,
}

/// Where in a body there is noise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Noise {
    /// Where it ends.
    pub(super) end: usize,
    pub(super) bytes: usize,
}

impl Compressor {
    /// The body, compressed at that level, if it is long enough and gets shorter.
    pub(super) fn compress(&mut self, body: &[u8], noise: &[Noise], level: i32) -> Option<&[u8]> {
        for memory in [&mut self.frame, &mut self.regular, &mut self.noise] {
            memory.clear();
            memory.shrink_to(KEPT_BYTES);
        }
        if body.len() < COMPRESSED_FROM {
            return None;
        }
        self.divide(body, noise);
        // If zstd fails, for want of memory, a batch is as good without compression.
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(bulk::Compressor::new(level).ok()?),
        };
        context.set_compression_level(level).ok()?;
        self.frame.reserve(compress_bound(self.regular.len()) + self.noise.len());
        context.compress_to_buffer(&self.regular, &mut self.frame).ok()?;
        self.frame.extend_from_slice(&self.noise);
        (self.frame.len() < body.len()).then_some(&self.frame)
    }

    /// Divides a body into its noise and the rest.
    fn divide(&mut self, body: &[u8], noise: &[Noise]) {
        let mut at = 0;
        for &Noise { end, bytes } in noise {
            self.regular.extend_from_slice(&body[at..end - bytes]);
            self.noise.extend_from_slice(&body[end - bytes..end]);
            at = end;
        }
        self.regular.extend_from_slice(&body[at..]);
    }

    /// The memory that it keeps.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.frame.capacity() + self.regular.capacity() + self.noise.capacity()
    }
}

/// Another one that does the same.
impl Clone for Compressor {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// Decompresses bodies of batches, in memory that is used again.
#[derive(Default)]
pub(crate) struct Decompressor {
    context: Option<bulk::Decompressor<'static>>,
    /// For the next body.
    spare: Vec<u8>,
}

impl Decompressor {
    /// The body that the frame holds, which begins there in the bytes, and its noise, which follows. The bytes are
    /// used up.
    pub(super) fn decompress(
        &mut self,
        bytes: Vec<u8>,
        at: usize,
    ) -> Result<(Vec<u8>, Vec<u8>), CompressionError> {
        let frame = find_frame_compressed_size(&bytes[at..]).map_err(|_| CompressionError::Frame)?;
        let (frame, noise) = bytes[at..].split_at_checked(frame).ok_or(CompressionError::Frame)?;
        let length = body_length(frame)?;
        let mut body = std::mem::take(&mut self.spare);
        body.clear();
        body.resize(length, 0);
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(bulk::Decompressor::new().map_err(CompressionError::Content)?),
        };
        let found = context.decompress_to_buffer(frame, &mut body[..]);
        if found.map_err(CompressionError::Content)? != length {
            return Err(CompressionError::Length(length as u64));
        }
        let noise = noise.to_vec();
        self.spare = bytes;
        self.spare.clear();
        self.spare.shrink_to(KEPT_BYTES);
        Ok((body, noise))
    }

    /// The memory that it keeps for bodies.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.spare.capacity()
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

/// How long the body is that the frame holds, before any memory is taken for it.
fn body_length(frame: &[u8]) -> Result<usize, CompressionError> {
    let length = get_frame_content_size(frame).map_err(|_| CompressionError::Frame)?;
    let length = length.ok_or(CompressionError::NoLength)?;
    let possible = (frame.len() / MINIMUM_BLOCK).saturating_mul(MAXIMUM_BLOCK).min(MAXIMUM_BYTES);
    match usize::try_from(length) {
        Ok(length) if length <= possible => Ok(length),
        _ => Err(CompressionError::Length(length)),
    }
}

#[cfg(test)]
mod tests;
