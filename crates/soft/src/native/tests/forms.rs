//! The forms of instructions that programs are made of, and how they are put together.

use iced_x86::{Code, Encoder, Instruction, OpCodeOperandKind as Kind, OpKind, Register};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{integer, pointer};
use crate::testing::DATA;

/// What machine code does by itself, in every form that there is.
pub(super) const SIMPLE: &[Code] = &[
    Code::Nopd,
    Code::Nop_rm32,
    Code::Endbr64,
    Code::Mov_rm32_r32,
    Code::Mov_rm64_r64,
    Code::Mov_r32_rm32,
    Code::Mov_r64_rm64,
    Code::Mov_rm8_imm8,
    Code::Mov_rm16_imm16,
    Code::Mov_rm32_imm32,
    Code::Mov_rm64_imm32,
    Code::Mov_r32_imm32,
    Code::Mov_r64_imm64,
    Code::Movzx_r32_rm8,
    Code::Movzx_r64_rm8,
    Code::Movzx_r32_rm16,
    Code::Movzx_r64_rm16,
    Code::Movsx_r32_rm8,
    Code::Movsx_r64_rm8,
    Code::Movsx_r32_rm16,
    Code::Movsx_r64_rm16,
    Code::Movsxd_r32_rm32,
    Code::Movsxd_r64_rm32,
    Code::Lea_r32_m,
    Code::Lea_r64_m,
    Code::Add_rm32_r32,
    Code::Add_rm64_r64,
    Code::Add_r32_rm32,
    Code::Add_r64_rm64,
    Code::Add_rm32_imm8,
    Code::Add_rm64_imm8,
    Code::Add_rm32_imm32,
    Code::Add_rm64_imm32,
    Code::Add_EAX_imm32,
    Code::Add_RAX_imm32,
    Code::Sub_rm32_r32,
    Code::Sub_rm64_r64,
    Code::Sub_r32_rm32,
    Code::Sub_r64_rm64,
    Code::Sub_rm32_imm8,
    Code::Sub_rm64_imm32,
    Code::Cmp_rm32_r32,
    Code::Cmp_rm64_r64,
    Code::Cmp_r32_rm32,
    Code::Cmp_r64_rm64,
    Code::Cmp_rm32_imm8,
    Code::Cmp_rm64_imm8,
    Code::Cmp_rm32_imm32,
    Code::Cmp_rm64_imm32,
    Code::Cmp_RAX_imm32,
    Code::And_rm32_r32,
    Code::And_rm64_r64,
    Code::And_r32_rm32,
    Code::And_r64_rm64,
    Code::And_rm32_imm32,
    Code::And_rm64_imm8,
    Code::Test_rm32_r32,
    Code::Test_rm64_r64,
    Code::Test_rm32_imm32,
    Code::Test_rm64_imm32,
    Code::Test_EAX_imm32,
    Code::Or_rm32_r32,
    Code::Or_rm64_r64,
    Code::Or_r32_rm32,
    Code::Or_r64_rm64,
    Code::Or_rm64_imm8,
    Code::Xor_rm32_r32,
    Code::Xor_rm64_r64,
    Code::Xor_r32_rm32,
    Code::Xor_r64_rm64,
    Code::Xor_rm32_imm8,
    Code::Push_r64,
    Code::Pop_r64,
    Code::Jmp_rel8_64,
    Code::Jmp_rel32_64,
    Code::Call_rel32_64,
    Code::Retnq,
    Code::Je_rel8_64,
    Code::Jne_rel32_64,
    Code::Js_rel8_64,
    Code::Jns_rel32_64,
    Code::Jb_rel8_64,
    Code::Jae_rel32_64,
    Code::Jbe_rel8_64,
    Code::Ja_rel32_64,
    Code::Jl_rel8_64,
    Code::Jge_rel32_64,
    Code::Jle_rel8_64,
    Code::Jg_rel32_64,
];

/// What it leaves to functions, some of which look at flags, or change a part of them.
const OTHER: &[Code] = &[
    Code::Pushfq,
    Code::Jo_rel8_64,
    Code::Jnp_rel32_64,
    Code::Setle_rm8,
    Code::Cmovb_r64_rm64,
    Code::Adc_rm64_r64,
    Code::Inc_rm32,
    Code::Stc,
    Code::Add_rm8_r8,
    Code::Sub_rm64_imm8,
    Code::Mov_rm16_r16,
    Code::Mov_r8_rm8,
];

/// Where a branch goes.
#[derive(Clone, Debug)]
enum Target {
    /// To one of the instructions.
    Instruction(Index),
    /// So far from the program's beginning, if the form reaches there.
    Far(i32),
}

/// What an instruction is made of, as far as its form wants it.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    code: Code,
    registers: [u8; 2],
    /// Base, index, log2 of the scale, displacement; `None` for a register.
    memory: Option<(Option<u8>, Option<u8>, u32, i32)>,
    immediate: u64,
    target: Target,
}

fn memory() -> impl Strategy<Value = (Option<u8>, Option<u8>, u32, i32)> {
    let displacement = prop_oneof![Just(0), -16..16i32, any::<i32>()];
    prop_oneof![
        3 => pointer().prop_map(|pointer| (None, None, 0, pointer as i32)),
        4 => (0..17u8, -16..16i32).prop_map(|(base, near)| (Some(base), None, 0, near)),
        1 => (0..16u8, prop::option::of(0..16u8), 0..4u32, displacement)
            .prop_map(|(base, index, scale, displacement)| (Some(base), index, scale, displacement)),
        1 => (0..16u8, 0..4u32, pointer())
            .prop_map(|(index, scale, pointer)| (None, Some(index), scale, pointer as i32)),
    ]
}

pub(super) fn draft(codes: impl Strategy<Value = Code>) -> impl Strategy<Value = Draft> {
    let target = prop_oneof![
        6 => any::<Index>().prop_map(Target::Instruction),
        1 => any::<i32>().prop_map(Target::Far),
    ];
    let memory = prop::option::of(memory());
    (codes, any::<[u8; 2]>(), memory, integer(), target).prop_map(
        |(code, registers, memory, immediate, target)| Draft { code, registers, memory, immediate, target },
    )
}

pub(super) fn program() -> impl Strategy<Value = Vec<Draft>> {
    let code = prop_oneof![9 => select(SIMPLE), 1 => select(OTHER)];
    prop::collection::vec(draft(code), 1..=12)
}

fn numbered(first: Register, number: u8) -> Register {
    first + u32::from(number % 16)
}

impl Draft {
    /// The instruction at `at`, with a branch to `target`. `None` if the form does not reach there.
    pub(super) fn encode(&self, at: u64, target: u64) -> Option<Vec<u8>> {
        let mut instruction = Instruction::default();
        instruction.set_code(self.code);
        let mut registers = self.registers.into_iter();
        for (number, &kind) in self.code.op_code().op_kinds().iter().enumerate() {
            self.operand(&mut instruction, number as u32, kind, registers.next().unwrap_or(0), target);
        }
        let mut encoder = Encoder::new(64);
        encoder.encode(&instruction, at).ok()?;
        Some(encoder.take_buffer())
    }

    fn operand(&self, instruction: &mut Instruction, number: u32, kind: Kind, register: u8, target: u64) {
        let first = match kind {
            Kind::r8_or_mem | Kind::r8_reg => Register::AL,
            Kind::r16_or_mem | Kind::r16_reg => Register::AX,
            Kind::r32_or_mem | Kind::r32_reg | Kind::r32_opcode => Register::EAX,
            Kind::r64_or_mem | Kind::r64_reg | Kind::r64_opcode => Register::RAX,
            Kind::eax => return instruction.set_op_register(number, Register::EAX),
            Kind::rax => return instruction.set_op_register(number, Register::RAX),
            _ => Register::None,
        };
        let is_memory = match kind {
            Kind::r8_or_mem | Kind::r16_or_mem | Kind::r32_or_mem | Kind::r64_or_mem => self.memory.is_some(),
            Kind::mem => true,
            _ => false,
        };
        if is_memory {
            instruction.set_op_kind(number, OpKind::Memory);
            self.address(instruction);
        } else if kind == Kind::r8_or_mem && register & 0x30 == 0 {
            // Also AH to BH, where no REX prefix is in the way.
            instruction.set_op_register(number, Register::AH + u32::from(register % 4));
        } else if first != Register::None {
            let is_stack = matches!(self.code, Code::Push_r64 | Code::Pop_r64) && register % 16 == 4;
            instruction.set_op_register(number, numbered(first, if is_stack { 5 } else { register }));
        } else {
            self.immediate_or_target(instruction, number, kind, target);
        }
    }

    fn address(&self, instruction: &mut Instruction) {
        let (base, index, scale, displacement) = self.memory.unwrap_or((Some(0), None, 0, 0));
        match base {
            Some(16) => {
                instruction.set_memory_base(Register::RIP);
                instruction.set_memory_displ_size(8);
                return instruction.set_memory_displacement64(DATA + 0x800 + self.immediate % 0x1000);
            }
            Some(base) => instruction.set_memory_base(numbered(Register::RAX, base)),
            None => {}
        }
        // RSP is no index.
        if let Some(index) = index.filter(|index| *index != 4) {
            instruction.set_memory_index(numbered(Register::RAX, index));
            instruction.set_memory_index_scale(1 << scale);
        }
        instruction.set_memory_displ_size(8);
        instruction.set_memory_displacement64(i64::from(displacement) as u64);
    }

    fn immediate_or_target(&self, instruction: &mut Instruction, number: u32, kind: Kind, target: u64) {
        let value = self.immediate;
        match kind {
            Kind::br64_1 | Kind::br64_4 => {
                instruction.set_op_kind(number, OpKind::NearBranch64);
                instruction.set_near_branch64(target);
            }
            Kind::imm8 => {
                instruction.set_op_kind(number, OpKind::Immediate8);
                instruction.set_immediate8(value as u8);
            }
            Kind::imm16 => {
                instruction.set_op_kind(number, OpKind::Immediate16);
                instruction.set_immediate16(value as u16);
            }
            Kind::imm32 => {
                instruction.set_op_kind(number, OpKind::Immediate32);
                instruction.set_immediate32(value as u32);
            }
            Kind::imm8sex32 => {
                instruction.set_op_kind(number, OpKind::Immediate8to32);
                instruction.set_immediate8to32((value as i8).into());
            }
            Kind::imm8sex64 => {
                instruction.set_op_kind(number, OpKind::Immediate8to64);
                instruction.set_immediate8to64((value as i8).into());
            }
            Kind::imm32sex64 => {
                instruction.set_op_kind(number, OpKind::Immediate32to64);
                instruction.set_immediate32to64((value as i32).into());
            }
            Kind::imm64 => {
                instruction.set_op_kind(number, OpKind::Immediate64);
                instruction.set_immediate64(value);
            }
            other => panic!("{:?} has an operand of kind {other:?}", self.code),
        }
    }
}

/// The code of a loop at `start`, and where its instructions begin. What cannot be encoded is left out.
pub(super) fn assemble(drafts: &[Draft], start: u64) -> (Vec<u8>, Vec<u64>) {
    let mut at = start;
    let mut places = Vec::new();
    let mut kept = Vec::new();
    for draft in drafts {
        // The length does not depend on the target.
        if let Some(bytes) = draft.encode(at, at) {
            places.push(at);
            kept.push(draft);
            at += bytes.len() as u64;
        }
    }
    places.push(at);
    let mut code = Vec::new();
    for (draft, &at) in kept.iter().zip(&places) {
        let target = match &draft.target {
            Target::Instruction(index) => *index.get(&places),
            Target::Far(distance) => start.wrapping_add_signed((*distance).into()),
        };
        let bytes = draft.encode(at, target).or_else(|| draft.encode(at, at));
        code.extend(bytes.expect("a branch to itself can be encoded"));
    }
    // jmp start
    code.push(0xe9);
    code.extend((-(code.len() as i32 + 4)).to_le_bytes());
    (code, places)
}

/// Whether a form is left to functions with these operands: a result that goes to memory, or to a part of a
/// register.
pub(super) fn is_special(draft: &Draft) -> bool {
    let name = format!("{:?}", draft.code);
    let updates = ["Add_rm", "Sub_rm", "And_rm", "Or_rm", "Xor_rm"].iter().any(|form| name.starts_with(form));
    match draft.memory {
        Some(_) => updates,
        None => matches!(draft.code, Code::Mov_rm8_imm8 | Code::Mov_rm16_imm16),
    }
}
