use std::time::Duration;

use outlive_machine::world::{DiskRequestId, NetworkIndex};

use super::*;

/// A sink that keeps what has left.
#[derive(Debug, Default)]
struct Left(std::sync::Arc<std::sync::Mutex<Vec<Output>>>);

impl OutputSink for Left {
    fn output(&mut self, output: Output) -> Result<(), LiveError> {
        self.0.lock().unwrap().push(output);
        Ok(())
    }
}

fn exits() -> (Exits<Left>, impl Fn() -> Vec<Output>) {
    let left = Left::default();
    let seen = left.0.clone();
    (Exits::new(left, Fence::new_closed()), move || seen.lock().unwrap().clone())
}

fn frame(byte: u8) -> Output {
    Output::Frame { network: NetworkIndex(0), bytes: vec![byte] }
}

fn request(disk: u8, number: u64, operation: DiskOperation) -> Output {
    Output::Disk { disk: DiskIndex(disk), request: DiskRequestId(number), operation }
}

fn read(disk: u8, number: u64) -> Output {
    request(disk, number, DiskOperation::Read { sector: 0, bytes: 512 })
}

fn write(disk: u8, number: u64) -> Output {
    request(disk, number, DiskOperation::Write { sector: 0, data: vec![0; 512] })
}

fn soon() -> Moment {
    clock::now().after(Duration::from_secs(3600))
}

#[test]
fn nothing_leaves_before_its_batch_is_released() {
    let (mut exits, left) = exits();
    exits.hold(frame(1), clock::now()).unwrap();
    assert!(exits.release(LogPosition(9), Some(soon())).unwrap(), "nothing was to leave");
    exits.seal(LogPosition(10));
    exits.hold(frame(2), clock::now()).unwrap();
    assert!(exits.release(LogPosition(9), Some(soon())).unwrap());
    assert_eq!(left(), []);
    assert!(exits.release(LogPosition(10), Some(soon())).unwrap());
    assert_eq!(left(), [frame(1)]);
}

#[test]
fn nothing_leaves_behind_the_leases_end() {
    let (mut exits, left) = exits();
    exits.hold(frame(1), clock::now()).unwrap();
    exits.seal(LogPosition(1));
    assert!(!exits.release(LogPosition(1), Some(clock::now())).unwrap());
    assert_eq!(left(), []);
    assert!(exits.release(LogPosition(1), None).unwrap());
    assert_eq!(left(), [frame(1)]);
}

#[test]
fn a_read_leaves_at_once_unless_a_write_to_its_disk_is_held() {
    let (mut exits, left) = exits();
    exits.hold(read(0, 0), clock::now()).unwrap();
    exits.hold(write(0, 1), clock::now()).unwrap();
    exits.hold(read(0, 2), clock::now()).unwrap();
    exits.hold(read(1, 0), clock::now()).unwrap();
    assert_eq!(left(), [read(0, 0), read(1, 0)]);
    exits.seal(LogPosition(1));
    exits.release(LogPosition(1), None).unwrap();
    assert_eq!(left()[2..], [write(0, 1), read(0, 2)]);
    exits.hold(read(0, 3), clock::now()).unwrap();
    assert_eq!(left()[4..], [read(0, 3)]);
}

#[test]
fn what_is_shut_stays_shut() {
    let (mut exits, left) = exits();
    exits.hold(frame(1), clock::now()).unwrap();
    exits.seal(LogPosition(1));
    exits.shut();
    exits.release(LogPosition(1), None).unwrap();
    exits.hold(read(0, 0), clock::now()).unwrap();
    assert_eq!(left(), []);
}
