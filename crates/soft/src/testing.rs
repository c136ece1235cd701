//! A processor with a little memory, to try single instructions on in unit tests.

mod vendor;

use outlive_engine::{GuestRam, Segment, VcpuState};
use vm_memory::{Bytes, GuestAddress};

use crate::cpu::Cpu;
use crate::decode;
use crate::fault::{Abort, Exception, Reason};
use crate::memory::circumstances::CodeSize;
use crate::op::Step;
use crate::{cpu, state};

pub(crate) use vendor::{UNDERFLOW, Vendor, is_smallest_normal};

/// Where the code is put.
pub(crate) const CODE: u64 = 0x1_0000;
/// 64 KiB that nobody else uses.
pub(crate) const DATA: u64 = 0x2_0000;
/// The top of an empty stack.
pub(crate) const STACK: u64 = 0x4_0000;
/// RAM from address 0 on. Addresses up to 2 MiB are mapped to themselves; those beyond this are outside.
pub(crate) const RAM: u64 = 0x8_0000;
const TABLES: u64 = 0x1000;

/// A processor in long mode, ring 0, all of the first 2 MiB mapped to itself and open to everybody by pages of
/// 4 KiB.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) ram: GuestRam,
    pub(crate) cpu: Cpu,
}

impl Trial {
    pub(crate) fn new() -> Self {
        Self::with(&state())
    }

    /// With another state, such as a change of [`state`].
    pub(crate) fn with(initial: &VcpuState) -> Self {
        let ram = GuestRam::from_ranges(&[(GuestAddress(0), RAM as usize)]).expect("a little memory");
        for (table, next) in [(TABLES, 2 * TABLES), (2 * TABLES, 3 * TABLES), (3 * TABLES, 4 * TABLES)] {
            ram.write_obj(next | 7, GuestAddress(table)).expect("a table");
        }
        for page in 0..512 {
            ram.write_obj(page << 12 | 7, GuestAddress(4 * TABLES + 8 * page)).expect("a table");
        }
        let mut cpu = Cpu::new(&ram);
        state::set(&mut cpu, initial).expect("a state of long mode");
        Self { ram, cpu }
    }

    /// Executes the one instruction in `bytes` (one iteration of it, if it is a REP string), and moves RIP as
    /// the run loop would.
    pub(crate) fn execute(&mut self, bytes: &[u8]) -> Result<Step, Reason> {
        self.execute_up_to(bytes, 1)
    }

    /// As [`execute`](Self::execute), but with up to `steps` iterations of a REP string.
    pub(crate) fn execute_up_to(&mut self, bytes: &[u8], steps: u64) -> Result<Step, Reason> {
        self.write(CODE, bytes);
        self.cpu.rip = CODE;
        self.cpu.stop_at = self.cpu.retired + steps;
        let size = if self.cpu.is_long() { CodeSize::Long } else { CodeSize::Compatibility };
        let entry = decode::Entry { rip: CODE, linear: CODE, physical: CODE, size };
        let block = decode::block(&mut self.cpu, entry).expect("the code is mapped");
        let op = &block.ops[0];
        assert_eq!(usize::from(op.end), bytes.len(), "one instruction: {bytes:02x?}");
        self.cpu.registers[usize::from(cpu::number::BLOCK)] = CODE;
        match (op.execute)(&mut self.cpu, op) {
            Ok(step) => {
                if matches!(step, Step::Next | Step::Leave) {
                    self.cpu.rip = self.cpu.rip_after(op);
                }
                Ok(step)
            }
            Err(Abort) => Err(self.cpu.memory.reason.take().expect("whoever aborts says why")),
        }
    }

    /// Executes the one instruction in `bytes`, which is `name` and completes.
    pub(crate) fn completes(&mut self, bytes: &[u8], name: &str) {
        let ended = self.execute(bytes);
        assert!(ended.is_ok(), "{name} ended with {ended:?}");
    }

    /// The exception that the one instruction in `bytes` raises.
    pub(crate) fn fault(&mut self, bytes: &[u8]) -> Exception {
        match self.execute(bytes) {
            Err(Reason::Exception(exception)) => exception,
            other => panic!("{bytes:02x?} was to raise an exception, and ended with {other:?}"),
        }
    }

    /// Writes to physical memory.
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        self.ram.write_slice(bytes, GuestAddress(at)).expect("within the memory");
    }

    /// Reads physical memory.
    pub(crate) fn read<const BYTES: usize>(&self, at: u64) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        self.ram.read_slice(&mut bytes, GuestAddress(at)).expect("within the memory");
        bytes
    }
}

/// A flat code segment of ring 0, 64 bits.
pub(crate) fn code_segment() -> Segment {
    Segment { selector: 0x8, base: 0, limit: u32::MAX, attributes: 0xa09b, unusable: false }
}

/// A flat data segment of ring 0.
pub(crate) fn data_segment() -> Segment {
    Segment { selector: 0x10, base: 0, limit: u32::MAX, attributes: 0xc093, unusable: false }
}

/// The state that [`Trial::new`] begins with: FPU and SSE usable, NX and SYSCALL on, WP on, no IDT or GDT.
pub(crate) fn state() -> VcpuState {
    let mut state = VcpuState { rip: CODE, rflags: 2, ..VcpuState::default() };
    state.general.rsp = STACK;
    state.segments.cs = code_segment();
    for segment in [&mut state.segments.ss, &mut state.segments.ds, &mut state.segments.es] {
        *segment = data_segment();
    }
    // PE, MP, NE, WP, PG.
    state.control.cr0 = 1 | 1 << 1 | 1 << 5 | 1 << 16 | 1 << 31;
    state.control.cr3 = TABLES;
    // PAE, OSFXSR, OSXMMEXCPT.
    state.control.cr4 = 1 << 5 | 1 << 9 | 1 << 10;
    // SCE, LME, LMA, NXE.
    state.control.efer = 1 | 1 << 8 | 1 << 10 | 1 << 11;
    state
}

#[test]
fn a_trial_executes_one_instruction() {
    let mut trial = Trial::new();
    assert_eq!(trial.execute(&[0x90]), Ok(Step::Next));
    assert_eq!(trial.cpu.rip, CODE + 1);
    assert_eq!(trial.fault(&[0x0f, 0x0b]), Exception::UNDEFINED);
}
