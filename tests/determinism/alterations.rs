//! Logs that no recording has made: they come from elsewhere, or from somebody who means ill. A replay of one ends,
//! with a report or without, and takes nothing down with it.

use outlive_engine::{ExitNumber, GuestTime, InstructionCount};
use outlive_log::entry::{
    Check, DiskOperation, Entry, Input, Landmark, OutputMarker, PageCheck, StateDigest,
};
use outlive_log::header::Counting;
use outlive_replay::{ReplayEnd, ReplayError, Replayed};

use crate::cuts::{Counted, Entries, watched_replay, watched_replay_of, write};
use crate::guest::Guest;
use crate::landings::boot_code;
use crate::random::Random;

/// How many altered logs of each guest are replayed.
const LOGS: usize = 100;
/// The longest input that is put in.
const LONG: u64 = 1 << 20;

/// Another number, near this one, or as far away as can be.
fn other_number(random: &mut Random, number: u64) -> u64 {
    match random.below(7) {
        0 => u64::MAX,
        1 => u64::MAX - 1,
        2 => 0,
        3 => number.wrapping_add(1),
        4 => number.wrapping_sub(1),
        5 => 1 << random.below(64),
        _ => random.next(),
    }
}

fn other_time(random: &mut Random, time: GuestTime) -> GuestTime {
    GuestTime::from_nanoseconds(other_number(random, time.nanoseconds()))
}

fn alter_landmark(random: &mut Random, at: &mut Landmark) {
    match random.below(3) {
        0 => at.since_exit = other_number(random, at.since_exit),
        1 => at.exit.0 = other_number(random, at.exit.0),
        _ => at.rip = other_number(random, at.rip),
    }
}

/// One bit differs.
fn alter_check(random: &mut Random, check: &mut u16) {
    *check ^= 1 << random.below(16);
}

fn alter_input(random: &mut Random, input: &mut Input) {
    match input {
        Input::ClockTick(time) => *time = other_time(random, *time),
        Input::Console(bytes) => bytes.resize(random.below(LONG) as usize, b'\r'),
        Input::Frame { network, bytes } => match random.below(2) {
            0 => *network = 77,
            _ => bytes.resize(random.below(LONG) as usize, 9),
        },
        Input::DiskCompletion { disk, request, failed, data } => match random.below(4) {
            0 => *disk = 200,
            1 => *request = other_number(random, *request),
            2 => *failed = !*failed,
            _ => data.resize(random.below(LONG) as usize, 1),
        },
    }
}

fn alter_output(random: &mut Random, output: &mut OutputMarker) {
    *output = match random.below(3) {
        0 => OutputMarker::Console,
        1 => OutputMarker::Frame { network: 3, bytes: u32::MAX },
        _ => OutputMarker::Disk { disk: 9, operation: DiskOperation::Write, bytes: 0 },
    };
}

fn alter_digest(random: &mut Random, state: &mut StateDigest) {
    match random.below(6) {
        0 => alter_landmark(random, &mut state.at),
        1 => state.time = other_time(random, state.time),
        2 => state.memory[3] ^= 1,
        3 => state.running[9] ^= 4,
        4 => state.pages.push(PageCheck { page: u64::MAX - 1, check: 3 }),
        _ => state.registers.rip ^= 1,
    }
}

fn alter(random: &mut Random, entry: &mut Entry) {
    let what = random.below(3);
    match entry {
        Entry::Time(time) => *time = other_time(random, *time),
        Entry::Input { at, .. } if what == 0 => alter_landmark(random, at),
        Entry::Input { input, .. } => alter_input(random, input),
        Entry::Interrupt { at, .. } if what == 0 => alter_landmark(random, at),
        Entry::Interrupt { vector, .. } if what == 1 => *vector ^= 1 << random.below(8),
        Entry::Interrupt { check, .. } => alter_check(random, &mut check.0),
        Entry::Output { exit, .. } if what == 0 => exit.0 = other_number(random, exit.0),
        Entry::Output { output, .. } if what == 1 => alter_output(random, output),
        Entry::Output { check, .. } => alter_check(random, &mut check.0),
        Entry::Registers(state) => state.rip = other_number(random, state.rip),
        Entry::Digest(state) => alter_digest(random, state),
        Entry::End(end) if what == 0 => end.exit.0 = other_number(random, end.exit.0),
        Entry::End(end) => {
            if let Some(state) = &mut end.state {
                alter_digest(random, state);
            }
        }
    }
}

/// An input that never came.
fn new_input(random: &mut Random) -> Input {
    match random.below(5) {
        0 => Input::Console(vec![b'\r'; LONG as usize]),
        1 => Input::Frame { network: 0, bytes: vec![1; LONG as usize] },
        2 => Input::Frame { network: 0, bytes: Vec::new() },
        3 => Input::DiskCompletion { disk: 0, request: random.next(), failed: false, data: vec![1; 512] },
        _ => Input::ClockTick(other_time(random, GuestTime::from_nanoseconds(5_000_000))),
    }
}

/// Alters an entry, or puts an input next to one. Tells which.
fn alter_one(random: &mut Random, entries: &mut Vec<Counted>) -> usize {
    let chosen = random.below(entries.len() as u64) as usize;
    match entries[chosen].clone() {
        (Entry::Input { at, .. } | Entry::Interrupt { at, .. }, count) if random.below(4) == 0 => {
            let new = chosen + random.below(2) as usize;
            entries.insert(new, (Entry::Input { at, input: new_input(random) }, count));
            new
        }
        _ => {
            alter(random, &mut entries[chosen].0);
            chosen
        }
    }
}

/// The beginning of an entry as a person reads it, for a failed test.
fn beginning(entry: &Entry) -> String {
    format!("{entry:?}").chars().take(200).collect()
}

/// Whether a replay has ended as a replay of any whole file may.
fn is_an_end(replayed: &Result<Replayed, ReplayError>) -> bool {
    match replayed {
        Ok(Replayed { end, .. }) => matches!(end, ReplayEnd::Complete(_) | ReplayEnd::Unfinished),
        Err(error) => matches!(error, ReplayError::Divergence(_)),
    }
}

fn ends_whatever_is_altered(guest: &Guest) {
    let mut random = Random::new();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let Entries { entries, .. } = Entries::of(guest, false);
    let mut diverged = 0;
    for _ in 0..LOGS {
        let mut altered = entries.clone();
        let chosen = alter_one(&mut random, &mut altered);
        println!("{guest:?}: entry {chosen}, {}", beginning(&altered[chosen].0));
        write(&log, Counting::Steps, &altered);
        let replayed = watched_replay_of(guest, &log);
        assert!(is_an_end(&replayed), "{replayed:?}");
        diverged += usize::from(replayed.is_err());
    }
    println!("{diverged} of {LOGS} have diverged");
    assert!(diverged > LOGS / 2, "{diverged} of {LOGS} have diverged");
}

mod a_replay_of_an_altered_log_ends {
    every_guest! {
        super::ends_whatever_is_altered,
        disk "", kv "", exits "", time "seconds=0",
    }
}

/// Cuts the log before everything that comes at this exit or later, and puts there what is to land right behind
/// the exit, where the guest stands within an instruction.
fn landing_within(entries: &[Counted], exit: u64) -> Vec<Vec<Counted>> {
    let at = Landmark { exit: ExitNumber(exit), since_exit: 0, rip: 0 };
    let comes_later = |entry: &Entry| match entry {
        Entry::Input { at, .. } | Entry::Interrupt { at, .. } => at.exit.0 >= exit,
        Entry::Output { exit: last, .. } => last.0 >= exit,
        Entry::Digest(state) => state.at.exit.0 >= exit,
        Entry::End(_) => true,
        Entry::Time(_) | Entry::Registers(_) => false,
    };
    let kept = entries.iter().position(|(entry, _)| comes_later(entry)).unwrap();
    let (last, count) = entries.last().unwrap();
    let Entry::End(end) = last else { panic!("{last} is the last entry") };
    let state = StateDigest { at, ..end.state.clone().unwrap() };
    let input = Entry::Input { at, input: Input::Console(vec![1]) };
    let with = |entry: Entry| entries[..kept].iter().cloned().chain([(entry, *count)]).collect();
    vec![with(input), with(Entry::Digest(Box::new(state)))]
}

#[test]
fn a_landmark_within_an_instruction_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let guest = Guest::new("hostile", "case=all");
    let Entries { entries, mut within } = Entries::of(&guest, false);
    within.dedup();
    assert!(!within.is_empty());
    for exit in within {
        for altered in landing_within(&entries, exit) {
            write(&log, Counting::Steps, &altered);
            let replayed = watched_replay_of(&guest, &log);
            let what = &altered.last().unwrap().0;
            assert!(matches!(replayed, Err(ReplayError::Divergence(_))), "{what}: {replayed:?}");
        }
    }
}

#[test]
fn a_guest_that_runs_away_from_its_log_is_reported() {
    // in al, 0x60 without end, where the log says that something goes out.
    let code = [0xe4, 0x60, 0xeb, 0xfc];
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let output = Entry::Output { exit: ExitNumber(3), output: OutputMarker::Console, check: Check(7) };
    for (counting, instructions) in [(Counting::Steps, 100), (Counting::Windows, 0)] {
        write(&log, counting, &[(output.clone(), InstructionCount(instructions))]);
        let replayed = watched_replay(move || boot_code(&code), &log);
        assert!(matches!(replayed, Err(ReplayError::Divergence(_))), "{counting:?}: {replayed:?}");
    }
}
