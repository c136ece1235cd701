//! The host's own x87, to compare with, in tests only.
//!
//! A [`Native`] executes one instruction between FRSTOR and FNSAVE, which does not wait, so that exceptions may
//! be unmasked. The instruction's memory operand is at RSI.

use vm_memory::mmap::{MmapRegion, MmapRegionBuilder};

use crate::cpu::number;
use crate::op::Step;
use crate::testing::{DATA, Trial};
use crate::x87::number::Extended;

/// Everything that an instruction reads and writes.
#[repr(C)]
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Machine {
    /// What FNSAVE writes.
    pub(super) image: [u8; 108],
    padding: u32,
    pub(super) flags: u64,
    pub(super) rax: u64,
    pub(super) memory: [u8; 128],
}

impl Machine {
    pub(super) fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.image[at], self.image[at + 1]])
    }

    pub(super) fn set_word(&mut self, at: usize, word: u16) {
        self.image[at..at + 2].copy_from_slice(&word.to_le_bytes());
    }

    pub(super) fn control(&self) -> u16 {
        self.word(0)
    }

    pub(super) fn status(&self) -> u16 {
        self.word(4)
    }

    pub(super) fn st(&self, register: usize) -> Extended {
        let at = 28 + 10 * register;
        let significand =
            self.image[at..at + 8].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
        Extended { sign_exponent: self.word(at + 8), significand }
    }

    pub(super) fn set_st(&mut self, register: usize, value: Extended) {
        let at = 28 + 10 * register;
        self.image[at..at + 8].copy_from_slice(&value.significand.to_le_bytes());
        self.set_word(at + 8, value.sign_exponent);
    }

    /// Without what hosts do not agree on: the pointers.
    pub(super) fn without_pointers(mut self) -> Self {
        self.image[12..28].fill(0);
        self
    }
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "FCW {:04x} FSW {:04x} FTW {:04x}", self.control(), self.status(), self.word(8))?;
        for register in 0..8 {
            let value = self.st(register);
            write!(formatter, " {:04x}_{:016x}", value.sign_exponent, value.significand)?;
        }
        write!(formatter, " flags {:x} ax {:x} memory {:02x?}", self.flags, self.rax, &self.memory[..12])
    }
}

/// One instruction, as the host executes it.
pub(super) struct Native {
    code: MmapRegion,
}

impl Native {
    pub(super) fn new(instruction: &[u8]) -> Self {
        const READ_WRITE_EXECUTE: i32 = 7;
        const PRIVATE_ANONYMOUS: i32 = 0x22;
        let code = MmapRegionBuilder::<()>::new(4096)
            .with_mmap_prot(READ_WRITE_EXECUTE)
            .with_mmap_flags(PRIVATE_ANONYMOUS)
            .build()
            .expect("a page for code");
        let before: &[u8] = &[
            0x48, 0x8d, 0xb7, 0x80, 0, 0, 0, // lea rsi, [rdi + 0x80]
            0xff, 0x77, 0x70, 0x9d, // push [rdi + 0x70]; popfq
            0x48, 0x8b, 0x47, 0x78, // mov rax, [rdi + 0x78]
            0xdd, 0x27, // frstor [rdi]
        ];
        let after: &[u8] = &[
            0xdd, 0x37, // fnsave [rdi]
            0x48, 0x89, 0x47, 0x78, // mov [rdi + 0x78], rax
            0x9c, 0x8f, 0x47, 0x70, // pushfq; pop [rdi + 0x70]
            0xc3, // ret
        ];
        let bytes = [before, instruction, after].concat();
        // SAFETY: the page is ours, and larger than this.
        unsafe { code.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Self { code }
    }

    pub(super) fn execute(&self, machine: &mut Machine) {
        // SAFETY: the page holds a function that follows the calling convention, and leaves the x87 as FNSAVE
        // does, which is as it has to be between functions.
        unsafe {
            let function: extern "sysv64" fn(*mut Machine) = std::mem::transmute(self.code.as_ptr());
            function(machine);
        }
    }
}

/// One instruction, as this crate executes it.
pub(super) fn execute(trial: &mut Trial, instruction: &[u8], machine: &mut Machine) {
    trial.write(DATA, &machine.image);
    trial.write(DATA + 128, &machine.memory);
    *trial.cpu.register_mut(number::RDI) = DATA;
    *trial.cpu.register_mut(number::RSI) = DATA + 128;
    *trial.cpu.register_mut(number::RAX) = machine.rax;
    trial.cpu.flags.set_bits(machine.flags);
    for bytes in [&[0xdd, 0x27], instruction, &[0xdd, 0x37]] {
        assert_eq!(trial.execute(bytes), Ok(Step::Next), "{bytes:02x?}");
    }
    machine.image = trial.read(DATA);
    machine.memory = trial.read(DATA + 128);
    machine.rax = trial.cpu.register(number::RAX);
    machine.flags = trial.cpu.flags.bits();
}

/// Numbers that are the same in every run, and look random.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A significand: often with few ones, or few zeros.
    fn significand(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => 1 << self.below(64),
            2 => u64::MAX << self.below(64),
            3 => self.next() << self.below(64),
            4 => self.next() & self.next() & self.next() & self.next(),
            5 => (1 << 63 | self.next() << self.below(64)).wrapping_add(self.below(3)).wrapping_sub(1),
            _ => self.next(),
        }
    }

    /// The contents of a register: mostly numbers of moderate size.
    pub(super) fn extended(&mut self) -> Extended {
        let exponent = match self.below(16) {
            0 => 0,
            1 => 0x7fff,
            2 => self.next() as u16 & 0x7fff,
            3 => self.below(70) as u16,
            4 => 0x7ffe - self.below(70) as u16,
            5 => {
                self.one_of(&[0x3f80, 0x3f81, 0x3c00, 0x3c01, 0x407e, 0x407f, 0x43fe, 0x43ff, 0x3f6a, 0x3bcd])
            }
            6 => 0x3fff - 70 + self.below(140) as u16,
            7 => 0x3fff + 55 + self.below(12) as u16,
            _ => 0x3fff - 3 + self.below(7) as u16,
        };
        let has_integer_bit = exponent != 0 && self.below(32) != 0 || exponent == 0 && self.below(4) == 0;
        let significand = self.significand() & !(1 << 63) | u64::from(has_integer_bit) << 63;
        Extended { sign_exponent: exponent | (self.next() as u16 & 0x8000), significand }
    }

    /// Bytes of a memory operand, whatever its format is.
    fn operand(&mut self) -> [u8; 16] {
        let fraction = self.significand();
        let value: u128 = match self.below(5) {
            0 => self.extended().bits(),
            1 => {
                let exponent = self.one_of(&[0, 1, 2, 0xff, 0xfe, 0x7f, 0x80, 0x7e, 0x96]);
                u128::from((self.next() & 1) << 31 | exponent << 23 | fraction >> 41)
            }
            2 => {
                let exponent = self.one_of(&[0, 1, 2, 0x7ff, 0x7fe, 0x3ff, 0x400, 0x3fe, 0x433]);
                u128::from((self.next() & 1) << 63 | exponent << 52 | fraction >> 12)
            }
            3 => u128::from((fraction as i64 >> self.below(64)) as u64),
            _ => u128::from(self.next()) << 64 | u128::from(self.next()),
        };
        value.to_le_bytes()
    }

    /// A state to execute an instruction in, with nothing pending.
    pub(super) fn machine(&mut self, masked: bool) -> Machine {
        let mut memory = [0xa5; 128];
        memory[..16].copy_from_slice(&self.operand());
        let mut machine = Machine {
            image: [0; 108],
            padding: 0,
            flags: 0x202 | self.next() & 0x8d5,
            rax: self.next(),
            memory,
        };
        let masks = if masked { 0x3f } else { self.next() as u16 & 0x3f };
        let mode = self.one_of(&[0x300, 0x300, 0x200, 0, 0x100]) | (self.below(4) as u16) << 10;
        machine.set_word(0, 0x40 | mode | masks);
        // What is flagged must not be unmasked.
        machine.set_word(4, self.next() as u16 & (0x7f40 | masks));
        machine.set_word(8, self.tags());
        for register in 0..8 {
            machine.set_st(register, self.extended());
        }
        if self.below(8) == 0 {
            let copy = machine.st(0);
            machine.set_st(1, copy);
        }
        machine
    }

    /// A tag word: all valid, all but the last, or anything.
    fn tags(&mut self) -> u16 {
        match self.below(4) {
            0 => self.next() as u16,
            1 => 0xffff,
            2 => 0,
            _ => 3 << (2 * self.below(8)),
        }
    }
}
