//! Machines that go on in another process.
//!
//! A snapshot is the saved state of a machine and the contents of its memory; the world of these tests is
//! saved with it. The test runs its own program again, which restores the snapshot, goes on, and tells what it
//! saw.

use std::path::{Path, PathBuf};
use std::process::Command;

use outlive_machine::encoding::{decode, encode};
use outlive_machine::machine::{Machine, MachineState};
use outlive_machine::memory::{PAGE_SIZE, layout, visit_pages};
use serde::{Deserialize, Serialize};
use vm_memory::{Bytes, GuestAddress};

use outlive_soft::NativeCode;

use crate::guest::{Computer, Guest, Sight};
use crate::random::Random;
use crate::world::ScriptedWorld;

/// Names the file with the snapshot that a process is to go on from.
const SNAPSHOT: &str = "OUTLIVE_TEST_SNAPSHOT";
/// At how many places each guest moves to a new process.
const MOVES: usize = 4;
/// At how many places it is looked at afterwards.
const SIGHTS: usize = 50;

#[derive(Serialize, Deserialize)]
struct Snapshot {
    guest: Guest,
    machine: Vec<u8>,
    pages: Vec<(u64, Vec<u8>)>,
    world: ScriptedWorld,
    /// Where to look at the machine, by instructions since power-on.
    places: Vec<u64>,
}

impl Snapshot {
    fn of(guest: &Guest, computer: &mut Computer, places: &[u64]) -> Self {
        let machine = computer.0.save().unwrap().encode();
        let mut pages = Vec::new();
        visit_pages(computer.0.board().ram(), |page, contents| pages.push((page, contents.to_vec())));
        let (guest, world, places) = (guest.clone(), computer.0.world().clone(), places.to_vec());
        Self { guest, machine, pages, world, places }
    }

    fn restore(self) -> Computer {
        let (engine, board, ram) = self.guest.parts(NativeCode::default());
        for (page, contents) in self.pages {
            ram.write_slice(&contents, GuestAddress(page * PAGE_SIZE as u64)).unwrap();
        }
        let state = MachineState::decode(&self.machine).unwrap();
        Computer(Machine::restore(engine, self.world, board, state).unwrap())
    }
}

/// What is seen of a machine that goes on, at these places.
fn go_on(mut computer: Computer, places: &[u64]) -> Vec<Sight> {
    let look = |&place: &u64| {
        computer.run_until(place);
        computer.look()
    };
    places.iter().map(look).collect()
}

/// Where the process that goes on from a snapshot leaves what it saw.
fn answer_to(snapshot: &Path) -> PathBuf {
    snapshot.with_extension("answer")
}

/// This is what the new process does. Among the other tests, it has nothing to do.
#[test]
fn in_the_new_process() {
    let Some(path) = std::env::var_os(SNAPSHOT).map(PathBuf::from) else { return };
    let snapshot: Snapshot = decode(&std::fs::read(&path).unwrap()).unwrap();
    let places = snapshot.places.clone();
    let sights = go_on(snapshot.restore(), &places);
    std::fs::write(answer_to(&path), encode(&sights)).unwrap();
}

fn go_on_in_a_new_process(snapshot: &Snapshot) -> Vec<Sight> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    std::fs::write(&path, encode(snapshot)).unwrap();
    let this_program = std::env::current_exe().unwrap();
    let mut command = Command::new(this_program);
    command.args(["--exact", "snapshot::in_the_new_process"]).env(SNAPSHOT, &path);
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "the new process failed: {errors}");
    decode(&std::fs::read(answer_to(&path)).unwrap()).unwrap()
}

/// Takes the accessed bits out of the page tables that a bare guest starts with, as if the guest had done it
/// without invalidating its translations.
fn clear_accessed_bits(computer: &Computer) {
    let ram = computer.0.board().ram();
    for entry in (layout::PAGE_TABLES..layout::PAGE_TABLES + 6 * PAGE_SIZE as u64).step_by(8) {
        let value: u64 = ram.read_obj(GuestAddress(entry)).unwrap();
        ram.write_obj(value & !0x20, GuestAddress(entry)).unwrap();
    }
}

#[test]
fn the_machine_that_stays_forgets_its_translations_as_the_one_that_moves_does() {
    let guest = Guest::new("compute", "");
    let mut computer = guest.power_on();
    computer.run_until(10_000);
    clear_accessed_bits(&computer);
    let snapshot = Snapshot::of(&guest, &mut computer, &[10_100]);
    assert_eq!(go_on_in_a_new_process(&snapshot), go_on(computer, &[10_100]));
}

/// Moves a guest at `moves_at`, and looks at it on both sides at all these places, which come later. Returns
/// what is seen at the last one.
fn moves(guest: &Guest, moves_at: u64, places: &[u64]) -> Sight {
    let mut computer = guest.power_on();
    computer.run_until(moves_at);
    let snapshot = Snapshot::of(guest, &mut computer, places);
    let moved = go_on_in_a_new_process(&snapshot);
    let stayed = go_on(computer, places);
    for (moved, stayed) in moved.iter().zip(&stayed) {
        assert_eq!(moved, stayed, "{guest:?}: moved at {moves_at}");
    }
    assert_eq!(moved.len(), stayed.len());
    moved.into_iter().last().unwrap()
}

fn goes_on_alike_in_a_new_process(guest: &Guest) {
    let end = guest.power_on().run_to_end();
    let mut random = Random::new();
    for moves_at in random.places(MOVES, end.instructions - 1) {
        let later = random.places(SIGHTS, end.instructions - moves_at);
        let mut places: Vec<_> = later.into_iter().map(|place| moves_at + place).collect();
        places.push(end.instructions);
        let moved_end = moves(guest, moves_at, &places);
        // Saving may mark pages as accessed again that the guest has unmarked. Whatever these guests do follows
        // from their instructions alone.
        assert_eq!(
            (&moved_end.console, moved_end.instructions),
            (&end.console, end.instructions),
            "{guest:?}"
        );
    }
}

mod a_snapshot_goes_on_alike_in_a_new_process {
    every_guest!(super::goes_on_alike_in_a_new_process);

    /// In the middle of its boot, with user space, paging and devices at work.
    #[test]
    fn linux() {
        let guest = crate::guest::Guest::linux();
        let mut random = crate::random::Random::new();
        let moves_at = 100_000_000 + random.places(1, 100_000_000)[0];
        let later = random.places(10, 200_000_000);
        let places: Vec<_> = later.into_iter().map(|place| moves_at + place).collect();
        let end = super::moves(&guest, moves_at, &places);
        assert!(end.console.contains("Linux version"), "{}", end.console);
    }
}
