//! What a block device tells about itself: feature bits and configuration space (VirtIO 1.2, 5.2.3 and
//! 5.2.4).

use super::request::{MAX_DATA_BYTES, SECTOR_BYTES};

/// Feature bits.
mod feature {
    pub(super) const SIZE_MAX: u64 = 1 << 1;
    pub(super) const SEG_MAX: u64 = 1 << 2;
    pub(super) const RO: u64 = 1 << 5;
    pub(super) const BLK_SIZE: u64 = 1 << 6;
    pub(super) const FLUSH: u64 = 1 << 9;
}

/// The most buffers for the data of one request. With header and status that is about half of a queue, so
/// that two of the longest requests can be under way.
const MAX_SEGMENTS: u32 = 128;

/// The most bytes of such a buffer.
const MAX_SEGMENT_BYTES: u32 = 8 << 10;

const _: () = assert!(MAX_SEGMENTS as u64 * MAX_SEGMENT_BYTES as u64 == MAX_DATA_BYTES);

/// The feature bits that are offered.
pub(super) fn features(read_only: bool) -> u64 {
    let common = feature::SIZE_MAX | feature::SEG_MAX | feature::BLK_SIZE | feature::FLUSH;
    if read_only { common | feature::RO } else { common }
}

/// The feature bits without which a driver cannot use the disk. Writes of one that does not know of FLUSH
/// would have to be durable when they complete (VirtIO 1.2, 5.2.6.2), which the world does not promise.
pub(super) fn demanded_features(read_only: bool) -> u64 {
    if read_only { 0 } else { feature::FLUSH }
}

/// `struct virtio_blk_config` up to `blk_size`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Config([u8; 24]);

impl Config {
    pub(super) fn new(sectors: u64) -> Self {
        let mut bytes = [0; 24];
        let (capacity, rest) = bytes.split_at_mut(8);
        capacity.copy_from_slice(&sectors.to_le_bytes());
        // The third field is the geometry, which is not offered.
        let fields = [MAX_SEGMENT_BYTES, MAX_SEGMENTS, 0, SECTOR_BYTES as u32];
        for (to, field) in rest.chunks_exact_mut(4).zip(fields) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
