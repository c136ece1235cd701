use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::*;
use crate::host::console::ConsoleConfig;
use crate::world::{DiskOperation, DiskRequestId};
use outlive_engine::{EngineError, ExitNumber, InstructionCount, Landmark, VcpuState};

/// A place that nobody asks about.
struct Somewhere;

impl Place for Somewhere {
    fn exit(&self) -> ExitNumber {
        ExitNumber::default()
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
    let connections = Connections { console: Console::open(console).unwrap(), disks, networks };
    LiveWorld::new(connections, GuestTime::BOOT, Kicker::new(|| {})).unwrap()
}

fn next(world: &mut LiveWorld, patience: Patience) -> Option<Input> {
    world.next_input(&mut Somewhere, patience).unwrap()
}

/// Types at a world's pseudo-terminal and waits until that arrives.
fn is_heard(world: &mut LiveWorld) -> bool {
    let terminal = world.console.terminal().map(Path::to_owned).unwrap();
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
        world.under_way = under_way;
        let stop = world.stop_handle();
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            stop.stop();
        });
        assert_eq!(next(&mut world, Patience::Wait), None);
        other.join().unwrap();
    }
}
