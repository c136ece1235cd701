use std::io::Cursor as Bytes;

use super::*;
use crate::sample;

fn statistics(bytes: &[u8]) -> Statistics {
    Statistics::gather(&mut LogReader::new(Bytes::new(bytes)).unwrap()).unwrap()
}

#[test]
fn every_byte_of_a_log_is_accounted_for() {
    let mut torn = sample::open();
    torn.truncate(torn.len() - 1);
    for bytes in [sample::closed(), sample::open(), torn] {
        let found = statistics(&bytes);
        let Overhead { header_bytes, batch_bytes, index_bytes, torn_bytes, saved_bytes } = found.overhead;
        let entries: u64 = found.kinds.iter().map(|kind| kind.bytes).sum();
        assert_eq!(found.bytes, bytes.len() as u64);
        let all = header_bytes + batch_bytes + index_bytes + torn_bytes + entries;
        assert_eq!(all - u64::try_from(saved_bytes).unwrap(), found.bytes);
        assert!(saved_bytes > 0, "a batch of the sample is compressed");
        assert!(batch_bytes > 13 * found.batches && batch_bytes < 100 * found.batches, "{batch_bytes}");
        assert_eq!(index_bytes > 0, found.closed);
    }
}

#[test]
fn entries_and_payload_are_counted_by_kind() {
    let found = statistics(&sample::closed());
    let counts: Vec<_> = found.kinds.iter().map(|kind| (kind.kind.name(), kind.entries)).collect();
    let expected = [
        ("time-read", 5),
        ("clock-tick", 3),
        ("console-input", 1),
        ("frame-input", 2),
        ("disk-completion", 2),
        ("interrupt", 4),
        ("console-output", 2),
        ("frame-output", 2),
        ("disk-output", 3),
        ("registers", 1),
        ("digest", 1),
        ("end", 1),
    ];
    assert_eq!(counts, expected);
    assert_eq!(found.entries, sample::entries().len() as u64);
    let payload =
        [Kind::ConsoleInput, Kind::FrameInput, Kind::DiskCompletion].map(|kind| found.of(kind).payload_bytes);
    assert_eq!(payload, [3, 120, 40]);
    assert_eq!(found.payload_bytes(), 163);
}

#[test]
fn rates_follow_from_the_counts() {
    let found = statistics(&sample::closed());
    assert_eq!(found.guest_nanoseconds, 3_500_000_000);
    assert_eq!(found.exits, ExitNumber(171));
    assert_eq!(found.instructions, InstructionCount(1000 * (found.entries - 1)));
    assert_eq!(found.rates.ticks_per_second, Some(3.0 / 3.5));
    assert_eq!(found.rates.bytes_per_second, Some(found.bytes as f64 / 3.5));
    assert_eq!(found.rates.bytes_per_payload_byte, Some(found.bytes as f64 / 163.0));
    assert_eq!(found.rates.bytes_per_thousand_instructions, Some(found.bytes as f64 / 26.0));
}

#[test]
fn an_empty_log_has_no_rates() {
    let found = statistics(&sample::file(&[]));
    assert_eq!((found.entries, found.rates), (0, Rates::default()));
}

#[test]
fn kinds_stand_where_their_declaration_says() {
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, number);
    }
    for entry in sample::entries() {
        assert!(Kind::ALL.contains(&Kind::of(&entry)));
    }
}
