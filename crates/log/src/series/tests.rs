use std::io::Cursor as Bytes;

use proptest::prelude::*;

use super::*;
use crate::entry::{Input, OutputMarker};
use crate::sample;
use crate::statistics::Statistics;

fn open(bytes: &[u8]) -> LogReader<Bytes<&[u8]>> {
    LogReader::new(Bytes::new(bytes)).unwrap()
}

fn total(series: &Series) -> Tally {
    series.buckets.as_slice().iter().fold(Tally::default(), |mut total, bucket| {
        total.merge(*bucket);
        total
    })
}

fn totals_are_those_of_statistics(bytes: &[u8]) -> Series {
    let statistics = Statistics::gather(&mut open(bytes)).unwrap();
    let series = Series::gather(&mut open(bytes)).unwrap();
    let total = total(&series);
    assert_eq!(total.entries.to_vec(), statistics.kinds.iter().map(|kind| kind.entries).collect::<Vec<_>>());
    assert_eq!(total.bytes.to_vec(), statistics.kinds.iter().map(|kind| kind.bytes).collect::<Vec<_>>());
    assert_eq!(total.exits, statistics.exits.0);
    assert_eq!(total.instructions, statistics.instructions.0);
    assert!(series.buckets.as_slice().len() <= MOST_BUCKETS);
    series
}

#[test]
fn entries_stand_in_the_bucket_of_their_time() {
    let series = totals_are_those_of_statistics(&sample::closed());
    let width = series.buckets.width_nanoseconds();
    let ticks: Vec<_> = series.buckets.as_slice().iter().enumerate().collect();
    let ticks = ticks.iter().filter(|(_, bucket)| bucket.entries[Kind::ClockTick as usize] > 0);
    let ticks: Vec<_> = ticks.map(|(position, _)| *position as u64).collect();
    let expected = [10_000_150, 20_000_301, 3_500_000_000].map(|at| (at - 1) / width);
    assert_eq!(ticks, expected);
    assert!(matches!(series.end, Some(EndReason::Refused(_))));
}

#[test]
fn a_log_without_an_end_has_none() {
    assert_eq!(totals_are_those_of_statistics(&sample::open()).end, None);
    let empty = Series::gather(&mut open(&sample::file(&[]))).unwrap();
    assert!(empty.end.is_none() && empty.buckets.as_slice().is_empty());
}

#[test]
fn a_reader_that_is_taken_back_to_the_first_entry_gives_the_same_series() {
    for bytes in [sample::closed(), sample::open()] {
        let mut reader = open(&bytes);
        let first = Series::gather(&mut reader).unwrap();
        reader.seek(crate::Position::Entry(crate::EntryNumber(0))).unwrap();
        assert_eq!(Series::gather(&mut reader).unwrap(), first);
    }
}

#[test]
fn what_is_counted_between_two_moments_is_spread_evenly() {
    let mut series = Series::default();
    let mut counted = Counted { count: 10, at: 1500 };
    series.spread(&mut counted, Counted { count: 50, at: 5500 }, |tally| &mut tally.exits);
    let exits = series.buckets.as_slice().iter().map(|bucket| bucket.exits);
    assert_eq!(exits.collect::<Vec<_>>(), [0, 5, 10, 10, 10, 5]);
}

#[test]
fn buckets_become_wider_as_time_goes_on_and_lose_nothing() {
    let mut buckets = Buckets::<Tally>::default();
    for at in [0, 1, 1000, 1001, 300_000] {
        buckets.at(at).exits += 1;
    }
    assert_eq!((buckets.width_nanoseconds(), buckets.as_slice().len()), (1000, MOST_BUCKETS));
    assert_eq!(buckets.as_slice()[0].exits, 3, "zero, and up to the width");
    buckets.at(300_001).exits += 1;
    assert_eq!((buckets.width_nanoseconds(), buckets.as_slice().len()), (2000, MOST_BUCKETS / 2 + 1));
    assert_eq!(buckets.as_slice()[0].exits, 4);
    buckets.at(u64::MAX).exits += 1;
    assert!(buckets.as_slice().len() <= MOST_BUCKETS);
    assert_eq!(buckets.as_slice().iter().map(|bucket| bucket.exits).sum::<u64>(), 7);
}

/// Entries in the order of a run: how much time and how many exits have passed before each, and what it is.
fn entries(steps: &[(u64, u64, u8)]) -> Vec<Entry> {
    let (mut now, mut exit) = (0_u64, 0);
    let entry = |&(time, exits, kind): &(u64, u64, u8)| {
        now += time;
        exit += exits;
        let at = sample::at(exit, 0, sample::KERNEL);
        match kind {
            0 => Entry::Time(sample::time(now)),
            1 => sample::tick(at, now),
            2 => Entry::Input { at, input: Input::Console(vec![b'x'; (time % 50) as usize]) },
            3 => sample::interrupt(at, 0x20, 0),
            4 => Entry::Registers(Box::new(sample::registers())),
            _ => sample::output(exit, OutputMarker::Frame { network: 0, bytes: 60 }),
        }
    };
    steps.iter().map(entry).collect()
}

proptest! {
    #[test]
    fn sums_over_buckets_are_the_totals_of_statistics(
        steps in prop::collection::vec((prop_oneof![0..2000_u64, 0..3_000_000_000_u64], 0..100_u64, 0..6_u8), 0..200)
    ) {
        totals_are_those_of_statistics(&sample::file(&entries(&steps)));
    }
}
