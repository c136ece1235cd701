//! Single-step traps and breakpoints (Intel SDM volume 3, 18.2 and 18.3).
//!
//! As long as TF or a breakpoint is set, the run loop executes one instruction at a time and asks here: before
//! it, whether there is an instruction breakpoint; behind it, whether a trap follows. A trap is an exception
//! that is pending, so that it is part of the state between two instructions.
//!
//! Three kinds of instructions decide about the trap themselves ([`Cpu::trap_is_decided`]):
//!
//! * software interrupts clear TF, and no trap follows (18.3.1.4);
//! * SYSCALL and SYSRET heed the new TF instead of the old one, so that a kernel can mask it;
//! * one that faults is not followed by a trap, for it did not complete.
//!
//! A load of SS holds everything back until the next instruction is done (7.8.3): no trap follows it, data
//! breakpoints that it hit are forgotten, and so is an instruction breakpoint behind it.

use outlive_engine::{Activity, InterruptShadow, PendingEvent};

use super::interrupt;
use crate::cpu::Cpu;
use crate::fault::vector;
use crate::flags::bit;
use crate::memory::watch::Point;

/// Bits of DR6.
pub(super) mod status {
    /// B0 to B3: the breakpoints that were hit.
    pub(crate) const HITS: u64 = 0xf;
    /// BD: a debug register was used although DR7.GD is set.
    pub(crate) const DETECTED: u64 = 1 << 13;
    /// BS: the trap of TF.
    pub(crate) const STEP: u64 = 1 << 14;
}

/// CR4.DE: breakpoints on ports exist, and DR4 and DR5 do not.
pub(super) const DEBUG_EXTENSIONS: u64 = 1 << 3;

/// What hits a breakpoint: its field R/W in DR7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trigger {
    Execution,
    Write,
    Port,
    Access,
}

/// An enabled breakpoint.
#[derive(Clone, Copy, Debug)]
struct Breakpoint {
    number: u8,
    trigger: Trigger,
    address: u64,
    bytes: u64,
}

/// The enabled breakpoints (Intel SDM volume 3, 18.2.4 and 18.2.5).
fn breakpoints(cpu: &Cpu) -> impl Iterator<Item = Breakpoint> {
    let (debug, has_ports) = (cpu.debug, cpu.control.cr4 & DEBUG_EXTENSIONS != 0);
    (0..4).filter(move |number| debug.control >> (2 * number) & 3 != 0).filter_map(move |number| {
        let fields = debug.control >> (16 + 4 * number);
        let trigger = match fields & 3 {
            0 => Trigger::Execution,
            1 => Trigger::Write,
            // Undefined without the extensions: there is no such breakpoint.
            2 if has_ports => Trigger::Port,
            2 => return None,
            _ => Trigger::Access,
        };
        let bytes = [1, 2, 8, 4][(fields >> 2 & 3) as usize];
        let address = debug.address[number as usize];
        Some(Breakpoint { number: number as u8, trigger, address, bytes })
    })
}

/// To be called when DR0 to DR3, DR7 or CR4 were set: takes over which data is watched.
pub(crate) fn registers_changed(cpu: &mut Cpu) {
    let watched = breakpoints(cpu).filter(|point| matches!(point.trigger, Trigger::Write | Trigger::Access));
    let points = watched.map(|point| Point {
        number: point.number,
        address: point.address & !(point.bytes - 1),
        bytes: point.bytes,
        reads: point.trigger == Trigger::Access,
    });
    let points = points.collect();
    cpu.memory.set_watch(points);
    cpu.attend();
}

/// Whether any breakpoint is enabled, so that instructions have to be executed one by one.
pub(crate) fn is_armed(cpu: &Cpu) -> bool {
    cpu.debug.control & 0xff != 0
}

/// To be called before an instruction is executed by itself: forgets what is known of the one before.
pub(crate) fn before_instruction(cpu: &mut Cpu) {
    cpu.trap_is_decided = false;
    cpu.memory.watch.hits = 0;
}

/// Raises #DB if there is a breakpoint on the instruction at RIP. Whether there was one.
pub(crate) fn breaks_at(cpu: &mut Cpu) -> bool {
    // An instruction that waited for an answer has passed its breakpoint.
    let is_held = cpu.shadow == InterruptShadow::MovSs || cpu.memory.mmio.is_answered();
    if is_held || cpu.flags.has(bit::RF) {
        return false;
    }
    let linear = match cpu.is_long() {
        true => cpu.rip,
        false => cpu.segments.cs.base.wrapping_add(cpu.rip) & 0xffff_ffff,
    };
    let on_it =
        breakpoints(cpu).filter(|point| point.trigger == Trigger::Execution && point.address == linear);
    let hits = on_it.fold(0, |hits, point| hits | 1 << point.number);
    if hits != 0 {
        set_status(cpu, hits);
        interrupt::raise_breakpoint(cpu);
    }
    hits != 0
}

/// An instruction has used `bytes` ports from `port` on.
pub(super) fn note_port(cpu: &mut Cpu, port: u16, bytes: usize) {
    let (first, last) = (u64::from(port), u64::from(port) + bytes as u64 - 1);
    let on_it = breakpoints(cpu).filter(|point| {
        let begin = point.address & !(point.bytes - 1);
        point.trigger == Trigger::Port && begin <= last && first < begin.saturating_add(point.bytes)
    });
    cpu.memory.watch.hits |= on_it.fold(0, |hits, point| hits | 1 << point.number);
}

/// Follows an instruction that began with RFLAGS.TF as `traps` tells: makes #DB pending if it hit a data or I/O
/// breakpoint or is to be followed by a trap.
pub(crate) fn after_instruction(cpu: &mut Cpu, traps: bool) {
    let hits = u64::from(std::mem::take(&mut cpu.memory.watch.hits));
    let steps = traps && !std::mem::take(&mut cpu.trap_is_decided);
    let bits = hits | if steps { status::STEP } else { 0 };
    if bits != 0 && cpu.shadow != InterruptShadow::MovSs {
        trap(cpu, bits);
    }
}

/// Makes #DB pending, with these bits of DR6.
pub(super) fn trap(cpu: &mut Cpu, bits: u64) {
    let is_pending = cpu.pending.is_some();
    let kept = if is_pending { cpu.debug.status & status::HITS } else { 0 };
    set_status(cpu, kept | bits);
    cpu.pending = Some(PendingEvent::Exception { vector: vector::DEBUG, error_code: None });
    cpu.activity = Activity::Running;
    cpu.attend();
}

/// Sets bits of DR6. The processor never clears the others but B0 to B3 (Intel SDM volume 3, 18.2.3).
pub(super) fn set_status(cpu: &mut Cpu, bits: u64) {
    cpu.debug.status = cpu.debug.status & !status::HITS | bits;
}

impl Cpu {
    /// No trap follows the instruction under way, and breakpoints that it hit are forgotten.
    pub(super) fn debug_is_settled(&mut self) {
        self.trap_is_decided = true;
        self.memory.watch.hits = 0;
    }

    /// The trap behind the instruction under way depends on the flags that it has set.
    pub(super) fn trap_by_new_flags(&mut self) {
        self.trap_is_decided = true;
        if self.flags.has(bit::TF) {
            trap(self, status::STEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use outlive_engine::{Answer, Exit};

    use crate::cpu::number;
    use crate::flags::bit;
    use crate::system::stage::{GateImage, Stage, selector};
    use crate::testing::{CODE, DATA, STACK};

    const STEP: u64 = 1 << 14;
    const FIXED: u64 = 0xffff_0ff0;
    /// Nothing but NOPs.
    const NOPS: [u8; 8] = [0x90; 8];

    fn stepping() -> Stage {
        let mut stage = Stage::new();
        stage.trial.cpu.flags.set_control(bit::TF, true);
        stage
    }

    /// A stage with breakpoint 0 on an address; `kind` is its R/W and LEN.
    fn breaking(address: u64, kind: u64) -> Stage {
        let mut stage = Stage::new();
        stage.trial.cpu.debug.address[0] = address;
        stage.trial.cpu.debug.control = 0x400 | 1 | kind << 16;
        super::registers_changed(&mut stage.trial.cpu);
        stage
    }

    #[test]
    fn a_trap_follows_every_instruction_that_begins_with_the_flag() {
        let mut stage = stepping();
        let frame = stage.event(&NOPS);
        assert_eq!((frame.vector, frame.rip, frame.flags), (1, CODE + 1, bit::TF | bit::FIXED));
        assert_eq!(stage.trial.cpu.debug.status, FIXED | STEP);
        assert_eq!(stage.trial.cpu.retired, 3, "NOP, the trap, HLT");
        assert!(!stage.trial.cpu.flags.has(bit::TF));
    }

    #[test]
    fn popf_is_followed_by_a_trap_only_if_the_flag_was_set_before() {
        let mut stage = Stage::new();
        stage.trial.write(STACK - 8, &(bit::TF | 2).to_le_bytes());
        *stage.trial.cpu.register_mut(number::RSP) = STACK - 8;
        // POPFQ; NOP; NOP
        assert_eq!(stage.event(&[0x9d, 0x90, 0x90]).rip, CODE + 2);
        let mut stage = stepping();
        stage.trial.write(STACK - 8, &2u64.to_le_bytes());
        *stage.trial.cpu.register_mut(number::RSP) = STACK - 8;
        let frame = stage.event(&[0x9d, 0x90]);
        assert_eq!((frame.rip, frame.flags), (CODE + 1, 2));
    }

    #[test]
    fn an_instruction_that_faults_is_not_followed_by_a_trap() {
        let mut stage = stepping();
        let frame = stage.event(&[0x0f, 0x0b]);
        assert_eq!((frame.vector, frame.flags), (6, bit::TF | bit::RF | bit::FIXED));
        assert_eq!((stage.trial.cpu.debug.status, stage.trial.cpu.pending), (FIXED, None));
    }

    #[test]
    fn software_interrupts_are_not_followed_by_a_trap() {
        for code in [&[0xcd, 0x80][..], &[0xcc], &[0xf1]] {
            let mut stage = stepping();
            let frame = stage.event(code);
            assert_ne!(frame.flags & bit::TF, 0);
            assert_eq!((stage.trial.cpu.debug.status, stage.trial.cpu.pending), (FIXED, None), "{code:x?}");
        }
    }

    #[test]
    fn a_trap_behind_hlt_wakes_the_processor() {
        let mut stage = stepping();
        assert_eq!(stage.run(&[0xf4, 0x90]), Exit::Halt);
        assert_eq!(stage.trial.cpu.activity, outlive_engine::Activity::Running);
        assert_eq!(stage.handled().rip, CODE + 1);
    }

    #[test]
    fn a_load_of_ss_delays_the_trap_by_one_instruction() {
        let mut stage = stepping();
        *stage.trial.cpu.register_mut(number::RAX) = selector::DATA.into();
        // MOV SS, EAX; NOP; NOP
        assert_eq!(stage.event(&[0x8e, 0xd0, 0x90, 0x90]).rip, CODE + 3);
    }

    #[test]
    fn system_calls_heed_the_new_flag() {
        let system_call = |mask| {
            let mut stage = stepping();
            stage.trial.cpu.msrs.lstar = DATA;
            stage.trial.cpu.msrs.star = u64::from(selector::CODE) << 32;
            stage.trial.cpu.msrs.sfmask = mask;
            stage.trial.write(DATA, &[0x0f, 0x0b]);
            stage.event(&[0x0f, 0x05])
        };
        let (masked, seen) = (system_call(bit::TF), system_call(0));
        assert_eq!((masked.vector, masked.rip), (6, DATA));
        assert_eq!((seen.vector, seen.rip), (1, DATA));
    }

    #[test]
    fn sysret_with_the_flag_traps_at_once() {
        let mut stage = Stage::new();
        stage.trial.cpu.msrs.star = u64::from(selector::USER_COMPATIBILITY) << 48;
        *stage.trial.cpu.register_mut(number::RCX) = DATA;
        *stage.trial.cpu.register_mut(number::R11) = bit::TF;
        let frame = stage.event(&[0x48, 0x0f, 0x07]);
        assert_eq!((frame.vector, frame.rip, frame.cs), (1, DATA, selector::USER_CODE.into()));
    }

    #[test]
    fn each_iteration_of_a_string_traps_and_the_breakpoint_does_not_come_again() {
        let mut stage = stepping();
        *stage.trial.cpu.register_mut(number::RCX) = 2;
        *stage.trial.cpu.register_mut(number::RSI) = DATA;
        // REP OUTSB
        assert!(matches!(stage.run(&[0xf3, 0x6e, 0x90]), Exit::PortWrite { .. }));
        let frame = stage.handled();
        assert_eq!((frame.rip, frame.flags & bit::RF), (CODE, bit::RF));
        let cpu = &mut stage.trial.cpu;
        cpu.rip = CODE;
        cpu.flags.set_bits(bit::TF | bit::RF);
        assert!(matches!(stage.go(100), Exit::PortWrite { .. }));
        cpu_is_behind(&mut stage);
    }

    fn cpu_is_behind(stage: &mut Stage) {
        let frame = stage.handled();
        assert_eq!((frame.rip, frame.flags & bit::RF), (CODE + 2, 0));
    }

    #[test]
    fn an_instruction_breakpoint_comes_before_its_instruction_unless_rf_is_set() {
        let mut stage = breaking(CODE + 1, 0);
        let frame = stage.event(&NOPS);
        assert_eq!((frame.vector, frame.rip, frame.flags), (1, CODE + 1, bit::FIXED));
        assert_eq!(stage.trial.cpu.debug.status, FIXED | 1);
        assert_eq!(stage.trial.cpu.retired, 3, "NOP, the breakpoint, HLT");
        stage.trial.cpu.rip = CODE + 1;
        stage.trial.cpu.flags.set_control(bit::RF, true);
        assert_eq!(stage.go(1), Exit::LimitReached);
        assert_eq!((stage.trial.cpu.rip, stage.trial.cpu.flags.has(bit::RF)), (CODE + 2, false));
    }

    #[test]
    fn an_instruction_that_waits_for_an_answer_passes_its_breakpoint_once() {
        let mut stage = breaking(CODE, 0);
        stage.trial.cpu.flags.set_control(bit::RF, true);
        stage.answers = vec![Answer::Value(0x55)];
        assert_eq!(stage.run(&[0xe4, 0x10, 0xf4]), Exit::Halt);
        assert_eq!((stage.trial.cpu.rip, stage.trial.cpu.register(number::RAX)), (CODE + 3, 0x55));
    }

    #[test]
    fn data_breakpoints_trap_behind_the_access() {
        // Writes of two bytes at DATA + 2 are watched. PUSH FS writes eight, with RSP = DATA + 8.
        let mut stage = breaking(DATA + 3, 0b0101);
        *stage.trial.cpu.register_mut(number::RSP) = DATA + 8;
        stage.set_gate(1, GateImage { stack: 1, ..GateImage::default() });
        let frame = stage.event(&[0x0f, 0xa0, 0x90]);
        assert_eq!((frame.rip, frame.rsp, frame.flags), (CODE + 2, DATA, bit::FIXED));
        assert_eq!(stage.trial.cpu.debug.status, FIXED | 1);
        // Reads hit the other kind only: POP FS.
        let read = |kind| {
            let mut stage = breaking(DATA + 7, kind);
            stage.set_gate(1, GateImage { stack: 1, ..GateImage::default() });
            *stage.trial.cpu.register_mut(number::RSP) = DATA;
            stage.run(&[0x0f, 0xa1, 0xf4]);
            stage.trial.cpu.debug.status & 1
        };
        assert_eq!((read(0b0001), read(0b0011)), (0, 1));
        let mut missed = breaking(DATA + 8, 0b0011);
        *missed.trial.cpu.register_mut(number::RSP) = DATA + 8;
        missed.run(&[0x0f, 0xa0, 0xf4]);
        assert_eq!(missed.trial.cpu.debug.status, FIXED);
    }

    #[test]
    fn instructions_that_read_and_write_in_one_go_hit_data_breakpoints() {
        // INC, XCHG, CMPXCHG, CMPXCHG8B and CMPXCHG16B of what RBX points at.
        for code in [
            &[0xfe, 0x03][..],
            &[0x86, 0x03],
            &[0x0f, 0xb1, 0x03],
            &[0x0f, 0xc7, 0x0b],
            &[0x48, 0x0f, 0xc7, 0x0b],
        ] {
            for kind in [0b0001, 0b0011] {
                let mut stage = breaking(DATA, kind);
                *stage.trial.cpu.register_mut(number::RBX) = DATA;
                let frame = stage.event(&[code, &[0x90]].concat());
                assert_eq!((frame.vector, frame.rip), (1, CODE + code.len() as u64), "{code:x?}");
                assert_eq!(stage.trial.cpu.debug.status, FIXED | 1);
            }
        }
    }

    #[test]
    fn port_breakpoints_need_the_debug_extensions() {
        let out = |extensions| {
            let mut stage = breaking(0x81, 0b0010);
            stage.trial.cpu.control.cr4 |= extensions;
            // OUT 0x80, AX; HLT
            assert!(matches!(stage.run(&[0x66, 0xe7, 0x80, 0xf4]), Exit::PortWrite { .. }));
            stage.go(100);
            stage.trial.cpu.debug.status & 1
        };
        assert_eq!((out(0), out(super::DEBUG_EXTENSIONS)), (0, 1));
    }

    #[test]
    fn general_detect_faults_before_the_access_and_is_cleared() {
        let mut stage = Stage::new();
        stage.trial.cpu.debug.control = 0x2400;
        // MOV RAX, DR0
        let frame = stage.event(&[0x0f, 0x21, 0xc0]);
        assert_eq!((frame.vector, frame.rip, frame.flags & bit::RF), (1, CODE, bit::RF));
        assert_eq!((stage.trial.cpu.debug.control, stage.trial.cpu.debug.status), (0x400, FIXED | 1 << 13));
    }

    #[test]
    fn debug_registers_have_fixed_bits() {
        let mut stage = Stage::new();
        *stage.trial.cpu.register_mut(number::RAX) = 0xffff_ffff;
        assert!(stage.trial.execute(&[0x0f, 0x23, 0xf0]).is_ok());
        assert_eq!(stage.trial.cpu.debug.status, 0xffff_efff);
        *stage.trial.cpu.register_mut(number::RAX) = 0xffff_dfff;
        assert!(stage.trial.execute(&[0x0f, 0x23, 0xe8]).is_ok(), "DR5 is DR7");
        assert_eq!(stage.trial.cpu.debug.control, 0xffff_07ff);
        *stage.trial.cpu.register_mut(number::RAX) = 1 << 32;
        let exception = stage.trial.fault(&[0x0f, 0x23, 0xf8]);
        assert_eq!(exception, crate::fault::Exception::PROTECTION);
        stage.trial.cpu.control.cr4 |= super::DEBUG_EXTENSIONS;
        assert_eq!(stage.trial.fault(&[0x0f, 0x21, 0xe0]), crate::fault::Exception::UNDEFINED);
    }
}
