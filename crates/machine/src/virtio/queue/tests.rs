//! Rings and chains as a driver may leave them.

use super::*;
use crate::virtio::driver::{
    Buffer, DATA, Driver, HIGH_RAM, INDIRECT, NEXT, RAM_END, WRITE, readable, test_ram, writable,
};
use crate::virtio::net::Net;
use crate::world::NetworkIndex;

const SIZE: u16 = 8;

/// A driver whose transmit queue has eight entries, and that queue as seen by a device.
fn opened() -> (Driver<Net>, Virtqueue) {
    let driver = Driver::ready(Net::new(NetworkIndex(0), [2, 0, 0, 0, 0, 1]), SIZE.into());
    let queue = Virtqueue::restored(&driver.transport.save().queues[1], &driver.memory).unwrap();
    (driver, queue)
}

/// What comes of a chain.
fn popped(buffers: &[Buffer]) -> Result<Chain, DriverFault> {
    let (mut driver, mut queue) = opened();
    driver.offer(1, buffers);
    queue.pop(&driver.memory).map(Option::unwrap)
}

fn outside(address: u64, bytes: u32) -> DriverFault {
    DriverFault::BufferAddress { address: GuestPhysical(address), bytes }
}

#[test]
fn a_chain_is_split_into_what_is_read_and_what_is_written() {
    let chain = popped(&[readable(DATA, 16), readable(HIGH_RAM, 8), writable(DATA + 64, 1)]).unwrap();
    assert_eq!((chain.readable.bytes(), chain.writable.bytes()), (24, 1));
    assert_eq!(chain.readable.segments()[1].address(), GuestPhysical(HIGH_RAM));
}

#[test]
fn an_empty_ring_has_no_chain() {
    let (driver, mut queue) = opened();
    assert_eq!(queue.pop(&driver.memory), Ok(None));
    assert_eq!(Virtqueue::default().pop(&driver.memory), Ok(None));
}

#[test]
fn a_chain_may_have_all_descriptors_of_the_table() {
    let whole = [readable(DATA, 1); SIZE as usize];
    assert_eq!(popped(&whole).unwrap().readable.segments().len(), whole.len());
}

#[test]
fn loops_of_every_length_are_found() {
    for length in 1..=SIZE {
        let (mut driver, mut queue) = opened();
        for index in 0..length {
            let buffer = Buffer { flags: NEXT | WRITE, ..writable(DATA, 1) };
            driver.describe(1, index, buffer, (index + 1) % length);
        }
        driver.make_available(1, 0);
        assert_eq!(queue.pop(&driver.memory), Err(DriverFault::Loop(0)), "length {length}");
    }
}

#[test]
fn descriptors_outside_of_the_table_are_found() {
    for index in [SIZE, SIZE + 1, u16::MAX] {
        let (mut driver, mut queue) = opened();
        driver.make_available(1, index);
        assert_eq!(queue.pop(&driver.memory), Err(DriverFault::DescriptorIndex(index)));
        let (mut driver, mut queue) = opened();
        driver.describe(1, 3, Buffer { flags: NEXT, ..readable(DATA, 1) }, index);
        driver.make_available(1, 3);
        assert_eq!(queue.pop(&driver.memory), Err(DriverFault::DescriptorIndex(index)));
    }
}

#[test]
fn an_available_index_may_be_ahead_by_the_size_and_no_more() {
    for ahead in [SIZE + 1, 0x8000, u16::MAX] {
        let (mut driver, mut queue) = opened();
        driver.advance_available(1, ahead);
        assert_eq!(queue.pop(&driver.memory), Err(DriverFault::AvailableIndex), "{ahead}");
    }
    let (mut driver, mut queue) = opened();
    driver.describe(1, 0, readable(DATA, 1), 0);
    driver.advance_available(1, SIZE);
    for _ in 0..SIZE {
        assert!(queue.pop(&driver.memory).unwrap().is_some());
    }
    assert_eq!(queue.pop(&driver.memory), Ok(None));
}

#[test]
fn buffers_outside_of_ram_are_found() {
    let places = [
        (RAM_END, 1),
        (RAM_END - 1, 2),
        (0xd000_0000, 16),
        (HIGH_RAM - 1, 2),
        (HIGH_RAM + RAM_END - 1, 2),
        (0, u32::MAX),
        (RAM_END - 16, u32::MAX),
        (u64::MAX, 1),
        (u64::MAX, u32::MAX),
        (u64::MAX - 15, 32),
    ];
    for (address, bytes) in places {
        assert_eq!(popped(&[readable(address, bytes)]), Err(outside(address, bytes)));
        assert_eq!(popped(&[readable(DATA, 1), writable(address, bytes)]), Err(outside(address, bytes)));
    }
    assert!(popped(&[readable(RAM_END - 1, 1), writable(HIGH_RAM + RAM_END - 1, 1)]).is_ok());
}

#[test]
fn empty_buffers_count_for_nothing_wherever_they_are() {
    let chain = popped(&[readable(u64::MAX, 0), readable(DATA, 4), readable(RAM_END, 0)]).unwrap();
    let (driver, _) = opened();
    driver.fill(DATA, &[1, 2, 3, 4]);
    let mut found = [0; 4];
    chain.readable.read(&driver.memory, 0, &mut found).unwrap();
    assert_eq!(found, [1, 2, 3, 4]);
}

#[test]
fn readable_buffers_come_first() {
    let chain = popped(&[readable(DATA, 1), writable(DATA, 1), readable(DATA, 1)]);
    assert_eq!(chain, Err(DriverFault::ReadableAfterWritable(2)));
}

#[test]
fn indirect_descriptors_are_not_followed() {
    for flags in [INDIRECT, INDIRECT | NEXT, INDIRECT | WRITE] {
        assert_eq!(popped(&[Buffer { flags, ..readable(DATA, 16) }]), Err(DriverFault::Indirect(0)));
    }
}

#[test]
fn a_chain_has_at_most_four_gibibytes() {
    let ram = GuestRam::from_ranges(&[(GuestAddress(0), 1 << 30)]).unwrap();
    let chain_of = |lengths: &[u32]| {
        let readable = lengths.iter().map(|&bytes| Segment::new(&ram, GuestPhysical(0), bytes).unwrap());
        let chain = Chain { head: 5, readable: readable.collect(), writable: Buffers::default() };
        chain.checked_length().map(|chain| chain.readable.bytes())
    };
    assert_eq!(chain_of(&[1 << 30; 4]), Ok(1 << 32));
    assert_eq!(chain_of(&[1 << 30, 1 << 30, 1 << 30, 1 << 30, 1]), Err(DriverFault::ChainBytes(5)));
}

#[test]
fn bytes_do_not_mind_where_buffers_end() {
    let memory = test_ram();
    let segments = [(DATA, 3), (DATA + 0x100, 0), (HIGH_RAM + 5, 4), (DATA + 0x200, 2)];
    let buffers: Buffers = segments
        .iter()
        .map(|&(address, bytes)| Segment::new(&memory, GuestPhysical(address), bytes).unwrap())
        .collect();
    for offset in 0..9u64 {
        for length in 0..=(9 - offset as usize) {
            let (before, data) = ([0xee; 9], vec![offset as u8 + 1; length]);
            buffers.write(&memory, 0, &before).unwrap();
            buffers.write(&memory, offset, &data).unwrap();
            let mut expected = before;
            expected[offset as usize..][..length].copy_from_slice(&data);
            let mut found = [0; 9];
            buffers.read(&memory, 0, &mut found).unwrap();
            assert_eq!(found, expected, "{length} bytes at {offset}");
        }
    }
}

#[test]
fn bytes_behind_the_last_buffer_are_neither_read_nor_written() {
    let memory = test_ram();
    let segment = Segment::new(&memory, GuestPhysical(DATA), 4).unwrap();
    let buffers: Buffers = [segment].into_iter().collect();
    for (offset, bytes) in [(0, 5), (4, 1), (5, 0), (u64::MAX, 1)] {
        let too_short = |result| matches!(result, Err(DriverFault::ChainTooShort { found: 4, .. }));
        assert!(too_short(buffers.write(&memory, offset, &vec![1; bytes])));
        assert!(too_short(buffers.read(&memory, offset, &mut vec![1; bytes])));
    }
    let mut found = [0xff; 4];
    buffers.read(&memory, 0, &mut found).unwrap();
    assert_eq!(found, [0; 4]);
}

#[test]
fn used_chains_are_announced_once_and_only_if_wanted() {
    let (mut driver, mut queue) = opened();
    driver.offer(1, &[readable(DATA, 1)]);
    driver.offer(1, &[readable(DATA, 1)]);
    assert!(!queue.announce(&driver.memory));
    let head = queue.pop(&driver.memory).unwrap().unwrap().head;
    queue.push_used(&driver.memory, head, 0);
    assert!(queue.announce(&driver.memory));
    assert!(!queue.announce(&driver.memory));
    driver.suppress_interrupts(1);
    let head = queue.pop(&driver.memory).unwrap().unwrap().head;
    queue.push_used(&driver.memory, head, 0);
    assert!(!queue.announce(&driver.memory));
    assert_eq!(driver.take_used(1), [(0, 0), (1, 0)]);
}

#[test]
fn indices_wrap_around() {
    let (mut driver, queue) = opened();
    let position = RingPosition { next_available: u16::MAX, next_used: u16::MAX };
    let state = QueueState { position: Some(position), ..queue.save() };
    let mut queue = Virtqueue::restored(&state, &driver.memory).unwrap();
    driver.describe(1, 0, readable(DATA, 1), 0);
    driver.advance_available(1, 1);
    for _ in 0..2 {
        let head = queue.pop(&driver.memory).unwrap().unwrap().head;
        queue.push_used(&driver.memory, head, 0);
    }
    assert_eq!(queue.pop(&driver.memory), Ok(None));
    assert!(queue.announce(&driver.memory));
    let position = RingPosition { next_available: 1, next_used: 1 };
    assert_eq!(queue.save().position, Some(position));
}
