use std::fs::{self, File};

use proptest::prelude::*;

use outlive_engine::ExitNumber;

use super::*;
use crate::entry::{End, EndReason};
use crate::header::Header;
use crate::reader::LogReader;
use crate::sample::{self, at, tick, time};

fn entry() -> Entry {
    Entry::Time(time(256))
}

fn end() -> Entry {
    sample::entries().pop().unwrap()
}

const NONE: InstructionCount = InstructionCount(0);

#[test]
fn an_existing_file_is_overwritten_only_if_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, "precious").unwrap();
    let error = LogWriter::create(&path, &sample::header(), false).unwrap_err();
    assert!(matches!(&error, WriteError::Create(cause) if cause.kind() == io::ErrorKind::AlreadyExists));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    drop(LogWriter::create(&path, &sample::header(), true).unwrap());
    assert_eq!(LogReader::open(&path).unwrap().header(), &sample::header());
}

#[test]
fn a_header_without_a_form_leaves_an_existing_file_alone() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, "precious").unwrap();
    let mut header = sample::header();
    header.kernel.path = std::ffi::OsStr::from_bytes(b"\xff").into();
    assert!(matches!(LogWriter::create(&path, &header, true), Err(WriteError::Header(_))));
    let mut header = sample::header();
    header.machine.command_line = "x".repeat(MAXIMUM_HEADER);
    assert!(matches!(LogWriter::create(&path, &header, true), Err(WriteError::HeaderTooLong(_))));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_writer_that_is_dropped_leaves_all_its_entries_in_an_unfinished_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = LogWriter::create(&path, &sample::header(), false).unwrap();
    log.append(&entry(), NONE).unwrap();
    let size = log.size();
    drop(log);
    assert_eq!(size, LogSize { entries: 1, bytes: fs::metadata(&path).unwrap().len() });
    let mut log = LogReader::open(&path).unwrap();
    assert!(!log.is_closed());
    assert_eq!(log.next().unwrap().unwrap().entry, entry());
    assert_eq!(log.next().unwrap(), None);
}

#[test]
fn a_batch_reaches_the_file_after_some_guest_time_and_by_a_flush() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = LogWriter::create(&path, &sample::header(), false).unwrap();
    let length = || fs::metadata(&path).unwrap().len();
    let header = length();
    log.append(&Entry::Time(time(256)), NONE).unwrap();
    assert_eq!(length(), header);
    log.append(&Entry::Time(time(10_000_000_256)), NONE).unwrap();
    let full = length();
    assert!(full > header);
    log.append(&Entry::Time(time(10_000_000_512)), NONE).unwrap();
    log.flush().unwrap();
    let flushed = length();
    assert!(flushed > full);
    log.flush().unwrap();
    assert_eq!(length(), flushed, "there was nothing to flush");
}

#[test]
fn only_an_end_closes_a_log_and_nothing_follows_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = LogWriter::create(&path, &sample::header(), false).unwrap();
    log.append(&entry(), NONE).unwrap();
    assert!(matches!(log.close(), Err(WriteError::NotEnded)));
    assert!(!LogReader::open(&path).unwrap().is_closed());

    let mut log = LogWriter::create(&path, &sample::header(), true).unwrap();
    log.append(&end(), NONE).unwrap();
    assert!(matches!(log.append(&entry(), NONE), Err(WriteError::Ended)));
    log.close().unwrap();
    assert!(LogReader::open(&path).unwrap().is_closed());
}

#[test]
fn a_full_disk_is_told_with_its_cause() {
    // The header is what is written first.
    let error = LogWriter::create(Path::new("/dev/full"), &sample::header(), true).unwrap_err();
    let WriteError::Write { offset: 0, source } = error else { panic!("{error:?}") };
    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn after_an_error_nothing_more_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = LogWriter::create(&path, &sample::header(), false).unwrap();
    log.append(&entry(), NONE).unwrap();
    log.flush().unwrap();
    let length = fs::metadata(&path).unwrap().len();
    // A file that takes nothing: it is open for reading.
    log.file.file = File::open(&path).unwrap();
    log.append(&entry(), NONE).unwrap();
    assert!(matches!(log.flush(), Err(WriteError::Write { offset, .. }) if offset == length));
    assert!(matches!(log.append(&entry(), NONE), Err(WriteError::Failed)));
    assert!(matches!(log.flush(), Err(WriteError::Failed)));
    assert!(matches!(log.close(), Err(WriteError::Failed)));
    assert_eq!(fs::metadata(&path).unwrap().len(), length);
    let mut log = LogReader::open(&path).unwrap();
    assert!(log.next().unwrap().is_some() && log.next().unwrap().is_none());
}

/// Frozen: whoever changes this must raise [`FORMAT`](crate::file::FORMAT).
#[test]
fn a_small_file_is_frozen() {
    let end = End { reason: EndReason::PowerOff, exit: ExitNumber(4), state: None };
    let entries = [entry(), Entry::Time(time(12_000_000_000)), tick(at(4, 0, 0), 12_010_000_000)];
    let bytes = sample::file(&[&entries[..], &[Entry::End(Box::new(end))]].concat());
    let start = LogReader::new(io::Cursor::new(&bytes)).unwrap().start() as usize;
    let text = r#"outlive event log
format 00002
state closed
header 00000597 bytes, crc32c 11bfd8c9
engine = "soft"
counting = "steps"
version = "0.1.0"
recorded = 1700000000

[machine]
memory = 268435456
command-line = 'console=ttyS0 "quoted"'
random-seed = "0707070707070707070707070707070707070707070707070707070707070707"
wall-clock = 1700000000
rewritten-time-reads = true

[kernel]
path = "/boot/vmlinux"
bytes = 1234
digest = "0101010101010101010101010101010101010101010101010101010101010101"

[[disk]]
path = "disk.img"
sectors = 2048
read-only = false
serial = "outlive-0"
digest = "0202020202020202020202020202020202020202020202020202020202020202"

[[network]]
mac = "02:00:00:00:00:01"
"#;
    assert_eq!(String::from_utf8_lossy(&bytes[..start]), text);
    let digits: String = bytes[start..].iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = [
        "4210000000fe7265eb564b863900020000000000fbe80304fcdc052d0b4229000000161e25fe5166806b0002",
        "0200fd007841cb02000000fd007841cb0200000000fbb80b6604fd001db49705000000670004004908000000",
        "401b1179f856753301fba802000000004618000000a8af64fdf48781effb0200000000000004000000000000",
        "000200000000000000",
    ];
    assert_eq!(digits, expected.concat());
}

/// What a writer keeps is a batch; what a reader keeps is a batch. Both while a log grows to 200 MB.
#[test]
fn memory_does_not_grow_with_the_log() {
    let bytes = bytes_of_a_long_log(|number| sample::noise(number % 4, 60_000));
    assert!(bytes > 190_000_000, "{bytes} bytes");
}

#[test]
fn memory_does_not_grow_with_a_compressed_log() {
    let bytes = bytes_of_a_long_log(|number| vec![number as u8; 60_000]);
    assert!(bytes < 1_000_000, "{bytes} bytes");
}

/// The length of a log of 200 MB of frames, which has been written and read in little memory.
fn bytes_of_a_long_log(frame: impl Fn(u64) -> Vec<u8>) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = LogWriter::create(&path, &sample::header(), false).unwrap();
    let mut most = 0;
    for number in 0..200_000_000 / 60_000 {
        let input = crate::entry::Input::Frame { network: 0, bytes: frame(number) };
        log.append(&Entry::Input { at: sample::at(1, 0, 0), input }, NONE).unwrap();
        most = most.max(log.buffer.capacity() + log.batch.capacity());
    }
    log.append(&end(), NONE).unwrap();
    let size = log.close().unwrap();
    assert!(most < 1 << 20, "{most} bytes for a log of {}", size.bytes);

    let mut log = LogReader::open(&path).unwrap();
    let mut most = 0;
    while log.next().unwrap().is_some() {
        most = most.max(log.held_bytes());
    }
    assert!(most < 1 << 20, "{most} bytes for a log of {}", size.bytes);
    size.bytes
}

proptest! {
    #[test]
    fn headers_come_back(
        line in any::<String>(), seed: [u8; 32], numbers: [i64; 2], path in "[^\0]{0,40}", memory in 0..i64::MAX as u64
    ) {
        let mut header = sample::header();
        header.machine.command_line = line;
        header.machine.random_seed = seed;
        (header.recorded, header.machine.wall_clock) = numbers.into();
        header.machine.memory = memory;
        header.kernel.path = path.into();
        header.disk.clear();
        header.initramfs = Some(header.kernel.clone());
        let text = toml::to_string(&header).unwrap();
        prop_assert_eq!(toml::from_str::<Header>(&text).unwrap(), header);
    }
}
