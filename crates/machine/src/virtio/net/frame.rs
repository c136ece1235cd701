//! Frames and the header before them (VirtIO 1.2, 5.1.6).

use outlive_engine::GuestRam;

use crate::virtio::fault::DriverFault;
use crate::virtio::queue::Chain;

/// The shortest frame: two addresses and a type.
pub const MIN_FRAME_BYTES: usize = 14;

/// The longest frame: the shortest one, a VLAN tag, and 1500 bytes of data.
pub const MAX_FRAME_BYTES: usize = 14 + 4 + 1500;

/// The length of `struct virtio_net_hdr`: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset,
/// num_buffers.
pub(super) const HEADER_BYTES: usize = 12;

/// The header of every frame for the guest: it is in one buffer (VirtIO 1.2, 5.1.6.4.1), and nothing was
/// left to do by an offload.
const INCOMING_HEADER: [u8; HEADER_BYTES] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];

/// Whether a frame may be this long.
pub(super) fn is_frame(bytes: usize) -> bool {
    (MIN_FRAME_BYTES..=MAX_FRAME_BYTES).contains(&bytes)
}

/// The frame that a chain asks to send; `None` if it cannot be sent.
pub(super) fn outgoing(chain: &Chain, memory: &GuestRam) -> Result<Option<Vec<u8>>, DriverFault> {
    if chain.writable.bytes() > 0 {
        return Err(DriverFault::Direction(chain.head));
    }
    let mut header = [0; HEADER_BYTES];
    chain.readable.read(memory, 0, &mut header)?;
    let bytes = usize::try_from(chain.readable.bytes() - HEADER_BYTES as u64).unwrap_or(usize::MAX);
    if !is_frame(bytes) || asks_for_offload(header) {
        return Ok(None);
    }
    let mut frame = vec![0; bytes];
    chain.readable.read(memory, HEADER_BYTES as u64, &mut frame)?;
    Ok(Some(frame))
}

/// Without checksum and segmentation offloads, flags and gso_type are zero (VirtIO 1.2, 5.1.6.2.1).
fn asks_for_offload(header: [u8; HEADER_BYTES]) -> bool {
    let [flags, gso_type, ..] = header;
    flags != 0 || gso_type != 0
}

/// Writes a frame into a chain. Returns how many bytes were written: none if it is too small.
pub(super) fn incoming(frame: &[u8], chain: &Chain, memory: &GuestRam) -> Result<u32, DriverFault> {
    if chain.readable.bytes() > 0 {
        return Err(DriverFault::Direction(chain.head));
    }
    let bytes = HEADER_BYTES + frame.len();
    if chain.writable.bytes() < bytes as u64 {
        return Ok(0);
    }
    chain.writable.write(memory, 0, &INCOMING_HEADER)?;
    chain.writable.write(memory, HEADER_BYTES as u64, frame)?;
    Ok(bytes as u32)
}
