//! The smallest guest that is a whole 64-bit machine: some RAM, page tables, descriptor tables, a handler
//! for every vector, and a piece of machine code in ring 0 or ring 3.

use std::fmt;

use outlive_engine::{
    ControlRegisters, DescriptorTable, Engine, GuestRam, ModelSpecificRegisters, Segment, Segments, VcpuState,
};
use vm_memory::{Bytes, GuestAddress};

use crate::error::KvmError;
use crate::{Host, KvmEngine};

/// RAM of the guest. Everything above is open bus, up to the end of what is mapped.
const RAM: usize = 2 << 20;
#[cfg(test)]
/// The first linear and physical address that is mapped but has no RAM behind it.
pub(crate) const OUTSIDE: u64 = 0x1000_0000;

const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PAGE_DIRECTORY: u64 = 0x3000;
const GDT: u64 = 0x4000;
const IDT: u64 = 0x5000;
const TSS: u64 = 0x6000;
/// Where handlers are, one for each vector, [`HANDLER_SIZE`] bytes apart.
const HANDLERS: u64 = 0x8000;
const HANDLER_SIZE: u64 = 16;
/// Where the code in ring 0 is.
pub(crate) const KERNEL: u64 = 0x1_0000;
/// Where the code in ring 3 is.
pub(crate) const USER: u64 = 0x2_0000;
/// Where SYSCALL goes.
pub(crate) const SYSCALL_ENTRY: u64 = 0x3_0000;
/// Room for data.
pub(crate) const DATA: u64 = 0x4_0000;
const KERNEL_STACK: u64 = 0x8_0000;
const USER_STACK: u64 = 0x9_0000;
/// The stack for interrupts that come in ring 3.
const INTERRUPT_STACK: u64 = 0xa_0000;

/// The port at which the default handlers tell their vector.
pub(crate) const VECTOR_PORT: u16 = 0xf1;

/// Selectors, in the order that SYSCALL and SYSRET want (SDM volume 2, SYSRET).
mod selector {
    pub(super) const KERNEL_CODE: u16 = 0x08;
    pub(super) const KERNEL_DATA: u16 = 0x10;
    pub(super) const USER_DATA: u16 = 0x23;
    pub(super) const USER_CODE: u16 = 0x2b;
    pub(super) const TSS: u16 = 0x30;
    /// STAR: SYSCALL loads 0x08 and 0x10, SYSRET 0x2b and 0x23.
    pub(super) const STAR: u64 = 0x001b_0008 << 32;
}

const PRESENT_WRITABLE_USER: u64 = 0b111;
const LARGE_PAGE: u64 = 1 << 7;
const CR0_PE_MP_ET_NE_WP_PG: u64 = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31;
const CR4_PAE_OSFXSR_OSXMMEXCPT: u64 = 1 << 5 | 1 << 9 | 1 << 10;
/// CR4.TSD: RDTSC outside of ring 0 faults.
pub(crate) const CR4_TSD: u64 = 1 << 2;
const EFER_SCE_LME_LMA: u64 = 1 | 1 << 8 | 1 << 10;
/// RFLAGS with its fixed bit only.
pub(crate) const RFLAGS: u64 = 2;
/// RFLAGS.TF.
#[cfg(test)]
pub(crate) const RFLAGS_TF: u64 = 1 << 8;
/// RFLAGS.IF.
pub(crate) const RFLAGS_IF: u64 = 1 << 9;

/// Where the guest's code starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ring {
    Kernel,
    User,
}

impl fmt::Display for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "ring 0",
            Self::User => "ring 3",
        })
    }
}

/// The guest.
pub(crate) struct Guest {
    pub(crate) engine: KvmEngine,
    pub(crate) memory: GuestRam,
}

impl Guest {
    /// A guest about to execute `code` in `ring`.
    pub(crate) fn new(host: &Host, ring: Ring, code: &[u8]) -> Result<Self, KvmError> {
        let memory = empty_memory()?;
        let engine = KvmEngine::on(host, &memory)?;
        let mut guest = Self { engine, memory };
        guest.lay_out();
        let start = if ring == Ring::Kernel { KERNEL } else { USER };
        guest.put(start, code);
        let state = initial_state(ring);
        guest.engine.set_state(&state).map_err(set_up)?;
        Ok(guest)
    }

    /// Puts bytes into the guest's memory.
    pub(crate) fn put(&self, address: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(address)).expect("the layout lies in RAM");
    }

    /// Eight bytes of the guest's memory.
    pub(crate) fn word(&self, address: u64) -> u64 {
        self.memory.read_obj(GuestAddress(address)).expect("the layout lies in RAM")
    }

    /// Replaces the handler of a vector, at most 16 bytes.
    pub(crate) fn put_handler(&self, vector: u8, code: &[u8]) {
        assert!(code.len() <= HANDLER_SIZE as usize, "a handler has its own 16 bytes");
        self.put(handler(vector), code);
    }

    /// Changes the state.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut VcpuState)) -> Result<(), KvmError> {
        let mut state = self.engine.state().map_err(set_up)?;
        change(&mut state);
        self.engine.set_state(&state).map_err(set_up)
    }

    fn lay_out(&self) {
        self.put_word(PML4, PDPT | PRESENT_WRITABLE_USER);
        self.put_word(PDPT, PAGE_DIRECTORY | PRESENT_WRITABLE_USER);
        for page in 0..512 {
            self.put_word(PAGE_DIRECTORY + 8 * page, page << 21 | LARGE_PAGE | PRESENT_WRITABLE_USER);
        }
        for (number, descriptor) in descriptors().into_iter().enumerate() {
            self.put_word(GDT + 8 * number as u64, descriptor);
        }
        self.put(TSS + 4, &INTERRUPT_STACK.to_le_bytes());
        for vector in 0..=255 {
            self.put(IDT + 16 * u64::from(vector), &gate(handler(vector)));
            self.put_handler(vector, &default_handler(vector));
        }
    }

    fn put_word(&self, address: u64, word: u64) {
        self.put(address, &word.to_le_bytes());
    }
}

/// RAM full of zeros.
fn empty_memory() -> Result<GuestRam, KvmError> {
    GuestRam::from_ranges(&[(GuestAddress(0), RAM)]).map_err(|error| KvmError::Process {
        operation: "get memory for a guest",
        source: std::io::Error::other(error),
    })
}

fn set_up(error: outlive_engine::EngineError) -> KvmError {
    KvmError::Process { operation: "set up a small guest", source: std::io::Error::other(error) }
}

fn handler(vector: u8) -> u64 {
    HANDLERS + HANDLER_SIZE * u64::from(vector)
}

/// Tells the vector and halts.
fn default_handler(vector: u8) -> [u8; 7] {
    [
        0xb0,
        vector, // mov al, vector
        0xe6,
        VECTOR_PORT as u8, // out VECTOR_PORT, al
        0xf4,              // hlt
        0xeb,
        0xfd, // jmp to the hlt
    ]
}

/// Descriptors of the GDT (SDM volume 3, 3.4.5).
fn descriptors() -> [u64; 8] {
    let flat = |access: u64, flags: u64| 0xffff | access << 40 | 0xf << 48 | flags << 52;
    let task = 0x67 | TSS << 16 | 0x8b << 40;
    [
        0,
        flat(0x9b, 0xa), // 64-bit code, ring 0
        flat(0x93, 0xc), // data, ring 0
        0,
        flat(0xf3, 0xc), // data, ring 3
        flat(0xfb, 0xa), // 64-bit code, ring 3
        task,
        0,
    ]
}

/// An interrupt gate of ring 3 to ring 0, so that INT3 works in both (SDM volume 3, 6.14.1).
fn gate(handler: u64) -> [u8; 16] {
    let low = handler & 0xffff
        | u64::from(selector::KERNEL_CODE) << 16
        | 0xee << 40
        | (handler >> 16 & 0xffff) << 48;
    let mut gate = [0; 16];
    gate[..8].copy_from_slice(&low.to_le_bytes());
    gate
}

fn segment(selector: u16, attributes: u16, limit: u32) -> Segment {
    Segment { selector, base: 0, limit, attributes, unusable: false }
}

fn segments(ring: Ring) -> Segments {
    let (code, data) = match ring {
        Ring::Kernel => (
            segment(selector::KERNEL_CODE, 0xa09b, u32::MAX),
            segment(selector::KERNEL_DATA, 0xc093, u32::MAX),
        ),
        Ring::User => {
            (segment(selector::USER_CODE, 0xa0fb, u32::MAX), segment(selector::USER_DATA, 0xc0f3, u32::MAX))
        }
    };
    let tr = Segment { base: TSS, ..segment(selector::TSS, 0x8b, 0x67) };
    let ldt = Segment { unusable: true, ..Segment::default() };
    Segments { cs: code, ds: data, es: data, fs: data, gs: data, ss: data, tr, ldt }
}

/// The state at the first instruction.
pub(crate) fn initial_state(ring: Ring) -> VcpuState {
    let mut state = VcpuState {
        rip: if ring == Ring::Kernel { KERNEL } else { USER },
        rflags: RFLAGS,
        segments: segments(ring),
        gdt: DescriptorTable { base: GDT, limit: 8 * 8 - 1 },
        idt: DescriptorTable { base: IDT, limit: 256 * 16 - 1 },
        control: ControlRegisters {
            cr0: CR0_PE_MP_ET_NE_WP_PG,
            cr3: PML4,
            cr4: CR4_PAE_OSFXSR_OSXMMEXCPT,
            efer: EFER_SCE_LME_LMA,
            ..ControlRegisters::default()
        },
        msrs: ModelSpecificRegisters {
            star: selector::STAR,
            lstar: SYSCALL_ENTRY,
            // SYSCALL clears IF, TF and DF, as Linux has it.
            sfmask: 0x700,
            ..ModelSpecificRegisters::default()
        },
        ..VcpuState::default()
    };
    state.general.rsp = if ring == Ring::Kernel { KERNEL_STACK } else { USER_STACK };
    state.debug.status = 0xffff_0ff0;
    state.debug.control = 0x400;
    state
}
