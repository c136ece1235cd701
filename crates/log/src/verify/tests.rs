use std::io::Cursor as Bytes;

use super::*;
use crate::batch::{BatchEncoder, Damage};
use crate::entry::End;
use crate::file::index::{Footer, Index};
use crate::file::section::{FRAME_BYTES, Kind, put_section};
use crate::file::{MAXIMUM_BYTES, Part};
use crate::sample::{self, at, tick, time};

fn check(bytes: &[u8]) -> Result<Verified, VerifyError> {
    verify_reader(LogReader::new(Bytes::new(bytes))?)
}

/// Checks that a file is refused, and where.
#[track_caller]
fn assert_refused(bytes: &[u8], what: &dyn std::fmt::Display) {
    match check(bytes) {
        Ok(_) => panic!("{what}: nothing was noticed"),
        Err(error) => {
            assert!(error.offset() <= bytes.len() as u64, "{what}: {error} at {}", error.offset());
        }
    }
}

/// The places where batches begin, and where the last one ends.
fn batch_ends(bytes: &[u8]) -> Vec<usize> {
    let mut reader = LogReader::new(Bytes::new(bytes)).unwrap();
    let mut ends = vec![reader.start() as usize];
    while reader.next().unwrap().is_some() {
        let begin = reader.cursor().offset as usize;
        if *ends.last().unwrap() != begin {
            ends.push(begin);
        }
    }
    ends.push(reader.offset() as usize);
    ends
}

#[test]
fn a_closed_log_is_good() {
    let bytes = sample::closed();
    let verified = check(&bytes).unwrap();
    let entries = sample::entries().len() as u64;
    assert_eq!((verified.closed, verified.entries, verified.bytes), (true, entries, bytes.len() as u64));
    assert!(verified.batches >= 3, "{} batches", verified.batches);
    assert_eq!(verified.landmark, Some(at(171, 0, sample::KERNEL)));
    assert_eq!(verified.time, time(3_500_000_000));
    assert_eq!(verified.end, Some(EndReason::Refused("no such port".into())));
    assert_eq!(verified.instructions, InstructionCount(1000 * (entries - 1)));
}

#[test]
fn an_open_log_is_good_too_and_has_no_end() {
    let verified = check(&sample::open()).unwrap();
    assert_eq!((verified.closed, verified.end, verified.torn_bytes), (false, None, 0));
    assert_eq!(verified.entries, sample::entries().len() as u64 - 1);
}

/// The tests below change and cut the sample, so it must have batches of both kinds.
#[test]
fn the_sample_has_a_compressed_batch_and_one_that_is_not() {
    let good = sample::closed();
    let ends = batch_ends(&good);
    let flags: Vec<_> = ends[..ends.len() - 1].iter().map(|&begin| good[begin + FRAME_BYTES]).collect();
    assert!(flags.contains(&0) && flags.contains(&1), "{flags:?}");
}

/// Every byte: all of its bits, and some values more.
#[test]
fn every_changed_byte_of_a_closed_log_is_noticed() {
    let good = sample::closed();
    let mut changed = good.clone();
    for at in 0..good.len() {
        let bits = (0..8).map(|bit| good[at] ^ 1 << bit);
        let more = [0, 0xff, b' ', b'0', b'\n', !good[at], good[at].wrapping_add(1), good[at].swap_bytes()];
        for value in bits.chain(more).filter(|&value| value != good[at]) {
            changed[at] = value;
            assert_refused(&changed, &format!("{value:#x} at {at}"));
        }
        changed[at] = good[at];
    }
}

/// Where most depends on each byte: the first lines, the frames of all sections, and the footer. All values.
#[test]
fn every_value_of_every_byte_that_frames_something_is_noticed() {
    let good = sample::closed();
    let frames = batch_ends(&good).into_iter().flat_map(|begin| begin..begin + FRAME_BYTES);
    let footer = good.len() - 40..good.len();
    let mut changed = good.clone();
    for at in (0..90).chain(frames).chain(footer) {
        for value in (0..=255).filter(|&value| value != good[at]) {
            changed[at] = value;
            assert_refused(&changed, &format!("{value:#x} at {at}"));
        }
        changed[at] = good[at];
    }
}

#[test]
fn every_byte_that_is_missing_at_the_end_of_a_closed_log_is_noticed() {
    let good = sample::closed();
    for length in 0..good.len() {
        assert_refused(&good[..length], &format!("cut to {length}"));
    }
}

#[test]
fn whatever_is_appended_to_a_closed_log_is_noticed() {
    let good = sample::closed();
    let footer = &good[good.len() - 37..];
    for garbage in [&[0][..], b"\n", b"B", &[0; 13], &[0; 5000], footer, &good] {
        assert_refused(&[&good, garbage].concat(), &format!("{} bytes more", garbage.len()));
    }
}

#[test]
fn an_open_log_can_end_anywhere_behind_its_header() {
    let good = sample::open();
    let ends = batch_ends(&good);
    for length in 0..good.len() {
        let Some(whole) = ends.iter().rposition(|&end| end <= length) else {
            assert_refused(&good[..length], &format!("cut to {length}"));
            continue;
        };
        let verified = check(&good[..length]).unwrap();
        assert_eq!((verified.batches, verified.closed), (whole as u64, false), "cut to {length}");
        assert_eq!(verified.torn_bytes, (length - ends[whole]) as u64, "cut to {length}");
    }
}

/// But for the length of the last batch, which may seem to be one that was cut off: its own checksum tells that.
#[test]
fn every_changed_byte_of_an_open_log_is_noticed() {
    let good = sample::open();
    let mut changed = good.clone();
    for at in 0..good.len() {
        for bit in 0..8 {
            changed[at] = good[at] ^ 1 << bit;
            assert_refused(&changed, &format!("bit {bit} at {at}"));
        }
        changed[at] = good[at];
    }
}

#[test]
fn the_batches_before_the_damage_are_read_and_no_entry_more() {
    let good = sample::closed();
    let ends = batch_ends(&good);
    let mut reader = LogReader::new(Bytes::new(&good)).unwrap();
    let mut whole = vec![Vec::new()];
    let mut last = Vec::new();
    let mut begin = ends[0] as u64;
    while let Some(entry) = reader.next().unwrap() {
        if reader.cursor().offset != begin {
            begin = reader.cursor().offset;
            whole.push(last.clone());
        }
        last.push(entry);
    }
    whole.push(last);
    for at in ends[0]..*ends.last().unwrap() {
        let mut changed = good.clone();
        changed[at] ^= 0x10;
        let damaged = ends.iter().rposition(|&end| end <= at).unwrap();
        let mut reader = LogReader::new(Bytes::new(&changed)).unwrap();
        let mut read = Vec::new();
        let error = loop {
            match reader.next() {
                Ok(entry) => read.push(entry.expect("the log does not end before the damage")),
                Err(error) => break error,
            }
        };
        assert_eq!(read, whole[damaged], "byte {at}");
        assert_eq!(error.offset(), ends[damaged] as u64, "byte {at}");
        assert!(
            matches!(error, ReadError::Damaged { part: Part::Batch(batch), .. } if batch == damaged as u64)
        );
        assert!(reader.next().is_err(), "it is told again");
    }
}

#[test]
fn damage_of_index_or_footer_is_told_behind_all_entries() {
    let good = sample::closed();
    for at in *batch_ends(&good).last().unwrap()..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        let mut reader = LogReader::new(Bytes::new(&changed)).unwrap();
        for _ in sample::entries() {
            assert!(reader.next().unwrap().is_some());
        }
        assert!(reader.next().is_err(), "byte {at}");
    }
}

/// A log of batches that each hold one of the lists of entries, with good checksums.
fn log_of(batches: &[&[Entry]], index: impl FnOnce(&mut Index, &mut Footer)) -> Vec<u8> {
    let mut bytes = sample::file(&[]);
    let mut encoder = BatchEncoder::new(EntryNumber(0));
    let mut places = Index::default();
    for batch in batches {
        places.note(bytes.len() as u64, encoder.first(), encoder.bases());
        for entry in *batch {
            encoder.push(entry, InstructionCount(0)).unwrap();
        }
        encoder.finish(&mut bytes);
    }
    let mut footer =
        Footer { index: bytes.len() as u64, entries: encoder.next().0, batches: batches.len() as u64 };
    index(&mut places, &mut footer);
    places.encode(&mut bytes).unwrap();
    footer.encode(&mut bytes);
    let state = crate::file::prefix::STATE_AT;
    bytes[state..state + 6].copy_from_slice(b"closed");
    bytes
}

fn end(exit: u64) -> Entry {
    Entry::End(Box::new(End { reason: EndReason::PowerOff, exit: ExitNumber(exit), state: None }))
}

#[track_caller]
fn disorder(entries: &[Entry]) -> (EntryNumber, Disorder) {
    match check(&log_of(&[entries], |_, _| {})) {
        Err(VerifyError::Entry { entry, source, .. }) => (entry, source),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_made_by_hand_is_good() {
    let verified = check(&log_of(&[&[Entry::Time(time(3))], &[end(1)]], |_, _| {})).unwrap();
    assert_eq!((verified.entries, verified.batches, verified.closed), (2, 2, true));
}

#[test]
fn time_that_goes_back_is_noticed() {
    let (last, next) = (time(300), time(299));
    let here = at(1, 0, 0);
    let expected = (EntryNumber(1), Disorder::Time { last, next });
    assert_eq!(disorder(&[Entry::Time(last), Entry::Time(next), end(1)]), expected);
    assert_eq!(disorder(&[tick(here, 300), tick(here, 299), end(1)]), expected);
    let digest = Entry::Digest(Box::new(sample::digest(here, 299)));
    assert_eq!(disorder(&[Entry::Time(last), digest, end(1)]), expected);
}

#[test]
fn landmarks_that_go_back_are_noticed() {
    let backwards = [
        [tick(at(5, 0, 0), 0), tick(at(4, 9, 0), 0)],
        [tick(at(5, 2, 0), 0), sample::interrupt(at(5, 1, 0), 32, 0)],
        [tick(at(5, 2, 0), 0), sample::output(4, crate::entry::OutputMarker::Console)],
        [tick(at(5, 2, 0), 0), end(4)],
    ];
    for [first, second] in backwards {
        let (entry, disorder) = disorder(&[first, second.clone(), end(9)]);
        assert_eq!(entry, EntryNumber(1));
        assert!(matches!(disorder, Disorder::Landmark { .. }), "{second}: {disorder}");
    }
}

#[test]
fn what_follows_the_end_is_noticed() {
    let found = disorder(&[end(1), Entry::Time(time(0))]);
    assert_eq!(found, (EntryNumber(1), Disorder::BehindEnd));
    assert_eq!(disorder(&[end(1), end(1)]), (EntryNumber(1), Disorder::BehindEnd));
}

#[test]
fn a_closed_log_without_end_is_noticed() {
    let result = check(&log_of(&[&[Entry::Time(time(0))]], |_, _| {}));
    assert!(matches!(result, Err(VerifyError::NoEnd { .. })), "{result:?}");
}

#[test]
fn a_footer_that_counts_wrong_is_noticed() {
    let entries = [Entry::Time(time(0)), end(1)];
    let changes: [fn(&mut Footer); 3] =
        [|footer| footer.entries += 1, |footer| footer.index -= 1, |footer| footer.index += 1];
    for change in changes {
        let bytes = log_of(&[&entries], |_, footer| change(footer));
        let result = check(&bytes);
        assert!(matches!(result, Err(VerifyError::Read(ReadError::Damaged { .. }))), "{result:?}");
    }
    let bytes = log_of(&[&entries], |_, footer| footer.batches += 1);
    assert!(matches!(check(&bytes), Err(VerifyError::Index { .. })));
}

#[test]
fn an_index_that_leads_elsewhere_is_noticed() {
    let bytes = log_of(&[&[Entry::Time(time(0)), end(1)]], |index, _| {
        *index = Index::default();
        index.note(7, EntryNumber(0), Bases::default());
    });
    assert!(matches!(check(&bytes), Err(VerifyError::Index { .. })));
}

#[test]
fn a_batch_that_does_not_follow_is_noticed() {
    let mut bytes = sample::open();
    let mut encoder = BatchEncoder::new(EntryNumber(1 << 40));
    encoder.push(&Entry::Time(time(u64::MAX)), InstructionCount(0)).unwrap();
    encoder.finish(&mut bytes);
    let error = check(&bytes).unwrap_err();
    let VerifyError::Read(ReadError::Damaged { source, .. }) = &error else { panic!("{error:?}") };
    assert!(matches!(source, Damage::Numbering { found: EntryNumber(0x100_0000_0000), .. }), "{source}");
}

#[test]
fn a_batch_with_other_bases_is_noticed() {
    let mut bytes = sample::open();
    let next = EntryNumber(check(&bytes).unwrap().entries);
    let mut encoder = BatchEncoder::new(next);
    encoder.push(&Entry::Time(time(1 << 40)), InstructionCount(u64::MAX)).unwrap();
    encoder.finish(&mut bytes);
    let error = check(&bytes).unwrap_err();
    assert!(matches!(error, VerifyError::Entry { source: Disorder::Bases, .. }), "{error:?}");
}

#[test]
fn a_section_that_claims_gigabytes_is_refused_without_reading_it() {
    let mut bytes = sample::open();
    let mut frame = vec![b'B'];
    frame.extend_from_slice(&(MAXIMUM_BYTES as u32 + 1).to_le_bytes());
    let checksum = crc32c::crc32c(&frame);
    frame.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend(frame);
    bytes.extend([0; 4]);
    let error = check(&bytes).unwrap_err();
    assert!(
        matches!(error, VerifyError::Read(ReadError::Damaged { source: Damage::Length(_), .. })),
        "{error:?}"
    );
}

#[test]
fn a_footer_where_a_batch_should_be_is_noticed() {
    let mut bytes = sample::open();
    put_section(Kind::Footer, &[&[0; 24]], &mut bytes);
    assert!(check(&bytes).is_err());
}

#[test]
fn a_log_whose_monitor_died_while_it_closed_is_unfinished() {
    let mut bytes = sample::closed();
    let state = crate::file::prefix::STATE_AT;
    bytes[state..state + 6].copy_from_slice(b"open  ");
    let verified = check(&bytes).unwrap();
    assert!(!verified.closed && verified.end.is_some());
    assert_eq!(verified.torn_bytes, (bytes.len() - batch_ends(&bytes).last().unwrap()) as u64);
}
