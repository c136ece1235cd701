//! What holds whatever a guest does.

mod confinement;
mod survival;

use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::block::Block;
use super::driver::{Buffer, DATA, NEXT, RAM_END, readable, writable};
use super::net::Net;
use crate::world::{DiskIndex, NetworkIndex};
use outlive_engine::GuestRam;

/// The size of queues.
const SIZE: u16 = 8;

fn disk() -> Block {
    Block::new(DiskIndex(0), 64, false, "disk")
}

fn network() -> Net {
    Net::new(NetworkIndex(0), [2, 0, 0, 0, 0, 1])
}

/// A descriptor of which only the meaning is random.
#[derive(Clone, Copy, Debug)]
struct Described {
    address: u64,
    bytes: u32,
    flags: u16,
    next: u16,
}

impl Described {
    fn to_bytes(self) -> [u8; 16] {
        let Self { address, bytes, flags, next } = self;
        let number = u128::from(next) << 112 | u128::from(flags) << 96 | u128::from(bytes) << 64;
        (number | u128::from(address)).to_le_bytes()
    }
}

/// Any descriptor.
fn described() -> impl Strategy<Value = Described> {
    let address = prop_oneof![5 => address(), 1 => RAM_END - 600..RAM_END, 1 => any::<u64>()];
    let bytes = prop_oneof![2 => 0..2000u32, 1 => any::<u32>()];
    let flags = prop_oneof![9 => 0..4u16, 1 => any::<u16>()];
    let next = prop_oneof![9 => 0..SIZE, 1 => any::<u16>()];
    (address, bytes, flags, next).prop_map(|(address, bytes, flags, next)| Described {
        address,
        bytes,
        flags,
        next,
    })
}

/// Where buffers are.
fn address() -> impl Strategy<Value = u64> {
    prop_oneof![5 => DATA..DATA + 0x4000, 1 => 0..0x4000u64]
}

/// How long buffers are.
fn length() -> impl Strategy<Value = u32> {
    prop_oneof![6 => Just(512u32), 1 => 0..2000u32]
}

/// A header: see [`Offer::requests`].
fn header(is_written: bool) -> impl Strategy<Value = Buffer> {
    (0..32u64).prop_map(move |i| readable(DATA + 32 * i + 16 * u64::from(is_written), 16))
}

/// A request to a disk.
fn request() -> impl Strategy<Value = Vec<Buffer>> {
    let ending = || (address(), prop_oneof![9 => Just(1u32), 1 => Just(21)]);
    let read = (header(false), prop::collection::vec((address(), length()), 0..3), ending());
    let read = read.prop_map(|(header, data, ending)| {
        let answer = data.into_iter().chain([ending]).map(|(address, bytes)| writable(address, bytes));
        [header].into_iter().chain(answer).collect()
    });
    let write = (header(true), prop::collection::vec((address(), length()), 0..3), ending());
    let write = write.prop_map(|(header, data, (address, bytes))| {
        let data = data.into_iter().map(|(address, bytes)| readable(address, bytes));
        [header].into_iter().chain(data).chain([writable(address, bytes)]).collect()
    });
    prop_oneof![read, write]
}

/// A packet to send.
fn packet() -> impl Strategy<Value = Vec<Buffer>> {
    (header(false), address(), length()).prop_map(|(header, address, bytes)| {
        let header = Buffer { bytes: 12, ..header };
        vec![header, readable(address, bytes)]
    })
}

/// Room for a packet.
fn room() -> impl Strategy<Value = Vec<Buffer>> {
    let buffer = (address(), length()).prop_map(|(address, bytes)| writable(address, bytes));
    prop::collection::vec(buffer, 1..4)
}

/// What a driver puts into a queue, and into its buffers.
#[derive(Clone, Debug)]
struct Offer {
    descriptors: Vec<Described>,
    heads: Vec<u16>,
    /// Type and sector of requests, all over the buffers. Those at even places read.
    requests: Vec<(u32, u64)>,
}

/// Chains one after the other, now and then with a mistake in a descriptor or a head.
fn offer(chain: impl Strategy<Value = Vec<Buffer>>) -> impl Strategy<Value = Offer> {
    let read = prop_oneof![8 => Just(0u32), 1 => Just(8), 1 => any::<u32>()];
    let write = prop_oneof![8 => Just(1u32), 1 => Just(4), 1 => any::<u32>()];
    let sector = || prop_oneof![9 => 0..66u64, 1 => any::<u64>()];
    let requests = prop::collection::vec(((read, sector()), (write, sector())), 32)
        .prop_map(|pairs| pairs.into_iter().flat_map(|(read, write)| [read, write]).collect());
    let chains = prop::collection::vec(chain, 1..4);
    let mistake = prop::option::weighted(0.2, (0..usize::from(SIZE), described()));
    let wrong_head = prop::option::weighted(0.1, any::<u16>());
    (chains, mistake, wrong_head, requests).prop_map(|(chains, mistake, wrong_head, requests)| {
        let (mut descriptors, mut heads) = (Vec::new(), Vec::new());
        for chain in chains {
            heads.push(descriptors.len() as u16);
            link(&chain, &mut descriptors);
        }
        descriptors.truncate(SIZE.into());
        if let Some((index, descriptor)) = mistake {
            descriptors.get_mut(index).into_iter().for_each(|place| *place = descriptor);
        }
        heads.extend(wrong_head);
        Offer { descriptors, heads, requests }
    })
}

/// Appends a chain to a descriptor table.
fn link(chain: &[Buffer], descriptors: &mut Vec<Described>) {
    for (i, &Buffer { address, bytes, flags }) in chain.iter().enumerate() {
        let flags = if i + 1 < chain.len() { flags | NEXT } else { flags };
        let next = descriptors.len() as u16 + 1;
        descriptors.push(Described { address, bytes, flags, next });
    }
}

impl Offer {
    /// Writes request headers all over the buffers.
    fn fill_buffers(&self, memory: &GuestRam) {
        for (i, (kind, sector)) in (0..).zip(&self.requests) {
            let header = (u128::from(*sector) << 64 | u128::from(*kind)).to_le_bytes();
            memory.write_slice(&header, GuestAddress(DATA + 16 * i)).unwrap();
        }
    }

    /// Writes the descriptor table.
    fn fill_table(&self, memory: &GuestRam, table: u64) {
        for (i, descriptor) in (0..).zip(&self.descriptors) {
            // A table that is not in RAM is no table.
            let _ = memory.write_slice(&descriptor.to_bytes(), GuestAddress(table.wrapping_add(16 * i)));
        }
    }
}
