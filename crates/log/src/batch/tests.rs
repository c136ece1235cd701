use proptest::prelude::*;

use super::*;
use crate::encoding::tests::entries;
use crate::sample::{self, time};

/// A batch of these entries.
fn batch(entries: &[Entry]) -> Vec<u8> {
    let mut encoder = BatchEncoder::new(EntryNumber(1000));
    for entry in entries {
        encoder.push(entry, InstructionCount(77)).unwrap();
    }
    let (expected, mut bytes) = (encoder.bytes(), Vec::new());
    encoder.finish(&mut bytes);
    assert!(bytes.len() <= expected, "it told the most that it could become");
    assert!(bytes[FRAME_BYTES] == COMPRESSED || bytes.len() == expected, "it told its length");
    bytes
}

fn read(bytes: Vec<u8>) -> Result<Vec<NumberedEntry>, Damage> {
    let mut decoder = BatchDecoder::new(bytes)?;
    let mut entries = Vec::new();
    while let Some(entry) = decoder.next_entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

/// The batch with something changed behind its frame, and with checksums that are right.
fn rewritten(bytes: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut content = bytes[FRAME_BYTES..].to_vec();
    change(&mut content);
    let mut changed = Vec::new();
    put_section(Kind::Batch, &[&content], &mut changed);
    changed
}

proptest! {
    #[test]
    fn batches_come_back_each_on_its_own(entries in entries(), ends in prop::collection::vec(any::<bool>(), 61)) {
        let mut encoder = BatchEncoder::new(EntryNumber(5));
        let mut batches = Vec::new();
        for (number, entry) in entries.iter().enumerate() {
            encoder.push(entry, InstructionCount(number as u64)).unwrap();
            if ends[number] || number + 1 == entries.len() {
                let mut bytes = Vec::new();
                encoder.finish(&mut bytes);
                batches.push((number as u64, bytes));
            }
        }
        let mut found = Vec::new();
        let mut reached = Bases::default();
        for (last, bytes) in batches {
            let frame = bytes.first_chunk().unwrap();
            prop_assert_eq!(batch_bytes(frame).unwrap(), bytes.len());
            let mut decoder = BatchDecoder::new(bytes).unwrap();
            prop_assert_eq!(decoder.instructions(), InstructionCount(last));
            prop_assert_eq!(decoder.bases(), reached);
            prop_assert_eq!(decoder.first(), EntryNumber(5 + found.len() as u64));
            while let Some(NumberedEntry { number, entry, .. }) = decoder.next_entry().unwrap() {
                prop_assert_eq!(number, EntryNumber(5 + found.len() as u64));
                found.push(entry);
            }
            reached = decoder.reached();
        }
        prop_assert_eq!(found, entries);
    }

    #[test]
    fn any_content_is_a_batch_or_an_error(content: Vec<u8>) {
        let mut bytes = Vec::new();
        put_section(Kind::Batch, &[&content], &mut bytes);
        let _ = read(bytes);
    }

    #[test]
    fn any_entries_behind_a_good_beginning_come_back_or_are_an_error(body: Vec<u8>, count in 1..6u8) {
        let mut content = vec![0, count, 9, 0, 0, 0, 0, 0];
        content.extend(body);
        let mut bytes = Vec::new();
        put_section(Kind::Batch, &[&content], &mut bytes);
        if let Ok(entries) = read(bytes) {
            let entries: Vec<_> = entries.into_iter().map(|entry| entry.entry).collect();
            let again: Vec<_> = read(batch(&entries)).unwrap().into_iter().map(|entry| entry.entry).collect();
            prop_assert_eq!(again, entries);
        }
    }
}

#[test]
fn every_bit_of_a_batch_is_covered() {
    for (entries, flags) in [(&sample::entries()[..], COMPRESSED), (&sample::entries()[..15], 0)] {
        let bytes = batch(entries);
        assert_eq!(bytes[FRAME_BYTES], flags);
        assert!(read(bytes.clone()).is_ok());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(BatchDecoder::new(changed).is_err(), "bit {bit} of byte {at}");
            }
            assert!(BatchDecoder::new(bytes[..at].to_vec()).is_err(), "cut at {at}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(BatchDecoder::new(longer).is_err());
    }
}

#[test]
fn a_batch_is_full_by_its_bytes_and_by_guest_time() {
    let mut encoder = BatchEncoder::new(EntryNumber(0));
    let mut count = 0;
    while !encoder.is_full() {
        encoder.push(&Entry::Time(time(0)), InstructionCount(0)).unwrap();
        count += 1;
    }
    assert_eq!(count, FULL_BYTES);
    encoder.finish(&mut Vec::new());
    assert!(!encoder.is_full() && encoder.is_empty());

    let mut full = |nanoseconds| {
        encoder.push(&Entry::Time(time(nanoseconds)), InstructionCount(0)).unwrap();
        encoder.is_full()
    };
    let ends = [5, 5 + FULL_TIME, 5 + FULL_QUIET_TIME - 1, 5 + FULL_QUIET_TIME];
    assert_eq!(ends.map(&mut full), [false, false, false, true], "quiet");
    encoder.finish(&mut Vec::new());
    let typed = Entry::Input { at: sample::at(1, 0, 0), input: Input::Console(vec![7]) };
    encoder.push(&typed, InstructionCount(0)).unwrap();
    let begun = 5 + FULL_QUIET_TIME;
    let mut full = |nanoseconds| {
        encoder.push(&Entry::Time(time(nanoseconds)), InstructionCount(0)).unwrap();
        encoder.is_full()
    };
    assert_eq!([begun + FULL_TIME - 1, begun + FULL_TIME].map(&mut full), [false, true], "not quiet");
}

#[test]
fn the_longest_entry_fits_a_batch_that_is_not_full_and_a_longer_one_is_refused() {
    let input = |length| Entry::Input {
        at: sample::at(1, 0, 0),
        input: crate::entry::Input::Console(vec![7; length]),
    };
    let mut encoder = BatchEncoder::new(EntryNumber(0));
    while encoder.body.len() < FULL_BYTES - 1 {
        encoder.push(&Entry::Time(time(0)), InstructionCount(0)).unwrap();
    }
    let before = encoder.clone();
    let error = encoder.push(&input(MAXIMUM_BYTES), InstructionCount(0)).unwrap_err();
    assert!(error.0 > MAXIMUM_BYTES);
    assert_eq!((encoder.context, encoder.body.len()), (before.context, before.body.len()));

    let longest = input(MAXIMUM_ENTRY - 7);
    assert_eq!(encoder.push(&longest, InstructionCount(u64::MAX)).unwrap(), MAXIMUM_ENTRY);
    let mut bytes = Vec::new();
    encoder.finish(&mut bytes);
    assert_eq!(read(bytes).unwrap().last().unwrap().entry, longest);
}

#[test]
fn flags_that_are_unknown_are_refused() {
    let bytes = batch(&sample::entries());
    for unknown in (1..8).flat_map(|bit| [1 << bit, 1 << bit | COMPRESSED]) {
        let changed = rewritten(&bytes, |content| content[0] = unknown);
        assert!(matches!(read(changed), Err(Damage::Flags(flags)) if flags == unknown));
    }
}

#[test]
fn a_batch_without_entries_and_one_with_too_many_are_refused() {
    let bytes = batch(&[Entry::Time(time(0)), Entry::Time(time(0))]);
    assert!(matches!(read(rewritten(&bytes, |content| content[1] = 0)), Err(Damage::Entries(0))));
    assert!(matches!(read(rewritten(&bytes, |content| content[1] = 1)), Err(Damage::Trailing(1))));
    let short = read(rewritten(&bytes, |content| content[1] = 3));
    assert!(matches!(short, Err(Damage::Entry { number: EntryNumber(1002), .. })), "{short:?}");
}

#[test]
fn a_length_beyond_the_maximum_is_refused_before_it_is_read() {
    let mut frame = [0; FRAME_BYTES];
    frame[0] = b'B';
    frame[1..5].copy_from_slice(&(MAXIMUM_BYTES as u32 + 1).to_le_bytes());
    let checksum = crc32c::crc32c(&frame[..5]);
    frame[5..9].copy_from_slice(&checksum.to_le_bytes());
    assert!(matches!(batch_bytes(&frame), Err(Damage::Length(length)) if length == MAXIMUM_BYTES + 1));
}

#[test]
fn what_ends_a_batch_badly_is_told_again() {
    let bytes = batch(&[Entry::Time(time(0)), Entry::Time(time(0))]);
    let mut decoder =
        BatchDecoder::new(rewritten(&bytes, |content| *content.last_mut().unwrap() = 0xff)).unwrap();
    assert!(decoder.next_entry().unwrap().is_some());
    let told: Vec<_> = (0..2).map(|_| decoder.next_entry().unwrap_err().to_string()).collect();
    assert_eq!(told, ["entry 1001 is meaningless"; 2]);
}
