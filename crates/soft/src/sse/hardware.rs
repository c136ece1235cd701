//! Every MMX and SSE instruction on the host's own processor, and here: in tests only.
//!
//! A [`Native`] executes one instruction between FXRSTOR and FXSAVE. Its memory operand is at RSI (at RDI for
//! masked moves), its general registers are RCX and RDX. An unmasked exception arrives as SIGFPE, whose handler
//! notes what MXCSR became and goes on behind the instruction.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use outlive_engine::FloatingPointState;

use crate::cpu::number;
use crate::fault::{Exception, Reason, vector};
use crate::op::Step;
use crate::testing::{CODE, DATA, Trial};
use crate::x87::X87;

/// Everything that an instruction reads and writes.
#[repr(C, align(16))]
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Machine {
    /// MXCSR. After an unmasked exception, as it was in the handler.
    pub(super) mxcsr: u32,
    /// Whether there was an unmasked exception.
    pub(super) trapped: u32,
    pub(super) flags: u64,
    pub(super) rcx: u64,
    pub(super) rdx: u64,
    pub(super) memory: [u128; 4],
    pub(super) xmm: [u128; 16],
    /// ST0 to ST7, in this order.
    pub(super) stack: [u128; 8],
    /// The tags of FXSAVE, and FSW.
    pub(super) tags: u8,
    pub(super) status: u16,
}

/// What the code works on: R8 points to it.
#[repr(C, align(64))]
struct Context {
    before: [u128; 32],
    after: [u128; 32],
    memory: [u128; 4],
    flags: u64,
    rcx: u64,
    rdx: u64,
    trapped_mxcsr: u32,
    trapped: u32,
    usual_mxcsr: u32,
}

/// Offsets of the fields, as the code has them.
const AFTER: u32 = 512;
const MEMORY: u32 = 1024;
const FLAGS: u32 = 1088;
const RCX: u32 = 1096;
const RDX: u32 = 1104;
const USUAL_MXCSR: u32 = 1120;

/// RFLAGS that arithmetic sets.
const ARITHMETIC: u64 = crate::flags::bit::ARITHMETIC;

/// The one place for code, and where the instruction in it is, for the handler.
static PAGE: Mutex<Option<usize>> = Mutex::new(None);
static INSTRUCTION: AtomicUsize = AtomicUsize::new(0);
static BEHIND: AtomicUsize = AtomicUsize::new(0);

/// A page to execute code in. There is one: tests that use it wait for each other.
pub(super) struct Native {
    page: MutexGuard<'static, Option<usize>>,
}

impl Native {
    pub(super) fn new() -> Self {
        let mut page = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
        page.get_or_insert_with(|| {
            install_handler();
            let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a new mapping, wherever the kernel likes.
            let address = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
            assert_ne!(address, libc::MAP_FAILED);
            address as usize
        });
        Self { page }
    }

    /// Executes the one instruction in `bytes`.
    pub(super) fn execute(&mut self, bytes: &[u8], machine: &Machine) -> Machine {
        let page = self.page.expect("the page is mapped");
        let mut code = Vec::new();
        let field = |code: &mut Vec<u8>, opcode: &[u8], offset: u32| {
            code.extend(opcode);
            code.extend(offset.to_le_bytes());
        };
        code.extend([0x49, 0x89, 0xf8]); // mov r8, rdi
        code.extend([0x49, 0x0f, 0xae, 0x08]); // fxrstor64 [r8]
        field(&mut code, &[0x49, 0x8b, 0x88], RCX); // mov rcx, [r8 + ..]
        field(&mut code, &[0x49, 0x8b, 0x90], RDX); // mov rdx, [r8 + ..]
        field(&mut code, &[0x49, 0x8d, 0xb0], MEMORY); // lea rsi, [r8 + ..]
        code.extend([0x48, 0x89, 0xf7]); // mov rdi, rsi
        field(&mut code, &[0x41, 0xff, 0xb0], FLAGS); // push [r8 + ..]
        code.push(0x9d); // popfq
        let instruction = code.len();
        code.extend(bytes);
        let behind = code.len();
        code.push(0x9c); // pushfq
        field(&mut code, &[0x41, 0x8f, 0x80], FLAGS); // pop [r8 + ..]
        field(&mut code, &[0x49, 0x89, 0x88], RCX); // mov [r8 + ..], rcx
        field(&mut code, &[0x49, 0x89, 0x90], RDX); // mov [r8 + ..], rdx
        field(&mut code, &[0x49, 0x0f, 0xae, 0x80], AFTER); // fxsave64 [r8 + ..]
        code.extend([0xdb, 0xe3]); // fninit
        field(&mut code, &[0x41, 0x0f, 0xae, 0x90], USUAL_MXCSR); // ldmxcsr [r8 + ..]
        code.push(0xc3); // ret
        INSTRUCTION.store(page + instruction, Ordering::SeqCst);
        BEHIND.store(page + behind, Ordering::SeqCst);
        let mut context = Context::new(machine);
        // SAFETY: the page is ours as long as the lock is held; the code keeps to the rules of C functions and
        // accesses nothing but the context.
        unsafe {
            std::ptr::copy_nonoverlapping(code.as_ptr(), page as *mut u8, code.len());
            let function: extern "C" fn(*mut Context) = std::mem::transmute(page);
            function(&raw mut context);
        }
        context.machine()
    }
}

impl Context {
    fn new(machine: &Machine) -> Self {
        let mut before = [0; 32];
        before[0] = 0x37f | u128::from(machine.status) << 16 | u128::from(machine.tags) << 32;
        before[1] = u128::from(machine.mxcsr) << 64;
        before[2..10].copy_from_slice(&machine.stack);
        before[10..26].copy_from_slice(&machine.xmm);
        Self {
            before,
            after: [0; 32],
            memory: machine.memory,
            flags: machine.flags,
            rcx: machine.rcx,
            rdx: machine.rdx,
            trapped_mxcsr: 0,
            trapped: 0,
            usual_mxcsr: 0x1f80,
        }
    }

    fn machine(&self) -> Machine {
        let image = &self.after;
        Machine {
            mxcsr: if self.trapped != 0 { self.trapped_mxcsr } else { (image[1] >> 64) as u32 },
            trapped: self.trapped,
            flags: self.flags & ARITHMETIC,
            rcx: self.rcx,
            rdx: self.rdx,
            memory: self.memory,
            xmm: std::array::from_fn(|register| image[10 + register]),
            stack: std::array::from_fn(|register| image[2 + register]),
            tags: (image[0] >> 32) as u8,
            status: (image[0] >> 16) as u16,
        }
    }
}

fn install_handler() {
    // SAFETY: the handler touches nothing but the context of the code that it interrupted.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGFPE, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Goes on behind an instruction that raised an exception, with all exceptions masked.
extern "C" fn handle(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the context of the thread; R8 is what the code made it.
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        let registers = &mut context.uc_mcontext.gregs;
        let rip = &mut registers[libc::REG_RIP as usize];
        if *rip as usize != INSTRUCTION.load(Ordering::SeqCst) {
            std::process::abort();
        }
        *rip = BEHIND.load(Ordering::SeqCst) as i64;
        let machine = registers[libc::REG_R8 as usize] as *mut Context;
        let mxcsr = &mut (*context.uc_mcontext.fpregs).mxcsr;
        (*machine).trapped_mxcsr = *mxcsr;
        (*machine).trapped = 1;
        *mxcsr = 0x1f80;
    }
}

/// Executes the one instruction in `bytes` here.
pub(super) fn execute(trial: &mut Trial, bytes: &[u8], machine: &Machine) -> Machine {
    let memory: Vec<u8> = machine.memory.iter().flat_map(|piece| piece.to_le_bytes()).collect();
    trial.write(DATA, &memory);
    // The block ends behind the instruction.
    trial.write(CODE + bytes.len() as u64, &[0x0f, 0x0b]);
    let state = FloatingPointState {
        status: machine.status,
        tags: machine.tags,
        stack: machine.stack,
        ..FloatingPointState::default()
    };
    let cpu = &mut trial.cpu;
    cpu.x87 = X87::from_state(&state);
    cpu.vectors.xmm = machine.xmm;
    cpu.vectors.mxcsr = machine.mxcsr;
    cpu.flags.set_bits(machine.flags);
    for (register, value) in
        [(number::RCX, machine.rcx), (number::RDX, machine.rdx), (number::RSI, DATA), (number::RDI, DATA)]
    {
        *cpu.register_mut(register) = value;
    }
    let trapped = match trial.execute(bytes) {
        Ok(Step::Next) => 0,
        Err(Reason::Exception(exception)) if exception == Exception::plain(vector::SIMD) => 1,
        other => panic!("{bytes:02x?}: {other:?}"),
    };
    let mut state = FloatingPointState::default();
    trial.cpu.x87.save(&mut state);
    let memory = trial.read::<64>(DATA);
    let piece = |at: usize| memory[16 * at..].first_chunk().copied().expect("16 bytes");
    Machine {
        mxcsr: trial.cpu.vectors.mxcsr,
        trapped,
        flags: trial.cpu.flags.bits() & ARITHMETIC,
        rcx: trial.cpu.register(number::RCX),
        rdx: trial.cpu.register(number::RDX),
        memory: std::array::from_fn(|at| u128::from_le_bytes(piece(at))),
        xmm: trial.cpu.vectors.xmm,
        stack: state.stack,
        tags: state.tags,
        status: state.status,
    }
}

const _: () = {
    assert!(std::mem::offset_of!(Context, after) == AFTER as usize);
    assert!(std::mem::offset_of!(Context, memory) == MEMORY as usize);
    assert!(std::mem::offset_of!(Context, flags) == FLAGS as usize);
    assert!(std::mem::offset_of!(Context, rcx) == RCX as usize);
    assert!(std::mem::offset_of!(Context, rdx) == RDX as usize);
    assert!(std::mem::offset_of!(Context, usual_mxcsr) == USUAL_MXCSR as usize);
};
