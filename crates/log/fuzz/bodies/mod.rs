//! What the fuzzer's bytes become: log files and batches.
//!
//! The same bodies run under `cargo fuzz`, which chooses the bytes by the branches that they reach, and in the
//! ordinary test `fuzz`, which takes random ones and those that once found something (`regressions`).
//!
//! Whatever the bytes are, nothing may panic, no error may heal by asking again, and what is read must say the same
//! when it is written and read again. A fuzzer does not guess checksums, so they are made for its bytes.

mod file;

use std::io::Cursor;

use outlive_engine::{GuestTime, InstructionCount};
use outlive_log::statistics::Statistics;
use outlive_log::verify::verify_reader;
use outlive_log::{BatchDecoder, BatchEncoder, Entry, EntryNumber, LogReader, Position};

/// A file: the first byte chooses how much of it is made right before the readers get it.
pub(crate) fn read_log(bytes: &[u8]) {
    let Some((&choice, rest)) = bytes.split_first() else { return };
    let file = match choice % 4 {
        0 => rest.to_vec(),
        1 => file::behind_good_header(rest, choice & 4 != 0),
        2 => file::of_sections(rest, choice & 4 != 0),
        _ => file::closed_with_bodies(rest),
    };
    read_in_every_way(&file);
}

/// The content of a batch. If it is not compressed, another one is made of it that is, with the last bytes for noise.
pub(crate) fn decode_batch(bytes: &[u8]) {
    says_the_same_again(bytes);
    for noise in [0, 1, 2, bytes.len() / 4] {
        if let Some(compressed) = file::with_compressed_entries(bytes, noise) {
            says_the_same_again(&compressed);
        }
    }
}

/// What comes out of a batch can be put into another, and comes out of that. If it is long, that one is compressed.
fn says_the_same_again(content: &[u8]) {
    let Some(entries) = entries_of(file::section(b'B', content)) else { return };
    let mut encoder = BatchEncoder::new(EntryNumber(0));
    for entry in &entries {
        encoder.push(entry, InstructionCount(7)).expect("it came out of a batch that was no longer");
    }
    let mut again = Vec::new();
    encoder.finish(&mut again);
    assert_eq!(entries_of(again).as_ref(), Some(&entries), "what was read can be written and read again");
}

/// So many entries of a batch are kept at most: a few bytes can become millions.
const MOST_ENTRIES: usize = 1 << 16;

/// The entries of a batch, if all are good.
fn entries_of(batch: Vec<u8>) -> Option<Vec<Entry>> {
    let mut decoder = BatchDecoder::new(batch).ok()?;
    let mut entries = Vec::new();
    loop {
        match decoder.next_entry() {
            Ok(Some(_)) if entries.len() == MOST_ENTRIES => return None,
            Ok(Some(entry)) => entries.push(entry.entry),
            Ok(None) => return Some(entries),
            Err(error) => {
                let again = decoder.next_entry().expect_err("an error stays");
                assert_eq!(again.to_string(), error.to_string());
                return None;
            }
        }
    }
}

fn open(file: &[u8]) -> Option<LogReader<Cursor<&[u8]>>> {
    LogReader::new(Cursor::new(file)).ok()
}

fn read_in_every_way(file: &[u8]) {
    let Some(mut reader) = open(file) else { return };
    let mut entries = 0;
    let whole = loop {
        match reader.next() {
            Ok(Some(_)) => entries += 1,
            Ok(None) => break true,
            Err(error) => {
                assert!(error.offset() <= file.len() as u64, "{error} at {}", error.offset());
                let again = reader.next().expect_err("an error stays");
                assert_eq!(again.to_string(), error.to_string());
                break false;
            }
        }
    };
    if let Some(reader) = open(file)
        && let Ok(verified) = verify_reader(reader)
    {
        assert!(whole, "a log that can be verified can be read");
        assert_eq!(verified.entries, entries);
    }
    if let Some(mut reader) = open(file) {
        let statistics = Statistics::gather(&mut reader);
        assert_eq!(statistics.is_ok(), whole);
        assert!(statistics.is_ok_and(|found| found.entries == entries) || !whole);
    }
    seek(file, reader.is_closed(), entries);
}

/// Goes to the places around those that there are. In an open log, which has no index that could lie, the entry that is
/// found is the one that was asked for.
fn seek(file: &[u8], closed: bool, entries: u64) {
    let Some(mut reader) = open(file) else { return };
    for number in [0, entries / 2, entries, u64::MAX] {
        let sought = reader.seek(Position::Entry(EntryNumber(number)));
        if let Ok(Some(found)) = reader.next()
            && sought.is_ok()
            && !closed
        {
            assert_eq!(found.number, EntryNumber(number));
        }
    }
    for time in [0, 1, 1 << 32, u64::MAX] {
        let _ = reader.seek(Position::Time(GuestTime::from_nanoseconds(time)));
        let _ = reader.next();
    }
}
