//! The two halves of a live world, apart.

use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::*;

const DISK: DiskIndex = DiskIndex(0);

/// Hands outputs to somebody else, as a machine of a pair does.
struct Outbox(Sender<Output>);

impl OutputSink for Outbox {
    fn output(&mut self, output: Output) -> Result<(), LiveError> {
        self.0.send(output).map_err(|_| LiveError::OutputsGone)
    }
}

/// Lets outputs out on a thread of its own until the outbox is gone.
fn release(mut outputs: HostOutputs, outbox: Receiver<Output>) -> JoinHandle<()> {
    std::thread::spawn(move || outbox.iter().for_each(|output| outputs.output(output).unwrap()))
}

/// A host with a console file and a disk of one sector of ones.
struct Host {
    folder: tempfile::TempDir,
    fence: Fence,
}

impl Host {
    fn new(fence: Fence) -> Self {
        let host = Self { folder: tempfile::tempdir().unwrap(), fence };
        std::fs::write(host.disk(), [1; 512]).unwrap();
        host
    }

    fn disk(&self) -> std::path::PathBuf {
        self.folder.path().join("disk")
    }

    fn connect(&self, networks: Vec<Tap>) -> (Inputs, HostOutputs) {
        let console = Console::open(&ConsoleConfig::File(self.folder.path().join("console"))).unwrap();
        let disks = vec![DiskImage::open(&self.disk(), false).unwrap()];
        let connections = Connections { console, disks, networks, fence: self.fence.clone() };
        connect(connections, GuestTime::BOOT, Kicker::new(|| {})).unwrap()
    }

    /// The first byte of the disk.
    fn byte(&self) -> u8 {
        let mut byte = [0];
        File::open(self.disk()).unwrap().read_exact_at(&mut byte, 0).unwrap();
        byte[0]
    }
}

fn write(request: u64, byte: u8) -> Output {
    let operation = DiskOperation::Write { sector: 0, data: vec![byte; 512] };
    Output::Disk { disk: DISK, request: DiskRequestId(request), operation }
}

fn read(request: u64) -> Output {
    let operation = DiskOperation::Read { sector: 0, bytes: 512 };
    Output::Disk { disk: DISK, request: DiskRequestId(request), operation }
}

fn completed(request: u64, data: &[u8]) -> Option<Input> {
    let (request, data) = (DiskRequestId(request), data.to_vec());
    Some(Input::DiskCompletion { disk: DISK, request, status: crate::world::DiskStatus::Done, data })
}

/// What cannot come to its end must not hang all tests.
fn must_end(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let worker = std::thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    if ended.recv_timeout(Duration::from_secs(60)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        panic!("deadlock");
    }
    worker.join().unwrap();
}

#[test]
fn outputs_are_let_out_on_another_thread_and_completions_come_back_to_the_world() {
    let host = Host::new(Fence::new_open());
    let (inputs, outputs) = host.connect(Vec::new());
    let (outbox, taken) = channel();
    let releases = release(outputs, taken);
    let mut world = LiveWorld::new(inputs, Outbox(outbox));
    for output in [Output::Console(b'x'), read(0), write(1, 7), read(2)] {
        world.output(&mut Somewhere, output).unwrap();
    }
    for (request, data) in [(0, &[1; 512][..]), (1, &[]), (2, &[7; 512])] {
        let input = world.next_input(&mut Somewhere, Patience::Wait).unwrap();
        assert_eq!(input, completed(request, data));
    }
    drop(world);
    releases.join().unwrap();
    assert_eq!(std::fs::read(host.folder.path().join("console")).unwrap(), b"x");
}

#[test]
fn the_halves_may_be_dropped_in_any_order_while_threads_wait_for_room_and_for_the_fence() {
    for outputs_first in [true, false] {
        must_end(move || {
            let host = Host::new(Fence::new_closed());
            let endless = Tap::pretended(File::open("/dev/zero").unwrap());
            let (inputs, mut outputs) = host.connect(vec![endless]);
            let (outbox, taken) = channel();
            let mut world = LiveWorld::new(inputs, Outbox(outbox));
            // More completions than there is room for, then two that have to wait.
            let requests = 2 * ROOM as u64;
            let last = [write(requests, 9), write(requests + 1, 9)];
            for output in (0..requests).map(read).chain(last) {
                world.output(&mut Somewhere, output).unwrap();
            }
            drop(world.sink);
            taken.iter().for_each(|output| outputs.output(output).unwrap());
            let other_thread = |work: Box<dyn FnOnce() + Send>| std::thread::spawn(work).join().unwrap();
            if outputs_first {
                other_thread(Box::new(move || drop(outputs)));
                drop(world.inputs);
            } else {
                drop(world.inputs);
                other_thread(Box::new(move || drop(outputs)));
            }
            assert_eq!(host.byte(), 1, "what the fence held back is given up");
        });
    }
}

#[test]
fn outputs_that_are_dropped_with_an_open_fence_carry_out_what_they_were_given() {
    let host = Host::new(Fence::new_open());
    let (inputs, mut outputs) = host.connect(Vec::new());
    drop(inputs);
    (0..100).for_each(|number| outputs.output(write(number, number as u8)).unwrap());
    drop(outputs);
    assert_eq!(host.byte(), 99);
}

#[test]
fn a_write_waits_for_the_fence_and_a_read_does_not() {
    let host = Host::new(Fence::new_closed());
    let (inputs, outputs) = host.connect(Vec::new());
    let mut world = LiveWorld::new(inputs, outputs);
    world.output(&mut Somewhere, read(0)).unwrap();
    world.output(&mut Somewhere, write(1, 7)).unwrap();
    assert_eq!(next(&mut world), completed(0, &[1; 512]));
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(host.byte(), 1);
    assert_eq!(world.next_input(&mut Somewhere, Patience::Poll).unwrap(), None);
    host.fence.open_until(Instant::now() + Duration::from_secs(3600));
    assert_eq!(next(&mut world), completed(1, &[]));
    assert_eq!(host.byte(), 7);
}

#[test]
fn a_machine_that_stands_down_writes_no_sector_and_hears_of_no_completion() {
    let host = Host::new(Fence::new_closed());
    host.fence.open_until(Instant::now());
    let (inputs, outputs) = host.connect(Vec::new());
    let mut world = LiveWorld::new(inputs, outputs);
    let flush = Output::Disk { disk: DISK, request: DiskRequestId(1), operation: DiskOperation::Flush };
    for output in [write(0, 7), flush, read(2)] {
        world.output(&mut Somewhere, output).unwrap();
    }
    host.fence.end();
    // Requests of a disk are carried out in order: when the read is done, the others have been given up.
    assert_eq!(next(&mut world), completed(2, &[1; 512]));
    host.fence.open_for_ever();
    let LiveWorld { inputs, sink } = world;
    drop(sink);
    assert_eq!(host.byte(), 1);
    let mut world = LiveWorld::new(inputs, Outbox(channel().0));
    assert_eq!(world.next_input(&mut Somewhere, Patience::Poll).unwrap(), None);
    let error = world.output(&mut Somewhere, Output::Console(b'x')).unwrap_err();
    assert!(matches!(error, LiveError::OutputsGone));
}

fn next(world: &mut LiveWorld) -> Option<Input> {
    world.next_input(&mut Somewhere, Patience::Wait).unwrap()
}
