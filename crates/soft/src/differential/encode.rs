//! Encodings: an instruction of a given form with random operands.

use iced_x86::{Code, Encoder, Instruction, OpCodeOperandKind as Operand, OpKind, Register};

use super::layout::{self, CONSTANT, DATA, HIGH, STACK};
use super::random::Random;
use super::state::Mode;

/// What an encoding of a form is made of.
struct Draft<'random> {
    random: &'random mut Random,
    mode: Mode,
    instruction: Instruction,
    /// Bits of an address.
    address: u32,
    rip: u64,
}

/// An encoding of a form, to be at `rip`. None if the operands that were drawn do not go together, such as AH
/// and R8.
pub(super) fn encode(random: &mut Random, code: Code, mode: Mode, rip: u64) -> Option<Vec<u8>> {
    let narrow = random.once_in(8);
    let address = match mode {
        Mode::Long if narrow => 32,
        Mode::Long => 64,
        Mode::Compatibility if narrow && random.once_in(2) => 16,
        Mode::Compatibility => 32,
    };
    let mut instruction = Instruction::default();
    instruction.set_code(code);
    let mut draft = Draft { random, mode, instruction, address, rip };
    for (number, &kind) in (0..).zip(code.op_code().op_kinds()) {
        draft.operand(number, kind);
    }
    draft.prefixes(code);
    let mut encoder = Encoder::new(mode.bitness());
    encoder.encode(&draft.instruction, rip).ok()?;
    Some(encoder.take_buffer())
}

impl Draft<'_> {
    fn operand(&mut self, number: u32, kind: Operand) {
        match kind {
            Operand::mem => self.memory(number),
            Operand::mem_offs => self.absolute(number),
            Operand::r8_or_mem => self.register_or_memory(number, 8),
            Operand::r16_or_mem => self.register_or_memory(number, 16),
            Operand::r32_or_mem => self.register_or_memory(number, 32),
            Operand::r64_or_mem => self.register_or_memory(number, 64),
            Operand::mm_or_mem => self.register_or_memory(number, 80),
            Operand::xmm_or_mem => self.register_or_memory(number, 128),
            Operand::r8_reg | Operand::r8_opcode => self.register(number, 8),
            Operand::r16_reg | Operand::r16_rm | Operand::r16_opcode | Operand::r16_reg_mem => {
                self.register(number, 16);
            }
            Operand::r32_reg | Operand::r32_rm | Operand::r32_opcode | Operand::r32_reg_mem => {
                self.register(number, 32);
            }
            Operand::r64_reg | Operand::r64_rm | Operand::r64_opcode | Operand::r64_reg_mem => {
                self.register(number, 64);
            }
            Operand::mm_reg | Operand::mm_rm => self.register(number, 80),
            Operand::xmm_reg | Operand::xmm_rm => self.register(number, 128),
            Operand::seg_reg => self.numbered(number, Register::ES, 6),
            Operand::cr_reg => self.numbered(number, Register::CR0, 9),
            Operand::dr_reg => self.numbered(number, Register::DR0, 8),
            Operand::tr_reg => self.numbered(number, Register::TR0, 8),
            Operand::sti_opcode => self.numbered(number, Register::ST0, 8),
            _ => self.implied_or_immediate(number, kind),
        }
    }

    fn implied_or_immediate(&mut self, number: u32, kind: Operand) {
        let register = match kind {
            Operand::es => Register::ES,
            Operand::cs => Register::CS,
            Operand::ss => Register::SS,
            Operand::ds => Register::DS,
            Operand::fs => Register::FS,
            Operand::gs => Register::GS,
            Operand::al => Register::AL,
            Operand::cl => Register::CL,
            Operand::ax => Register::AX,
            Operand::dx => Register::DX,
            Operand::eax => Register::EAX,
            Operand::rax => Register::RAX,
            Operand::st0 => Register::ST0,
            _ => return self.immediate(number, kind),
        };
        self.set_register(number, register);
    }

    fn immediate(&mut self, number: u32, kind: Operand) {
        let byte = if self.random.once_in(2) { self.random.integer() } else { self.random.next() } as i8;
        let wide = self.random.integer();
        let instruction = &mut self.instruction;
        let (kind, value) = match kind {
            Operand::imm8 if number > 0 && instruction.op_kind(number - 1) == OpKind::Immediate16 => {
                instruction.set_op_kind(number, OpKind::Immediate8_2nd);
                instruction.set_immediate8_2nd(byte as u8);
                return;
            }
            Operand::imm8 => (OpKind::Immediate8, u64::from(byte as u8)),
            Operand::imm8_const_1 => (OpKind::Immediate8, 1),
            Operand::imm8sex16 => (OpKind::Immediate8to16, byte as u64),
            Operand::imm8sex32 => (OpKind::Immediate8to32, byte as u64),
            Operand::imm8sex64 => (OpKind::Immediate8to64, byte as u64),
            Operand::imm16 => (OpKind::Immediate16, wide & 0xffff),
            Operand::imm32 => (OpKind::Immediate32, wide & 0xffff_ffff),
            Operand::imm32sex64 => (OpKind::Immediate32to64, wide as i32 as u64),
            Operand::imm64 => (OpKind::Immediate64, wide),
            _ => return self.place(number, kind),
        };
        instruction.set_op_kind(number, kind);
        match kind {
            OpKind::Immediate8to16 => instruction.set_immediate8to16(value as i16),
            OpKind::Immediate8to32 => instruction.set_immediate8to32(value as i32),
            OpKind::Immediate8to64 => instruction.set_immediate8to64(value as i64),
            OpKind::Immediate32to64 => instruction.set_immediate32to64(value as i64),
            OpKind::Immediate8 => instruction.set_immediate8(value as u8),
            OpKind::Immediate16 => instruction.set_immediate16(value as u16),
            OpKind::Immediate32 => instruction.set_immediate32(value as u32),
            _ => instruction.set_immediate64(value),
        }
    }

    /// Branch targets, and the memory of string instructions.
    fn place(&mut self, number: u32, kind: Operand) {
        let near = self.rip.wrapping_add(self.random.below(100)).wrapping_sub(50);
        let far = self.rip.wrapping_add(self.random.integer() as i32 as u64);
        let target = if self.random.once_in(2) { near } else { far };
        let instruction = &mut self.instruction;
        let by_address = |kinds: [OpKind; 3]| match self.address {
            64 => kinds[0],
            32 => kinds[1],
            _ => kinds[2],
        };
        let kind = match kind {
            Operand::br16_1 | Operand::br16_2 => OpKind::NearBranch16,
            Operand::br32_1 | Operand::br32_4 => OpKind::NearBranch32,
            Operand::br64_1 | Operand::br64_4 => OpKind::NearBranch64,
            Operand::seg_rSI => by_address([OpKind::MemorySegRSI, OpKind::MemorySegESI, OpKind::MemorySegSI]),
            Operand::es_rDI => by_address([OpKind::MemoryESRDI, OpKind::MemoryESEDI, OpKind::MemoryESDI]),
            Operand::seg_rDI => by_address([OpKind::MemorySegRDI, OpKind::MemorySegEDI, OpKind::MemorySegDI]),
            Operand::seg_rBX_al => {
                let base = by_address([OpKind::MemorySegRSI, OpKind::MemorySegESI, OpKind::MemorySegSI]);
                instruction.set_memory_base(match base {
                    OpKind::MemorySegRSI => Register::RBX,
                    OpKind::MemorySegESI => Register::EBX,
                    _ => Register::BX,
                });
                instruction.set_memory_index(Register::AL);
                OpKind::Memory
            }
            Operand::farbr2_2 => OpKind::FarBranch16,
            Operand::farbr4_2 => OpKind::FarBranch32,
            other => panic!("the generator does not know operands of kind {other:?}"),
        };
        instruction.set_op_kind(number, kind);
        match kind {
            OpKind::NearBranch16 => instruction.set_near_branch16(near as u16),
            OpKind::NearBranch32 => instruction.set_near_branch32(target as u32),
            OpKind::NearBranch64 => instruction.set_near_branch64(target),
            _ => {}
        }
    }

    fn register_or_memory(&mut self, number: u32, bits: u32) {
        if self.random.once_in(2) {
            self.memory(number);
        } else {
            self.register(number, bits);
        }
    }

    /// A register of `bits` bits; those of MMX have 80.
    fn register(&mut self, number: u32, bits: u32) {
        let (first, count) = match (bits, self.mode) {
            // AL to BH, and SPL to R15B.
            (8, Mode::Long) => (Register::AL, 20),
            (8, Mode::Compatibility) => (Register::AL, 8),
            (16, _) => (Register::AX, self.registers()),
            (32, _) => (Register::EAX, self.registers()),
            (64, _) => (Register::RAX, self.registers()),
            (80, _) => (Register::MM0, 8),
            _ => (Register::XMM0, self.registers()),
        };
        self.numbered(number, first, count);
    }

    fn registers(&self) -> u64 {
        if self.mode == Mode::Long { 16 } else { 8 }
    }

    fn numbered(&mut self, number: u32, first: Register, count: u64) {
        let register = first + self.random.below(count) as u32;
        self.set_register(number, register);
    }

    fn set_register(&mut self, number: u32, register: Register) {
        self.instruction.set_op_kind(number, OpKind::Register);
        self.instruction.set_op_register(number, register);
    }

    /// A memory operand of any shape. What registers it uses get their values later.
    fn memory(&mut self, number: u32) {
        self.instruction.set_op_kind(number, OpKind::Memory);
        if self.address == 16 {
            return self.memory_16();
        }
        let first = if self.address == 64 { Register::RAX } else { Register::EAX };
        let base = first + self.random.below(self.registers()) as u32;
        let index = first + self.random.below(self.registers()) as u32;
        let is_index = !matches!(index, Register::RSP | Register::ESP);
        let shape = self.random.below(8);
        if shape == 0 {
            return self.fixed();
        }
        if shape != 1 || !is_index {
            self.instruction.set_memory_base(base);
        }
        if matches!(shape, 1..=3) && is_index {
            self.instruction.set_memory_index(index);
            let scale = self.random.pick(&[1, 2, 4, 8]);
            self.instruction.set_memory_index_scale(scale);
        }
        let wide = self.address / 8;
        let (size, displacement) = match self.random.below(4) {
            0 if shape != 1 => (0, 0),
            1 | 2 if shape != 1 => (1, i32::from(self.random.next() as i8)),
            _ => (wide, self.random.integer() as i32),
        };
        self.displace(size, displacement as u64);
    }

    fn displace(&mut self, size: u32, displacement: u64) {
        self.instruction.set_memory_displ_size(size);
        let is_wide = self.address == 64;
        self.instruction.set_memory_displacement64(if is_wide {
            displacement
        } else {
            displacement & 0xffff_ffff
        });
    }

    /// Relative to RIP, or absolute.
    fn fixed(&mut self) {
        let offset = self.random.pick(&[DATA, STACK, CONSTANT]);
        let target = offset.address + self.random.below(offset.bytes());
        let target = if self.random.once_in(2) { target & !15 } else { target };
        if self.mode == Mode::Long && self.random.once_in(2) {
            let base = if self.address == 64 { Register::RIP } else { Register::EIP };
            self.instruction.set_memory_base(base);
        }
        self.displace(self.address / 8, target);
    }

    fn memory_16(&mut self) {
        let (base, index) = self.random.pick(&[
            (Register::BX, Register::SI),
            (Register::BP, Register::DI),
            (Register::SI, Register::None),
            (Register::BX, Register::None),
        ]);
        self.instruction.set_memory_base(base);
        self.instruction.set_memory_index(index);
        let displacement = self.random.next() & 0xffff;
        self.instruction.set_memory_displ_size(2);
        self.instruction.set_memory_displacement64(displacement);
    }

    /// The address of MOV AL, moffs8 and its relatives.
    fn absolute(&mut self, number: u32) {
        self.instruction.set_op_kind(number, OpKind::Memory);
        let region = self.random.pick(&[DATA, DATA, STACK, CONSTANT, HIGH]);
        let target = match self.random.below(16) {
            0 => self.random.integer(),
            1 => region.end() - self.random.below(9),
            _ => region.address + self.random.below(region.bytes()),
        };
        let target = target.wrapping_sub(match self.random.below(8) {
            0 if self.mode == Mode::Long => {
                self.instruction.set_segment_prefix(Register::FS);
                layout::FS_BASE
            }
            _ => 0,
        });
        self.instruction.set_memory_displ_size(self.address / 8);
        self.instruction.set_memory_displacement64(match self.address {
            64 => target,
            32 => target & 0xffff_ffff,
            _ => target & 0xffff,
        });
    }

    fn prefixes(&mut self, code: Code) {
        let info = code.op_code();
        let is_memory =
            (0..self.instruction.op_count()).any(|number| self.instruction.op_kind(number) == OpKind::Memory);
        if info.can_use_lock_prefix() && is_memory && self.random.once_in(4) {
            self.instruction.set_has_lock_prefix(true);
        }
        if info.can_use_rep_prefix() && self.random.once_in(2) {
            self.instruction.set_has_rep_prefix(true);
        } else if info.can_use_repne_prefix() && self.random.once_in(2) {
            self.instruction.set_has_repne_prefix(true);
        }
        if self.instruction.segment_prefix() == Register::None && self.random.once_in(8) {
            let segment = self.random.pick(&[
                Register::ES,
                Register::CS,
                Register::SS,
                Register::DS,
                Register::FS,
                Register::GS,
                Register::FS,
                Register::GS,
            ]);
            self.instruction.set_segment_prefix(segment);
        }
    }
}

/// Bytes that are prefixes before any instruction, in 64-bit mode.
const PREFIXES: [u8; 11] = [0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];

/// Whether a byte is a prefix, or REX.
pub(super) fn is_prefix(byte: u8, mode: Mode) -> bool {
    PREFIXES.contains(&byte) || mode == Mode::Long && byte & 0xf0 == 0x40
}

/// Puts a few more prefixes in front, which may make another instruction of it, or none.
pub(super) fn decorate(random: &mut Random, mode: Mode, code: &mut Vec<u8>) {
    for _ in 0..=random.below(2) {
        code.insert(0, random.pick(&PREFIXES));
    }
    if mode == Mode::Long && random.once_in(2) {
        // At once in front of the opcode it counts; elsewhere the processor overlooks it.
        let prefixes = code.iter().take_while(|byte| PREFIXES.contains(byte)).count();
        let at = if random.once_in(4) { random.below(prefixes as u64 + 1) as usize } else { prefixes };
        code.insert(at, 0x40 | random.below(16) as u8);
    }
}
