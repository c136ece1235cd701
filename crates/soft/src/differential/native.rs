//! The host's processor: a child process that executes one instruction after the other.
//!
//! The child lives in a signal handler. Linux hands a handler all registers of the interrupted program in a
//! frame on the (alternate) stack, and takes them back from there when the handler returns. So the child
//! writes a case's registers with RFLAGS.TF into the frame and returns: the processor executes one
//! instruction and traps, or faults, and either way a signal comes, whose frame tells the registers, the vector
//! and the error code. An instruction so costs one signal, and no ptrace call or switch of processes.
//!
//! Cases come in batches in shared memory; two pipes say whose turn it is. Whatever the instructions do, the
//! child can do no harm: seccomp's strict mode leaves it `read`, `write`, `exit` and `sigreturn`.
//!
//! What the handler must heed: FS is the case's (so there is no thread-local storage, and a panic ends in a
//! fault, which ends the child), RFLAGS.AC may be set, and RFLAGS.NT and ID, which frames do not carry, pass
//! from the handler's own flags to the case.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use super::layout::{self, Access, CODE, FILLER, IMAGE, IMAGE_BYTES, REGIONS};
use super::state::{Case, End, Floating, Image, Mode, Outcome, State};
use crate::fault::vector;
use crate::flags::bit;

/// The most cases in a batch.
pub(super) const BATCH: usize = 64;

/// Linux' selectors of flat segments of ring 3.
pub(super) const CODE_64: u16 = 0x33;
pub(super) const CODE_32: u16 = 0x23;
pub(super) const DATA: u16 = 0x2b;

/// Flags that the frame does not carry.
const BY_HANDLER: u64 = bit::NT | bit::ID;
/// Bytes in front of the instruction that the child fills again: all that any case can have changed.
const MAX_CODE: usize = 16;

/// A case in shared memory.
#[repr(C)]
struct Slot {
    before: State,
    after: State,
    code: [u8; MAX_CODE],
    /// Where the code is: an offset into the memory.
    code_at: usize,
    selector: u64,
    vector: u64,
    error: u64,
    cr2: u64,
    image: Image,
}

/// What parent and child share.
#[repr(C)]
struct Shared {
    count: usize,
    /// The case that is under way.
    next: usize,
    slots: [Slot; BATCH],
}

/// What the child's handler works with.
struct Driver {
    shared: *mut Shared,
    memory: *mut u8,
    /// Whether the first signal has been.
    running: bool,
    go: i32,
    done: i32,
}

static mut DRIVER: Driver =
    Driver { shared: ptr::null_mut(), memory: ptr::null_mut(), running: false, go: -1, done: -1 };

/// The child.
#[derive(Debug)]
pub(super) struct Native {
    process: libc::pid_t,
    shared: *mut Shared,
    go: File,
    done: File,
}

/// Maps shared memory somewhere.
fn map(bytes: usize, file: Option<&OwnedFd>) -> *mut u8 {
    let (flags, file) = match file {
        Some(file) => (libc::MAP_SHARED, file.as_raw_fd()),
        None => (libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
    };
    // SAFETY: a new mapping at a place of the kernel's choice.
    let at =
        unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, file, 0) };
    assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    at.cast()
}

fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: the array has room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: both are new, and nobody else's.
    unsafe { (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1])) }
}

impl Native {
    /// A child whose constant pages hold `constant`.
    pub(super) fn new(constant: &[u8]) -> Self {
        // SAFETY: a new descriptor, and nobody else's.
        let memory_file =
            unsafe { OwnedFd::from_raw_fd(libc::memfd_create(c"differential".as_ptr(), libc::MFD_CLOEXEC)) };
        let size = layout::BYTES as libc::off_t;
        // SAFETY: no memory is involved.
        assert_eq!(unsafe { libc::ftruncate(memory_file.as_raw_fd(), size) }, 0, "a memory of {size} bytes");
        let memory = map(layout::BYTES as usize, Some(&memory_file));
        // SAFETY: the mapping has all regions.
        unsafe {
            memory.write_bytes(FILLER, CODE.bytes() as usize);
            memory
                .add(layout::CONSTANT.offset as usize)
                .copy_from_nonoverlapping(constant.as_ptr(), constant.len());
        }
        let shared: *mut Shared = map(size_of::<Shared>(), None).cast();
        let (go_end, go) = pipe();
        let (done, done_end) = pipe();
        // SAFETY: the child calls nothing but system calls and code that neither allocates nor locks.
        let process = unsafe { libc::fork() };
        assert!(process >= 0, "{}", std::io::Error::last_os_error());
        if process == 0 {
            let (go_end, done_end) = (go_end.as_raw_fd(), done_end.as_raw_fd());
            // SAFETY: no memory is involved; the child has no use for its copies.
            unsafe { libc::close(go.as_raw_fd()) };
            let driver = Driver { shared, memory, running: false, go: go_end, done: done_end };
            // SAFETY: this is the child.
            unsafe { child(driver, memory_file.as_raw_fd()) };
        }
        // SAFETY: the child has its own mapping; this one is not used any more.
        unsafe { libc::munmap(memory.cast(), layout::BYTES as usize) };
        Self { process, shared, go, done }
    }

    /// Hands the child a batch. Its results are to be fetched by [`finish`](Self::finish).
    pub(super) fn start(&mut self, cases: &[Case]) {
        assert!(!cases.is_empty() && cases.len() <= BATCH);
        // SAFETY: it is our turn: the child waits, and does not touch the shared memory.
        let shared = unsafe { &mut *self.shared };
        shared.count = cases.len();
        shared.next = 0;
        for (slot, case) in shared.slots.iter_mut().zip(cases) {
            slot.before = case.before;
            slot.code = [FILLER; MAX_CODE];
            slot.code[..case.code.len()].copy_from_slice(&case.code);
            slot.code_at =
                layout::offset_of(case.before.rip, case.code.len()).expect("code lies in the code pages");
            slot.selector = match case.mode {
                Mode::Long => CODE_64.into(),
                Mode::Compatibility => CODE_32.into(),
            };
            slot.image.copy_from_slice(case.image.as_slice());
        }
        self.go.write_all(&[0]).expect("the child waits");
    }

    /// Waits for the results of a batch.
    pub(super) fn finish(&mut self, cases: &[Case]) -> Vec<Outcome> {
        if self.done.read(&mut [0]).unwrap_or(0) != 1 {
            let mut status = 0;
            // SAFETY: waits for our own child; the pointer is that of a local variable.
            unsafe { libc::waitpid(self.process, &raw mut status, 0) };
            // SAFETY: the child is dead.
            let at = unsafe { (*self.shared).next };
            let case = cases.get(at).map(super::compare::disassembly);
            panic!(
                "the native process died with wait status {status:#x} at case {at} of its batch: {case:?}"
            );
        }
        // SAFETY: it is our turn again.
        let shared = unsafe { &*self.shared };
        shared.slots[..cases.len()].iter().map(outcome).collect()
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // SAFETY: the child is ours and has not been waited for, or it is dead and nobody else has its number
        // yet; the mapping is used no more.
        unsafe {
            libc::kill(self.process, libc::SIGKILL);
            libc::waitpid(self.process, ptr::null_mut(), 0);
            libc::munmap(self.shared.cast(), size_of::<Shared>());
        }
    }
}

fn outcome(slot: &Slot) -> Outcome {
    let number = slot.vector as u8;
    let end = match number {
        vector::DEBUG => End::Completed,
        vector::PAGE_FAULT => End::Fault { vector: number, code: slot.error as u32, address: Some(slot.cr2) },
        _ => End::Fault { vector: number, code: slot.error as u32, address: None },
    };
    Outcome { end, after: slot.after, image: Box::new(slot.image) }
}

/// What the child does.
unsafe fn child(driver: Driver, memory_file: i32) -> ! {
    // SAFETY: a child has one thread, which alone uses the driver; all pointers are to mappings that live as
    // long as it does.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::prctl(libc::PR_SET_DUMPABLE, 0);
        for region in REGIONS {
            map_region(&region, memory_file);
        }
        DRIVER = driver;
        let stack = libc::stack_t { ss_sp: map(1 << 17, None).cast(), ss_flags: 0, ss_size: 1 << 17 };
        check(libc::sigaltstack(&raw const stack, ptr::null_mut()) == 0);
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = entry as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigfillset(&raw mut action.sa_mask);
        for signal in [libc::SIGTRAP, libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL] {
            check(libc::sigaction(signal, &raw const action, ptr::null_mut()) == 0);
        }
        // From here on there is no thread-local storage.
        std::arch::asm!("mov ds, {0:x}", "mov es, {0:x}", in(reg) DATA);
        check(libc::syscall(libc::SYS_arch_prctl, ARCH_SET_GS, layout::GS_BASE) == 0);
        check(libc::syscall(libc::SYS_arch_prctl, ARCH_SET_FS, layout::FS_BASE) == 0);
        check(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT) == 0);
        std::arch::asm!("ud2", options(noreturn));
    }
}

/// Linux, arch/x86/include/uapi/asm/prctl.h.
const ARCH_SET_GS: libc::c_ulong = 0x1001;
const ARCH_SET_FS: libc::c_ulong = 0x1002;

/// Ends the child, which the parent will notice, if something cannot be had.
fn check(succeeded: bool) {
    if !succeeded {
        // SAFETY: ends the process.
        unsafe { libc::_exit(2) };
    }
}

unsafe fn map_region(region: &layout::Region, file: i32) {
    let protection = match region.access {
        Access::Code => libc::PROT_READ | libc::PROT_EXEC,
        Access::Constant => libc::PROT_READ,
        Access::Data => libc::PROT_READ | libc::PROT_WRITE,
    };
    let flags = libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE | libc::MAP_POPULATE;
    let wanted = region.address as *mut libc::c_void;
    // SAFETY: the kernel refuses to map over something else.
    let at = unsafe {
        libc::mmap(wanted, region.bytes() as usize, protection, flags, file, region.offset as libc::off_t)
    };
    check(at == wanted);
}

/// Where signals come in: with all flags clear, alignment checks above all, goes on to [`on_signal`].
#[unsafe(naked)]
unsafe extern "C" fn entry() {
    std::arch::naked_asm!("push 2", "popfq", "jmp {}", sym on_signal)
}

/// An instruction is done: notes what it left behind, and prepares the next one.
unsafe extern "C" fn on_signal(_: i32, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: there is one thread, and signals do not nest; the kernel's frame has a general part and a
    // floating-point part; the batch in shared memory is ours between `go` and `done`.
    unsafe {
        let driver = &raw mut DRIVER;
        let driver = &mut *driver;
        let machine = &mut (*context).uc_mcontext;
        let shared = &mut *driver.shared;
        if driver.running {
            let slot = &mut shared.slots[shared.next % BATCH];
            note(slot, machine, driver.memory);
            shared.next += 1;
        }
        if !driver.running || shared.next == shared.count {
            take_turns(driver);
        }
        driver.running = true;
        prepare(&shared.slots[shared.next % BATCH], machine, driver.memory);
    }
}

/// Says that the batch is done, and waits for the next one.
unsafe fn take_turns(driver: &Driver) {
    let mut byte = 0u8;
    // SAFETY: the buffer is a byte long.
    unsafe {
        if driver.running {
            system_call(libc::SYS_write, driver.done, &raw mut byte, 1);
        }
        if system_call(libc::SYS_read, driver.go, &raw mut byte, 1) != 1 {
            system_call(libc::SYS_exit, 0, ptr::null_mut(), 0);
        }
    }
}

/// A system call without `errno`, which would be thread-local.
unsafe fn system_call(number: libc::c_long, file: i32, buffer: *mut u8, bytes: usize) -> i64 {
    let result;
    // SAFETY: by the caller.
    unsafe {
        std::arch::asm!(
            "syscall",
            inout("rax") number => result,
            in("rdi") i64::from(file),
            in("rsi") buffer,
            in("rdx") bytes,
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

/// RAX to R15 in the kernel's frame.
const REGISTERS: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// The code pages' bytes that a case covers.
fn code_length(at: usize) -> usize {
    MAX_CODE.min(CODE.bytes() as usize - at)
}

/// Takes an instruction's results from the frame.
unsafe fn note(slot: &mut Slot, machine: &libc::mcontext_t, memory: *mut u8) {
    let registers = &machine.gregs;
    for (value, place) in slot.after.general.iter_mut().zip(REGISTERS) {
        *value = registers[place as usize] as u64;
    }
    slot.after.rip = registers[libc::REG_RIP as usize] as u64;
    slot.after.flags = registers[libc::REG_EFL as usize] as u64;
    slot.vector = registers[libc::REG_TRAPNO as usize] as u64;
    slot.error = registers[libc::REG_ERR as usize] as u64;
    slot.cr2 = registers[libc::REG_CR2 as usize] as u64;
    // SAFETY: the kernel's floating-point area begins with what FXSAVE writes; the memory has all regions.
    unsafe {
        slot.after.floating = machine.fpregs.cast::<Floating>().read_unaligned();
        slot.image.as_mut_ptr().copy_from_nonoverlapping(memory.add(IMAGE as usize), IMAGE_BYTES);
        memory.add(slot.code_at).write_bytes(FILLER, code_length(slot.code_at));
    }
}

/// Where the kernel's floating-point area has XSTATE_BV: which parts are not in their initial state.
const XSTATE_BV: usize = 512;
/// The parts of it that FXSAVE's format has: x87 and SSE.
const X87_AND_SSE: u64 = 3;

/// Puts a case into the frame.
unsafe fn prepare(slot: &Slot, machine: &mut libc::mcontext_t, memory: *mut u8) {
    let registers = &mut machine.gregs;
    for (value, place) in slot.before.general.iter().zip(REGISTERS) {
        registers[place as usize] = *value as i64;
    }
    registers[libc::REG_RIP as usize] = slot.before.rip as i64;
    registers[libc::REG_EFL as usize] = (slot.before.flags | bit::TF) as i64;
    registers[libc::REG_CSGSFS as usize] = (u64::from(DATA) << 48 | slot.selector) as i64;
    // SAFETY: as in `note`. The reserved bytes behind the XMM registers, and MXCSR_MASK, are left as the
    // kernel wrote them.
    unsafe {
        let area = machine.fpregs.cast::<u8>();
        let mask = area.cast::<Floating>().read_unaligned().mxcsr_mask;
        let floating = Floating { mxcsr_mask: mask, ..slot.before.floating };
        area.cast::<Floating>().write_unaligned(floating);
        let parts = area.add(XSTATE_BV).cast::<u64>();
        parts.write(parts.read() | X87_AND_SSE);
        memory.add(IMAGE as usize).copy_from_nonoverlapping(slot.image.as_ptr(), IMAGE_BYTES);
        memory.add(slot.code_at).copy_from_nonoverlapping(slot.code.as_ptr(), code_length(slot.code_at));
        std::arch::asm!("push {}", "popfq", in(reg) slot.before.flags & BY_HANDLER | bit::FIXED);
    }
}
