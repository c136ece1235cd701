use std::sync::mpsc::{Sender, channel};

use outlive_engine::GuestTime;
use outlive_log::{BatchEncoder, Entry};

use super::*;
use crate::vcpu::{FromVcpu, queue};

struct Channel {
    feed: Feed<()>,
    to_feed: Sender<Fed>,
    told: FromVcpu<()>,
    encoder: BatchEncoder,
}

impl Channel {
    fn new() -> Self {
        let (to_feed, fed) = channel();
        let (driver, told) = queue(std::sync::Arc::new(|| false));
        let feed = Feed::new(fed, driver, Counting::Steps, None);
        Self { feed, to_feed, told, encoder: BatchEncoder::new(EntryNumber(0)) }
    }

    /// Sends a batch of so many entries.
    fn send(&mut self, entries: u64) {
        for _ in 0..entries {
            self.encoder.push(&entry(self.encoder.next().0), InstructionCount(7)).unwrap();
        }
        let mut bytes = Vec::new();
        self.encoder.finish(&mut bytes);
        let batch = BatchDecoder::new(bytes.clone()).unwrap();
        self.to_feed.send(Fed::Batch(Box::new(batch), bytes)).unwrap();
    }

    fn next(&mut self) -> Option<(u64, Entry)> {
        self.feed.next().unwrap().map(|entry| (entry.number.0, entry.entry))
    }

    /// How far the driver was told that the machine has come.
    fn executed(&mut self) -> Option<LogPosition> {
        let mut events = Vec::new();
        self.told.take(&mut events);
        let mut positions = events.into_iter().map(|event| match event {
            VcpuEvent::Executed(up_to) => up_to,
            other => panic!("{other:?}"),
        });
        positions.next_back()
    }
}

fn entry(number: u64) -> Entry {
    Entry::Time(GuestTime::from_nanoseconds(256 * number))
}

#[test]
fn a_batch_is_executed_when_the_machine_asks_for_what_follows() {
    let mut channel = Channel::new();
    channel.send(2);
    channel.send(1);
    assert_eq!(channel.next(), Some((0, entry(0))));
    assert_eq!(channel.next(), Some((1, entry(1))));
    assert_eq!(channel.executed(), None, "the last entry may not have had its effect");
    assert_eq!(channel.next(), Some((2, entry(2))));
    assert_eq!(channel.executed(), Some(LogPosition(2)));
    channel.to_feed.send(Fed::End).unwrap();
    assert_eq!(channel.next(), None);
    assert_eq!(channel.executed(), Some(LogPosition(3)));
    assert_eq!(channel.next(), None, "and it stays like that");
}

#[test]
fn a_log_whose_driver_is_gone_has_ended() {
    let mut channel = Channel::new();
    drop(std::mem::replace(&mut channel.to_feed, channel_to_nowhere()));
    assert_eq!(channel.next(), None);
}

fn channel_to_nowhere() -> Sender<Fed> {
    channel().0
}

#[test]
fn what_goes_on_begins_behind_the_last_entry() {
    let mut channel = Channel::new();
    channel.send(3);
    channel.to_feed.send(Fed::End).unwrap();
    while channel.next().is_some() {}
    let (file, next, bases) = channel.feed.into_parts();
    assert!(file.is_none());
    assert_eq!((next, bases.time), (EntryNumber(3), GuestTime::from_nanoseconds(512)));
}

#[test]
fn a_report_finds_the_entries_around_and_waits_for_nothing() {
    let mut channel = Channel::new();
    for _ in 0..KEPT + 2 {
        channel.send(2);
    }
    for _ in 0..2 * (KEPT + 2) {
        channel.next().unwrap();
    }
    channel.feed.go_back(EntryNumber(9)).unwrap();
    let around: Vec<u64> = std::iter::from_fn(|| channel.next()).map(|(number, _)| number).collect();
    assert_eq!(around, (9..2 * (KEPT as u64 + 2)).collect::<Vec<_>>());
}
