//! A small log for tests: all kinds of entries, several batches.

use std::path::PathBuf;

use outlive_engine::{ExitNumber, GuestTime, InstructionCount, PendingEvent, VcpuState};

use crate::entry::{
    Check, DiskOperation, End, EndReason, Entry, Input, Landmark, OutputMarker, PageCheck, StateDigest,
};
use crate::header::{Counting, Disk, Header, Image, Machine, Network};
use crate::writer::LogWriter;

pub(crate) const KERNEL: u64 = 0xffff_ffff_8100_0000;

pub(crate) fn header() -> Header {
    Header {
        engine: "soft".into(),
        counting: Counting::Steps,
        version: "0.1.0".into(),
        recorded: 1_700_000_000,
        machine: Machine {
            memory: 256 << 20,
            command_line: "console=ttyS0 \"quoted\"".into(),
            random_seed: [7; 32],
            wall_clock: 1_700_000_000,
            rewritten_time_reads: true,
        },
        kernel: Image { path: PathBuf::from("/boot/vmlinux"), bytes: 1234, digest: [1; 32] },
        initramfs: None,
        disk: vec![Disk {
            path: PathBuf::from("disk.img"),
            sectors: 2048,
            read_only: false,
            serial: "outlive-0".into(),
            digest: [2; 32],
        }],
        network: vec![Network { mac: "02:00:00:00:00:01".into() }],
    }
}

pub(crate) fn time(nanoseconds: u64) -> GuestTime {
    GuestTime::from_nanoseconds(nanoseconds)
}

pub(crate) fn at(exit: u64, since_exit: u64, rip: u64) -> Landmark {
    Landmark { exit: ExitNumber(exit), since_exit, rip }
}

pub(crate) fn tick(at: Landmark, nanoseconds: u64) -> Entry {
    Entry::Input { at, input: Input::ClockTick(time(nanoseconds)) }
}

pub(crate) fn interrupt(at: Landmark, vector: u8, check: u16) -> Entry {
    Entry::Interrupt { at, vector, check: Check(check) }
}

pub(crate) fn output(exit: u64, output: OutputMarker) -> Entry {
    Entry::Output { exit: ExitNumber(exit), output, check: Check(0xbeef) }
}

pub(crate) fn registers() -> VcpuState {
    let mut state = VcpuState { rip: KERNEL, rflags: 0x246, ..VcpuState::default() };
    state.general.rax = 0x1234;
    state.floating_point.xmm[3] = 1 << 100;
    state.pending = Some(PendingEvent::Exception { vector: 14, error_code: Some(2) });
    state
}

pub(crate) fn digest(at: Landmark, nanoseconds: u64) -> StateDigest {
    StateDigest {
        at,
        time: time(nanoseconds),
        instructions: InstructionCount(123_456),
        running: [3; 32],
        registers: registers(),
        memory: [4; 32],
        devices: [5; 32],
        disks: [6; 32],
        pages: [1, 2, 3, 512].map(|page| PageCheck { page, check: 0x1111 }).to_vec(),
    }
}

/// Entries of all kinds, in an order that makes sense, over about four seconds.
pub(crate) fn entries() -> Vec<Entry> {
    let halted = KERNEL + 0x1_2345;
    let disk = |operation, bytes| OutputMarker::Disk { disk: 0, operation, bytes };
    let completion = |request, failed, data: &[u8]| Input::DiskCompletion {
        disk: 0,
        request,
        failed,
        data: data.to_vec(),
    };
    let input = |at, input| Entry::Input { at, input };
    let frame = |network| Input::Frame { network, bytes: vec![0xaa; 60] };
    vec![
        output(3, OutputMarker::Console),
        output(90, OutputMarker::Console),
        Entry::Time(time(256 * 40)),
        Entry::Time(time(256 * 4000)),
        Entry::Time(time(256 * 4000 + 1)),
        output(95, disk(DiskOperation::Read, 512)),
        input(at(99, 0, halted), completion(0, false, &[0x55; 40])),
        interrupt(at(99, 0, halted), 0x2a, 0x1234),
        output(101, disk(DiskOperation::Write, 4096)),
        output(102, disk(DiskOperation::Flush, 0)),
        input(at(110, 7, halted + 20), completion(2, true, &[])),
        tick(at(120, 0, halted), 10_000_150),
        interrupt(at(120, 0, halted), 0x20, 0x1235),
        tick(at(130, 0, halted), 20_000_301),
        interrupt(at(130, 500, halted - 0x200), 0x20, 0x1236),
        Entry::Digest(Box::new(digest(at(130, 501, halted), 20_000_301))),
        input(at(140, 3, KERNEL + 9), Input::Console(b"ls\n".to_vec())),
        Entry::Time(time(2_000_000_000)),
        input(at(150, 0, halted), frame(0)),
        Entry::Registers(Box::new(registers())),
        interrupt(at(150, 0, halted), 0x2b, 0x7777),
        output(160, OutputMarker::Frame { network: 0, bytes: 60 }),
        output(161, OutputMarker::Frame { network: 1, bytes: 1514 }),
        tick(at(170, 0, halted), 3_500_000_000),
        input(at(170, 9, 0x40_1000), frame(1)),
        Entry::Time(time(3_500_000_000)),
        Entry::End(Box::new(End {
            reason: EndReason::Refused("no such port".into()),
            exit: ExitNumber(171),
            state: Some(digest(at(171, 0, KERNEL), 3_500_000_000)),
        })),
    ]
}

/// Bytes that cannot be compressed, others for each seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    // A generator of random numbers (xorshift64), begun far apart.
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    bytes.take(length).collect()
}

/// The file that a writer makes of entries, each a thousand instructions behind the one before. Closed if the last
/// entry is an end.
pub(crate) fn file(entries: &[Entry]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = LogWriter::create(&path, &header(), false).unwrap();
    for (number, entry) in entries.iter().enumerate() {
        log.append(entry, InstructionCount(1000 * number as u64)).unwrap();
    }
    if matches!(entries.last(), Some(Entry::End(_))) {
        let size = log.close().unwrap();
        assert_eq!(size.bytes, std::fs::metadata(&path).unwrap().len());
    } else {
        drop(log);
    }
    std::fs::read(&path).unwrap()
}

/// A closed log.
pub(crate) fn closed() -> Vec<u8> {
    file(&entries())
}

/// The same without its end.
pub(crate) fn open() -> Vec<u8> {
    let mut entries = entries();
    entries.pop();
    file(&entries)
}
