//! A trial with all that events need: descriptor tables, a task, handlers that halt.

use outlive_engine::{Answer, DescriptorTable, Exit, Segment, VcpuState};

use crate::cpu::number;
use crate::run::Runner;
use crate::testing::{CODE, Trial, state};

const GDT: u64 = 0x6000;
const LDT: u64 = 0x6800;
const IDT: u64 = 0x7000;
const TSS: u64 = 0x8000;
/// Handler of vector n: HLT at `HANDLERS + 16 * n`.
pub(crate) const HANDLERS: u64 = 0x9000;
/// The tops of the stacks in the TSS: RSP0 to RSP2, IST1 to IST7.
pub(crate) const RING_STACKS: [u64; 3] = [0x5_1000, 0x5_2000, 0x5_3000];
pub(crate) const INTERRUPT_STACK: u64 = 0x5_8000;
/// Where ring 3 has its stack.
pub(crate) const USER_STACK: u64 = 0x5_f000;

/// Selectors of the table.
pub(crate) mod selector {
    pub(crate) const CODE: u16 = 0x08;
    pub(crate) const DATA: u16 = 0x10;
    pub(crate) const COMPATIBILITY: u16 = 0x18;
    pub(crate) const USER_COMPATIBILITY: u16 = 0x20 | 3;
    pub(crate) const USER_DATA: u16 = 0x28 | 3;
    pub(crate) const USER_CODE: u16 = 0x30 | 3;
    pub(crate) const CONFORMING: u16 = 0x38;
    pub(crate) const ABSENT_DATA: u16 = 0x40;
    pub(crate) const READ_ONLY: u16 = 0x48;
    pub(crate) const TASK: u16 = 0x50;
    pub(crate) const FREE: u16 = 0x60;
    pub(crate) const EXECUTE_ONLY: u16 = 0x70;
    pub(crate) const ABSENT_CODE: u16 = 0x78;
    pub(crate) const LOCAL: u16 = 0x80;
    pub(crate) const RING_1_CODE: u16 = 0x90;
    pub(crate) const BEYOND: u16 = 0x100;
}

/// Descriptors without their accessed bits, in the order of the selectors.
const ENTRIES: [u64; 32] = {
    let mut entries = [0; 32];
    entries[1] = 0x00af_9a00_0000_ffff;
    entries[2] = 0x00cf_9200_0000_ffff;
    entries[3] = 0x00cf_9a00_0000_ffff;
    entries[4] = 0x00cf_fa00_0000_ffff;
    entries[5] = 0x00cf_f200_0000_ffff;
    entries[6] = 0x00af_fa00_0000_ffff;
    entries[7] = 0x00af_9e00_0000_ffff;
    entries[8] = 0x00cf_1200_0000_ffff;
    entries[9] = 0x00cf_9000_0000_ffff;
    // A TSS at 0x8000, limit 0x2067.
    entries[10] = 0x0000_8900_8000_2067;
    entries[14] = 0x00af_9800_0000_ffff;
    entries[15] = 0x00af_1a00_0000_ffff;
    // An LDT at 0x6800, limit 0x7f.
    entries[16] = 0x0000_8200_6800_007f;
    entries[18] = 0x00af_ba00_0000_ffff;
    entries
};

/// A processor with tables.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) trial: Trial,
    /// Answers for exits that ask, in order.
    pub(crate) answers: Vec<Answer>,
}

impl Stage {
    /// In ring 0, 64-bit mode.
    pub(crate) fn new() -> Self {
        Self::with(state())
    }

    /// In ring 3, 64-bit mode.
    pub(crate) fn user() -> Self {
        let mut state = state();
        state.general.rsp = USER_STACK;
        state.segments.cs = flat(selector::USER_CODE, 0xa0fb);
        for segment in [&mut state.segments.ss, &mut state.segments.ds, &mut state.segments.es] {
            *segment = flat(selector::USER_DATA, 0xc0f3);
        }
        Self::with(state)
    }

    /// In ring 0 or 3, compatibility mode.
    pub(crate) fn compatibility(ring: u8) -> Self {
        let mut stage = if ring == 3 { Self::user() } else { Self::new() };
        let (selector, attributes) = if ring == 3 {
            (selector::USER_COMPATIBILITY, 0xc0fb)
        } else {
            (selector::COMPATIBILITY, 0xc09b)
        };
        stage.trial.cpu.segments.cs = flat(selector, attributes);
        stage
    }

    /// With another state, whose tables are put in place here.
    pub(crate) fn with(mut state: VcpuState) -> Self {
        state.gdt = DescriptorTable { base: GDT, limit: 0xff };
        state.idt = DescriptorTable { base: IDT, limit: 0xfff };
        state.segments.tr =
            Segment { selector: selector::TASK, base: TSS, limit: 0x2067, attributes: 0x8b, unusable: false };
        state.segments.ldt.unusable = true;
        state.debug.status = 0xffff_0ff0;
        state.debug.control = 0x400;
        let mut stage = Self { trial: Trial::with(&state), answers: Vec::new() };
        for (index, entry) in ENTRIES.into_iter().enumerate() {
            stage.set_descriptor(8 * index as u16, entry);
        }
        for vector in 0..=255 {
            stage.set_gate(vector, GateImage::default());
            stage.trial.write(HANDLERS + 16 * u64::from(vector), &[0xf4]);
        }
        for (ring, stack) in RING_STACKS.into_iter().enumerate() {
            stage.set_task(4 + 8 * ring as u64, stack);
        }
        for number in 1..=7 {
            stage.set_task(28 + 8 * number, INTERRUPT_STACK + 0x100 * number);
        }
        stage
    }

    pub(crate) fn set_descriptor(&mut self, selector: u16, descriptor: u64) {
        let table = if selector & 4 != 0 { LDT } else { GDT };
        self.trial.write(table + u64::from(selector & !7), &descriptor.to_le_bytes());
    }

    pub(crate) fn descriptor(&self, selector: u16) -> u64 {
        let table = if selector & 4 != 0 { LDT } else { GDT };
        u64::from_le_bytes(self.trial.read(table + u64::from(selector & !7)))
    }

    pub(crate) fn set_gate(&mut self, vector: u8, gate: GateImage) {
        let handler = gate.handler.unwrap_or(HANDLERS + 16 * u64::from(vector));
        let low = handler & 0xffff
            | u64::from(gate.selector) << 16
            | u64::from(gate.stack) << 32
            | u64::from(gate.access) << 40
            | (handler >> 16 & 0xffff) << 48;
        self.trial.write(IDT + 16 * u64::from(vector), &low.to_le_bytes());
        self.trial.write(IDT + 16 * u64::from(vector) + 8, &(handler >> 32).to_le_bytes());
    }

    /// Writes eight bytes of the TSS.
    pub(crate) fn set_task(&mut self, offset: u64, value: u64) {
        self.trial.write(TSS + offset, &value.to_le_bytes());
    }

    /// Executes `code` until an exit that is not answered from [`Self::answers`].
    pub(crate) fn run(&mut self, code: &[u8]) -> Exit {
        self.trial.write(CODE, code);
        self.trial.cpu.rip = CODE;
        self.go(1000)
    }

    /// Goes on, for at most `limit` steps.
    pub(crate) fn go(&mut self, limit: u64) -> Exit {
        let empty = Trial::new();
        let mut runner =
            Runner::new(std::mem::replace(&mut self.trial.cpu, empty.cpu), crate::native::NativeCode::Always);
        let exit = loop {
            let exit = runner.run(limit);
            let asks = runner.cpu.memory.mmio.is_waiting();
            if !asks || self.answers.is_empty() {
                break exit;
            }
            runner.cpu.memory.mmio.answer(self.answers.remove(0));
        };
        self.trial.cpu = runner.cpu;
        exit
    }

    /// Executes `code` until the handler of an event halts, and returns its frame.
    pub(crate) fn event(&mut self, code: &[u8]) -> Frame {
        self.trial.write(CODE, code);
        self.trial.cpu.rip = CODE;
        self.handled()
    }

    /// Goes on until the handler of an event halts, and returns its frame.
    pub(crate) fn handled(&mut self) -> Frame {
        assert_eq!(self.go(1000), Exit::Halt, "RIP {:#x}", self.trial.cpu.rip);
        let cpu = &self.trial.cpu;
        let vector = (cpu.rip - 1 - HANDLERS) / 16;
        assert!(vector < 256, "it halts in a handler");
        let has_code = matches!(vector, 8 | 10..=14 | 17);
        let at = cpu.register(number::RSP);
        let words: [u64; 6] =
            std::array::from_fn(|word| u64::from_le_bytes(self.trial.read(at + 8 * word as u64)));
        let rest = if has_code { &words[1..] } else { &words[..5] };
        Frame {
            vector: vector as u8,
            code: has_code.then_some(words[0]),
            rip: rest[0],
            cs: rest[1],
            flags: rest[2],
            rsp: rest[3],
            ss: rest[4],
            end: at + 8 * (5 + u64::from(has_code)),
        }
    }
}

/// What a handler finds on its stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    pub(crate) vector: u8,
    pub(crate) code: Option<u64>,
    pub(crate) rip: u64,
    pub(crate) cs: u64,
    pub(crate) flags: u64,
    pub(crate) rsp: u64,
    pub(crate) ss: u64,
    /// The first address behind it.
    pub(crate) end: u64,
}

/// A gate to be put into the IDT.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateImage {
    pub(crate) selector: u16,
    pub(crate) stack: u8,
    /// Type, DPL and P.
    pub(crate) access: u8,
    pub(crate) handler: Option<u64>,
}

impl Default for GateImage {
    /// An interrupt gate of DPL 0 to the vector's handler.
    fn default() -> Self {
        Self { selector: selector::CODE, stack: 0, access: 0x8e, handler: None }
    }
}

/// A segment register with a flat segment.
pub(crate) fn flat(selector: u16, attributes: u16) -> Segment {
    Segment { selector, base: 0, limit: u32::MAX, attributes, unusable: false }
}
