//! The engine's side: ring 3 of a processor with the same memory at the same addresses.

use outlive_engine::{FloatingPointState, GuestRam, Segment, VcpuState};
use vm_memory::{Bytes, GuestAddress};

use super::layout::{self, Access, CODE, FILLER, REGIONS};
use super::native::{CODE_32, CODE_64, DATA};
use super::state::{Case, End, Floating, Image, Mode, Outcome, State};
use crate::cpu::{self, Cpu};
use crate::decode;
use crate::fault::{Abort, Reason};
use crate::flags::bit;
use crate::memory::PAGE_SIZE;
use crate::op::Step;

/// Where the memory of all regions is in RAM.
const MEMORY: u64 = 0x4_0000;
/// The first page table; the others follow.
const TABLES: u64 = 0x1000;
/// A task state segment without a bitmap of ports, so that IN and OUT raise #GP.
const TASK: u64 = 0x3_f000;
/// Of a supervisor's page that holds it.
const TASK_LINEAR: u64 = 0xffff_8900_0000_0000;
const TASK_LIMIT: u32 = 0x67;

/// Bits of a page table entry.
mod entry {
    pub(super) const TABLE: u64 = 7;
    pub(super) const SUPERVISOR: u64 = 3;
    pub(super) const CODE: u64 = 5;
    pub(super) const CONSTANT: u64 = 5 | 1 << 63;
    pub(super) const DATA: u64 = 7 | 1 << 63;
}

/// The processor.
#[derive(Debug)]
pub(super) struct Software {
    ram: GuestRam,
    cpu: Cpu,
}

/// Page tables that are being made.
struct Tables<'ram> {
    ram: &'ram GuestRam,
    next: u64,
}

impl Tables<'_> {
    /// Maps one page.
    fn map(&mut self, linear: u64, physical: u64, rights: u64) {
        let mut table = TABLES;
        for level in [39, 30, 21] {
            let place = GuestAddress(table + (linear >> level & 511) * 8);
            let mut below: u64 = self.ram.read_obj(place).expect("a table");
            if below == 0 {
                below = self.next | entry::TABLE;
                self.next += PAGE_SIZE;
                self.ram.write_obj(below, place).expect("a table");
            }
            table = below & !(PAGE_SIZE - 1);
        }
        self.ram
            .write_obj(physical | rights, GuestAddress(table + (linear >> 12 & 511) * 8))
            .expect("a table");
    }
}

impl Software {
    /// A processor whose constant pages hold `constant`.
    pub(super) fn new(constant: &[u8]) -> Self {
        let size = MEMORY + layout::BYTES;
        let ram = GuestRam::from_ranges(&[(GuestAddress(0), size as usize)]).expect("a little memory");
        let mut tables = Tables { ram: &ram, next: TABLES + PAGE_SIZE };
        for region in REGIONS {
            let rights = match region.access {
                Access::Code => entry::CODE,
                Access::Constant => entry::CONSTANT,
                Access::Data => entry::DATA,
            };
            for page in (0..region.bytes()).step_by(PAGE_SIZE as usize) {
                tables.map(region.address + page, MEMORY + region.offset + page, rights);
            }
        }
        tables.map(TASK_LINEAR, TASK, entry::SUPERVISOR);
        assert!(tables.next <= TASK, "the tables end before the task state segment");
        let filler = vec![FILLER; CODE.bytes() as usize];
        ram.write_slice(&filler, GuestAddress(MEMORY + CODE.offset)).expect("within RAM");
        ram.write_slice(constant, GuestAddress(MEMORY + layout::CONSTANT.offset)).expect("within RAM");
        // The offset of the bitmap of ports: beyond the limit.
        ram.write_obj(TASK_LIMIT as u16 + 1, GuestAddress(TASK + 0x66)).expect("within RAM");
        Self { cpu: Cpu::new(&ram), ram }
    }

    /// Executes a case.
    pub(super) fn execute(&mut self, case: &Case) -> Result<Outcome, Reason> {
        let code = GuestAddress(
            MEMORY + layout::offset_of(case.before.rip, case.code.len()).expect("code in its pages") as u64,
        );
        self.ram
            .write_slice(case.image.as_slice(), GuestAddress(MEMORY + layout::IMAGE))
            .expect("within RAM");
        self.ram.write_slice(&case.code, code).expect("within RAM");
        self.cpu.memory.forget();
        self.cpu.exit = None;
        crate::state::set(&mut self.cpu, &initial(case)).expect("long mode");
        let ended = self.step(case.mode);
        let zero = std::mem::take(self.cpu.register_mut(cpu::number::ZERO));
        assert_eq!(
            zero,
            0,
            "the register that is always zero was written to by {}",
            super::compare::disassembly(case)
        );
        self.ram.write_slice(&vec![FILLER; case.code.len()], code).expect("within RAM");
        let end = match ended {
            Ok(()) if self.cpu.exit.is_none() => End::Completed,
            Ok(()) => return Err(Reason::Exit(self.cpu.exit.take().expect("there is one"))),
            Err(Reason::Exception(exception)) => End::Fault {
                vector: exception.vector,
                code: exception.error_code.unwrap_or(0),
                address: exception.address,
            },
            Err(other) => return Err(other),
        };
        let mut image: Box<Image> = Box::new([0; layout::IMAGE_BYTES]);
        self.ram.read_slice(image.as_mut_slice(), GuestAddress(MEMORY + layout::IMAGE)).expect("within RAM");
        Ok(Outcome { end, after: after(&self.cpu), image })
    }

    /// One step, as the run loop makes it, but for the delivery of exceptions.
    fn step(&mut self, mode: Mode) -> Result<(), Reason> {
        let cpu = &mut self.cpu;
        cpu.retired = 0;
        cpu.stop_at = 1;
        let rip = cpu.rip;
        let size = mode.size();
        let entry = cpu.code_address().and_then(|linear| {
            let physical = cpu.memory.fetch(linear)?.0;
            Ok(decode::Entry { rip, linear, physical, size })
        });
        let block = match entry.and_then(|entry| decode::block(cpu, entry)) {
            Ok(block) => block,
            Err(Abort) => return Err(reason(cpu, None)),
        };
        let op = &block.ops[0];
        cpu.registers[usize::from(cpu::number::BLOCK)] = rip;
        match (op.execute)(cpu, op) {
            Ok(step) => {
                if matches!(step, Step::Next | Step::Leave) {
                    cpu.rip = cpu.rip_after(op);
                }
                Ok(())
            }
            Err(Abort) => Err(reason(cpu, Some(op))),
        }
    }
}

fn reason(cpu: &mut Cpu, op: Option<&crate::op::Op>) -> Reason {
    match cpu.memory.reason.take().expect("whoever aborts says why") {
        Reason::NotCanonical => Reason::Exception(cpu::not_canonical(op)),
        other => other,
    }
}

/// A flat segment of ring 3.
fn flat(selector: u16, attributes: u16) -> Segment {
    Segment { selector, base: 0, limit: u32::MAX, attributes, unusable: false }
}

/// Ring 3 as Linux sets it up.
fn initial(case: &Case) -> VcpuState {
    let mut state = VcpuState { rip: case.before.rip, rflags: flags_before(case), ..VcpuState::default() };
    let general = &mut state.general;
    [
        &mut general.rax,
        &mut general.rcx,
        &mut general.rdx,
        &mut general.rbx,
        &mut general.rsp,
        &mut general.rbp,
        &mut general.rsi,
        &mut general.rdi,
        &mut general.r8,
        &mut general.r9,
        &mut general.r10,
        &mut general.r11,
        &mut general.r12,
        &mut general.r13,
        &mut general.r14,
        &mut general.r15,
    ]
    .into_iter()
    .zip(case.before.general)
    .for_each(|(place, value)| *place = value);
    let segments = &mut state.segments;
    segments.cs = match case.mode {
        Mode::Long => flat(CODE_64, 0xa0fb),
        Mode::Compatibility => flat(CODE_32, 0xc0fb),
    };
    for segment in [&mut segments.ss, &mut segments.ds, &mut segments.es] {
        *segment = flat(DATA, 0xc0f3);
    }
    segments.fs = Segment { base: layout::FS_BASE, unusable: true, ..Segment::default() };
    segments.gs = Segment { base: layout::GS_BASE, unusable: true, ..Segment::default() };
    segments.tr =
        Segment { selector: 0x40, base: TASK_LINEAR, limit: TASK_LIMIT, attributes: 0x8b, unusable: false };
    // PE, MP, NE, WP, AM, PG.
    state.control.cr0 = 1 | 1 << 1 | 1 << 5 | 1 << 16 | 1 << 18 | 1 << 31;
    state.control.cr3 = TABLES;
    // PAE, OSFXSR, OSXMMEXCPT.
    state.control.cr4 = 1 << 5 | 1 << 9 | 1 << 10;
    // SCE, LME, LMA, NXE.
    state.control.efer = 1 | 1 << 8 | 1 << 10 | 1 << 11;
    state.floating_point = floating_before(&case.before.floating);
    state
}

/// RFLAGS as the instruction sees them on the host: interrupts are on, and it is being stepped.
fn flags_before(case: &Case) -> u64 {
    case.before.flags | bit::FIXED | bit::IF | bit::TF
}

fn floating_before(floating: &Floating) -> FloatingPointState {
    FloatingPointState {
        control: floating.control,
        status: floating.status,
        tags: floating.tags,
        opcode: floating.opcode,
        instruction: floating.instruction,
        operand: floating.operand,
        stack: floating.stack,
        xmm: floating.xmm,
        mxcsr: floating.mxcsr,
    }
}

fn after(cpu: &Cpu) -> State {
    let state = crate::state::get(cpu);
    let floating = &state.floating_point;
    State {
        general: std::array::from_fn(|number| cpu.register(number as u8)),
        rip: state.rip,
        flags: state.rflags,
        floating: Floating {
            control: floating.control,
            status: floating.status,
            tags: floating.tags,
            reserved: 0,
            opcode: floating.opcode,
            instruction: floating.instruction,
            operand: floating.operand,
            mxcsr: floating.mxcsr,
            mxcsr_mask: 0,
            stack: floating.stack,
            xmm: floating.xmm,
        },
    }
}
