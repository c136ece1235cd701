//! Delivery of exceptions and interrupts (Intel SDM volume 3, chapter 7).
//!
//! [`gate`] is the way into a handler. Here is what surrounds it: what kind of event it is, and
//! what becomes of it if an exception arises on the way. That exception replaces the event, unless the two
//! together are a double fault (table 7-5); and if even that cannot be delivered, the processor shuts down.
//!
//! **Counting.** An exception that is delivered is one step of [`Cpu::retired`], however many were tried before
//! it. An external interrupt is none, for the monitor injects it at a place that it has counted already. A
//! software interrupt is its instruction.

use outlive_engine::{Exit, PendingEvent};

use super::gate;
use crate::cpu::{Cpu, not_canonical};
use crate::fault::{Abort, Exception, Reason, vector};

/// Where an event comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// The processor.
    Exception,
    /// A device.
    Interrupt,
    /// INT n, INT3 or INTO: the gate's DPL counts.
    Software,
    /// INT1: no DPL is looked at.
    Privileged,
}

/// What is to be delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Event {
    pub(super) vector: u8,
    pub(super) error_code: Option<u32>,
    pub(super) source: Source,
    /// Whether RF is set in the flags that are pushed. Else it is as it is.
    pub(super) resumes: bool,
}

/// How exceptions combine (Intel SDM volume 3, table 7-4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Class {
    Benign,
    Contributory,
    PageFault,
    DoubleFault,
}

impl Event {
    /// An exception that an instruction raised: of class fault, unless it is a double fault. RF is set for
    /// it, so that an instruction breakpoint does not come twice (Intel SDM volume 3, 18.3.1.1).
    fn fault(exception: &Exception) -> Self {
        Self {
            vector: exception.vector,
            error_code: exception.error_code,
            source: Source::Exception,
            resumes: exception.vector != vector::DOUBLE_FAULT,
        }
    }

    /// The bit EXT of error codes: the event is not one that the program asked for (Intel SDM volume 3, 7.13).
    pub(super) fn external(&self) -> u32 {
        u32::from(self.source != Source::Software)
    }

    fn class(&self) -> Class {
        if self.source != Source::Exception {
            return Class::Benign;
        }
        match self.vector {
            vector::DIVIDE_ERROR
            | vector::INVALID_TSS
            | vector::SEGMENT_NOT_PRESENT
            | vector::STACK_FAULT
            | vector::GENERAL_PROTECTION => Class::Contributory,
            vector::PAGE_FAULT => Class::PageFault,
            vector::DOUBLE_FAULT => Class::DoubleFault,
            _ => Class::Benign,
        }
    }

    /// What comes when `second` arises while this event is being delivered; `None` if the processor shuts
    /// down (Intel SDM volume 3, table 7-5).
    fn followed_by(&self, second: Self) -> Option<Self> {
        match (self.class(), second.class()) {
            (Class::DoubleFault, Class::Contributory | Class::PageFault | Class::DoubleFault) => None,
            (Class::Contributory, Class::Contributory)
            | (Class::PageFault, Class::Contributory | Class::PageFault) => {
                Some(Self::fault(&Exception::with_code(vector::DOUBLE_FAULT, 0)))
            }
            _ => Some(second),
        }
    }
}

/// Delivers an exception that the instruction at RIP raised. If that is impossible, a double fault; if that is
/// impossible, the processor shuts down.
pub(crate) fn raise(cpu: &mut Cpu, exception: Exception) {
    if let Some(address) = exception.address {
        cpu.control.cr2 = address;
    }
    deliver(cpu, Event::fault(&exception));
}

/// Delivers #DB for an instruction breakpoint at RIP, which leaves RF as it is.
pub(super) fn raise_breakpoint(cpu: &mut Cpu) {
    let exception = Exception::plain(vector::DEBUG);
    deliver(cpu, Event { resumes: false, ..Event::fault(&exception) });
}

/// Delivers a pending event.
pub(crate) fn deliver_event(cpu: &mut Cpu, event: PendingEvent) {
    match event {
        PendingEvent::Exception { vector, error_code } => {
            // #DB that waits is a trap, and so are #BP and #OF.
            let is_trap = matches!(vector, vector::DEBUG | vector::BREAKPOINT | vector::OVERFLOW);
            let fault = Event::fault(&Exception { vector, error_code, address: None });
            deliver(cpu, Event { resumes: fault.resumes && !is_trap, ..fault });
        }
        PendingEvent::Interrupt { vector } => {
            deliver(cpu, Event { vector, error_code: None, source: Source::Interrupt, resumes: false });
        }
    }
}

/// Delivers an event or what it turns into, which is a step.
fn deliver(cpu: &mut Cpu, mut event: Event) {
    cpu.debug_is_settled();
    loop {
        let rip = cpu.rip;
        let Err(Abort) = gate::enter(cpu, &event, rip) else {
            cpu.retired += 1;
            return;
        };
        let second = match cpu.memory.reason.take().expect("whoever aborts says why") {
            Reason::Exception(exception) => exception,
            Reason::NotCanonical => not_canonical(None),
            Reason::Exit(exit) => return tell(cpu, exit),
        };
        if let Some(address) = second.address {
            cpu.control.cr2 = address;
        }
        match event.followed_by(Event::fault(&second)) {
            Some(next) => event = next,
            None => return tell(cpu, Exit::Shutdown),
        }
    }
}

fn tell(cpu: &mut Cpu, exit: Exit) {
    cpu.exit = Some(exit);
    cpu.attend();
}

#[cfg(test)]
mod tests {
    use outlive_engine::{Exit, PendingEvent};

    use crate::cpu::number;
    use crate::flags::bit;
    use crate::system::stage::{Frame, GateImage, INTERRUPT_STACK, RING_STACKS, Stage, USER_STACK, selector};
    use crate::testing::{CODE, RAM, STACK};

    const UD2: [u8; 2] = [0x0f, 0x0b];

    #[test]
    fn an_exception_pushes_an_aligned_frame_and_masks_interrupts() {
        let mut stage = Stage::new();
        *stage.trial.cpu.register_mut(number::RSP) = STACK - 3;
        stage.trial.cpu.flags.set_bits(bit::IF | bit::NT | bit::CF | bit::FIXED);
        let frame = stage.event(&UD2);
        let flags = bit::RF | bit::IF | bit::NT | bit::CF | bit::FIXED;
        let (cs, ss) = (selector::CODE.into(), selector::DATA.into());
        let expected =
            Frame { vector: 6, code: None, rip: CODE, cs, flags, rsp: STACK - 3, ss, end: STACK - 16 };
        assert_eq!(frame, expected);
        assert_eq!(stage.trial.cpu.flags.bits(), bit::CF | bit::FIXED);
        assert_eq!(stage.descriptor(selector::CODE) >> 40 & 1, 1, "accessed");
        assert_eq!(stage.trial.cpu.segments.ss.selector, selector::DATA);
    }

    #[test]
    fn a_trap_gate_leaves_interrupts_on() {
        let mut stage = Stage::new();
        stage.set_gate(6, GateImage { access: 0x8f, ..GateImage::default() });
        stage.trial.cpu.flags.set_bits(bit::IF | bit::FIXED);
        stage.event(&UD2);
        assert_eq!(stage.trial.cpu.flags.bits(), bit::IF | bit::FIXED);
    }

    #[test]
    fn the_delivery_of_an_event_counts_as_one_step() {
        let mut stage = Stage::new();
        stage.event(&UD2);
        assert_eq!(stage.trial.cpu.retired, 2, "the exception, and HLT in its handler");
        let mut stage = Stage::new();
        stage.trial.cpu.pending = Some(PendingEvent::Interrupt { vector: 0x40 });
        let frame = stage.event(&UD2);
        assert_eq!((frame.vector, frame.rip, frame.flags), (0x40, CODE, bit::FIXED));
        assert_eq!(stage.trial.cpu.retired, 2, "the interrupt, and HLT in its handler");
    }

    #[test]
    fn a_pending_exception_is_a_step_that_the_limit_holds_back() {
        let mut stage = Stage::new();
        stage.trial.cpu.pending = Some(PendingEvent::Exception { vector: 13, error_code: Some(0x18) });
        stage.trial.cpu.rip = CODE;
        assert_eq!(stage.go(0), Exit::LimitReached);
        assert!(stage.trial.cpu.pending.is_some());
        assert_eq!(stage.go(1), Exit::LimitReached);
        let frame = stage.handled();
        assert_eq!((frame.vector, frame.code, frame.rip), (13, Some(0x18), CODE));
        assert_eq!(frame.flags, bit::RF | bit::FIXED);
        assert_eq!(stage.trial.cpu.retired, 2);
    }

    #[test]
    fn a_pending_interrupt_is_a_step_so_the_places_before_and_behind_it_have_names_of_their_own() {
        let mut stage = Stage::new();
        stage.trial.cpu.pending = Some(PendingEvent::Interrupt { vector: 0x40 });
        stage.trial.cpu.rip = CODE;
        assert_eq!(stage.go(0), Exit::LimitReached);
        assert_eq!((stage.trial.cpu.retired, stage.trial.cpu.rip), (0, CODE));
        assert_eq!(stage.go(1), Exit::LimitReached);
        assert_eq!(stage.trial.cpu.retired, 1);
        assert_ne!(stage.trial.cpu.rip, CODE, "the handler");
    }

    #[test]
    fn an_event_in_ring_3_takes_the_stack_of_the_handlers_ring() {
        let mut stage = Stage::user();
        let frame = stage.event(&UD2);
        assert_eq!(frame.end, RING_STACKS[0]);
        assert_eq!((frame.cs, frame.ss), (selector::USER_CODE.into(), selector::USER_DATA.into()));
        assert_eq!(frame.rsp, USER_STACK);
        let cpu = &stage.trial.cpu;
        assert_eq!((cpu.privilege(), cpu.segments.ss.selector, cpu.segments.ss.unusable), (0, 0, true));
        let mut stage = Stage::user();
        stage.set_gate(6, GateImage { selector: selector::RING_1_CODE, ..GateImage::default() });
        stage.set_gate(13, GateImage { stack: 2, ..GateImage::default() });
        let frame = stage.event(&UD2);
        assert_eq!(frame.vector, 13, "HLT in ring 1");
        assert_eq!((frame.cs, frame.ss), (u64::from(selector::RING_1_CODE | 1), 1));
        assert_eq!(frame.end, INTERRUPT_STACK + 0x200);
        assert_eq!(frame.rsp, RING_STACKS[1] - 40);
    }

    #[test]
    fn conforming_code_handles_in_the_ring_and_on_the_stack_where_it_is() {
        let mut stage = Stage::user();
        stage.set_gate(6, GateImage { selector: selector::CONFORMING, ..GateImage::default() });
        let frame = stage.event(&UD2);
        assert_eq!(frame.vector, 13, "HLT in ring 3");
        assert_eq!((frame.cs, frame.rsp), (u64::from(selector::CONFORMING | 3), USER_STACK - 40));
    }

    #[test]
    fn a_gate_may_name_a_stack_of_its_own() {
        let mut stage = Stage::new();
        stage.set_gate(6, GateImage { stack: 3, ..GateImage::default() });
        let frame = stage.event(&UD2);
        assert_eq!((frame.end, frame.rsp), (INTERRUPT_STACK + 0x300, STACK));
        assert_eq!(stage.trial.cpu.segments.ss.selector, selector::DATA, "the ring is the same");
    }

    #[test]
    fn software_interrupts_heed_the_gates_privilege_level() {
        let mut stage = Stage::user();
        let frame = stage.event(&[0xcd, 0x80]);
        assert_eq!((frame.vector, frame.code, frame.rip), (13, Some(0x80 * 8 + 2), CODE));
        let mut stage = Stage::user();
        stage.set_gate(0x80, GateImage { access: 0xee, ..GateImage::default() });
        let frame = stage.event(&[0xcd, 0x80]);
        assert_eq!((frame.vector, frame.rip, frame.flags), (0x80, CODE + 2, bit::FIXED));
        assert_eq!(stage.trial.cpu.retired, 2, "INT and HLT");
        let mut stage = Stage::user();
        assert_eq!(stage.event(&[0xcc]).code, Some(3 * 8 + 2));
        assert_eq!(stage.event_of_int1(), (1, CODE + 1));
    }

    impl Stage {
        fn event_of_int1(&mut self) -> (u8, u64) {
            let mut stage = Stage::user();
            let frame = stage.event(&[0xf1]);
            assert_eq!(stage.trial.cpu.debug.status, 0xffff_0ff0, "DR6 does not tell");
            (frame.vector, frame.rip)
        }
    }

    #[test]
    fn error_codes_name_the_gate_or_the_segment_that_is_wrong() {
        let cases = [
            (GateImage { access: 0x0e, ..GateImage::default() }, 11, 0x80 * 8 + 2),
            (GateImage { access: 0x8c, ..GateImage::default() }, 13, 0x80 * 8 + 2),
            (GateImage { access: 0x85, ..GateImage::default() }, 13, 0x80 * 8 + 2),
            (GateImage { selector: 3, ..GateImage::default() }, 13, 0),
            (GateImage { selector: selector::BEYOND, ..GateImage::default() }, 13, 0x100),
            (GateImage { selector: selector::DATA, ..GateImage::default() }, 13, 0x10),
            (GateImage { selector: selector::COMPATIBILITY, ..GateImage::default() }, 13, 0x18),
            (GateImage { selector: selector::USER_CODE, ..GateImage::default() }, 13, 0x30),
            (GateImage { selector: selector::ABSENT_CODE, ..GateImage::default() }, 11, 0x78),
            (GateImage { handler: Some(1 << 47), ..GateImage::default() }, 13, 0),
        ];
        for (gate, vector, code) in cases {
            let mut stage = Stage::new();
            stage.set_gate(0x80, gate);
            let frame = stage.event(&[0xcd, 0x80]);
            assert_eq!((frame.vector, frame.code, frame.rip), (vector, Some(code), CODE), "{gate:x?}");
            let mut stage = Stage::new();
            stage.set_gate(0x80, gate);
            stage.trial.cpu.pending = Some(PendingEvent::Interrupt { vector: 0x80 });
            let frame = stage.event(&[0x90]);
            assert_eq!((frame.vector, frame.code), (vector, Some(code | 1)), "{gate:x?}");
        }
    }

    #[test]
    fn a_vector_beyond_the_table_is_a_protection_fault() {
        let mut stage = Stage::new();
        stage.trial.cpu.idt.limit = 0x80 * 16 + 14;
        let frame = stage.event(&[0xcd, 0x80]);
        assert_eq!((frame.vector, frame.code), (13, Some(0x80 * 8 + 2)));
        stage.trial.cpu.idt.limit += 1;
        assert_eq!(stage.event(&[0xcd, 0x80]).vector, 0x80);
    }

    #[test]
    fn bad_stacks_fault_with_the_external_bit() {
        let mut stage = Stage::user();
        stage.set_gate(10, GateImage { stack: 1, ..GateImage::default() });
        stage.set_gate(12, GateImage { stack: 1, ..GateImage::default() });
        stage.set_task(4, 1 << 63);
        assert_eq!(stage.event(&UD2).code, Some(1), "#SS: the new stack is not canonical");
        let mut stage = Stage::user();
        stage.set_gate(6, GateImage { stack: 7, ..GateImage::default() });
        stage.trial.cpu.segments.tr.limit = 0x5a;
        let frame = stage.event(&UD2);
        assert_eq!((frame.vector, frame.code), (10, Some(0x51)), "#TS: the TSS is too short");
    }

    #[test]
    fn a_page_fault_on_the_way_to_a_handler_takes_its_place() {
        let mut stage = Stage::user();
        stage.set_gate(14, GateImage { stack: 1, ..GateImage::default() });
        stage.set_task(4, 0x20_0018);
        let frame = stage.event(&UD2);
        assert_eq!((frame.vector, frame.code, frame.rip), (14, Some(2), CODE));
        assert_eq!(frame.cs, u64::from(selector::USER_CODE));
        assert_eq!(stage.trial.cpu.control.cr2, 0x20_0008, "the first slot below the aligned top");
        assert_eq!(stage.trial.cpu.retired, 2);
    }

    #[test]
    fn contributory_exceptions_make_a_double_fault_and_then_shut_down() {
        let absent = GateImage { access: 0x0e, ..GateImage::default() };
        // MOV to SS of a selector beyond the table.
        let protection = [0x8e, 0xd0];
        let mut stage = Stage::new();
        stage.set_gate(13, absent);
        *stage.trial.cpu.register_mut(number::RAX) = selector::BEYOND.into();
        let frame = stage.event(&protection);
        assert_eq!((frame.vector, frame.code, frame.rip), (8, Some(0), CODE));
        stage.set_gate(8, absent);
        *stage.trial.cpu.register_mut(number::RAX) = selector::BEYOND.into();
        let before = stage.trial.cpu.retired;
        assert_eq!(stage.run(&protection), Exit::Shutdown);
        assert_eq!((stage.trial.cpu.retired, stage.trial.cpu.rip), (before, CODE));
        assert_eq!(stage.trial.cpu.segments.cs.selector, selector::CODE);
    }

    #[test]
    fn a_benign_exception_is_followed_by_the_fault_of_its_delivery() {
        let mut stage = Stage::new();
        stage.set_gate(6, GateImage { access: 0x0e, ..GateImage::default() });
        let frame = stage.event(&UD2);
        assert_eq!((frame.vector, frame.code), (11, Some(6 * 8 + 3)));
    }

    #[test]
    fn no_table_at_all_shuts_the_processor_down() {
        let mut stage = Stage::new();
        stage.trial.cpu.idt.limit = 0;
        assert_eq!(stage.run(&UD2), Exit::Shutdown);
    }

    #[test]
    fn a_table_outside_of_ram_stops_the_guest() {
        let mut stage = Stage::new();
        stage.trial.cpu.idt.base = RAM;
        assert!(matches!(stage.run(&UD2), Exit::Unhandled(_)));
        assert_eq!(stage.trial.cpu.rip, CODE);
        assert!(matches!(stage.run(&[0xcd, 0x80]), Exit::Unhandled(_)));
    }

    #[test]
    fn a_stack_outside_of_ram_is_written_to_by_exits() {
        let mut stage = Stage::new();
        *stage.trial.cpu.register_mut(number::RSP) = RAM + 0x100;
        let Exit::MmioWrite { address, bytes: 8, value } = stage.run(&UD2) else { panic!("a write") };
        assert_eq!((address.0, value), (RAM + 0xf8, selector::DATA.into()));
    }
}
