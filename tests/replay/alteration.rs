//! Logs that are well formed, but tell something else than what happened.

use std::path::Path;

use outlive_engine::InstructionCount;
use outlive_log::entry::Entry;
use outlive_log::{Header, LogReader, LogWriter};

use crate::harness::Engine;
use crate::random::Random;
use crate::recording::Recording;

/// What a log holds.
struct Contents {
    header: Header,
    /// Entries, and what the guest has executed at the end of the batch of each.
    entries: Vec<(Entry, InstructionCount)>,
}

impl Contents {
    fn read(log: &Path) -> Self {
        let mut log = LogReader::open(log).unwrap();
        let mut entries = Vec::new();
        while let Some(numbered) = log.next().unwrap() {
            entries.push((numbered.entry, log.batch_end()));
        }
        Self { header: log.header().clone(), entries }
    }

    fn write(&self, path: &Path) {
        let mut log = LogWriter::create(path, &self.header, true).unwrap();
        for (entry, instructions) in &self.entries {
            log.append(entry, *instructions).unwrap();
        }
        log.close().unwrap();
    }
}

/// Which bytes of entries to alter.
pub(crate) struct Alteration {
    /// How many bytes of an entry there are to choose from: none, if the entry is not one of those.
    pub(crate) bytes: fn(&Entry) -> usize,
    /// Changes one of them, by combining it with this value, which is not 0, by exclusive or.
    pub(crate) change: fn(&mut Entry, usize, u8),
}

/// Alters one byte of a recording, in this many ways, and replays each: that must end with a report that names the
/// first entry that does not fit any more, which is the altered one or one behind it.
pub(crate) fn each_is_noticed(recording: &Recording, alteration: &Alteration, ways: usize) {
    let mut contents = Contents::read(recording.log.path());
    let altered = recording.guest.folder().join("altered");
    let candidates: Vec<_> = (0..contents.entries.len())
        .flat_map(|entry| (0..(alteration.bytes)(&contents.entries[entry].0)).map(move |byte| (entry, byte)))
        .collect();
    assert!(!candidates.is_empty(), "the log has no such entry");
    let mut random = Random::new();
    for place in random.places(ways, candidates.len() as u64) {
        let (entry, byte) = candidates[place as usize - 1];
        let value = random.places(1, 255)[0] as u8;
        let original = contents.entries[entry].0.clone();
        (alteration.change)(&mut contents.entries[entry].0, byte, value);
        assert_ne!(contents.entries[entry].0, original);
        contents.write(&altered);
        is_noticed(recording, &altered, entry, &format!("entry {entry}, byte {byte} changed by {value:#x}"));
        contents.entries[entry].0 = original;
    }
    contents.write(&altered);
    let untouched = crate::replaying::replayed(&altered, Engine::Soft, &[]);
    assert_eq!(untouched.finished.status, Some(0), "without alteration: {:?}", untouched.finished);
}

fn is_noticed(recording: &Recording, altered: &Path, entry: usize, what: &str) {
    let replayed = crate::replaying::replayed(altered, Engine::Soft, &[]);
    let (finished, report) = (&replayed.finished, &replayed.summary);
    assert_eq!(finished.status, Some(1), "{what}: {finished:?}");
    assert_eq!(report["end"], "divergence", "{what}: {finished:?}");
    let divergence = &report["divergence"];
    let named =
        divergence["entry"].as_u64().unwrap_or_else(|| panic!("{what}: no entry is named: {finished:?}"));
    let entries = recording.summary["entries"].as_u64().unwrap();
    assert!((entry as u64..entries).contains(&named), "{what}: entry {named} is named: {finished:?}");
    for part in ["expected", "found", "place"] {
        assert!(
            divergence[part].as_str().is_some_and(|text| !text.is_empty()),
            "{what}: no {part}: {finished:?}"
        );
    }
}
