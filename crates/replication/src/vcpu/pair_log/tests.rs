use std::collections::VecDeque;

use outlive_engine::{ExitNumber, GuestTime};
use outlive_log::entry::{Check, End, Input, Landmark, OutputMarker, StateDigest};
use outlive_log::header::{Counting, Header, Image, Machine};
use outlive_log::{BatchDecoder, LogReader};

use super::*;
use crate::vcpu::{FromVcpu, queue};

/// A driver that nobody drives, and what it was told.
fn log(file: Option<LogFile>) -> (PairLog<()>, Told) {
    let (driver, queue) = queue(std::sync::Arc::new(|| false));
    let told = Told { queue, events: VecDeque::new() };
    (PairLog::new(driver, Pace::default(), EntryNumber(0), Bases::default(), file), told)
}

/// What the driver was told, event by event.
struct Told {
    queue: FromVcpu<()>,
    events: VecDeque<VcpuEvent<()>>,
}

impl Told {
    fn next(&mut self) -> Option<VcpuEvent<()>> {
        let mut events = Vec::new();
        self.queue.take(&mut events);
        self.events.extend(events);
        self.events.pop_front()
    }
}

fn time(step: u64) -> Entry {
    Entry::Time(GuestTime::from_nanoseconds(256 * step))
}

fn output() -> Entry {
    Entry::Output { exit: ExitNumber(1), output: OutputMarker::Console, check: Check(7) }
}

fn end(reason: EndReason) -> Entry {
    let state = Some(StateDigest {
        at: Default::default(),
        time: GuestTime::BOOT,
        instructions: NONE,
        running: [0; 32],
        registers: Default::default(),
        memory: [0; 32],
        devices: [0; 32],
        disks: [0; 32],
        pages: Vec::new(),
    });
    Entry::End(Box::new(End { reason, exit: ExitNumber(1), state }))
}

const NONE: InstructionCount = InstructionCount(0);

/// The entries of a batch that was cut.
fn cut(told: &mut Told) -> (Vec<Entry>, LogPosition) {
    let Some(VcpuEvent::Cut { bytes, end }) = told.next() else { panic!("no batch was cut") };
    let mut batch = BatchDecoder::new(bytes).unwrap();
    let entries = std::iter::from_fn(|| batch.next_entry().unwrap()).map(|entry| entry.entry).collect();
    (entries, end)
}

fn header() -> Header {
    let machine = Machine {
        memory: 2 << 20,
        command_line: String::new(),
        random_seed: [0; 32],
        wall_clock: 0,
        rewritten_time_reads: false,
    };
    Header {
        engine: "soft".to_owned(),
        counting: Counting::Steps,
        version: "0".to_owned(),
        recorded: 0,
        machine,
        kernel: Image { path: "x".into(), bytes: 0, digest: [0; 32] },
        initramfs: None,
        disk: Vec::new(),
        network: Vec::new(),
    }
}

#[test]
fn an_output_wants_a_cut_and_a_time_read_alone_does_not_yet() {
    let (mut log, _told) = log(None);
    assert!(!log.wants_cut(Some(Duration::ZERO)), "there is nothing to cut");
    log.append(&time(1), NONE).unwrap();
    log.begun = Some(Instant::now() + Duration::from_secs(3600));
    assert!(!log.wants_cut(None));
    assert!(log.wants_cut(Some(Duration::ZERO)), "a guest that sleeps leaves nothing behind");
    log.append(&output(), NONE).unwrap();
    assert!(log.wants_cut(None));
    log.cut().unwrap();
    assert!(!log.wants_cut(None));
}

#[test]
fn entries_that_nobody_waits_for_are_sent_all_the_same_and_the_passing_of_time_last() {
    let (mut log, _told) = log(None);
    log.append(&time(1), NONE).unwrap();
    log.begun = Instant::now().checked_sub(2 * OLD_QUIET);
    assert!(log.wants_cut(None));
    log.begun = Instant::now().checked_sub(OLD_QUIET / 2);
    assert!(!log.wants_cut(None), "there is time");
    let at = Landmark { exit: ExitNumber(1), since_exit: 0, rip: 0 };
    log.append(&Entry::Input { at, input: Input::Console(b"x".to_vec()) }, NONE).unwrap();
    assert!(log.wants_cut(None), "what came in is lost with this host");
}

#[test]
fn batches_follow_each_other_and_tell_where_they_end() {
    let (mut log, mut told) = log(None);
    for step in 1..4 {
        log.append(&time(step), NONE).unwrap();
        log.append(&output(), NONE).unwrap();
        log.cut().unwrap();
        let (entries, end) = cut(&mut told);
        assert_eq!((entries, end), (vec![time(step), output()], LogPosition(2 * step)));
    }
}

#[test]
fn the_end_of_the_guest_is_for_the_other_side_too() {
    let (mut log, mut told) = log(None);
    log.append(&end(EndReason::PowerOff), NONE).unwrap();
    assert!(matches!(log.append(&time(1), NONE), Err(WriteError::Ended)));
    assert_eq!(log.close().unwrap().entries, 1);
    assert_eq!(cut(&mut told).0, [end(EndReason::PowerOff)]);
    assert!(matches!(told.next(), Some(VcpuEvent::Ended)));
}

#[test]
fn a_person_who_stops_this_side_does_not_end_the_guest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (mut log, mut told) = log(Some(LogFile::create(&path, &header(), false).unwrap()));
    log.append(&time(1), NONE).unwrap();
    log.append(&end(EndReason::Requested), NONE).unwrap();
    log.close().unwrap();
    assert_eq!(cut(&mut told), (vec![time(1)], LogPosition(1)));
    assert!(matches!(told.next(), Some(VcpuEvent::Stopped)));
    let mut file = LogReader::open(&path).unwrap();
    assert!(file.is_closed());
    let entries = std::iter::from_fn(|| file.next().unwrap()).map(|entry| entry.entry);
    assert_eq!(entries.collect::<Vec<_>>(), [time(1), end(EndReason::Requested)]);
}

#[test]
fn what_was_not_cut_where_a_machine_can_go_live_is_not_sent() {
    let (mut log, mut told) = log(None);
    log.append(&output(), NONE).unwrap();
    let lost = Entry::End(Box::new(End { reason: EndReason::Requested, exit: ExitNumber(1), state: None }));
    log.append(&lost, NONE).unwrap();
    log.close().unwrap();
    assert!(matches!(told.next(), Some(VcpuEvent::Stopped)));
}

#[test]
fn a_file_that_takes_no_more_ends_and_the_pair_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut file = LogFile::create(&path, &header(), false).unwrap();
    // As if another had written to it: the next batch does not follow.
    file.append(b"", EntryNumber(0), Bases::default(), EntryNumber(5)).unwrap();
    let (mut log, mut told) = log(Some(file));
    log.append(&output(), NONE).unwrap();
    log.cut().unwrap();
    assert_eq!(cut(&mut told).1, LogPosition(1));
    assert!(log.file.is_none());
    log.append(&end(EndReason::PowerOff), NONE).unwrap();
    log.close().unwrap();
}
