//! A network interface as its driver and its world see it.

use super::*;
use crate::virtio::driver::{Buffer, DATA, Driver, USED_BUFFER, dump, readable, register, status, writable};

const RX: usize = 0;
const TX: usize = 1;
const HEADER: u64 = DATA;
const FRAME: u64 = DATA + 0x1000;
const HEADER_BYTES: u32 = 12;

fn network() -> Net {
    Net::new(NetworkIndex(1), [2, 0, 0, 0, 0, 1])
}

fn ready() -> Driver<Net> {
    Driver::ready(network(), 16)
}

/// A frame that can be told from others.
fn frame(number: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| ((i + 7 * number) % 251) as u8).collect()
}

impl Driver<Net> {
    fn send(&mut self, chain: &[Buffer]) {
        self.offer(TX, chain);
        self.notify(TX as u32);
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.transport.receive(bytes, &self.memory);
    }

    fn take_sent(&mut self) -> Vec<Vec<u8>> {
        let sent = |output| match output {
            Output::Frame { network: NetworkIndex(1), bytes } => bytes,
            other => panic!("a network interface has put out {other:?}"),
        };
        self.outputs.drain(..).map(sent).collect()
    }

    fn dropped(&self) -> (u64, u64) {
        let DroppedFrames { sent, received } = self.transport.device().dropped();
        (sent, received)
    }
}

#[test]
fn a_sent_frame_goes_out_without_its_header() {
    let mut driver = ready();
    driver.fill(FRAME, &frame(1, 100));
    driver.send(&[readable(HEADER, HEADER_BYTES), readable(FRAME, 60), readable(FRAME + 60, 40)]);
    assert_eq!(driver.take_sent(), [frame(1, 100)]);
    assert_eq!(driver.take_used(TX), [(0, 0)]);
    assert_eq!(driver.take_interrupts(), USED_BUFFER);
}

#[test]
fn header_and_frame_may_share_a_buffer_or_be_cut_anywhere() {
    let mut driver = ready();
    driver.fill(HEADER, &[0; 12]);
    driver.fill(HEADER + 12, &frame(2, 64));
    driver.send(&[readable(HEADER, 76)]);
    driver.send(&[readable(HEADER, 5), readable(HEADER + 5, 0), readable(HEADER + 5, 71)]);
    assert_eq!(driver.take_sent(), [frame(2, 64), frame(2, 64)]);
}

#[test]
fn only_frames_are_sent() {
    for (bytes, is_sent) in [(0, false), (13, false), (14, true), (1514, true), (1518, true), (1519, false)] {
        let mut driver = ready();
        driver.send(&[readable(HEADER, HEADER_BYTES), readable(FRAME, bytes)]);
        assert_eq!(driver.take_sent().len(), usize::from(is_sent), "{bytes} bytes");
        assert_eq!(driver.dropped(), (u64::from(!is_sent), 0), "{bytes} bytes");
        assert_eq!(driver.take_used(TX), [(0, 0)], "{bytes} bytes");
    }
}

#[test]
fn a_frame_that_wants_an_offload_is_dropped() {
    for (offset, value) in [(0, 1), (0, 2), (1, 1), (1, 0x80)] {
        let mut driver = ready();
        driver.store(HEADER + offset, [value]);
        driver.send(&[readable(HEADER, HEADER_BYTES), readable(FRAME, 64)]);
        assert!(driver.take_sent().is_empty());
        assert_eq!((driver.dropped(), driver.take_used(TX)), ((1, 0), vec![(0, 0)]));
    }
}

#[test]
fn malformed_packets_need_a_reset() {
    let cases: [&[Buffer]; 4] = [
        &[readable(HEADER, 11)],
        &[readable(HEADER, 0)],
        &[readable(HEADER, HEADER_BYTES), readable(FRAME, 64), writable(FRAME, 1)],
        &[writable(HEADER, 100)],
    ];
    for chain in cases {
        let mut driver = ready();
        driver.send(chain);
        assert!(driver.is_broken(), "{chain:?}");
        assert!(driver.outputs.is_empty() && driver.take_used(TX).is_empty(), "{chain:?}");
    }
}

#[test]
fn a_received_frame_goes_behind_a_header_into_one_chain() {
    let mut driver = ready();
    driver
        .offer(RX, &[writable(HEADER, HEADER_BYTES), writable(FRAME, 1000), writable(FRAME + 0x1000, 1000)]);
    driver.fill(HEADER, &[0xee; 12]);
    driver.receive(&frame(3, 1514));
    assert_eq!(driver.load(HEADER, 12), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert_eq!(driver.load(FRAME, 1000), frame(3, 1514)[..1000]);
    assert_eq!(driver.load(FRAME + 0x1000, 514), frame(3, 1514)[1000..]);
    assert_eq!(driver.take_used(RX), [(0, 1526)]);
    assert_eq!(driver.take_interrupts(), USED_BUFFER);
}

#[test]
fn frames_wait_for_buffers_in_their_order() {
    let mut driver = ready();
    for number in 0..4 {
        driver.receive(&frame(number, 100));
    }
    assert!(!driver.transport.interrupt_line());
    driver.offer(RX, &[writable(DATA, 1526)]);
    driver.offer(RX, &[writable(DATA + 0x1000, 1526)]);
    driver.notify(RX as u32);
    driver.offer(RX, &[writable(DATA + 0x2000, 1526)]);
    driver.receive(&frame(4, 100));
    assert_eq!(driver.take_used(RX), [(0, 112), (1, 112), (2, 112)]);
    for number in 0..3 {
        let found = driver.load(DATA + 0x1000 * number as u64 + 12, 100);
        assert_eq!(found, frame(number, 100), "frame {number}");
    }
    assert_eq!(driver.transport.save().device.backlog, [frame(3, 100), frame(4, 100)]);
}

#[test]
fn no_more_than_the_backlog_waits() {
    let mut driver = ready();
    for number in 0..MAX_BACKLOG + 3 {
        driver.receive(&frame(number, 60));
    }
    assert_eq!(driver.dropped(), (0, 3));
    let backlog = driver.transport.save().device.backlog;
    assert_eq!((backlog.len(), &backlog[255]), (MAX_BACKLOG, &frame(255, 60)));
    driver.offer(RX, &[writable(DATA, 1526)]);
    driver.receive(&frame(300, 60));
    assert_eq!(driver.dropped(), (0, 3));
    assert_eq!(driver.transport.save().device.backlog[255], frame(300, 60));
}

#[test]
fn a_buffer_that_is_too_small_goes_back_without_its_frame() {
    let mut driver = ready();
    driver.offer(RX, &[writable(DATA, 111)]);
    driver.offer(RX, &[writable(DATA + 0x1000, 112)]);
    let ram = driver.load(DATA, 111);
    driver.receive(&frame(1, 100));
    driver.receive(&frame(2, 100));
    assert_eq!(driver.take_used(RX), [(0, 0), (1, 112)]);
    assert_eq!(driver.load(DATA, 111), ram);
    assert_eq!(driver.load(DATA + 0x1000 + 12, 100), frame(2, 100));
    assert_eq!(driver.dropped(), (0, 1));
}

#[test]
fn receive_buffers_are_for_writing_only() {
    let mut driver = ready();
    driver.offer(RX, &[readable(DATA, 12), writable(DATA, 1514)]);
    driver.receive(&frame(1, 100));
    assert!(driver.is_broken());
    assert!(driver.take_used(RX).is_empty());
}

#[test]
fn frames_are_lost_while_nobody_listens() {
    let mut driver = Driver::new(network());
    driver.receive(&frame(1, 100));
    driver.bring_up(16);
    driver.set(register::QUEUE_SELECT, RX as u32);
    driver.set(register::QUEUE_READY, 0);
    driver.receive(&frame(1, 100));
    driver.set(register::STATUS, status::DRIVER_OK | 0x80);
    driver.receive(&frame(1, 100));
    assert_eq!(driver.dropped(), (0, 3));
    assert!(driver.transport.save().device.backlog.is_empty());
}

#[test]
fn bytes_that_are_no_frame_are_not_received() {
    let mut driver = ready();
    driver.offer(RX, &[writable(DATA, 4096)]);
    for bytes in [0, 13, 1519, 9000] {
        driver.receive(&frame(1, bytes));
    }
    assert_eq!((driver.dropped(), driver.take_used(RX)), ((0, 4), vec![]));
}

#[test]
fn a_reset_and_a_stopped_queue_forget_the_frames_that_wait() {
    let mut driver = ready();
    driver.receive(&frame(1, 100));
    driver.set(register::QUEUE_SELECT, TX as u32);
    driver.set(register::QUEUE_READY, 0);
    assert_eq!(driver.transport.save().device.backlog.len(), 1);
    driver.bring_up(16);
    assert!(driver.transport.save().device.backlog.is_empty());
    driver.receive(&frame(1, 100));
    driver.set(register::QUEUE_SELECT, RX as u32);
    driver.set(register::QUEUE_READY, 0);
    assert!(driver.transport.save().device.backlog.is_empty());
}

#[test]
fn interrupts_of_each_queue_can_be_suppressed() {
    let mut driver = ready();
    driver.suppress_interrupts(TX);
    driver.send(&[readable(HEADER, HEADER_BYTES), readable(FRAME, 64)]);
    assert!(!driver.transport.interrupt_line());
    driver.offer(RX, &[writable(DATA, 1526)]);
    driver.receive(&frame(1, 100));
    assert!(driver.transport.interrupt_line());
}

#[test]
fn a_restored_device_goes_on_as_the_saved_one_would() {
    let mut first = ready();
    first.receive(&frame(1, 100));
    first.receive(&frame(2, 200));
    first.send(&[readable(HEADER, HEADER_BYTES), readable(FRAME, 13)]);
    let mut second = first.duplicate(network());
    assert_eq!(second.transport.save(), first.transport.save());
    for driver in [&mut first, &mut second] {
        driver.offer(RX, &[writable(DATA, 1526)]);
        driver.notify(RX as u32);
        driver.receive(&frame(3, 300));
        driver.send(&[readable(HEADER, HEADER_BYTES), readable(FRAME, 64)]);
    }
    assert_eq!(second.outputs, first.outputs);
    assert_eq!(second.transport.save(), first.transport.save());
    assert_eq!(dump(&second.memory), dump(&first.memory));
}

#[test]
fn states_that_no_interface_has_are_refused() {
    let driver = ready();
    let changes: [fn(&mut crate::virtio::MmioState<NetState>); 3] = [
        |state| state.device.backlog = vec![vec![0; 60]; MAX_BACKLOG + 1],
        |state| state.device.backlog = vec![vec![0; 13]],
        |state| {
            state.queues[RX].position = None;
            state.device.backlog = vec![vec![0; 60]];
        },
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut state = driver.transport.save();
        change(&mut state);
        let restored = VirtioMmio::new(network()).restore(state, &driver.memory);
        assert!(matches!(restored, Err(RestoreError::Impossible(_))), "change {i}");
    }
}
