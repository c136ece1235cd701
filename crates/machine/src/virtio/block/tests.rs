//! A disk as its driver and its world see it.

mod state;

use super::*;
use crate::virtio::driver::{
    Buffer, DATA, Driver, Place, USED_BUFFER, dump, readable, register, status, writable,
};

/// Types of requests.
const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;

/// Values of a request's status; what a test leaves there first.
const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;
const UNTOUCHED: u8 = 0xee;

const SECTORS: u64 = 0x1_0000;

/// Where tests put the parts of a request.
const HEADER: u64 = DATA;
const STATUS: u64 = DATA + 0x100;
const BUFFER: u64 = DATA + 0x1000;

fn disk() -> Block {
    Block::new(DiskIndex(2), SECTORS, false, "a serial number that is too long")
}

fn ready() -> Driver<Block> {
    Driver::ready(disk(), 16)
}

impl Driver<Block> {
    /// Makes a request available without telling the device.
    fn request(&mut self, kind: u32, sector: u64, buffers: &[Buffer]) -> u16 {
        self.store(HEADER, kind.to_le_bytes());
        self.store(HEADER + 8, sector.to_le_bytes());
        self.store(STATUS, [UNTOUCHED]);
        let mut chain = vec![readable(HEADER, 16)];
        chain.extend_from_slice(buffers);
        chain.push(writable(STATUS, 1));
        self.offer(0, &chain)
    }

    /// Makes a request and tells the device.
    fn submit(&mut self, kind: u32, sector: u64, buffers: &[Buffer]) -> u16 {
        let head = self.request(kind, sector, buffers);
        self.notify(0);
        head
    }

    fn complete(&mut self, id: u64, data: &[u8]) -> Result<Completion, CompletionError> {
        self.transport.complete(DiskRequestId(id), DiskStatus::Done, data, &self.memory)
    }

    fn status_byte(&self) -> u8 {
        self.load(STATUS, 1)[0]
    }

    /// The operations that went out since the last call.
    fn take_operations(&mut self) -> Vec<(u64, DiskOperation)> {
        let operation = |output| match output {
            Output::Disk { disk: DiskIndex(2), request, operation } => (request.0, operation),
            other => panic!("a disk has put out {other:?}"),
        };
        self.outputs.drain(..).map(operation).collect()
    }
}

fn read_of(sector: u64, bytes: u32) -> DiskOperation {
    DiskOperation::Read { sector, bytes }
}

#[test]
fn a_read_goes_out_and_its_data_comes_in() {
    let mut driver = ready();
    let head = driver.submit(IN, 7, &[writable(BUFFER, 1000), writable(BUFFER + 0x1000, 24)]);
    assert_eq!(driver.take_operations(), [(0, read_of(7, 1024))]);
    assert!(driver.take_used(0).is_empty());
    assert!(!driver.transport.interrupt_line());
    let data: Vec<u8> = (0..1024).map(|i| (i % 251) as u8).collect();
    assert_eq!(driver.complete(0, &data), Ok(Completion::Delivered));
    assert_eq!(driver.load(BUFFER, 1000), data[..1000]);
    assert_eq!(driver.load(BUFFER + 0x1000, 24), data[1000..]);
    assert_eq!(driver.status_byte(), OK);
    assert_eq!(driver.take_used(0), [(head.into(), 1025)]);
    assert_eq!(driver.take_interrupts(), USED_BUFFER);
}

#[test]
fn a_write_goes_out_with_the_data_of_the_moment() {
    let mut driver = ready();
    driver.fill(BUFFER, &[1; 300]);
    driver.fill(BUFFER + 0x1000, &[2; 212]);
    let head = driver.submit(OUT, 9, &[readable(BUFFER, 300), readable(BUFFER + 0x1000, 212)]);
    driver.fill(BUFFER, &[3; 300]);
    let data = [[1; 300].as_slice(), &[2; 212]].concat();
    let operation = DiskOperation::Write { sector: 9, data };
    assert_eq!(driver.take_operations(), [(0, operation.clone())]);
    assert_eq!(driver.transport.device().reissue(), [(DiskRequestId(0), operation)]);
    assert_eq!(driver.complete(0, &[]), Ok(Completion::Delivered));
    assert_eq!((driver.status_byte(), driver.take_used(0)), (OK, vec![(head.into(), 1)]));
    assert!(driver.transport.device().reissue().is_empty());
}

#[test]
fn a_flush_waits_for_the_disk() {
    let mut driver = ready();
    driver.submit(FLUSH, 0, &[]);
    assert_eq!(driver.take_operations(), [(0, DiskOperation::Flush)]);
    assert_eq!(driver.status_byte(), UNTOUCHED);
    assert_eq!(driver.complete(0, &[]), Ok(Completion::Delivered));
    assert_eq!(driver.status_byte(), OK);
}

#[test]
fn the_serial_number_is_told_at_once() {
    let mut driver = ready();
    driver.submit(GET_ID, 0, &[writable(BUFFER, 20)]);
    assert_eq!(driver.load(BUFFER, 20), b"a serial number that");
    assert_eq!((driver.status_byte(), driver.take_used(0)), (OK, vec![(0, 21)]));
    assert_eq!(driver.take_interrupts(), USED_BUFFER);
    driver.submit(GET_ID, 0, &[writable(BUFFER, 19)]);
    assert_eq!((driver.status_byte(), driver.take_used(0)), (IOERR, vec![(2 + 1, 0)]));
    assert!(driver.outputs.is_empty());
}

#[test]
fn a_short_serial_number_is_padded_with_zeros() {
    assert_eq!(&Block::new(DiskIndex(0), 1, false, "root").serial[..5], b"root\0");
}

#[test]
fn requests_that_make_no_sense_are_refused_at_once() {
    let cases: [(u32, u64, &[Buffer], u8); 12] = [
        (IN, SECTORS, &[writable(BUFFER, 512)], IOERR),
        (IN, SECTORS - 1, &[writable(BUFFER, 1024)], IOERR),
        (IN, u64::MAX, &[writable(BUFFER, 512)], IOERR),
        (IN, 0, &[writable(BUFFER, 511)], IOERR),
        (IN, 0, &[writable(BUFFER, 513)], IOERR),
        (IN, 0, &[], IOERR),
        (IN, 0, &[writable(0x8_0000, 0x8_0000), writable(0x8_0000, 0x8_0000), writable(BUFFER, 512)], IOERR),
        (OUT, SECTORS, &[readable(BUFFER, 512)], IOERR),
        (OUT, 0, &[readable(BUFFER, 100)], IOERR),
        (OUT, 0, &[readable(0x8_0000, 0x8_0000), readable(0x8_0000, 0x8_0000), readable(BUFFER, 512)], IOERR),
        (11, 0, &[readable(BUFFER, 16)], UNSUPP),
        (u32::MAX, 0, &[], UNSUPP),
    ];
    for (kind, sector, buffers, expected) in cases {
        let mut driver = ready();
        driver.submit(kind, sector, buffers);
        let case = format!("type {kind}, sector {sector:#x}, {buffers:?}");
        assert_eq!(driver.status_byte(), expected, "{case}");
        assert_eq!(driver.take_used(0).len(), 1, "{case}");
        assert!(driver.outputs.is_empty(), "{case}");
        assert!(!driver.is_broken(), "{case}");
    }
}

#[test]
fn the_longest_request_is_accepted() {
    let mut driver = ready();
    driver.submit(OUT, 0, &[readable(0x8_0000, 0x8_0000), readable(0x8_0000, 0x8_0000)]);
    let operations = driver.take_operations();
    assert!(
        matches!(&operations[..], [(0, DiskOperation::Write { sector: 0, data })] if data.len() == 1 << 20)
    );
}

#[test]
fn a_read_only_disk_is_not_written() {
    let mut driver = Driver::ready(Block::new(DiskIndex(2), SECTORS, true, "cd"), 16);
    assert_eq!(driver.offered() & 1 << 5, 1 << 5);
    driver.submit(OUT, 0, &[readable(BUFFER, 512)]);
    assert_eq!(driver.status_byte(), IOERR);
    assert!(driver.take_operations().is_empty());
    driver.submit(IN, 0, &[writable(BUFFER, 512)]);
    assert_eq!(driver.take_operations(), [(0, read_of(0, 512))]);
}

#[test]
fn a_request_may_be_cut_into_buffers_in_any_way() {
    let mut driver = ready();
    driver.store(HEADER, OUT.to_le_bytes());
    driver.store(HEADER + 8, 5u64.to_le_bytes());
    driver.fill(HEADER + 16, &[9; 512]);
    let chain = [
        readable(HEADER, 3),
        readable(HEADER + 3, 0),
        readable(HEADER + 3, 20),
        readable(HEADER + 23, 505),
        writable(BUFFER, 3),
        writable(STATUS, 0),
    ];
    driver.offer(0, &chain);
    driver.notify(0);
    let expected = DiskOperation::Write { sector: 5, data: vec![9; 512] };
    assert_eq!(driver.take_operations(), [(0, expected)]);
    driver.fill(BUFFER, &[UNTOUCHED; 3]);
    driver.complete(0, &[]).unwrap();
    assert_eq!(driver.load(BUFFER, 3), [UNTOUCHED, UNTOUCHED, OK]);
}

#[test]
fn requests_without_header_or_status_need_a_reset() {
    let cases: [&[Buffer]; 6] = [
        &[readable(HEADER, 16)],
        &[readable(HEADER, 16), writable(STATUS, 0)],
        &[readable(HEADER, 15), writable(STATUS, 1)],
        &[writable(STATUS, 1)],
        &[writable(HEADER, 16), writable(STATUS, 1)],
        &[readable(HEADER, 0), writable(STATUS, 1)],
    ];
    for chain in cases {
        let mut driver = ready();
        driver.offer(0, chain);
        driver.notify(0);
        assert!(driver.is_broken(), "{chain:?}");
        assert!(driver.outputs.is_empty() && driver.take_used(0).is_empty(), "{chain:?}");
    }
}

#[test]
fn a_chain_that_is_in_use_cannot_be_made_available() {
    let mut driver = ready();
    let head = driver.submit(IN, 0, &[writable(BUFFER, 512)]);
    driver.make_available(0, head);
    driver.notify(0);
    assert!(driver.is_broken());
    assert_eq!(driver.take_operations().len(), 1);
}

#[test]
fn a_whole_ring_of_requests_goes_out_in_its_order() {
    let mut driver = ready();
    for index in 0..5 {
        driver.store(HEADER + 16 * index, IN.to_le_bytes());
        driver.store(HEADER + 16 * index + 8, index.to_le_bytes());
        driver.offer(0, &[readable(HEADER + 16 * index, 16), writable(BUFFER, 512), writable(STATUS, 1)]);
    }
    driver.notify(0);
    let expected: Vec<_> = (0..5).map(|index| (index, read_of(index, 512))).collect();
    assert_eq!(driver.take_operations(), expected);
    for id in [3, 0, 4] {
        driver.complete(id, &[0; 512]).unwrap();
    }
    assert_eq!(driver.take_used(0), [(9, 513), (0, 513), (12, 513)]);
    let left: Vec<_> = driver.transport.device().reissue().into_iter().map(|(id, _)| id.0).collect();
    assert_eq!(left, [1, 2]);
}

#[test]
fn a_failed_read_writes_only_its_status() {
    let mut driver = ready();
    driver.fill(BUFFER, &[7; 512]);
    driver.submit(IN, 0, &[writable(BUFFER, 512)]);
    let failed = driver.transport.complete(DiskRequestId(0), DiskStatus::Failed, &[], &driver.memory);
    assert_eq!(failed, Ok(Completion::Delivered));
    assert_eq!(driver.load(BUFFER, 512), [7; 512]);
    assert_eq!((driver.status_byte(), driver.take_used(0)), (IOERR, vec![(0, 0)]));
}

#[test]
fn completions_that_do_not_fit_change_nothing() {
    let mut driver = ready();
    driver.submit(IN, 0, &[writable(BUFFER, 512)]);
    driver.submit(FLUSH, 0, &[]);
    let (before, ram) = (driver.transport.save(), dump(&driver.memory));
    let length = |request, expected, found| {
        Err(CompletionError::DataLength { request: DiskRequestId(request), expected, found })
    };
    for found in [0, 511, 513, 1024] {
        assert_eq!(driver.complete(0, &vec![0; found]), length(0, 512, found));
    }
    assert_eq!(driver.complete(1, &[0]), length(1, 0, 1));
    let failed = driver.transport.complete(DiskRequestId(0), DiskStatus::Failed, &[0; 512], &driver.memory);
    assert_eq!(failed, length(0, 0, 512));
    for id in [2, u64::MAX] {
        let (request, next) = (DiskRequestId(id), DiskRequestId(2));
        assert_eq!(driver.complete(id, &[]), Err(CompletionError::NeverMade { request, next }));
    }
    assert_eq!(driver.transport.save(), before);
    assert_eq!(dump(&driver.memory), ram);
}

#[test]
fn completions_of_requests_from_before_a_reset_are_dropped() {
    let mut driver = ready();
    driver.submit(IN, 0, &[writable(BUFFER, 512)]);
    driver.bring_up(16);
    assert!(driver.transport.device().reissue().is_empty());
    driver.submit(IN, 1, &[writable(BUFFER, 512)]);
    assert_eq!(driver.take_operations(), [(0, read_of(0, 512)), (1, read_of(1, 512))]);
    let ram = dump(&driver.memory);
    assert_eq!(driver.complete(0, &[1; 512]), Ok(Completion::Abandoned));
    assert_eq!(driver.complete(0, &[1; 9]), Ok(Completion::Abandoned));
    assert_eq!(dump(&driver.memory), ram);
    assert_eq!(driver.complete(1, &[2; 512]), Ok(Completion::Delivered));
    assert_eq!(driver.load(BUFFER, 512), [2; 512]);
}

#[test]
fn a_device_that_needs_a_reset_drops_completions() {
    let mut driver = ready();
    driver.submit(IN, 0, &[writable(BUFFER, 512)]);
    driver.advance_available(0, 17);
    driver.notify(0);
    let ram = dump(&driver.memory);
    assert_eq!(driver.complete(0, &[1; 512]), Ok(Completion::Abandoned));
    assert_eq!(dump(&driver.memory), ram);
    assert!(driver.transport.device().reissue().is_empty());
}

#[test]
fn completions_before_a_driver_is_there_are_dropped() {
    let mut driver = ready();
    driver.submit(IN, 0, &[writable(BUFFER, 512)]);
    driver.set(register::STATUS, 0);
    driver.set(register::STATUS, status::DRIVER);
    assert_eq!(driver.complete(0, &[1; 512]), Ok(Completion::Abandoned));
}

#[test]
fn an_interrupt_is_not_raised_where_the_driver_wants_none() {
    let mut driver = ready();
    driver.suppress_interrupts(0);
    driver.submit(IN, 0, &[writable(BUFFER, 512)]);
    driver.complete(0, &[1; 512]).unwrap();
    assert_eq!(driver.take_used(0).len(), 1);
    assert!(!driver.transport.interrupt_line());
}

#[test]
fn an_answer_into_the_available_ring_is_the_drivers_own_fault() {
    let mut driver = ready();
    driver.store(HEADER, GET_ID.to_le_bytes());
    driver.offer(0, &[readable(HEADER, 16), writable(Place::usual(0, 16).available + 2, 21)]);
    driver.notify(0);
    assert!(driver.is_broken());
}

#[test]
fn a_notification_handles_no_more_chains_than_the_queue_has_entries() {
    let mut driver = Driver::new(disk());
    driver.set(register::STATUS, status::DRIVER);
    let offered = driver.offered();
    assert!(driver.settle(offered.into()));
    // The length of the sixteenth used chain lands on the available index: 21 instead of 16.
    let available = Place::usual(0, 16).available + 2;
    let used = available + 2 - (4 + 8 * 15 + 4);
    driver.set_up_queue(0, Place { available, used, ..Place::usual(0, 16) });
    driver.set(register::STATUS, status::DRIVER_OK);
    driver.store(HEADER, GET_ID.to_le_bytes());
    driver.offer(0, &[readable(HEADER, 16), writable(BUFFER, 21)]);
    driver.advance_available(0, 15);
    driver.notify(0);
    assert_eq!(driver.load(available + 2, 2), [21, 0]);
    let position = driver.transport.save().queues[0].position;
    assert_eq!(position.map(|at| (at.next_available, at.next_used)), Some((16, 16)));
    assert!(!driver.is_broken());
}
