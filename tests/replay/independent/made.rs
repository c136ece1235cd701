//! Logs that no guest has made: everything that the format can hold.

use std::path::{Path, PathBuf};

use outlive_engine::{
    Activity, ExitNumber, GuestTime, InstructionCount, InterruptShadow, PendingEvent, VcpuState,
};
use outlive_log::encoding::Bases;
use outlive_log::entry::{
    Check, DiskOperation, End, EndReason, Entry, Input, Landmark, OutputMarker, PageCheck, StateDigest,
};
use outlive_log::header::{Counting, Disk, Header, Image, Machine, Network};
use outlive_log::{BatchEncoder, EntryNumber, LogFile, LogWriter};
use tempfile::TempDir;

use super::comparison::{KINDS, agrees, told, verified};

const KERNEL: u64 = 0xffff_ffff_8100_0000;

fn header() -> Header {
    let image = |path: &str| Image { path: PathBuf::from(path), bytes: 7, digest: [0xab; 32] };
    let disk = |read_only| Disk {
        path: "disk ü.img".into(),
        sectors: i64::MAX as u64,
        read_only,
        serial: "\"quoted\"\n".into(),
        digest: [0xcd; 32],
    };
    Header {
        engine: "soft".into(),
        counting: Counting::Windows,
        version: "0.0.0".into(),
        recorded: i64::MIN,
        machine: Machine {
            memory: 0,
            command_line: "a 'b' \"c\" \t".into(),
            random_seed: [0xef; 32],
            wall_clock: -1,
            rewritten_time_reads: true,
        },
        kernel: image("/kernel"),
        initramfs: Some(image("/initramfs")),
        disk: vec![disk(true), disk(false)],
        network: vec![Network { mac: "02:00:00:00:00:01".into() }],
    }
}

fn time(nanoseconds: u64) -> Entry {
    Entry::Time(GuestTime::from_nanoseconds(nanoseconds))
}

fn at(exit: u64, since_exit: u64, rip: u64) -> Landmark {
    Landmark { exit: ExitNumber(exit), since_exit, rip }
}

fn tick(at: Landmark, nanoseconds: u64) -> Entry {
    Entry::Input { at, input: Input::ClockTick(GuestTime::from_nanoseconds(nanoseconds)) }
}

fn interrupt(at: Landmark, vector: u8) -> Entry {
    Entry::Interrupt { at, vector, check: Check(0xbeef) }
}

fn output(exit: u64, output: OutputMarker) -> Entry {
    Entry::Output { exit: ExitNumber(exit), output, check: Check(0x0102) }
}

/// Registers of which each holds another number than the next, of all lengths.
fn registers(pending: Option<PendingEvent>, shadow: InterruptShadow, activity: Activity) -> VcpuState {
    let mut state =
        VcpuState { rip: u64::MAX, rflags: 0x1_0000, pending, shadow, activity, ..VcpuState::default() };
    (state.general.rax, state.general.r15) = (250, 251);
    (state.segments.cs.selector, state.segments.cs.base) = (0xffff, KERNEL);
    (state.segments.ldt.limit, state.segments.ldt.attributes) = (u32::MAX, 0xa09b);
    state.segments.ss.unusable = true;
    (state.gdt.limit, state.idt.base) = (0x7f, 1 << 63);
    (state.control.cr0, state.control.efer) = (0x8005_0033, 0xd01);
    (state.debug.address, state.debug.status, state.debug.control) = ([1, 2, 3, 4], 5, 6);
    (state.msrs.star, state.msrs.sysenter_eip) = (7, 8);
    (state.floating_point.tags, state.floating_point.opcode) = (255, 0x7ff);
    (state.floating_point.instruction, state.floating_point.operand) = (9, 10);
    state.floating_point.stack = std::array::from_fn(|at| u128::MAX >> (8 * at));
    state.floating_point.xmm = std::array::from_fn(|at| 1 << (8 * at));
    state
}

fn digest(at: Landmark, nanoseconds: u64) -> StateDigest {
    let exception = PendingEvent::Exception { vector: 14, error_code: Some(u32::MAX) };
    StateDigest {
        at,
        time: GuestTime::from_nanoseconds(nanoseconds),
        instructions: InstructionCount(u64::MAX),
        running: [1; 32],
        registers: registers(Some(exception), InterruptShadow::MovSs, Activity::Halted),
        memory: [2; 32],
        devices: [3; 32],
        disks: [4; 32],
        pages: [0, 1, 5, 300, 1 << 40, u64::MAX].map(|page| PageCheck { page, check: 0xfffe }).to_vec(),
    }
}

fn end(reason: EndReason, exit: u64, state: Option<StateDigest>) -> Entry {
    Entry::End(Box::new(End { reason, exit: ExitNumber(exit), state }))
}

/// Times in each form, ticks early and late, and landmarks in each form.
fn times_and_landmarks() -> Vec<Entry> {
    let times = [
        0,
        0,
        256,
        257,
        257,
        512,
        256 * 65,
        256 * 65 + 1,
        256 * 66,
        256 * 16_400,
        256 * 40_000,
        256 * 1_000_000,
    ];
    let mut entries: Vec<_> = times.into_iter().map(time).collect();
    let ticks =
        [(5, 0, KERNEL), (5, 0, KERNEL), (9, 0, KERNEL), (20, 0, 1), (20, 7, 1), (20, u64::MAX, KERNEL)];
    let due = [300_000_000u64, 310_000_000, 320_000_000, 329_999_999, 400_000_000, 410_000_000];
    entries
        .extend(ticks.into_iter().zip(due).map(|((exit, since, rip), due)| tick(at(exit, since, rip), due)));
    let places =
        [(400, 3, KERNEL), (400, 3, KERNEL), (401, 300, u64::MAX), (401, 300, 0), (402, 70_000, 1 << 63)];
    entries.extend(
        places
            .into_iter()
            .enumerate()
            .map(|(number, (exit, since, rip))| interrupt(at(exit, since, rip), [32, 32, 255, 0, 0][number])),
    );
    // More places than are remembered, twice, and from one end of memory to the other.
    let rips = (0..40).map(|n| [KERNEL, 0x40_0000][n as usize % 2] + n / 2 % 12 * 0x1111);
    entries.extend(rips.enumerate().map(|(n, rip)| interrupt(at(500, n as u64, rip), 33)));
    entries.extend([(1 << 63) - 1, u64::MAX, 1 << 63, 0].map(|rip| interrupt(at(1 << 20, 0, rip), 34)));
    entries
}

fn inputs_and_outputs() -> Vec<Entry> {
    let here = at(1 << 33, 1, KERNEL);
    let completion = |disk, request, failed, data: &[u8]| Input::DiskCompletion {
        disk,
        request,
        failed,
        data: data.to_vec(),
    };
    let frame = |network, length| Input::Frame { network, bytes: vec![0xaa; length] };
    let inputs = [
        Input::Console(b"ls -l \x1b[0m\"\\\n".to_vec()),
        Input::Console(vec![b'x'; 300]),
        frame(0, 60),
        frame(0, 0),
        frame(255, 70_000),
        completion(0, 0, false, &[0x55; 512]),
        completion(1, 7, true, &[]),
        completion(255, u64::MAX, false, &[]),
        completion(0, 1, false, &[1]),
    ];
    let mut entries: Vec<_> = inputs.into_iter().map(|input| Entry::Input { at: here, input }).collect();
    let disk = |operation, bytes| OutputMarker::Disk { disk: 3, operation, bytes };
    let outputs = [
        (0, OutputMarker::Console),
        (15, OutputMarker::Console),
        (16, OutputMarker::Console),
        (300, OutputMarker::Frame { network: 0, bytes: u32::MAX }),
        (0, OutputMarker::Frame { network: 1, bytes: 60 }),
        (1, disk(DiskOperation::Read, 4096)),
        (1, disk(DiskOperation::Write, 250)),
        (1 << 34, disk(DiskOperation::Flush, 0)),
    ];
    let mut exit = 1 << 33;
    for (exits, marker) in outputs {
        exit += exits;
        entries.push(output(exit, marker));
    }
    // Behind an output's exit, steps are counted anew.
    entries.push(interrupt(at(exit, 9, KERNEL), 36));
    entries
}

/// Every kind of entry in every form, in an order that makes sense, without an end.
fn everything() -> Vec<Entry> {
    let mut entries = times_and_landmarks();
    entries.extend(inputs_and_outputs());
    let pending = [
        None,
        Some(PendingEvent::Interrupt { vector: 255 }),
        Some(PendingEvent::Exception { vector: 0, error_code: None }),
    ];
    let shadows = [InterruptShadow::None, InterruptShadow::Sti, InterruptShadow::MovSs];
    let activities = [Activity::Running, Activity::Halted, Activity::Running];
    for ((pending, shadow), activity) in pending.into_iter().zip(shadows).zip(activities) {
        entries.push(Entry::Registers(Box::new(registers(pending, shadow, activity))));
        entries.push(interrupt(at(1 << 36, 0, KERNEL), 35));
    }
    entries.push(Entry::Digest(Box::new(digest(at(1 << 36, 5, KERNEL), 1 << 40))));
    entries.extend([u64::MAX - 4, u64::MAX - 4].map(time));
    entries.push(tick(at(u64::MAX, 0, KERNEL), u64::MAX));
    entries
}

/// Writes a log of these entries, closed if the last one is an end, a thousand instructions each; every so many of them are a
/// batch.
fn write(path: &Path, entries: &[Entry], batch: usize) {
    let mut log = LogWriter::create(path, &header(), true).unwrap();
    for (number, entry) in entries.iter().enumerate() {
        log.append(entry, InstructionCount(1000 * number as u64)).unwrap();
        if number % batch == batch - 1 {
            log.flush().unwrap();
        }
    }
    match entries.last() {
        Some(Entry::End(_)) => drop(log.close().unwrap()),
        _ => drop(log),
    }
}

#[test]
fn all_that_a_log_can_hold_is_read_alike_in_batches_of_any_length() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let mut entries = everything();
    entries.push(end(EndReason::Requested, u64::MAX, Some(digest(at(u64::MAX, 0, KERNEL), u64::MAX))));
    for batch in [1, 3, 50, usize::MAX] {
        write(&log, &entries, batch);
        assert_eq!(agrees(&log, &KINDS).len(), entries.len(), "batches of {batch}");
    }
    write(&log, &[], 1);
    assert!(agrees(&log, &[]).is_empty());
}

#[test]
fn each_reason_for_an_end_is_read_alike() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let reasons = [
        EndReason::PowerOff,
        EndReason::Reset,
        EndReason::DebugExit(255),
        EndReason::Requested,
        EndReason::TripleFault,
        EndReason::Refused("no such port: “0x70”".into()),
    ];
    for reason in reasons {
        write(&log, &[end(reason, 300, None)], 1);
        agrees(&log, &["end"]);
    }
}

/// An index of several places: batches that cannot be compressed, for more than two of its spaces.
#[test]
fn an_index_of_several_places_is_what_its_batches_make_of_it() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let noise = |seed: u64| {
        let mut state = seed + 1;
        let bytes = std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        bytes.take(60_000).collect()
    };
    let frame = |number| Input::Frame { network: 0, bytes: noise(number) };
    let mut entries: Vec<_> =
        (1..40).map(|exit| Entry::Input { at: at(exit, 0, KERNEL), input: frame(exit) }).collect();
    entries.push(end(EndReason::PowerOff, 40, None));
    write(&log, &entries, usize::MAX);
    assert!(std::fs::metadata(&log).unwrap().len() > 2 << 20);
    agrees(&log, &["frame-input"]);
    let mut reader = outlive_log::LogReader::open(&log).unwrap();
    reader.seek(outlive_log::Position::Entry(EntryNumber(39))).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().number, EntryNumber(39));
}

#[test]
fn entries_whose_order_makes_no_sense_are_refused() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let here = at(5, 5, KERNEL);
    let back = [
        vec![time(512), time(256)],
        vec![tick(here, 512), tick(here, 511)],
        vec![time(512), Entry::Digest(Box::new(digest(here, 511)))],
        vec![interrupt(here, 32), interrupt(at(5, 4, KERNEL), 32)],
        vec![interrupt(here, 32), tick(at(4, 9, KERNEL), 1)],
        vec![interrupt(here, 32), output(4, OutputMarker::Console)],
        vec![output(6, OutputMarker::Console), interrupt(at(5, 9, KERNEL), 32)],
        vec![interrupt(here, 32), end(EndReason::Reset, 4, None)],
        vec![interrupt(here, 32), end(EndReason::Reset, 5, Some(digest(at(5, 4, KERNEL), 0)))],
    ];
    for entries in back {
        write(&log, &entries, usize::MAX);
        let (ours, theirs) = (told(&log, &[]), verified(&log));
        assert_eq!(
            (ours.status, theirs.status),
            (Some(1), Some(1)),
            "{entries:?}: {}{theirs:?}",
            ours.errors
        );
    }
}

/// Writes an open log of two batches with a time read each: that of the second, behind `bases`, with this count of instructions.
fn write_two_batches(path: &Path, bases: Bases, instructions: u64) {
    let mut log = LogFile::create(path, &header(), true).unwrap();
    for (number, bases, instructions) in [(0, Bases::default(), 5), (1, bases, instructions)] {
        let mut batch = BatchEncoder::going_on(EntryNumber(number), bases);
        batch.push(&time(512), InstructionCount(instructions)).unwrap();
        let mut bytes = Vec::new();
        batch.finish(&mut bytes);
        log.append(&bytes, EntryNumber(number), bases, batch.next()).unwrap();
    }
}

#[test]
fn batches_that_do_not_go_on_where_the_one_before_has_ended_are_refused() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let good = Bases { time: GuestTime::from_nanoseconds(512), ..Bases::default() };
    write_two_batches(&log, good, 5);
    assert_eq!(agrees(&log, &[]).len(), 2);
    let others = [
        (Bases::default(), 5),
        (Bases { exit: ExitNumber(1), ..good }, 5),
        (Bases { tick: GuestTime::from_nanoseconds(1), ..good }, 5),
        (Bases { tick_distance: 1, ..good }, 5),
        (good, 4),
    ];
    for (bases, instructions) in others {
        write_two_batches(&log, bases, instructions);
        let (ours, theirs) = (told(&log, &[]), verified(&log));
        assert_eq!((ours.status, theirs.status), (Some(1), Some(1)), "{bases:?}: {}{theirs:?}", ours.errors);
    }
}
