//! A guest's machine in this process, on either engine, and what can be seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};

use outlive_engine::{Engine, ExitNumber, GuestRam, InstructionCount, VcpuState};
use outlive_machine::board::Board;
use outlive_machine::boot::{self, BootSource};
use outlive_machine::digest::MachineDigest;
use outlive_machine::machine::{Machine, Stop};
use outlive_machine::memory::{PAGE_SIZE, RamSize, create_ram, visit_pages};
use outlive_machine::virtio::{Block, Net, kernel_argument};
use outlive_machine::world::{DiskIndex, NetworkIndex, Target};

use super::world::{Event, ExitClockWorld};
use crate::harness::image;

const SECTORS: u8 = 128;

/// A guest, and what comes to it.
pub(super) struct Plan {
    /// Images in the folder of guests.
    kernel: String,
    initramfs: Option<String>,
    command_line: String,
    mebibytes: u64,
    /// Frames that come in, each at its nanosecond of guest time.
    frames: Vec<(u64, Vec<u8>)>,
}

impl Plan {
    /// A bare guest. It has as little memory as will do, for all of it is looked at many times.
    pub(super) fn bare(guest: &str, command_line: &str) -> Self {
        Self {
            kernel: format!("bare/{guest}.elf"),
            initramfs: None,
            command_line: command_line.to_owned(),
            mebibytes: 4,
            frames: Vec::new(),
        }
    }

    /// The same with these frames.
    pub(super) fn with_frames(self, frames: Vec<(u64, Vec<u8>)>) -> Self {
        Self { frames, ..self }
    }

    /// Linux, which tells how far it has got.
    pub(super) fn linux() -> Self {
        let words = std::fs::read_to_string(image("linux/cmdline")).unwrap();
        let devices = (0..2).filter_map(kernel_argument);
        let words = words.split_whitespace().filter(|&word| word != "quiet").map(str::to_owned);
        let words: Vec<_> = words.chain(devices).collect();
        Self {
            kernel: "linux/vmlinux".to_owned(),
            initramfs: Some("linux/initramfs.cpio.gz".to_owned()),
            command_line: words.join(" "),
            mebibytes: 256,
            frames: Vec::new(),
        }
    }
}

/// A machine with a guest.
pub(super) struct Computer<E>(Machine<E, ExitClockWorld>);

/// A word of memory: its address, and its value in each of two machines.
pub(super) type DifferingWord = (u64, [u64; 2]);

/// Everything that can be seen of a machine.
pub(super) struct Sight {
    exit: ExitNumber,
    pub(super) registers: VcpuState,
    pub(super) digest: MachineDigest,
    /// The contents of each page that is not all zeros.
    pages: BTreeMap<u64, Vec<u8>>,
    pub(super) console: String,
    disk: Vec<u8>,
}

impl<E: Engine> Computer<E> {
    /// A machine at power-on.
    pub(super) fn power_on(engine: impl FnOnce(&GuestRam) -> E, plan: &Plan) -> Self {
        let size = RamSize::from_bytes(plan.mebibytes << 20).unwrap();
        let ram = create_ram(size).unwrap();
        let read = |name: &str| std::fs::read(image(name)).unwrap();
        let source = BootSource {
            kernel: read(&plan.kernel),
            initramfs: plan.initramfs.as_deref().map(read),
            command_line: plan.command_line.clone(),
            random_seed: [7; 32],
            devices: 2,
        };
        // Whether the engine could do without or not: the machines are to have the same memory.
        let state = boot::load(&source, &ram, size, true).unwrap();
        let mut engine = engine(&ram);
        engine.set_state(&state).unwrap();
        let disk = Block::new(DiskIndex(0), SECTORS.into(), false, "disk");
        let network = Net::new(NetworkIndex(0), [2, 0, 0, 0, 0, 1]);
        let board = Board::new(ram, 1_700_000_000, vec![disk.into(), network.into()]);
        let disk = (0..SECTORS).flat_map(|sector| [sector; 512]).collect();
        Self(Machine::new(engine, ExitClockWorld::new(disk, plan.frames.clone()), board))
    }

    /// Runs the guest to its end.
    pub(super) fn run(&mut self) -> Stop {
        self.0.run().unwrap()
    }

    /// Runs the guest until it has made an exit, which must not be its last one.
    pub(super) fn run_to(&mut self, exit: u64) {
        let target = Target::Landmark { exit: ExitNumber(exit), since_exit: InstructionCount(0) };
        let stop = self.0.run_until(target).unwrap();
        assert!(matches!(stop, Stop::Reached), "{stop:?} before exit {exit}: {}", self.console());
    }

    pub(super) fn console(&self) -> String {
        String::from_utf8_lossy(&self.0.world().console).into_owned()
    }

    pub(super) fn registers(&mut self) -> VcpuState {
        self.0.engine().state().unwrap()
    }

    pub(super) fn exits(&self) -> u64 {
        self.0.exits().0
    }

    /// What the guest and the world told each other besides the console, each with its exit.
    pub(super) fn events(&self) -> &[(ExitNumber, Event)] {
        &self.0.world().events
    }

    pub(super) fn look(&mut self) -> Sight {
        let digest = self.0.digest().unwrap();
        let mut pages = BTreeMap::new();
        visit_pages(self.0.board().ram(), |page, contents| {
            pages.insert(page, contents.to_vec());
        });
        let (console, disk) = (self.console(), self.0.world().disk.clone());
        Sight { exit: self.0.exits(), registers: self.registers(), digest, pages, console, disk }
    }
}

impl Sight {
    /// In what two machines differ besides their registers, in words; empty if in nothing. `words` are those words
    /// of memory that shall not differ, and do.
    pub(super) fn difference(&self, other: &Self, words: &[DifferingWord]) -> String {
        let mut text = String::new();
        if self.exit != other.exit {
            writeln!(text, "exits: {:?} | {:?}", self.exit, other.exit).unwrap();
        }
        for (address, [one, other]) in words {
            writeln!(text, "memory at {address:#x}: {one:#x} | {other:#x}").unwrap();
        }
        if self.digest.devices != other.digest.devices {
            text.push_str("the devices differ\n");
        }
        if self.console != other.console {
            writeln!(text, "console: {}\n| {}", self.console, other.console).unwrap();
        }
        if self.disk != other.disk {
            text.push_str("the disk differs\n");
        }
        text
    }

    /// The words of memory that differ.
    pub(super) fn differing_words(&self, other: &Self) -> Vec<DifferingWord> {
        let pages: BTreeSet<_> = self.pages.keys().chain(other.pages.keys()).copied().collect();
        let in_page = |page: u64| {
            let start = page * PAGE_SIZE as u64;
            let pairs = self.words(page).into_iter().zip(other.words(page));
            (start..).step_by(8).zip(pairs.map(|(one, other)| [one, other]))
        };
        pages.into_iter().flat_map(in_page).filter(|(_, [one, other])| one != other).collect()
    }

    fn words(&self, page: u64) -> Vec<u64> {
        let Some(bytes) = self.pages.get(&page) else { return vec![0; PAGE_SIZE / 8] };
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
    }
}

/// The lines in which two values' long forms differ.
pub(super) fn differing_lines(one: &impl Debug, other: &impl Debug) -> String {
    let (one, other) = (format!("{one:#x?}"), format!("{other:#x?}"));
    let differing = one.lines().zip(other.lines()).enumerate().filter(|(_, (one, other))| one != other);
    differing.map(|(number, (one, other))| format!("line {number}: {one} | {other}\n")).collect()
}
