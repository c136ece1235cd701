//! Descriptor chains: the buffers of one request (VirtIO 1.2, 2.7.5).

use std::ops::Range;

use outlive_engine::{GuestPhysical, GuestRam};
use virtio_queue::desc::split::Descriptor;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

use crate::virtio::fault::DriverFault;

/// A well-formed chain: it ends, its readable part comes first, and all its buffers are in RAM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// The index of its first descriptor, by which the driver knows it.
    pub head: u16,
    /// What the device may read.
    pub readable: Buffers,
    /// What the device may write.
    pub writable: Buffers,
}

impl Chain {
    /// The most bytes in a chain (VirtIO 1.2, 2.7.5.2).
    const MAX_BYTES: u64 = 1 << 32;

    /// Reads the chain that begins with descriptor `head` of a table with `size` descriptors.
    pub(super) fn read(
        memory: &GuestRam,
        table: GuestPhysical,
        size: u16,
        head: u16,
    ) -> Result<Self, DriverFault> {
        let mut chain = Self { head, readable: Buffers::default(), writable: Buffers::default() };
        let mut index = head;
        // A chain with more descriptors than the table has passes one of them twice.
        for _ in 0..size {
            let descriptor = read_descriptor(memory, table, size, index)?;
            chain.append(memory, index, descriptor)?;
            if !descriptor.has_next() {
                return chain.checked_length();
            }
            index = descriptor.next();
        }
        Err(DriverFault::Loop(head))
    }

    fn append(&mut self, memory: &GuestRam, index: u16, descriptor: Descriptor) -> Result<(), DriverFault> {
        if descriptor.refers_to_indirect_table() {
            return Err(DriverFault::Indirect(index));
        }
        let is_writable = descriptor.is_write_only();
        if !is_writable && !self.writable.0.is_empty() {
            return Err(DriverFault::ReadableAfterWritable(index));
        }
        let segment = Segment::new(memory, GuestPhysical(descriptor.addr().0), descriptor.len())?;
        let part = if is_writable { &mut self.writable } else { &mut self.readable };
        part.0.push(segment);
        Ok(())
    }

    pub(super) fn checked_length(self) -> Result<Self, DriverFault> {
        let fits = self.readable.bytes() + self.writable.bytes() <= Self::MAX_BYTES;
        if fits { Ok(self) } else { Err(DriverFault::ChainBytes(self.head)) }
    }
}

fn read_descriptor(
    memory: &GuestRam,
    table: GuestPhysical,
    size: u16,
    index: u16,
) -> Result<Descriptor, DriverFault> {
    const BYTES: u64 = size_of::<Descriptor>() as u64;
    if index >= size {
        return Err(DriverFault::DescriptorIndex(index));
    }
    // The whole table is in RAM, so that neither the sum nor the access can fail.
    let address = table.0 + u64::from(index) * BYTES;
    memory.read_obj(GuestAddress(address)).map_err(|_| DriverFault::DescriptorIndex(index))
}

/// One buffer in RAM. An empty one may be anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    address: GuestPhysical,
    bytes: u32,
}

impl Segment {
    /// Checks that the buffer is in RAM.
    ///
    /// # Errors
    /// When it is not.
    pub fn new(memory: &GuestRam, address: GuestPhysical, bytes: u32) -> Result<Self, DriverFault> {
        let is_in_ram = memory.check_range(GuestAddress(address.0), bytes as usize);
        if is_in_ram {
            Ok(Self { address, bytes })
        } else {
            Err(DriverFault::BufferAddress { address, bytes })
        }
    }

    /// Where it begins.
    pub fn address(&self) -> GuestPhysical {
        self.address
    }

    /// Its length.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }
}

/// Buffers that count as one run of bytes: where one ends and the next begins means nothing (VirtIO 1.2,
/// 2.7.4.1).
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Buffers(Vec<Segment>);

impl Buffers {
    /// The length of all together.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|segment| u64::from(segment.bytes)).sum()
    }

    /// Each buffer.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When the buffers end before.
    pub fn read(&self, memory: &GuestRam, offset: u64, into: &mut [u8]) -> Result<(), DriverFault> {
        self.check_holds(offset, into.len())?;
        for (address, range) in self.pieces(offset, into.len()) {
            let read = memory.read_slice(&mut into[range], address);
            assert!(read.is_ok(), "a buffer has left RAM: {read:?}");
        }
        Ok(())
    }

    /// Writes `from` from `offset` on.
    ///
    /// # Errors
    /// When the buffers end before; then nothing is written.
    pub fn write(&self, memory: &GuestRam, offset: u64, from: &[u8]) -> Result<(), DriverFault> {
        self.check_holds(offset, from.len())?;
        for (address, range) in self.pieces(offset, from.len()) {
            let written = memory.write_slice(&from[range], address);
            assert!(written.is_ok(), "a buffer has left RAM: {written:?}");
        }
        Ok(())
    }

    fn check_holds(&self, offset: u64, bytes: usize) -> Result<(), DriverFault> {
        let (wanted, found) = (offset.saturating_add(bytes as u64), self.bytes());
        if wanted <= found { Ok(()) } else { Err(DriverFault::ChainTooShort { wanted, found }) }
    }

    /// Where the `bytes` bytes from `offset` on are, and which of them are at each place.
    fn pieces(&self, offset: u64, bytes: usize) -> impl Iterator<Item = (GuestAddress, Range<usize>)> {
        let (mut to_skip, mut done) = (offset, 0);
        self.0.iter().filter_map(move |segment| {
            let skipped = to_skip.min(u64::from(segment.bytes));
            to_skip -= skipped;
            let rest = u64::from(segment.bytes) - skipped;
            let length = rest.min((bytes - done) as u64) as usize;
            let range = done..done + length;
            done += length;
            // An empty buffer's address may be the last of all.
            (length > 0).then(|| (GuestAddress(segment.address.0 + skipped), range))
        })
    }
}

impl FromIterator<Segment> for Buffers {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}
