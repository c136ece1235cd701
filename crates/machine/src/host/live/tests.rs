use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use super::queue::ROOM;
use super::*;
use crate::host::console::ConsoleConfig;
use crate::virtio::queue::MAX_SIZE;
use crate::world::{DiskOperation, DiskRequestId};
use outlive_engine::{EngineError, ExitNumber, InstructionCount, Landmark, VcpuState};

mod halves;

/// A place that nobody asks about.
struct Somewhere;

impl Place for Somewhere {
    fn exit(&self) -> ExitNumber {
        ExitNumber::default()
    }

    fn windows(&self) -> u64 {
        0
    }

    fn instructions(&self) -> InstructionCount {
        InstructionCount::default()
    }

    fn landmark(&mut self) -> Result<Landmark, EngineError> {
        unreachable!("a live world needs no landmarks")
    }

    fn state(&mut self) -> Result<VcpuState, EngineError> {
        unreachable!("a live world needs no state")
    }
}

fn world(console: &ConsoleConfig, disks: Vec<DiskImage>, networks: Vec<Tap>) -> LiveWorld {
    let connections =
        Connections { console: Console::open(console).unwrap(), disks, networks, fence: Fence::new_open() };
    LiveWorld::connected(connections, GuestTime::BOOT, Kicker::new(|| {})).unwrap()
}

fn next(world: &mut LiveWorld, patience: Patience) -> Option<Input> {
    world.next_input(&mut Somewhere, patience).unwrap()
}

/// Types at a world's pseudo-terminal and waits until that arrives.
fn is_heard(world: &mut LiveWorld) -> bool {
    let terminal = world.sink.console().terminal().map(Path::to_owned).unwrap();
    OpenOptions::new().write(true).open(terminal).unwrap().write_all(b"?").unwrap();
    (0..100_000).any(|_| next(world, Patience::Wait) == Some(Input::Console(b"?".to_vec())))
}

#[test]
fn a_guest_that_gives_up_its_disk_requests_waits_until_the_disk_has_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    std::fs::write(&path, [0; 512]).unwrap();
    let disk = DiskImage::open(&path, false).unwrap();
    let mut world = world(&ConsoleConfig::File(folder.path().join("console")), vec![disk], Vec::new());
    let (most, disk) = (usize::from(MAX_SIZE), DiskIndex(0));
    for number in 0..3 * most as u64 {
        let request = DiskRequestId(number);
        let output = Output::Disk { disk, request, operation: DiskOperation::Flush };
        world.output(&mut Somewhere, output).unwrap();
    }
    for _ in 0..2 * most {
        assert!(next(&mut world, Patience::Poll).is_some(), "the guest was let go on");
    }
}

#[test]
fn a_network_that_is_gone_does_not_silence_the_console() {
    // A folder is ready to be read, and reading it fails.
    let gone = Tap::pretended(File::open("/").unwrap());
    assert!(is_heard(&mut world(&ConsoleConfig::Pty, Vec::new(), vec![gone])));
}

#[test]
fn a_flood_of_frames_does_not_silence_the_console() {
    let endless = Tap::pretended(File::open("/dev/zero").unwrap());
    assert!(is_heard(&mut world(&ConsoleConfig::Pty, Vec::new(), vec![endless])));
}

#[test]
fn a_stop_ends_the_wait_of_a_halted_guest_and_of_one_whose_disk_is_behind() {
    let mut world = world(&ConsoleConfig::Pty, Vec::new(), Vec::new());
    for under_way in [0, 1] {
        world.inputs.pretend_under_way(under_way);
        let stop = world.stop_handle();
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            stop.stop();
        });
        assert_eq!(next(&mut world, Patience::Wait), None);
        other.join().unwrap();
    }
}

fn silent(folder: &tempfile::TempDir) -> LiveWorld {
    world(&ConsoleConfig::File(folder.path().join("console")), Vec::new(), Vec::new())
}

#[test]
fn each_input_waits_from_when_it_was_there_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = silent(&folder);
    assert_eq!(world.waiting(), Waiting::default());
    let begun = Instant::now();
    world.inputs.sender().send(Input::Console(b"early".to_vec())).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    world.inputs.sender().send(Input::Console(b"late".to_vec())).unwrap();
    assert!(next(&mut world, Patience::Poll).is_some());
    let first = world.waiting();
    assert!(first.longest >= Duration::from_millis(20) && first.longest <= begun.elapsed(), "{first:?}");
    assert_eq!((first.inputs, first.total), (1, first.longest));
    assert!(next(&mut world, Patience::Poll).is_some());
    assert!(next(&mut world, Patience::Poll).is_none());
    let both = world.waiting();
    assert_eq!(both.inputs, 2);
    assert!(both.total > first.total && both.total <= 2 * begun.elapsed(), "{both:?}");
}

#[test]
fn an_input_that_finds_no_room_in_the_queue_waits_already() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = silent(&folder);
    (0..ROOM).for_each(|_| world.inputs.sender().send(Input::Console(Vec::new())).unwrap());
    let (sender, ready) = (world.inputs.sender(), Arc::new(Barrier::new(2)));
    let begins = Arc::clone(&ready);
    let other = std::thread::spawn(move || {
        begins.wait();
        sender.send(Input::Console(b"last".to_vec())).unwrap();
    });
    ready.wait();
    std::thread::sleep(Duration::from_millis(40));
    (0..ROOM).for_each(|_| assert!(next(&mut world, Patience::Wait).is_some()));
    let before = world.waiting();
    assert_eq!(next(&mut world, Patience::Wait), Some(Input::Console(b"last".to_vec())));
    let last = world.waiting().total - before.total;
    assert!(last >= Duration::from_millis(20), "{last:?}");
    other.join().unwrap();
}

#[test]
fn a_tick_waits_from_its_deadline_and_is_told_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = silent(&folder);
    let deadline = world.read_time(&mut Somewhere).unwrap() + Duration::from_millis(30);
    world.set_deadline(Some(deadline));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(next(&mut world, Patience::Poll), Some(Input::ClockTick(deadline)));
    assert!(world.read_time(&mut Somewhere).unwrap() > deadline);
    let Waiting { inputs, total, longest } = world.waiting();
    assert_eq!((inputs, total), (1, longest));
    assert!(longest >= Duration::from_millis(15), "{longest:?}");
    assert_eq!(next(&mut world, Patience::Poll), None, "a tick disarms");
}

#[test]
fn a_halted_guest_sleeps_until_its_deadline_and_no_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = silent(&folder);
    let deadline = world.read_time(&mut Somewhere).unwrap() + Duration::from_millis(20);
    world.set_deadline(Some(deadline));
    let begun = Instant::now();
    assert_eq!(next(&mut world, Patience::Wait), Some(Input::ClockTick(deadline)));
    assert!(begun.elapsed() >= Duration::from_millis(19), "{:?}", begun.elapsed());
    assert!(world.read_time(&mut Somewhere).unwrap() >= deadline);
}
