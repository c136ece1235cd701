//! Bare guests on machines in this process.

use std::path::Path;

use outlive_engine::{Engine, GuestRam, InstructionCount, TimeReads};
use outlive_machine::board::Board;
use outlive_machine::boot::{self, BootSource};
use outlive_machine::digest::{Digest, MachineDigest};
use outlive_machine::machine::{Machine, Stop};
use outlive_machine::memory::{RamSize, create_ram};
use outlive_machine::virtio::{Block, Net, kernel_argument};
use outlive_machine::world::{DiskIndex, NetworkIndex, Place, Target};
use outlive_replay::Goal;
use outlive_soft::{NativeCode, SoftEngine};
use serde::{Deserialize, Serialize};

use crate::world::{Event, ScriptedWorld};

/// Makes a test of a check for each guest that ends by itself.
macro_rules! every_guest {
    ($check:path) => {
        every_guest! {
            $check,
            hello "one two=3", ticks "", time "seconds=0", compute "", exits "", strings "", smc "",
            faults "step=1 shadow=1", disk "", hostile "case=all", kv "",
        }
    };
    ($check:path, $($name:ident $words:literal,)*) => {
        $(
            #[test]
            fn $name() {
                $check(&$crate::guest::Guest::new(stringify!($name), $words));
            }
        )*
    };
}

const SECTORS: u64 = 128;

/// A guest: its images, in the folder of guests, its command line, and its memory.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Guest {
    kernel: String,
    initramfs: Option<String>,
    command_line: String,
    mebibytes: u64,
    stops_after: Option<u64>,
}

/// Everything that can be seen of a machine, on the spot.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Sight {
    pub(crate) instructions: u64,
    exits: u64,
    pub(crate) digest: MachineDigest,
    pub(crate) console: String,
    /// The digest of the whole world.
    pub(crate) world: Digest,
}

/// A machine on the engine in software.
pub(crate) struct Computer(pub(crate) Machine<SoftEngine, ScriptedWorld>);

impl Guest {
    /// A bare guest.
    pub(crate) fn new(name: &str, command_line: &str) -> Self {
        let kernel = format!("bare/{name}.elf");
        Self {
            kernel,
            initramfs: None,
            command_line: command_line.to_owned(),
            mebibytes: 16,
            stops_after: None,
        }
    }

    /// Linux, with what is in its initial RAM file system.
    pub(crate) fn linux() -> Self {
        let words =
            "console=ttyS0 reboot=k panic=-1 acpi=off norandmaps pmtmr=0x608 lpj=1500000 8250.nr_uarts=1";
        let devices = (0..2).filter_map(kernel_argument).collect::<Vec<_>>().join(" ");
        Self {
            kernel: "linux/vmlinux".to_owned(),
            initramfs: Some("linux/initramfs.cpio.gz".to_owned()),
            command_line: format!("{words} {devices}"),
            mebibytes: 256,
            stops_after: None,
        }
    }

    fn ram_size(&self) -> RamSize {
        RamSize::from_bytes(self.mebibytes << 20).unwrap()
    }

    /// The parts of a machine at power-on, but for what is in its memory.
    pub(crate) fn parts(&self, native_code: NativeCode) -> (SoftEngine, Board, GuestRam) {
        let ram = create_ram(self.ram_size()).unwrap();
        let disk = Block::new(DiskIndex(0), SECTORS, false, "disk");
        let network = Net::new(NetworkIndex(0), [2, 0, 0, 0, 0, 1]);
        let board = Board::new(ram.clone(), 1_700_000_000, vec![disk.into(), network.into()]);
        (SoftEngine::with_native_code(&ram, native_code), board, ram)
    }

    /// A machine at power-on, in a world in which now and then somebody types, and in which a stranger asks the
    /// guest's network interface, until he tells it to stop.
    pub(crate) fn power_on(&self) -> Computer {
        self.power_on_with(NativeCode::default())
    }

    /// The same, with a choice of what is executed by machine code of the host.
    pub(crate) fn power_on_with(&self, native_code: NativeCode) -> Computer {
        let (engine, board, _) = self.boot(native_code);
        Computer(Machine::new(engine, self.world(), board))
    }

    /// The parts of a machine at power-on, with everything in its memory.
    pub(crate) fn boot(&self, native_code: NativeCode) -> (SoftEngine, Board, GuestRam) {
        let (mut engine, board, ram) = self.parts(native_code);
        let source = BootSource {
            kernel: image(&self.kernel),
            initramfs: self.initramfs.as_deref().map(image),
            command_line: self.command_line.clone(),
            random_seed: [7; 32],
            devices: 2,
        };
        let rewrite = engine.capabilities().time_reads == TimeReads::MustBeRewritten;
        let state = boot::load(&source, &ram, self.ram_size(), rewrite).unwrap();
        engine.set_state(&state).unwrap();
        (engine, board, ram)
    }

    /// The world around it.
    pub(crate) fn world(&self) -> ScriptedWorld {
        let disk = (0..SECTORS).flat_map(|sector| [sector as u8; 512]).collect();
        let mut script = script();
        script.extend(self.stops_after.map(|time| (time, Event::Stop)));
        script.sort_by_key(|(time, _)| *time);
        ScriptedWorld::new(disk, script)
    }

    /// The same guest, in a world that stops it at this time, in nanoseconds.
    pub(crate) fn stopped_after(mut self, time: u64) -> Self {
        self.stops_after = Some(time);
        self
    }
}

/// What `scripts/build-guests` has made.
fn image(name: &str) -> Vec<u8> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let path = checkout.join("target/guests").join(name);
    std::fs::read(&path).unwrap_or_else(|_| panic!("{} is missing: run scripts/build-guests", path.display()))
}

fn script() -> Vec<(u64, Event)> {
    let mut script: Vec<_> =
        (1..20).map(|n| (n * 777_777, Event::Typed(format!("line {n}\n").into()))).collect();
    let requests = ["SET a 1", "#7 GET a", "TIME", "DEL a", "COUNT", "STOP"];
    let asked = requests.iter().enumerate();
    script.extend(asked.map(|(n, text)| (5_000_000 + n as u64 * 300_003, Event::Frame(request(text)))));
    script.sort_by_key(|(time, _)| *time);
    script
}

/// A UDP datagram to the guest `kv`, at the address that it takes if nobody tells it another.
fn request(text: &str) -> Vec<u8> {
    let udp_bytes = (8 + text.len()) as u16;
    let mut ip = vec![0x45, 0];
    ip.extend((20 + udp_bytes).to_be_bytes());
    // No fragments, time to live 64, UDP; from 10.0.2.2 to 10.0.2.15.
    ip.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 2, 2, 10, 0, 2, 15]);
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0];
    frame.extend(ip);
    frame.extend([5000u16, 7379, udp_bytes, 0].into_iter().flat_map(u16::to_be_bytes));
    frame.extend(text.as_bytes());
    frame
}

impl Computer {
    /// What can be seen now.
    pub(crate) fn look(&mut self) -> Sight {
        Sight {
            instructions: self.0.instructions().0,
            exits: self.0.exits().0,
            digest: self.0.digest().unwrap(),
            console: self.console(),
            world: self.0.world().digest(),
        }
    }

    /// Where it stands, as a replay is told to go there.
    pub(crate) fn landmark(&mut self) -> Goal {
        let landmark = self.0.place().landmark().unwrap();
        Goal { exit: landmark.exit, since_exit: landmark.since_exit.0 }
    }

    /// Runs it until it has executed so many instructions since power-on, which may be its end.
    pub(crate) fn run_until(&mut self, instructions: u64) {
        let stop = self.0.run_until(Target::Instructions(InstructionCount(instructions))).unwrap();
        let console = self.console();
        assert!(
            matches!(stop, Stop::Reached | Stop::DebugExit(0)),
            "{stop:?} before {instructions}: {console}"
        );
        assert_eq!(self.0.instructions().0, instructions);
    }

    /// Runs it to its end, which must be a good one.
    pub(crate) fn run_to_end(&mut self) -> Sight {
        let stop = self.0.run().unwrap();
        assert!(matches!(stop, Stop::DebugExit(0)), "{stop:?}: {}", self.console());
        self.look()
    }

    fn console(&self) -> String {
        String::from_utf8_lossy(&self.0.world().console).into_owned()
    }
}
