//! A monitor may die at any moment. Whatever it had written by then is replayed, and then the log is at its end:
//! a cut is no divergence, wherever it is.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use outlive_engine::{GuestRam, GuestTime, InstructionCount};
use outlive_log::entry::Entry;
use outlive_log::header::{Counting, Header};
use outlive_log::{LogReader, LogWriter};
use outlive_machine::board::Board;
use outlive_machine::machine::Machine;
use outlive_machine::world::{Input, Output, Patience, Place, Target, World};
use outlive_replay::{RecordOptions, Recorder, ReplayEnd, ReplayError, Replayed, Replayer, record, replay};
use outlive_soft::{NativeCode, SoftEngine};

use crate::guest::Guest;
use crate::record::{OFTEN, Printed, header, options};
use crate::world::ScriptedWorld;

/// After this time a replay of some milliseconds is taken for one that never ends.
const FOREVER: Duration = Duration::from_secs(120);

/// An entry, and how many instructions the guest had executed there.
pub(crate) type Counted = (Entry, InstructionCount);

/// A world that watches its machine while that is recorded.
struct Watching {
    world: ScriptedWorld,
    /// The instructions at each time, input, output and interrupt.
    counts: Vec<InstructionCount>,
    /// The exits behind which the guest stood within an instruction.
    within: Vec<u64>,
}

impl World for Watching {
    type Error = Infallible;

    fn needs_landmarks(&self) -> bool {
        true
    }

    fn stop_requested(&self) -> bool {
        self.world.stop_requested()
    }

    fn read_time(&mut self, at: &mut dyn Place) -> Result<GuestTime, Infallible> {
        self.counts.push(at.instructions());
        self.world.read_time(at)
    }

    /// An input within an instruction would be written later, with another count, so there is none.
    fn next_input(&mut self, at: &mut dyn Place, patience: Patience) -> Result<Option<Input>, Infallible> {
        if at.landmark().is_err() {
            self.within.push(at.exit().0);
            return Ok(None);
        }
        let input = self.world.next_input(at, patience)?;
        self.counts.extend(input.is_some().then(|| at.instructions()));
        Ok(input)
    }

    fn next_landing(&self) -> Option<Target> {
        self.world.next_landing()
    }

    fn set_deadline(&mut self, deadline: Option<GuestTime>) {
        self.world.set_deadline(deadline);
    }

    fn output(&mut self, at: &mut dyn Place, output: Output) -> Result<(), Infallible> {
        self.counts.push(at.instructions());
        self.world.output(at, output)
    }

    fn interrupt(&mut self, at: &mut dyn Place, vector: u8) -> Result<(), Infallible> {
        self.counts.push(at.instructions());
        self.world.interrupt(at, vector)
    }
}

/// A recording, entry by entry.
pub(crate) struct Entries {
    pub(crate) entries: Vec<Counted>,
    /// The exits behind which the guest stood within an instruction.
    pub(crate) within: Vec<u64>,
}

impl Entries {
    /// Records the guest.
    pub(crate) fn of(guest: &Guest, registers: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let (engine, board, ram) = guest.boot(NativeCode::default());
        let writer = LogWriter::create(&log, &header(), false).unwrap();
        let options = RecordOptions { digest_every: Some(OFTEN), registers };
        let world = Watching { world: guest.world(), counts: Vec::new(), within: Vec::new() };
        let recorder = Recorder::new(world, writer, Counting::Steps, ram, options);
        let (_, world) = record(Machine::new(engine, recorder, board)).unwrap();
        Self { entries: counted(read(&log), world.counts), within: world.within }
    }
}

/// The entries of a log.
pub(crate) fn read(log: &Path) -> Vec<Entry> {
    let mut log = LogReader::open(log).unwrap();
    std::iter::from_fn(|| log.next().unwrap()).map(|numbered| numbered.entry).collect()
}

/// Gives each entry its count.
fn counted(entries: Vec<Entry>, counts: Vec<InstructionCount>) -> Vec<Counted> {
    let mut counts = counts.into_iter().peekable();
    let with_count = |entry: Entry| {
        let count = match &entry {
            Entry::Registers(_) => counts.peek().copied(),
            Entry::Digest(state) => Some(state.instructions),
            Entry::End(end) => end.state.as_ref().map(|state| state.instructions),
            _ => counts.next(),
        };
        (entry, count.unwrap())
    };
    let counted: Vec<_> = entries.into_iter().map(with_count).collect();
    assert!(counts.next().is_none(), "each count has its entry");
    counted
}

/// Writes a log of these entries. It is closed if it has an end.
pub(crate) fn write(log: &Path, counting: Counting, entries: &[Counted]) {
    let mut writer = LogWriter::create(log, &Header { counting, ..header() }, true).unwrap();
    for (entry, instructions) in entries {
        writer.append(entry, *instructions).unwrap();
    }
    if matches!(entries.last(), Some((Entry::End(_), _))) {
        writer.close().unwrap();
    } else {
        writer.flush().unwrap();
    }
}

/// Replays a log on a machine of these parts. A replay that panics or does not end is a failure of the test.
pub(crate) fn watched_replay(
    boot: impl FnOnce() -> (SoftEngine, Board, GuestRam) + Send + 'static,
    log: &Path,
) -> Result<Replayed, ReplayError> {
    let options = options();
    let stop = options.stop.clone();
    let log = LogReader::open(log).unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let (engine, board, ram) = boot();
        let replayer = Replayer::new(log, Box::new(Printed(Rc::default())), ram, options);
        let _ = sender.send(replay(&mut Machine::new(engine, replayer, board)));
    });
    receiver.recv_timeout(FOREVER).unwrap_or_else(|error| {
        stop.store(true, Ordering::Release);
        match error {
            RecvTimeoutError::Timeout => panic!("the replay does not end"),
            RecvTimeoutError::Disconnected => panic!("the replay has panicked"),
        }
    })
}

/// The same on the machine of a guest.
pub(crate) fn watched_replay_of(guest: &Guest, log: &Path) -> Result<Replayed, ReplayError> {
    let guest = guest.clone();
    watched_replay(move || guest.boot(NativeCode::default()), log)
}

/// Writes a log with a batch for each entry. Tells the length of the file behind each.
fn write_in_single_batches(log: &Path, entries: &[Counted]) -> Vec<usize> {
    let mut writer = LogWriter::create(log, &header(), true).unwrap();
    let append = |(entry, instructions): &Counted| {
        writer.append(entry, *instructions).unwrap();
        writer.flush().unwrap();
        usize::try_from(writer.size().bytes).unwrap()
    };
    entries.iter().map(append).collect()
}

/// Cuts a recording behind at most `most` of its entries: the first, and others all over the rest.
fn is_unfinished_behind_each_entry(guest: &Guest, registers: bool, most: usize) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let Entries { entries, .. } = Entries::of(guest, registers);
    let lengths = write_in_single_batches(&log, &entries);
    let bytes = fs::read(&log).unwrap();
    let cuts = entries.len() - 1;
    let spread = (0..cuts).step_by(cuts.div_ceil(most)).chain(0..cuts.min(most / 4));
    for last in spread {
        fs::write(&log, &bytes[..lengths[last]]).unwrap();
        let replayed = watched_replay_of(guest, &log);
        let entry = &entries[last].0;
        match replayed {
            Ok(Replayed { end: ReplayEnd::Unfinished, summary }) => {
                assert_eq!(summary.entries, last as u64 + 1, "{guest:?}: behind entry {last}, {entry}");
            }
            other => panic!("{guest:?}: behind entry {last}, {entry}: {other:?}"),
        }
    }
}

mod a_recording_that_was_cut_behind_an_entry_is_replayed_up_to_there {
    use super::{Guest, is_unfinished_behind_each_entry};

    #[test]
    fn hello_with_registers() {
        is_unfinished_behind_each_entry(&Guest::new("hello", "one"), true, 400);
    }

    #[test]
    fn disk() {
        is_unfinished_behind_each_entry(&Guest::new("disk", ""), false, 200);
    }

    #[test]
    fn kv() {
        is_unfinished_behind_each_entry(&Guest::new("kv", ""), false, 200);
    }

    #[test]
    fn hostile() {
        is_unfinished_behind_each_entry(&Guest::new("hostile", "case=all"), false, 60);
    }
}
