//! What a driver asks of a block device (VirtIO 1.2, 5.2.6).

use outlive_engine::GuestRam;

use crate::virtio::fault::DriverFault;
use crate::virtio::queue::Chain;
use crate::world::{DiskOperation, DiskStatus};

use super::SERIAL_BYTES;

/// The unit of addresses and lengths, whatever the block size (VirtIO 1.2, 5.2.6).
pub const SECTOR_BYTES: u64 = 512;

/// The most data of one request. A driver that heeds the limits in the configuration space does not ask
/// for more.
pub const MAX_DATA_BYTES: u64 = 1 << 20;

/// The length of `struct virtio_blk_req` before its data: type, reserved, sector.
const HEADER_BYTES: usize = 16;

/// Types of requests.
mod kind {
    pub(super) const IN: u32 = 0;
    pub(super) const OUT: u32 = 1;
    pub(super) const FLUSH: u32 = 4;
    pub(super) const GET_ID: u32 = 8;
}

/// How a request ended, as the driver reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Ok = 0,
    IoError = 1,
    Unsupported = 2,
}

impl From<DiskStatus> for Status {
    fn from(status: DiskStatus) -> Self {
        match status {
            DiskStatus::Done => Self::Ok,
            DiskStatus::Failed => Self::IoError,
        }
    }
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Request {
    /// Ask the disk.
    Disk(DiskOperation),
    /// Tell the serial number.
    Identify,
    /// Say no.
    Refused(Status),
}

impl Request {
    /// Reads the request of a chain to a disk of `sectors` sectors.
    ///
    /// # Errors
    /// When the chain has no room for a header or a status.
    pub(super) fn read(
        chain: &Chain,
        sectors: u64,
        read_only: bool,
        memory: &GuestRam,
    ) -> Result<Self, DriverFault> {
        if chain.writable.bytes() == 0 {
            return Err(DriverFault::ChainTooShort { wanted: 1, found: 0 });
        }
        let mut header = [0; HEADER_BYTES];
        chain.readable.read(memory, 0, &mut header)?;
        let (kind, sector) = parse_header(header);
        match kind {
            kind::IN => Ok(read_request(chain, sector, sectors)),
            kind::OUT if read_only => Ok(Self::Refused(Status::IoError)),
            kind::OUT => write_request(chain, sector, sectors, memory),
            kind::FLUSH => Ok(Self::Disk(DiskOperation::Flush)),
            kind::GET_ID => Ok(identify_request(chain)),
            _ => Ok(Self::Refused(Status::Unsupported)),
        }
    }
}

fn parse_header(header: [u8; HEADER_BYTES]) -> (u32, u64) {
    let [t0, t1, t2, t3, _, _, _, _, sector @ ..] = header;
    (u32::from_le_bytes([t0, t1, t2, t3]), u64::from_le_bytes(sector))
}

fn read_request(chain: &Chain, sector: u64, sectors: u64) -> Request {
    let bytes = chain.writable.bytes() - 1;
    if is_transfer_possible(sector, bytes, sectors) {
        Request::Disk(DiskOperation::Read { sector, bytes: bytes as u32 })
    } else {
        Request::Refused(Status::IoError)
    }
}

fn write_request(
    chain: &Chain,
    sector: u64,
    sectors: u64,
    memory: &GuestRam,
) -> Result<Request, DriverFault> {
    let bytes = chain.readable.bytes() - HEADER_BYTES as u64;
    if !is_transfer_possible(sector, bytes, sectors) {
        return Ok(Request::Refused(Status::IoError));
    }
    let mut data = vec![0; bytes as usize];
    chain.readable.read(memory, HEADER_BYTES as u64, &mut data)?;
    Ok(Request::Disk(DiskOperation::Write { sector, data }))
}

/// The status is behind the serial number.
fn identify_request(chain: &Chain) -> Request {
    if chain.writable.bytes() > SERIAL_BYTES as u64 {
        Request::Identify
    } else {
        Request::Refused(Status::IoError)
    }
}

/// Whether `bytes` bytes from `sector` on are some whole sectors of the disk (VirtIO 1.2, 5.2.6.1), and no
/// more than a request may have.
pub(super) fn is_transfer_possible(sector: u64, bytes: u64, sectors: u64) -> bool {
    let is_whole = bytes > 0 && bytes <= MAX_DATA_BYTES && bytes.is_multiple_of(SECTOR_BYTES);
    is_whole && sector.checked_add(bytes / SECTOR_BYTES).is_some_and(|end| end <= sectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_are_whole_sectors_within_the_disk() {
        assert!(is_transfer_possible(0, 512, 1));
        assert!(is_transfer_possible(7, 512, 8));
        assert!(is_transfer_possible(0, MAX_DATA_BYTES, 1 << 20));
        assert!(is_transfer_possible(u64::MAX - 1, 512, u64::MAX));
        for (sector, bytes) in
            [(0, 0), (0, 511), (0, 513), (0, 9 * 512), (8, 512), (7, 1024), (u64::MAX, 512)]
        {
            assert!(!is_transfer_possible(sector, bytes, 8), "{bytes} bytes from sector {sector}");
        }
        assert!(!is_transfer_possible(0, MAX_DATA_BYTES + 512, u64::MAX));
    }
}
