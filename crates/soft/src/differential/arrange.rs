//! Registers and memory for a given instruction, so that it does something worth comparing.
//!
//! Random registers alone would make nearly every memory operand fault and nearly every division overflow. So
//! an instruction's address is led to a chosen target (mostly good ones, some bad ones of each kind), and
//! instructions with demands of their own get what they want most of the time.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::layout::{self, CODE, CONSTANT, DATA, HIGH, IMAGE, IMAGE_BYTES, STACK};
use super::random::Random;
use super::state::{Floating, Image, Mode, State};
use crate::cpu::number::{RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP};
use crate::flags::bit;

/// Random registers.
pub(super) fn registers(random: &mut Random, mode: Mode) -> State {
    let arithmetic = random.next() & bit::ARITHMETIC;
    let rare = [(bit::DF, 3), (bit::AC, 32), (bit::NT, 16), (bit::ID, 16)];
    let flags = rare
        .iter()
        .fold(arithmetic, |flags, &(bit, times)| flags | if random.once_in(times) { bit } else { 0 });
    let mut general = std::array::from_fn(|_| random.integer());
    if mode == Mode::Compatibility {
        general.iter_mut().for_each(|register| *register &= 0xffff_ffff);
        general[8..].fill(0);
    }
    State { general, rip: 0, flags, floating: floating(random, mode) }
}

fn floating(random: &mut Random, mode: Mode) -> Floating {
    let mut xmm = std::array::from_fn(|_| random.vector());
    if mode == Mode::Compatibility {
        xmm[8..].fill(0);
    }
    let (control, status) = x87_words(random);
    Floating {
        control,
        status,
        tags: match random.below(4) {
            0 => random.next() as u8,
            1 => 0xff ^ 1 << random.below(8),
            _ => 0xff,
        },
        reserved: 0,
        opcode: 0,
        instruction: 0,
        operand: 0,
        mxcsr: mxcsr(random),
        mxcsr_mask: 0,
        stack: std::array::from_fn(|_| random.extended()),
        xmm,
    }
}

/// MXCSR: any rounding, sometimes flags, sometimes exceptions that are not masked.
fn mxcsr(random: &mut Random) -> u32 {
    let masks = if random.once_in(4) { random.next() as u32 & 0x1f80 } else { 0x1f80 };
    let flags = if random.once_in(2) { random.next() as u32 & 0x3f } else { 0 };
    let rounding = random.next() as u32 & 0x6000;
    let zeros = if random.once_in(3) { random.next() as u32 & 0x8040 } else { 0 };
    masks | flags | rounding | zeros
}

/// FCW and FSW, which agree about whether an exception is pending.
fn x87_words(random: &mut Random) -> (u16, u16) {
    let masks = if random.once_in(4) { random.next() as u16 & 0x3f } else { 0x3f };
    let precision = if random.once_in(2) { 0x300 } else { random.next() as u16 & 0x300 };
    let rounding = if random.once_in(2) { 0 } else { random.next() as u16 & 0xc00 };
    let control = masks | precision | rounding | 0x40;
    let flags = if random.once_in(2) { random.next() as u16 & 0x7f } else { 0 };
    // Most pending exceptions are taken back, for they keep every instruction from doing anything.
    let pending = flags & !masks & 0x3f;
    let flags = if pending != 0 && !random.once_in(4) { flags & !pending } else { flags };
    let summary = if flags & !masks & 0x3f != 0 { 0x8080 } else { 0 };
    (control, flags | summary | random.next() as u16 & 0x7f00)
}

/// Changes registers and memory to suit an instruction.
pub(super) fn suit(
    random: &mut Random,
    mode: Mode,
    instruction: &Instruction,
    state: &mut State,
    image: &mut Image,
) {
    let mut arrangement = Arrangement { random, mode, state, image };
    arrangement.values(instruction);
    arrangement.stack(instruction);
    arrangement.strings(instruction);
    arrangement.operand(instruction);
    arrangement.contents(instruction);
}

struct Arrangement<'case> {
    random: &'case mut Random,
    mode: Mode,
    state: &'case mut State,
    image: &'case mut Image,
}

impl Arrangement<'_> {
    fn set(&mut self, register: u8, value: u64) {
        self.state.general[usize::from(register)] = match self.mode {
            Mode::Long => value,
            Mode::Compatibility => value & 0xffff_ffff,
        };
    }

    fn get(&self, register: u8) -> u64 {
        self.state.general[usize::from(register)]
    }

    /// An address for an operand of `size` bytes.
    fn target(&mut self, size: u64) -> u64 {
        let random = &mut *self.random;
        let size = size.max(1);
        let alignment = size.next_power_of_two().min(64);
        let within = |random: &mut Random, region: layout::Region| {
            region.address + random.below(region.bytes() - size + 1)
        };
        match random.below(100) {
            0..=49 => within(random, DATA) & !(alignment - 1),
            50..=66 => within(random, DATA),
            67..=72 => DATA.address + 0x1000 - random.below(size + 1),
            73..=75 => DATA.end() - random.below(size + 1),
            76 => DATA.address.wrapping_sub(random.below(size + 1)),
            77..=79 => within(random, CONSTANT) & !(alignment - 1),
            80 => CONSTANT.end() - random.below(size + 1),
            81..=84 => within(random, HIGH) & !(alignment - 1),
            85..=86 => HIGH.end() - random.below(size + 1),
            87..=89 => within(random, STACK),
            90 => within(random, CODE),
            91 => CODE.end() - random.below(size + 1),
            92 => 0x0000_8000_0000_0000 - random.below(2 * size + 1),
            93 => 0xffff_8000_0000_0000 - random.below(2 * size + 1),
            94 => 0u64.wrapping_sub(random.below(2 * size + 1)),
            95 => random.below(0x1000),
            96 => 1 << 63 | random.next(),
            _ => within(random, DATA) & !(alignment - 1),
        }
    }

    /// RSP, and RBP where it is used like RSP.
    fn stack(&mut self, instruction: &Instruction) {
        let uses_stack = instruction.is_stack_instruction();
        let leaves = matches!(instruction.mnemonic(), Mnemonic::Leave | Mnemonic::Enter);
        if !uses_stack && !leaves && !self.random.once_in(4) {
            return;
        }
        let register = if leaves && self.random.once_in(2) { RBP } else { RSP };
        for register in [RSP, register] {
            let value = match self.random.below(32) {
                0 => self.target(8),
                1 => STACK.end() - 8 + self.random.below(17),
                2 => STACK.address + self.random.below(17),
                3 => STACK.address + 0x800 + self.random.below(16),
                _ => STACK.address + 0x100 + (self.random.below(0xe00) & !7),
            };
            self.set(register, value);
        }
    }

    fn strings(&mut self, instruction: &Instruction) {
        let has =
            |kinds: [OpKind; 3]| (0..instruction.op_count()).any(|n| kinds.contains(&instruction.op_kind(n)));
        let size = instruction.memory_size().size().max(1) as u64;
        let base = if self.mode == Mode::Long { self.segment_base(instruction) } else { 0 };
        let source = has([OpKind::MemorySegRSI, OpKind::MemorySegESI, OpKind::MemorySegSI]);
        let destination = has([OpKind::MemoryESRDI, OpKind::MemoryESEDI, OpKind::MemoryESDI]);
        let masked = has([OpKind::MemorySegRDI, OpKind::MemorySegEDI, OpKind::MemorySegDI]);
        if source {
            let target = self.target(size).wrapping_sub(base);
            self.set(RSI, target);
        }
        if destination {
            let target = self.target(size);
            self.set(RDI, target);
        }
        if masked {
            let target = self.target(16).wrapping_sub(base);
            self.set(RDI, target);
        }
        if (source || destination) && !self.random.once_in(4) {
            let count = self.random.below(4);
            self.set(RCX, count);
        }
    }

    fn segment_base(&self, instruction: &Instruction) -> u64 {
        match (instruction.memory_segment(), self.mode) {
            (Register::FS, Mode::Long) => layout::FS_BASE,
            (Register::GS, Mode::Long) => layout::GS_BASE,
            _ => 0,
        }
    }

    /// Leads a memory operand to a target, by its base or index.
    fn operand(&mut self, instruction: &Instruction) {
        let has_memory = (0..instruction.op_count()).any(|n| instruction.op_kind(n) == OpKind::Memory);
        let (base, index) = (instruction.memory_base(), instruction.memory_index());
        if !has_memory || matches!(base, Register::RIP | Register::EIP) {
            return;
        }
        let size = instruction.memory_size().size() as u64;
        let target = self.target(size).wrapping_sub(self.segment_base(instruction));
        let displacement = instruction.memory_displacement64();
        let scale = u64::from(instruction.memory_index_scale());
        let wanted = target.wrapping_sub(displacement);
        let full = |register: Register| register.full_register().number() as u8;
        if base == Register::None {
            if index != Register::None {
                self.set(full(index), wanted / scale);
            }
        } else if base == index {
            self.set(full(base), wanted / (scale + 1));
        } else if index == Register::None {
            self.set(full(base), wanted);
        } else if index == Register::AL {
            let index = self.get(RAX) & 0xff;
            self.set(RBX, wanted.wrapping_sub(index));
        } else {
            let index = match index.size() {
                4 => self.get(full(index)) & 0xffff_ffff,
                _ => self.get(full(index)),
            };
            self.set(full(base), wanted.wrapping_sub(index.wrapping_mul(scale)));
        }
        if base.size() == 4 && self.mode == Mode::Long && self.random.once_in(2) {
            let garbage = self.random.next() << 32;
            self.state.general[usize::from(full(base))] ^= garbage;
        }
    }

    /// Registers with a meaning.
    fn values(&mut self, instruction: &Instruction) {
        use Mnemonic::{Bt, Btc, Btr, Bts, Div, Idiv, Rcl, Rcr, Rol, Ror, Sal, Sar, Shl, Shld, Shr, Shrd};
        match instruction.mnemonic() {
            Rcl | Rcr | Rol | Ror | Sal | Sar | Shl | Shld | Shr | Shrd => {
                let count = self.random.pick(&[0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255]);
                let count = if self.random.once_in(2) { count } else { self.random.below(256) };
                let rest = self.get(RCX) & !0xff;
                self.set(RCX, rest | count);
            }
            Div | Idiv if !self.random.once_in(4) => self.dividend(instruction.mnemonic() == Idiv),
            Bt | Btc | Btr | Bts if !self.random.once_in(8) && instruction.op1_kind() == OpKind::Register => {
                let offset = (self.random.below(512) as i64 - 256) as u64;
                self.set(instruction.op1_register().number() as u8, offset);
            }
            Mnemonic::Cmpxchg if self.random.once_in(2) && instruction.op0_kind() == OpKind::Register => {
                let destination = instruction.op0_register();
                let value = self.get(destination.full_register().number() as u8);
                self.set(RAX, value);
            }
            _ => {}
        }
    }

    /// A dividend whose quotient fits now and then.
    fn dividend(&mut self, is_signed: bool) {
        let low = self.get(RAX);
        let (high, low) = match self.random.below(4) {
            0 if is_signed => ((low as i64 >> 63) as u64, low),
            1 if is_signed => (((low as i32) >> 31) as u64, low),
            2 => (self.random.below(4), low),
            3 => (0, low & 0xffff),
            _ => (0, low),
        };
        self.set(RDX, high);
        self.set(RAX, low);
    }

    /// What the memory operands hold.
    fn contents(&mut self, instruction: &Instruction) {
        for number in 0..instruction.op_count() {
            let kind = instruction.op_kind(number);
            if matches!(kind, OpKind::Register) {
                continue;
            }
            let address = address(instruction, number, self.mode, &self.state.general, 1);
            if let Some(address) = address {
                self.fill(instruction, address);
            }
        }
    }

    /// Puts an operand at an address that the instruction uses, as far as that can be written to.
    fn fill(&mut self, instruction: &Instruction, address: u64) {
        let value = self.random.operand(instruction.memory_size());
        self.write(address, &value.to_le_bytes());
        match instruction.mnemonic() {
            Mnemonic::Cmpxchg if self.random.once_in(2) => self.write(address, &self.get(RAX).to_le_bytes()),
            Mnemonic::Cmpxchg8b if self.random.once_in(2) => {
                self.write(address, &(self.get(RAX) as u32).to_le_bytes());
                self.write(address.wrapping_add(4), &(self.get(RDX) as u32).to_le_bytes());
            }
            Mnemonic::Cmpxchg16b if self.random.once_in(2) => {
                self.write(address, &self.get(RAX).to_le_bytes());
                self.write(address.wrapping_add(8), &self.get(RDX).to_le_bytes());
            }
            Mnemonic::Ldmxcsr if !self.random.once_in(4) => {
                let value = mxcsr(self.random);
                self.write(address, &value.to_le_bytes());
            }
            Mnemonic::Fxrstor | Mnemonic::Fxrstor64 => {
                for at in (0..512).step_by(16) {
                    let value = if at < 160 { self.random.extended() } else { self.random.vector() };
                    self.write(address.wrapping_add(at), &value.to_le_bytes());
                }
                if !self.random.once_in(8) {
                    let (control, status) = x87_words(self.random);
                    self.write(address, &(u32::from(status) << 16 | u32::from(control)).to_le_bytes());
                    let value = mxcsr(self.random);
                    self.write(address.wrapping_add(24), &value.to_le_bytes());
                }
            }
            Mnemonic::Fldcw if !self.random.once_in(4) => {
                let (control, _) = x87_words(self.random);
                self.write(address, &control.to_le_bytes());
            }
            Mnemonic::Cmpsb | Mnemonic::Cmpsw | Mnemonic::Cmpsd | Mnemonic::Cmpsq
                if self.random.once_in(2) =>
            {
                let same = [self.random.next() as u8; 8];
                self.write(self.get(RSI), &same);
                self.write(self.get(RDI), &same);
            }
            Mnemonic::Scasb | Mnemonic::Scasw | Mnemonic::Scasd | Mnemonic::Scasq
                if self.random.once_in(2) =>
            {
                self.write(address, &self.get(RAX).to_le_bytes());
            }
            _ => {}
        }
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        for (at, &byte) in (0..).zip(bytes) {
            let offset = layout::offset_of(address.wrapping_add(at), 1);
            if let Some(place) = offset.and_then(|offset| offset.checked_sub(IMAGE as usize))
                && place < IMAGE_BYTES
            {
                self.image[place] = byte;
            }
        }
    }
}

/// The linear address of a memory operand, with `bases` times the bases of FS and GS.
pub(super) fn address(
    instruction: &Instruction,
    operand: u32,
    mode: Mode,
    general: &[u64; 16],
    bases: u64,
) -> Option<u64> {
    if instruction.op_kind(operand) == OpKind::Register {
        return None;
    }
    instruction.virtual_address(operand, 0, |register, _, _| value(register, mode, general, bases))
}

/// What a register adds to an address, with `bases` times the bases of FS and GS.
pub(super) fn value(register: Register, mode: Mode, general: &[u64; 16], bases: u64) -> Option<u64> {
    let bases = if mode == Mode::Long { bases } else { 0 };
    match register {
        Register::FS => Some(bases * layout::FS_BASE),
        Register::GS => Some(bases * layout::GS_BASE),
        _ if register.is_segment_register() => Some(0),
        _ if register.is_gpr() => {
            let value = general[register.full_register().number()];
            Some(match register.size() {
                1 => value & 0xff,
                2 => value & 0xffff,
                4 => value & 0xffff_ffff,
                _ => value,
            })
        }
        _ => None,
    }
}
