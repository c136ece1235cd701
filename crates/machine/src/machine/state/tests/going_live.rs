//! A machine that goes on in another world.

use std::path::Path;

use super::*;
use crate::host::console::{Console, ConsoleConfig};
use crate::host::disk::{DiskImage, Lock, Sharing};
use crate::host::fence::Fence;
use crate::host::live::{Connections, LiveWorld};
use crate::virtio::SlotState;
use crate::virtio::block::{OperationState, RequestState, SegmentState};
use crate::world::{DiskOperation, DiskRequestId};

/// The requests of each disk, with their names.
fn requests(disk: u8) -> [(u64, OperationState); 3] {
    let write = |sector, byte| OperationState::Write { sector, data: vec![byte; 512] };
    [(4, write(2, 7 + disk)), (6, OperationState::Flush), (8, write(2, 9 + disk))]
}

/// A machine at power-on that has asked its two disks for something and not heard of it.
fn with_requests_in_flight() -> MachineState {
    let mut state = state_at_power_on();
    for number in [0, 1] {
        let SlotState::Block(disk) = &mut state.board.slots[usize::from(number)] else { panic!("a disk") };
        // ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK; VIRTIO_F_VERSION_1 and VIRTIO_BLK_F_FLUSH.
        disk.status = 15;
        disk.driver_features = 1 << 32 | 1 << 9;
        let at = 0x10000 * u64::from(number);
        let queue = &mut disk.queues[0];
        queue.size = 8;
        (queue.descriptors, queue.available, queue.used) = (at + 0x1000, at + 0x2000, at + 0x3000);
        queue.position = Some(Default::default());
        disk.device.next_request = 9;
        let in_flight = requests(number).into_iter().zip(0..).map(|((id, operation), head)| {
            let answer = vec![SegmentState { address: at + 0x4000 + u64::from(head), bytes: 1 }];
            RequestState { id, head, operation, answer }
        });
        disk.device.in_flight = in_flight.collect();
    }
    state
}

#[test]
fn disk_requests_in_flight_are_handed_out_again_when_asked_and_not_by_themselves() {
    let mut machine = restored(with_requests_in_flight()).unwrap();
    assert_eq!(machine.world.outputs, []);
    machine.reissue_disk_requests().unwrap();
    let output = |disk, (id, operation)| {
        let operation = match operation {
            OperationState::Write { sector, data } => DiskOperation::Write { sector, data },
            OperationState::Read { sector, bytes } => DiskOperation::Read { sector, bytes },
            OperationState::Flush => DiskOperation::Flush,
        };
        Output::Disk { disk: DiskIndex(disk), request: DiskRequestId(id), operation }
    };
    let of = |disk| requests(disk).map(|request| output(disk, request));
    assert_eq!(machine.world.outputs, [of(0), of(1)].concat(), "each disk's in the order of their making");
}

#[test]
fn a_machine_that_changes_worlds_anywhere_goes_on_as_one_that_does_not() {
    let (digest, outputs, typed_at, exits) = end(machine());
    for place in 0..ORDINARY {
        let mut machine = machine();
        machine.run_until(count(place)).unwrap();
        let mut before = Typist::default();
        let machine = machine.change_world(|world| {
            before = world.clone();
            Typist { types_at: world.types_at, ..Typist::default() }
        });
        let after = end(machine);
        assert_eq!((after.0, after.3), (digest, exits));
        assert_eq!([before.outputs, after.1].concat(), outputs);
        assert_eq!([before.typed_at, after.2].concat(), typed_at);
    }
}

#[test]
fn the_new_world_is_told_when_the_next_timer_is_due() {
    let board = board_with_deadline();
    let deadline = board.deadline();
    let machine = Machine::new(Counting::default(), Typist::default(), board);
    let machine = machine.change_world(|_| Typist::default());
    assert_eq!(machine.world.deadlines, [deadline]);
}

/// A pair's disk of 64 sectors, opened by its backup, which goes live.
fn disk(path: &Path) -> DiskImage {
    std::fs::write(path, [0; 64 * 512]).unwrap();
    let image = DiskImage::open_shared(path, false, Sharing::PairBackup).unwrap();
    assert_eq!(image.go_live().unwrap(), Lock::Taken);
    image
}

#[test]
fn a_machine_that_goes_live_gets_its_disk_requests_done_and_its_time_does_not_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["one", "two"].map(|name| folder.path().join(name));
    let mut replaying = restored(with_requests_in_flight()).unwrap();
    replaying.run_until(count(500)).unwrap();
    let from = replaying.time();
    assert!(from > GuestTime::BOOT);

    let connections = Connections {
        console: Console::open(&ConsoleConfig::File(folder.path().join("console"))).unwrap(),
        disks: paths.iter().map(|path| disk(path)).collect(),
        networks: Vec::new(),
        fence: Fence::new_open(),
    };
    let kicker = replaying.engine().kicker();
    let live = LiveWorld::connected(connections, from, kicker).unwrap();
    let mut machine = replaying.change_world(|_| live);
    machine.reissue_disk_requests().unwrap();
    while !machine.board().disk_requests().is_empty() {
        machine.take_inputs().unwrap();
    }
    assert!(matches!(machine.run(), Ok(Stop::DebugExit(0))), "a time that goes back is an error");
    assert!(machine.time() >= from);
    for (path, last) in paths.iter().zip([9, 10]) {
        let sector = &std::fs::read(path).unwrap()[2 * 512..3 * 512];
        assert_eq!(sector, [last; 512], "the later of two writes to a sector stays");
    }
}
