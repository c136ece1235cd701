//! The memory that the code finds: tables of pages, gates and segments, handlers, stacks, data.
//!
//! All of it works before the input changes it, so that an exception leads to a handler, the handler goes on
//! behind the byte that faulted, and every descriptor of every ring can be loaded.

use outlive_engine::GuestRam;
use vm_memory::{Bytes, GuestAddress};

use super::input::Input;

/// Four tables, from the top one on.
pub(crate) const TABLES: u64 = 0x1000;
pub(crate) const IDT: u64 = 0x5000;
pub(crate) const GDT: u64 = 0x6000;
pub(crate) const TASK: u64 = 0x7000;
/// 16 bytes for each vector.
const HANDLERS: u64 = 0x8000;
pub(crate) const CODE: u64 = 0x1_0000;
/// The end of the stack that the code begins with. Those of the rings and of the interrupts lie above.
pub(crate) const STACK: u64 = 0x1_8000;
pub(crate) const DATA: u64 = 0x2_0000;
/// Mapped, but without memory.
pub(crate) const HOLE: u64 = 0x3_0000;
/// Where memory goes on.
const UPPER: u64 = 0x3_8000;
const END: u64 = 0x4_0000;

/// The bytes of the TSS with a bitmap for the first 256 ports.
pub(crate) const TASK_BYTES: u32 = 104 + 33;
/// The most bytes of code.
const CODE_BYTES: usize = 0x3000;

/// The first three descriptors of each ring: 64-bit code, data, 32-bit code.
pub(crate) fn selector(ring: u8, which: u8) -> u16 {
    (u16::from(ring) * 3 + u16::from(which) + 1) << 3 | u16::from(ring)
}

/// Of the TSS, of an LDT, of call gates, and of conforming code.
pub(crate) const TASK_SELECTOR: u16 = 13 << 3;
pub(crate) const LDT_SELECTOR: u16 = 15 << 3;
const CALL_GATE: u64 = 17;
const CONFORMING: u64 = 19;

/// The bytes of all memory, addressed physically. Those of the hole are there, and unused.
#[derive(Clone)]
pub(crate) struct Stage {
    bytes: Vec<u8>,
}

impl Stage {
    pub(crate) fn new(input: &mut Input) -> Self {
        let mut stage = Self { bytes: vec![0; END as usize] };
        stage.set_pages();
        stage.set_segments();
        stage.set_task();
        (0..=255).for_each(|vector| stage.set_handler(vector));
        for (at, byte) in stage.bytes[DATA as usize..HOLE as usize].iter_mut().enumerate() {
            *byte = (at * 37) as u8;
        }
        // Where the input has no code, HLT: it ends a run, and is decoded quickly.
        stage.bytes[CODE as usize..CODE as usize + CODE_BYTES].fill(0xf4);
        for _ in 0..input.byte() % 16 {
            stage.change(input);
        }
        stage
    }

    /// Guest memory with these contents, as if they had been there for ever.
    pub(crate) fn ram(&self) -> GuestRam {
        let regions = [(0, HOLE), (UPPER, END)];
        let ranges = regions.map(|(first, end)| (GuestAddress(first), (end - first) as usize));
        let ram = GuestRam::from_ranges(&ranges).expect("a little memory");
        for (first, end) in regions {
            let bytes = &self.bytes[first as usize..end as usize];
            ram.write_slice(bytes, GuestAddress(first)).expect("within the memory");
        }
        ram
    }

    /// What is in the memory now.
    pub(crate) fn contents(ram: &GuestRam) -> Vec<u8> {
        let mut bytes = vec![0; END as usize];
        for (first, end) in [(0, HOLE), (UPPER, END)] {
            let bytes = &mut bytes[first as usize..end as usize];
            ram.read_slice(bytes, GuestAddress(first)).expect("within the memory");
        }
        bytes
    }

    /// Puts the code where RIP points to.
    pub(crate) fn set_code(&mut self, at: u64, code: &[u8]) {
        let at = (at % END) as usize;
        let code = &code[..code.len().min(CODE_BYTES).min(self.bytes.len() - at)];
        self.bytes[at..at + code.len()].copy_from_slice(code);
    }

    fn set<const BYTES: usize>(&mut self, at: u64, value: [u8; BYTES]) {
        // Aligned, so that the last one fits.
        let at = (at % END) as usize / BYTES * BYTES;
        self.bytes[at..at + BYTES].copy_from_slice(&value);
    }

    fn set_qword(&mut self, at: u64, value: u64) {
        self.set(at, value.to_le_bytes());
    }

    /// Every address below 2 MiB leads to itself, through pages of 4 KiB. Others lead there through pages of
    /// 2 MiB and of 1 GiB, and, global, in the upper half.
    fn set_pages(&mut self) {
        let [top, pointers, directory, pages] = [0, 1, 2, 3].map(|table| TABLES + 0x1000 * table);
        [0, 256, 511].into_iter().for_each(|entry| self.set_qword(top + 8 * entry, pointers | 7));
        [0, 511].into_iter().for_each(|entry| self.set_qword(pointers + 8 * entry, directory | 7));
        self.set_qword(pointers + 8, 0x87);
        [0, 511].into_iter().for_each(|entry| self.set_qword(directory + 8 * entry, pages | 7));
        self.set_qword(directory + 8, 0x187);
        for page in 0..512 {
            self.set_qword(pages + 8 * page, page << 12 | if page % 8 == 7 { 0x107 } else { 7 });
        }
    }

    fn set_segments(&mut self) {
        for ring in 0..4 {
            let level = u64::from(ring) << 45;
            let kinds = [0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00cf_9b00_0000_ffff];
            for (which, kind) in kinds.into_iter().enumerate() {
                self.set_qword(GDT + u64::from(selector(ring, which as u8) & !7), kind | level);
            }
        }
        let system = |base: u64, limit: u64, access: u64| base << 16 | access << 40 | limit;
        self.set_qword(GDT + u64::from(TASK_SELECTOR), system(TASK, u64::from(TASK_BYTES) - 1, 0x89));
        self.set_qword(GDT + u64::from(LDT_SELECTOR), system(GDT, 0x67, 0x82));
        // To the handler of vector 32, in ring 0.
        let gate = (HANDLERS + 32 * 16) & 0xffff | u64::from(selector(0, 0)) << 16 | 0xec << 40;
        self.set_qword(GDT + 8 * CALL_GATE, gate);
        self.set_qword(GDT + 8 * CONFORMING, 0x00af_9f00_0000_ffff);
    }

    /// Stacks for the rings and for interrupts, and a bitmap of ports that allows every other one.
    fn set_task(&mut self) {
        (0..3).for_each(|ring| self.set_unaligned(TASK + 4 + 8 * ring, STACK + 0x1000 * (ring + 1)));
        (0..7).for_each(|stack| self.set_unaligned(TASK + 36 + 8 * stack, STACK + 0x4000 + 0x400 * stack));
        self.set(TASK + 102, 104u16.to_le_bytes());
        (0..33).for_each(|byte| self.set(TASK + 104 + byte, [0xaa]));
    }

    fn set_unaligned(&mut self, at: u64, value: u64) {
        let at = at as usize;
        self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// A handler that returns behind the first byte of what faulted.
    fn set_handler(&mut self, vector: u8) {
        let at = HANDLERS + 16 * u64::from(vector);
        self.set_gate(vector, selector(0, 0), 0, 0xee, at);
        // add rsp, 8; inc qword [rsp]; iretq
        let code = [0x48, 0x83, 0xc4, 0x08, 0x48, 0xff, 0x04, 0x24, 0x48, 0xcf];
        let code = match vector {
            8 | 10..=14 | 17 => &code[..],
            0..32 => &code[4..],
            _ => &code[8..],
        };
        self.bytes[at as usize..at as usize + code.len()].copy_from_slice(code);
    }

    fn set_gate(&mut self, vector: u8, selector: u16, stack: u8, access: u8, offset: u64) {
        let at = IDT + 16 * u64::from(vector);
        let low = offset & 0xffff
            | u64::from(selector) << 16
            | u64::from(stack) << 32
            | u64::from(access) << 40
            | (offset >> 16 & 0xffff) << 48;
        self.set_qword(at, low);
        self.set_qword(at + 8, offset >> 32);
    }

    /// One change that the input wants.
    fn change(&mut self, input: &mut Input) {
        let last_table = TABLES + 0x3000;
        match input.byte() % 8 {
            0 => {
                let entry = last_table + 8 * u64::from(input.byte() % 64);
                self.set_qword(entry, input.qword());
            }
            // Turns bits of an entry over, or leads it to another page.
            1 => {
                let page = u64::from(input.byte() % 64);
                let target = u64::from(input.byte() % 64);
                let bits = u64::from(input.word());
                self.set_qword(
                    last_table + 8 * page,
                    (target << 12 | 7) ^ (bits & 0x1ff) ^ (bits >> 15) << 63,
                );
            }
            2 => {
                let at = TABLES + 0x1000 * u64::from(input.byte() % 3) + 8 * u64::from(input.word() % 512);
                self.set_qword(at, input.qword());
            }
            3 => {
                let (vector, stack, access) = (input.byte(), input.byte(), input.byte());
                let (selector, offset) = (input.word(), input.likely());
                self.set_gate(vector, selector, stack, access, offset);
            }
            4 => {
                let at = GDT + 8 * u64::from(input.byte() % 32);
                self.set_qword(at, input.qword());
            }
            5 => {
                let at = TASK + u64::from(input.byte() % TASK_BYTES as u8);
                self.set_unaligned(at, input.likely());
            }
            6 => {
                let at = u64::from(input.dword()) % END;
                self.set_qword(at, input.qword());
            }
            _ => {
                let at = DATA + 8 * u64::from(input.byte());
                self.set_qword(at, input.likely());
            }
        }
    }
}
