//! One byte of an input, changed in a log that is well formed otherwise: the replay notices it.
//!
//! Every guest here looks at all of its inputs, and its answers depend on them. A byte that no guest looks at, and that
//! is overwritten before anybody compares memory, could be changed without any difference to the run.

use outlive_engine::GuestTime;
use outlive_log::entry::{Entry, Input};

use crate::alteration::{Alteration, each_is_noticed};
use crate::harness::{Engine, Guest, kv, linux, shell};
use crate::kv::recorded_conversation;
use crate::recording::{Live, Recording};

fn recorded(guest: Guest) -> Recording {
    let recording = Recording::of(guest);
    assert_eq!(recording.status, Some(0), "{}{}", recording.console(), recording.errors);
    recording
}

/// The length of the headers before what a UDP datagram carries.
const HEADERS: usize = 14 + 20 + 8;
/// Changes of time by less than this byte, that is by less than 16 ms, need not make a difference.
const COARSE_BYTE: usize = 3;

/// What a datagram carries: a request that the guest answers.
fn request(entry: &mut Entry) -> Option<&mut [u8]> {
    match entry {
        Entry::Input { input: Input::Frame { bytes, .. }, .. }
            if bytes.len() > HEADERS && bytes[12..14] == [8, 0] && bytes[23] == 17 =>
        {
            Some(&mut bytes[HEADERS..])
        }
        _ => None,
    }
}

fn typed(entry: &mut Entry) -> Option<&mut [u8]> {
    match entry {
        Entry::Input { input: Input::Console(bytes), .. } => Some(bytes),
        _ => None,
    }
}

fn read_from_disk(entry: &mut Entry) -> Option<&mut [u8]> {
    match entry {
        Entry::Input { input: Input::DiskCompletion { data, .. }, .. } => Some(data),
        _ => None,
    }
}

fn time(entry: &mut Entry) -> Option<&mut GuestTime> {
    match entry {
        Entry::Time(time) => Some(time),
        _ => None,
    }
}

fn tick(entry: &mut Entry) -> Option<&mut GuestTime> {
    match entry {
        Entry::Input { input: Input::ClockTick(time), .. } => Some(time),
        _ => None,
    }
}

/// Alters one of these bytes of an input.
macro_rules! bytes {
    ($of:ident) => {
        Alteration {
            bytes: |entry| $of(&mut entry.clone()).map_or(0, |bytes| bytes.len()),
            change: |entry, byte, value| $of(entry).unwrap()[byte] ^= value,
        }
    };
}

/// Alters one of the coarse bytes of a time.
macro_rules! coarse_bytes {
    ($of:ident) => {
        Alteration {
            bytes: |entry| $of(&mut entry.clone()).map_or(0, |_| 8 - COARSE_BYTE),
            change: |entry, byte, value| {
                let time = $of(entry).unwrap();
                let change = u64::from(value) << (8 * (COARSE_BYTE + byte));
                *time = GuestTime::from_nanoseconds(time.nanoseconds() ^ change);
            },
        }
    };
}

#[test]
fn a_changed_byte_of_a_frame_is_noticed() {
    let (guest, address) = kv(Engine::Soft, 15);
    each_is_noticed(&recorded_conversation(guest, &address), &bytes!(request), 30);
}

#[test]
fn a_changed_byte_of_what_was_read_from_a_disk_is_noticed() {
    each_is_noticed(&recorded(Guest::bare("disk").with_disk(128, false).0), &bytes!(read_from_disk), 30);
}

#[test]
fn a_changed_time_is_noticed() {
    each_is_noticed(&recorded(Guest::bare("time")), &coarse_bytes!(time), 30);
}

#[test]
fn a_changed_time_of_a_clock_tick_is_noticed() {
    each_is_noticed(&recorded(Guest::bare("ticks")), &coarse_bytes!(tick), 30);
}

#[test]
fn a_changed_byte_of_what_was_typed_is_noticed() {
    let mut live = Live::start(linux(Engine::Soft, 15).guest);
    live.machine.wait_for("outlive: ready");
    shell(&mut live.machine, "echo one two three", "SAID");
    live.signal("TERM");
    let recording = live.finish();
    assert_eq!(recording.status, Some(128 + 15), "{}", recording.errors);
    each_is_noticed(&recording, &bytes!(typed), 3);
}

/// Everything else that an entry says: where it is, which device it is for, what went out.
mod wild {
    use outlive_engine::ExitNumber;
    use outlive_log::entry::{Check, Landmark, OutputMarker};

    use super::*;

    fn change_landmark(at: &mut Landmark, byte: usize, value: u64) {
        match byte {
            0 => at.exit = ExitNumber(at.exit.0 ^ value),
            1 => at.since_exit ^= value,
            _ => at.rip ^= value,
        }
    }

    fn change(entry: &mut Entry, byte: usize, value: u8) {
        let wide = u64::from(value);
        match entry {
            Entry::Input { at, .. } if byte < 3 => change_landmark(at, byte, wide),
            Entry::Input { input: Input::Frame { network, .. }, .. } => *network ^= value,
            Entry::Input { input: Input::DiskCompletion { disk, .. }, .. } if byte == 3 => *disk ^= value,
            Entry::Input { input: Input::DiskCompletion { request, .. }, .. } => *request ^= wide,
            Entry::Interrupt { at, .. } if byte < 3 => change_landmark(at, byte, wide),
            Entry::Interrupt { vector, .. } if byte == 3 => *vector ^= value,
            Entry::Interrupt { check, .. } => *check = Check(check.0 ^ u16::from(value)),
            Entry::Output { exit, .. } if byte == 0 => *exit = ExitNumber(exit.0 ^ wide),
            Entry::Output { check, .. } if byte == 1 => *check = Check(check.0 ^ u16::from(value) << 8),
            Entry::Output { output: OutputMarker::Frame { bytes, .. }, .. } => *bytes ^= u32::from(value),
            Entry::Output { output: OutputMarker::Disk { disk, .. }, .. } => *disk ^= value,
            _ => unreachable!("no such byte"),
        }
    }

    fn bytes(entry: &Entry) -> usize {
        match entry {
            Entry::Input { input: Input::DiskCompletion { .. }, .. } | Entry::Interrupt { .. } => 5,
            Entry::Input { input: Input::Frame { .. }, .. } => 4,
            Entry::Input { .. } => 3,
            Entry::Output { output: OutputMarker::Console, .. } => 2,
            Entry::Output { .. } => 3,
            _ => 0,
        }
    }

    #[test]
    fn a_changed_place_device_or_check_is_noticed() {
        let (guest, address) = kv(Engine::Soft, 16);
        each_is_noticed(&recorded_conversation(guest, &address), &Alteration { bytes, change }, 40);
        each_is_noticed(
            &recorded(Guest::bare("disk").with_disk(128, false).0),
            &Alteration { bytes, change },
            40,
        );
    }
}
