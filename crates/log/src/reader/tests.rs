use std::io::Cursor as Bytes;

use proptest::prelude::*;

use super::*;
use crate::batch::Damage;
use crate::encoding::tests::entries;
use crate::entry::{Entry, Input};
use crate::file::Part;
use crate::file::index::FOOTER_BYTES;
use crate::sample::{self, at, tick, time};

type Memory<'a> = LogReader<Bytes<&'a [u8]>>;

fn reader(bytes: &[u8]) -> Memory<'_> {
    LogReader::new(Bytes::new(bytes)).unwrap()
}

fn rest(reader: &mut Memory<'_>) -> Vec<NumberedEntry> {
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

#[track_caller]
fn error(bytes: &[u8]) -> ReadError {
    LogReader::new(Bytes::new(bytes)).map(drop).unwrap_err()
}

/// A log of several megabytes, whose index has several places: a tick and a frame every 10 ms.
fn long() -> Vec<u8> {
    let frame = |n: u64| Input::Frame { network: 0, bytes: sample::noise(n, 1500) };
    let mut entries: Vec<_> = (1..2000)
        .flat_map(|n| {
            let here = at(10 * n, 0, 7);
            [tick(here, 10_000_000 * n), Entry::Input { at: here, input: frame(n) }]
        })
        .collect();
    entries.push(sample::entries().pop().unwrap());
    sample::file(&entries)
}

proptest! {
    #[test]
    fn a_file_gives_back_header_and_entries(entries in entries()) {
        let bytes = sample::file(&entries);
        let mut log = reader(&bytes);
        prop_assert_eq!(log.header(), &sample::header());
        let closed = matches!(entries.last(), Some(Entry::End(_)));
        prop_assert_eq!(log.is_closed(), closed);
        prop_assert_eq!(log.entries(), closed.then_some(entries.len() as u64));
        let found = rest(&mut log);
        let numbers: Vec<_> = found.iter().map(|entry| entry.number.0).collect();
        prop_assert_eq!(numbers, (0..entries.len() as u64).collect::<Vec<_>>());
        prop_assert_eq!(found.into_iter().map(|entry| entry.entry).collect::<Vec<_>>(), entries);
        prop_assert_eq!(log.torn_bytes(), 0);
        prop_assert!(log.next().unwrap().is_none(), "the end is told again");
    }
}

#[test]
fn seeking_gives_the_rest_from_any_entry_on() {
    for bytes in [sample::closed(), sample::open()] {
        let all = rest(&mut reader(&bytes));
        let mut log = reader(&bytes);
        let count = all.len();
        for from in (0..count + 3).chain((0..count).rev()) {
            log.seek(Position::Entry(EntryNumber(from as u64))).unwrap();
            assert_eq!(rest(&mut log), all[from.min(count)..], "from {from}");
        }
    }
}

#[test]
fn seeking_gives_the_first_entry_that_tells_a_time() {
    for bytes in [sample::closed(), sample::open()] {
        let mut log = reader(&bytes);
        let mut times = Vec::new();
        while let Some(entry) = log.next().unwrap() {
            times.push((log.time(), entry));
        }
        let moments = times.iter().flat_map(|(time, _)| [0, 1].map(|more| time.nanoseconds() + more));
        for moment in moments.chain([0, u64::MAX]).map(time) {
            log.seek(Position::Time(moment)).unwrap();
            let expected: Vec<_> =
                times.iter().skip_while(|(time, _)| *time < moment).map(|(_, entry)| entry.clone()).collect();
            assert_eq!(rest(&mut log), expected, "{moment:?}");
        }
    }
}

#[test]
fn a_long_log_is_sought_by_its_index() {
    let bytes = long();
    let all = rest(&mut reader(&bytes));
    let mut log = reader(&bytes);
    let batches = {
        rest(&mut log);
        log.cursor().batch
    };
    assert!(batches > 30, "{batches} batches");
    for from in [0, 1, 1234, 2500, 3998] {
        log.seek(Position::Entry(EntryNumber(from))).unwrap();
        assert_eq!(log.next().unwrap().as_ref(), Some(&all[from as usize]));
    }
    log.seek(Position::Time(time(15_000_000_000))).unwrap();
    assert_eq!(log.next().unwrap().unwrap().entry, tick(at(15_000, 0, 7), 15_000_000_000));

    // Damage before the place of the index is not met.
    let mut changed = bytes.clone();
    let start = log.start() as usize;
    changed[start + 20] ^= 1;
    let mut log = reader(&changed);
    assert!(log.next().is_err());
    log.seek(Position::Entry(EntryNumber(3998))).unwrap();
    assert_eq!(log.next().unwrap().as_ref(), Some(&all[3998]));
    assert!(log.seek(Position::Entry(EntryNumber(0))).is_err());
    assert!(log.next().is_err());
}

#[test]
fn instructions_are_those_of_the_batch() {
    let bytes = sample::closed();
    let mut log = reader(&bytes);
    let mut ends: Vec<(u64, u64)> = Vec::new();
    while let Some(entry) = log.next().unwrap() {
        let end = log.batch_end().0;
        assert!(end >= 1000 * entry.number.0, "entry {} in a batch to {end}", entry.number);
        match ends.last_mut() {
            Some((last, number)) if *last == end => *number = entry.number.0,
            _ => ends.push((end, entry.number.0)),
        }
    }
    assert!(ends.len() > 2, "{ends:?}");
    assert!(ends.iter().all(|(end, last)| *end == 1000 * last), "{ends:?}");
}

#[test]
fn progress_goes_from_the_header_to_the_index() {
    let bytes = sample::closed();
    let mut log = reader(&bytes);
    let mut last = log.start();
    assert_eq!(log.progress(), (last, bytes.len() as u64));
    let mut moved = 0;
    while log.next().unwrap().is_some() {
        let (now, all) = log.progress();
        // A short entry of a compressed batch can take less than a byte.
        let compressed = log.batch_saved_bytes() > 0;
        assert!((last < now || compressed && last == now) && now < all, "{last} {now} {all}");
        moved += usize::from(last < now);
        last = now;
    }
    assert!(moved > sample::entries().len() / 2, "{moved} entries");
    assert_eq!(last, log.offset(), "the batches end there");
}

#[test]
fn what_is_no_log_is_said_to_be_none() {
    for bytes in [&b""[..], b"\x7fELF", b"outlive event lok\n", &[0; 5000]] {
        assert!(matches!(error(bytes), ReadError::NotALog), "{bytes:?}");
    }
}

#[test]
fn another_format_is_refused_by_name() {
    let text = String::from_utf8_lossy(&sample::closed()[..44]).replace("format 00002", "format 00003");
    let mut bytes = sample::closed();
    bytes[..44].copy_from_slice(text.as_bytes());
    assert_eq!(error(&bytes).to_string(), "this log has format 3, but this Outlive reads 2");
    // Of another format, nothing else is known.
    assert!(matches!(error(b"outlive event log\nformat 00099\n"), ReadError::Version { found: 99 }));
}

#[test]
fn a_header_that_is_not_understood_is_damage_with_a_cause() {
    let header = "engine = 7\n";
    let mut bytes = crate::file::prefix::Prefix::of(header).to_bytes();
    bytes.extend_from_slice(header.as_bytes());
    let error = error(&bytes);
    assert!(matches!(error, ReadError::Damaged { part: Part::Header, source: Damage::Header(_), .. }));
    let cause = std::error::Error::source(&error).and_then(std::error::Error::source).unwrap();
    assert!(cause.to_string().contains("engine"), "{cause}");
}

#[test]
fn a_header_of_gigabytes_is_not_read() {
    let bytes = crate::file::prefix::Prefix { closed: false, length: 99_999_999, checksum: 0 }.to_bytes();
    assert!(matches!(error(&bytes), ReadError::Damaged { source: Damage::Length(99_999_999), .. }));
}

#[test]
fn a_file_that_is_not_there_and_a_folder_are_told_with_their_cause() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path(), &folder.path().join("none")] {
        let error = LogReader::open(path).unwrap_err();
        assert!(std::error::Error::source(&error).is_some(), "{error}");
        assert!(!error.is_damage());
    }
}

/// A file of holes may claim an index of any length, which is not read.
#[test]
fn an_index_that_is_longer_than_one_can_be_is_refused() {
    use std::os::unix::fs::FileExt;

    let bytes = sample::file(&sample::entries());
    let footer = bytes.len() - FOOTER_BYTES;
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&bytes[..footer], 0).unwrap();
    file.write_all_at(&bytes[footer..], 1 << 40).unwrap();
    let error = LogReader::new(file).unwrap().read_tail().unwrap_err();
    let ReadError::Damaged { part: Part::Index, source: Damage::Length(length), .. } = error else {
        panic!("{error:?}")
    };
    assert!(length > 1 << 39, "{length}");
}
