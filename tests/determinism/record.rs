//! A recording is the run that it records, and so is each of its replays.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use outlive_log::entry::EndReason;
use outlive_log::header::{self, Counting, Header};
use outlive_log::{LogReader, LogWriter};
use outlive_machine::machine::Machine;
use outlive_machine::world::{DiskIndex, DiskRequestId, Output};
use outlive_replay::{
    CheckLevel, Outputs, RecordOptions, Recorder, ReplayEnd, ReplayOptions, Replayed, Replayer, Summary,
    record, replay,
};
use outlive_soft::NativeCode;

use crate::guest::{Guest, Sight};
use crate::random::Random;
use crate::world::ScriptedWorld;

/// What a replay prints.
pub(crate) type Console = Rc<RefCell<Vec<u8>>>;

pub(crate) struct Printed(pub(crate) Console);

impl Outputs for Printed {
    fn output(&mut self, output: &Output) -> io::Result<()> {
        if let Output::Console(byte) = output {
            self.0.borrow_mut().push(*byte);
        }
        Ok(())
    }

    fn disk_completion(&mut self, _: DiskIndex, _: DiskRequestId, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// The tests build their machines themselves, so nobody reads this.
pub(crate) fn header() -> Header {
    let kernel = header::Image { path: PathBuf::new(), bytes: 0, digest: [0; 32] };
    let machine = header::Machine {
        memory: 0,
        command_line: String::new(),
        random_seed: [0; 32],
        wall_clock: 0,
        rewritten_time_reads: false,
    };
    Header {
        engine: "soft".to_owned(),
        counting: Counting::Steps,
        version: String::new(),
        recorded: 0,
        machine,
        kernel,
        initramfs: None,
        disk: Vec::new(),
        network: Vec::new(),
    }
}

/// How often the state of a bare guest is hashed while it is recorded, in guest time.
pub(crate) const OFTEN: Duration = Duration::from_millis(2);

fn recording(guest: &Guest, log: &Path, registers: bool, digest_every: Duration) -> (Summary, ScriptedWorld) {
    let (engine, board, ram) = guest.boot(NativeCode::default());
    let log = LogWriter::create(log, &header(), false).unwrap();
    let options = RecordOptions { digest_every: Some(digest_every), registers };
    let recorder = Recorder::new(guest.world(), log, Counting::Steps, ram, options);
    let (recorded, world) = record(Machine::new(engine, recorder, board)).unwrap();
    (recorded.summary, world)
}

pub(crate) fn replaying(
    guest: &Guest,
    log: &Path,
    native_code: NativeCode,
    options: ReplayOptions,
) -> (Replayed, Vec<u8>) {
    let (engine, board, ram) = guest.boot(native_code);
    let console = Console::default();
    let log = LogReader::open(log).unwrap();
    let replayer = Replayer::new(log, Box::new(Printed(Rc::clone(&console))), ram, options);
    let replayed =
        replay(&mut Machine::new(engine, replayer, board)).unwrap_or_else(|error| panic!("{error}"));
    (replayed, console.take())
}

pub(crate) fn options() -> ReplayOptions {
    ReplayOptions {
        check: CheckLevel::Memory,
        until: None,
        until_damage: false,
        end_digest: true,
        stop: Default::default(),
    }
}

/// A recording that ends where the run does that nobody records.
fn recorded_as_it_runs(guest: &Guest, end: &Sight, log: &Path, registers: bool) -> (Summary, ScriptedWorld) {
    let (summary, world) = recording(guest, log, registers, OFTEN);
    let digests = summary.digests.as_ref().unwrap();
    assert_eq!(digests.memory.as_deref(), Some(end.digest.memory.to_string().as_str()), "{guest:?}: memory");
    assert_eq!(digests.devices, end.digest.devices.to_string(), "{guest:?}: devices");
    assert_eq!(digests.registers, end.digest.registers.to_string(), "{guest:?}: registers");
    assert_eq!(summary.instructions, Some(end.instructions), "{guest:?}");
    assert_eq!(world.digest(), end.world, "{guest:?}: the world");
    (summary, world)
}

fn is_the_same_recorded_and_replayed(guest: &Guest, end: &Sight) {
    let folder = tempfile::tempdir().unwrap();
    for (name, registers) in [("plain", false), ("with registers", true)] {
        let log = folder.path().join(name);
        let (recorded, world) = recorded_as_it_runs(guest, end, &log, registers);
        for native_code in [NativeCode::WhenHot, NativeCode::Never] {
            let (replayed, console) = replaying(guest, &log, native_code, options());
            assert!(matches!(replayed.end, ReplayEnd::Complete(_)), "{guest:?}: {:?}", replayed.end);
            assert_eq!(console, world.console, "{guest:?}");
            assert!(replayed.summary.digests_compared > 0, "{guest:?}");
            let expected =
                Summary { digests_compared: replayed.summary.digests_compared, ..recorded.clone() };
            assert_eq!(replayed.summary, expected, "{guest:?}");
        }
    }
}

fn ends_by_itself(guest: &Guest) {
    is_the_same_recorded_and_replayed(guest, &guest.power_on().run_to_end());
}

/// Stops the replay at places between the first instruction and the last.
fn reaches_every_goal(guest: &Guest, log: &Path) {
    let mut sights = Vec::new();
    let mut alone = guest.power_on();
    let end = guest.power_on().run_to_end();
    for place in Random::new().places(20, end.instructions - 1) {
        alone.run_until(place);
        sights.push((alone.landmark(), alone.look()));
    }
    recording(guest, log, false, OFTEN);
    for (goal, sight) in sights {
        let until = ReplayOptions { until: Some(goal), ..options() };
        let (replayed, _) = replaying(guest, log, NativeCode::default(), until);
        assert!(matches!(replayed.end, ReplayEnd::Goal), "{goal}: {:?}", replayed.end);
        let digests = replayed.summary.digests.unwrap();
        assert_eq!(digests.memory, Some(sight.digest.memory.to_string()), "{goal}");
        assert_eq!(digests.registers, sight.digest.registers.to_string(), "{goal}");
        assert_eq!(digests.devices, sight.digest.devices.to_string(), "{goal}");
        assert_eq!(replayed.summary.landmark, Some(goal.to_string()));
    }
}

#[test]
fn a_replay_stops_at_any_landmark_as_the_run_itself_does() {
    let folder = tempfile::tempdir().unwrap();
    for (name, words) in [("exits", ""), ("kv", "")] {
        reaches_every_goal(&Guest::new(name, words), &folder.path().join(name));
    }
}

mod recordings_and_replays_are_the_run_itself {
    use std::time::Duration;

    use super::{EndReason, Guest, NativeCode, ReplayEnd, options, recording, replaying};

    every_guest!(super::ends_by_itself);

    /// Linux does not end by itself: somebody stops it in the middle of its boot.
    #[test]
    fn linux() {
        let guest = Guest::linux().stopped_after(3_000_000_000);
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let (recorded, world) = recording(&guest, &log, false, Duration::from_millis(500));
        let (replayed, console) = replaying(&guest, &log, NativeCode::default(), options());
        assert!(matches!(replayed.end, ReplayEnd::Complete(EndReason::Requested)), "{:?}", replayed.end);
        assert!(String::from_utf8_lossy(&console).contains("Linux version"));
        assert_eq!(console, world.console);
        assert_eq!(replayed.summary.digests, recorded.digests);
        assert_eq!(replayed.summary.landmark, recorded.landmark);
    }
}
