//! Far JMP, CALL and RET, and call gates (Intel SDM volume 2; volume 3, 6.8).
//!
//! In long mode there are no task gates, and call gates lead to 64-bit code only. A call through a gate to an
//! inner ring takes its stack from the TSS; its frame is not aligned, unlike that of an interrupt.

use iced_x86::{Code as Instr, Instruction};

use super::descriptor::{Descriptor, Selector, kind, null_segment};
use super::transfer::Code;
use crate::cpu::{Cpu, number};
use crate::decode::Selection;
use crate::fault::{Abort, Exception, Reason, vector};
use crate::memory::is_canonical;
use crate::op::{Op, Step};
use crate::width::{Dword, Qword, Width, Word};

pub(super) fn select(instruction: &Instruction) -> Option<Selection> {
    Some(Selection::last(match instruction.code() {
        Instr::Jmp_ptr1616 | Instr::Jmp_ptr1632 => jump_direct,
        Instr::Jmp_m1616 => jump::<Word>,
        Instr::Jmp_m1632 => jump::<Dword>,
        Instr::Jmp_m1664 => jump::<Qword>,
        Instr::Call_ptr1616 => call_direct::<Word>,
        Instr::Call_ptr1632 => call_direct::<Dword>,
        Instr::Call_m1616 => call::<Word>,
        Instr::Call_m1632 => call::<Dword>,
        Instr::Call_m1664 => call::<Qword>,
        Instr::Retfw | Instr::Retfw_imm16 => ret::<Word>,
        Instr::Retfd | Instr::Retfd_imm16 => ret::<Dword>,
        Instr::Retfq | Instr::Retfq_imm16 => ret::<Qword>,
        _ => return None,
    }))
}

/// A pointer in the instruction: exists in compatibility mode only.
fn pointer(op: &Op) -> (u64, Selector) {
    (op.immediate, Selector(op.displacement as u16))
}

extern "sysv64-unwind" fn jump_direct(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    jump_to(cpu, pointer(op))
}

extern "sysv64-unwind" fn jump<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let pointer = cpu.load_far_pointer::<W>(op)?;
    jump_to(cpu, pointer)
}

extern "sysv64-unwind" fn call_direct<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    call_to::<W>(cpu, op, pointer(op))
}

extern "sysv64-unwind" fn call<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let pointer = cpu.load_far_pointer::<W>(op)?;
    call_to::<W>(cpu, op, pointer)
}

/// What a far pointer's selector names.
enum Target {
    Segment(Descriptor),
    /// A call gate, with what it leads to.
    Gate(Selector, Descriptor, u64),
}

fn target(cpu: &mut Cpu, selector: Selector) -> Result<Target, Abort> {
    if selector.is_null() {
        return cpu.raise(Exception::PROTECTION);
    }
    let descriptor = cpu.descriptor_or_fault(selector)?;
    if descriptor.is_segment() {
        return Ok(Target::Segment(descriptor));
    }
    if descriptor.kind() != kind::CALL_GATE {
        return cpu.raise(selector.fault(vector::GENERAL_PROTECTION));
    }
    gate(cpu, selector)
}

/// Checks a call gate, and the code segment behind it but for its privilege level.
fn gate(cpu: &mut Cpu, selector: Selector) -> Result<Target, Abort> {
    let (gate, high) = cpu.wide_descriptor(selector)?;
    let is_allowed = gate.privilege() >= cpu.privilege() && gate.privilege() >= selector.privilege();
    if !is_allowed || high >> 40 & 0x1f != 0 {
        return cpu.raise(selector.fault(vector::GENERAL_PROTECTION));
    }
    if !gate.is_present() {
        return cpu.raise(selector.fault(vector::SEGMENT_NOT_PRESENT));
    }
    let code = Selector((gate.0 >> 16) as u16);
    if code.is_null() {
        return cpu.raise(Exception::PROTECTION);
    }
    let descriptor = cpu.descriptor_or_fault(code)?;
    if !descriptor.is_code() || !descriptor.is_long() || descriptor.is_big() {
        return cpu.raise(code.fault(vector::GENERAL_PROTECTION));
    }
    let offset = gate.0 & 0xffff | gate.0 >> 32 & 0xffff_0000 | high << 32;
    Ok(Target::Gate(code, descriptor, offset))
}

fn jump_to(cpu: &mut Cpu, (offset, selector): (u64, Selector)) -> Result<Step, Abort> {
    let (code, offset) = match target(cpu, selector)? {
        Target::Segment(descriptor) => (cpu.check_code(selector, descriptor)?, offset),
        // The gate's privilege level has been checked; the selector's within it does not count.
        Target::Gate(selector, descriptor, offset) => {
            (cpu.check_code(selector.with_privilege(0), descriptor)?, offset)
        }
    };
    let rip = cpu.check_rip(&code, offset)?;
    let code = cpu.accessed_code(&code)?;
    cpu.enter_code(code, rip);
    Ok(Step::Jump)
}

fn call_to<W: Width>(cpu: &mut Cpu, op: &Op, (offset, selector): (u64, Selector)) -> Result<Step, Abort> {
    match target(cpu, selector)? {
        Target::Segment(descriptor) => {
            let code = cpu.check_code(selector, descriptor)?;
            call_near::<W>(cpu, op, &code, offset)
        }
        Target::Gate(selector, descriptor, offset) => call_gate(cpu, op, (selector, descriptor), offset),
    }
}

/// A call that stays in its ring and on its stack.
fn call_near<W: Width>(cpu: &mut Cpu, op: &Op, code: &Code, offset: u64) -> Result<Step, Abort> {
    let bytes = W::BYTES as u64;
    let selector_at = cpu.stack_offset::<W>(bytes.wrapping_neg());
    let pointer = cpu.stack_offset::<W>((2 * bytes).wrapping_neg());
    cpu.check_stack_store::<W>(selector_at)?;
    cpu.check_stack_store::<W>(pointer)?;
    let rip = cpu.check_rip(code, offset)?;
    let new_code = cpu.accessed_code(code)?;
    let (old_selector, old_rip) = (cpu.segments.cs.selector, cpu.rip_after(op));
    let _jumps = cpu.stack_store::<W>(selector_at, old_selector.into())?;
    let _jumps = cpu.stack_store::<W>(pointer, old_rip & W::MASK)?;
    cpu.set_stack_pointer::<W>(pointer);
    cpu.enter_code(new_code, rip);
    Ok(Step::Jump)
}

fn call_gate(cpu: &mut Cpu, op: &Op, target: (Selector, Descriptor), rip: u64) -> Result<Step, Abort> {
    let (selector, descriptor) = target;
    let (privilege, current) = (descriptor.privilege(), cpu.privilege());
    if privilege > current {
        return cpu.raise(selector.fault(vector::GENERAL_PROTECTION));
    }
    let new = if descriptor.is_conforming_code() { current } else { privilege };
    let code = cpu.usable_code(selector.with_privilege(new), descriptor)?;
    let (old_code, old_stack) = (cpu.segments.cs.selector.into(), cpu.segments.ss.selector.into());
    let (old_pointer, old_rip) = (cpu.register(number::RSP), cpu.rip_after(op));
    let is_inward = new < current;
    let top = if is_inward { cpu.task_stack(4 + 8 * u64::from(new), 0)? } else { old_pointer };
    if !is_canonical(top) {
        return cpu.raise(Exception::STACK);
    }
    let rip = cpu.check_rip(&code, rip)?;
    let new_code = cpu.accessed_code(&code)?;
    let frame = [old_rip, old_code, old_pointer, old_stack];
    let frame = if is_inward { &frame[..] } else { &frame[..2] };
    let pointer = match cpu.push_frame(new, top, frame) {
        Err(Abort) if cpu.memory.reason == Some(Reason::NotCanonical) => return cpu.raise(Exception::STACK),
        result => result?,
    };
    if is_inward {
        cpu.segments.ss = null_segment(Selector(new.into()), new);
    }
    cpu.enter_code(new_code, rip);
    *cpu.register_mut(number::RSP) = pointer;
    Ok(Step::Jump)
}

/// The immediate operand is how many bytes of parameters are dropped: on both stacks if the ring changes.
extern "sysv64-unwind" fn ret<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let (bytes, parameters) = (W::BYTES as u64, op.immediate & 0xffff);
    let at = |cpu: &mut Cpu, distance| {
        let offset = cpu.stack_offset::<W>(distance);
        cpu.stack_load::<W>(offset)
    };
    let rip = at(cpu, 0)?;
    let selector = Selector(at(cpu, bytes)? as u16);
    let code = cpu.check_return(selector)?;
    if selector.privilege() == cpu.privilege() {
        let rip = cpu.check_rip(&code, rip)?;
        let code = cpu.accessed_code(&code)?;
        let pointer = cpu.stack_offset::<W>(2 * bytes + parameters);
        cpu.set_stack_pointer::<W>(pointer);
        cpu.enter_code(code, rip);
        return Ok(Step::Jump);
    }
    let pointer = at(cpu, 2 * bytes + parameters)?;
    let stack_selector = Selector(at(cpu, 3 * bytes + parameters)? as u16);
    let stack = cpu.check_stack(stack_selector, &code)?;
    let rip = cpu.check_rip(&code, rip)?;
    let (code, stack) = (cpu.accessed_code(&code)?, cpu.accessed_stack(&stack)?);
    cpu.enter_code_and_stack(code, rip, stack, pointer.wrapping_add(parameters));
    Ok(Step::Jump)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::stage::{RING_STACKS, Stage, USER_STACK, selector};
    use crate::testing::{CODE, DATA, STACK};

    /// JMP and CALL through the pointer at [RBX], of 16:64 bits; and RETFQ.
    const JMP: [u8; 3] = [0x48, 0xff, 0x2b];
    const CALL: [u8; 3] = [0x48, 0xff, 0x1b];
    const RETFQ: [u8; 2] = [0x48, 0xcb];
    const TARGET: u64 = 0x3_0000;

    fn with_pointer(mut stage: Stage, offset: u64, selector: u16) -> Stage {
        stage.trial.write(DATA, &offset.to_le_bytes());
        stage.trial.write(DATA + 8, &selector.to_le_bytes());
        *stage.trial.cpu.register_mut(number::RBX) = DATA;
        stage
    }

    /// A call gate of a privilege level, to [`TARGET`].
    fn set_gate(stage: &mut Stage, selector: u16, privilege: u64) {
        let gate = 0x0003_8c00_0000_0000 | privilege << 45 | u64::from(selector) << 16;
        stage.set_descriptor(selector::FREE, gate);
        stage.set_descriptor(selector::FREE + 8, 0);
    }

    fn protection(code: u16) -> Exception {
        Exception::with_code(vector::GENERAL_PROTECTION, code.into())
    }

    fn word(stage: &Stage, at: u64) -> u64 {
        u64::from_le_bytes(stage.trial.read(at))
    }

    #[test]
    fn a_far_jump_changes_the_code_segment() {
        let mut stage = with_pointer(Stage::new(), TARGET, selector::COMPATIBILITY);
        assert_eq!(stage.trial.execute(&JMP), Ok(Step::Jump));
        assert!(!stage.trial.cpu.is_long());
        assert_eq!((stage.trial.cpu.rip, stage.trial.cpu.segments.cs.attributes), (TARGET, 0xc09b));
        // And back, by a pointer in the instruction.
        assert_eq!(stage.trial.execute(&[0xea, 0, 0, 3, 0, 8, 0]), Ok(Step::Jump));
        assert!(stage.trial.cpu.is_long());
    }

    #[test]
    fn a_far_call_and_a_far_return_go_there_and_back() {
        let mut stage = with_pointer(Stage::new(), TARGET, selector::CONFORMING);
        assert_eq!(stage.trial.execute(&CALL), Ok(Step::Jump));
        assert_eq!((word(&stage, STACK - 8), word(&stage, STACK - 16)), (8, CODE + 3));
        assert_eq!(stage.trial.cpu.register(number::RSP), STACK - 16);
        assert_eq!(stage.trial.execute(&RETFQ), Ok(Step::Jump));
        assert_eq!((stage.trial.cpu.rip, stage.trial.cpu.register(number::RSP)), (CODE + 3, STACK));
    }

    #[test]
    fn bad_targets_fault_with_their_selector() {
        let cases = [
            (0, Exception::PROTECTION),
            (selector::BEYOND, protection(0x100)),
            (selector::DATA, protection(0x10)),
            (selector::TASK, protection(0x50)),
            (selector::USER_CODE, protection(0x30)),
            (selector::CODE | 3, protection(0x08)),
            (selector::ABSENT_CODE, Exception::with_code(vector::SEGMENT_NOT_PRESENT, 0x78)),
        ];
        for (selector, expected) in cases {
            for code in [JMP, CALL] {
                let mut stage = with_pointer(Stage::new(), TARGET, selector);
                assert_eq!(stage.trial.fault(&code), expected, "{selector:#x}");
                assert_eq!(stage.trial.cpu.register(number::RSP), STACK);
            }
        }
        let mut stage = with_pointer(Stage::new(), 1 << 47, selector::CODE);
        assert_eq!(stage.trial.fault(&JMP), Exception::PROTECTION, "not canonical");
        let mut stage = with_pointer(Stage::new(), TARGET, selector::FREE);
        stage.set_descriptor(selector::FREE, 0x0020_9a00_0000_ffff | 1 << 54);
        assert_eq!(stage.trial.fault(&JMP), protection(0x60), "both L and D");
        stage.set_descriptor(selector::FREE, 0x0000_9a00_0000_ffff);
        assert!(matches!(stage.trial.execute(&JMP), Err(Reason::Exit(_))), "16-bit code");
    }

    #[test]
    fn a_call_gate_leads_to_an_inner_ring_and_its_stack() {
        let mut stage = with_pointer(Stage::user(), 0x1234, selector::FREE | 3);
        set_gate(&mut stage, selector::CODE, 3);
        stage.set_task(4, RING_STACKS[0] + 8);
        assert_eq!(stage.trial.execute(&CALL), Ok(Step::Jump));
        let cpu = &stage.trial.cpu;
        assert_eq!((cpu.rip, cpu.privilege(), cpu.segments.cs.selector), (TARGET, 0, 8));
        assert_eq!(cpu.segments.ss, null_segment(Selector(0), 0));
        let top = RING_STACKS[0] + 8;
        assert_eq!(cpu.register(number::RSP), top - 32, "the frame is not aligned");
        let frame = [8, 16, 24, 32].map(|below| word(&stage, top - below));
        let (cs, ss) = (selector::USER_CODE.into(), selector::USER_DATA.into());
        assert_eq!(frame, [ss, USER_STACK, cs, CODE + 3]);
        // RETFQ 8, with parameters on both stacks.
        *stage.trial.cpu.register_mut(number::RSP) -= 8;
        for (slot, value) in [CODE + 3, cs, 0, USER_STACK, ss].into_iter().enumerate() {
            stage.trial.write(top - 40 + 8 * slot as u64, &value.to_le_bytes());
        }
        assert_eq!(stage.trial.execute(&[0x48, 0xca, 8, 0]), Ok(Step::Jump));
        let cpu = &stage.trial.cpu;
        assert_eq!((cpu.privilege(), cpu.rip, cpu.register(number::RSP)), (3, CODE + 3, USER_STACK + 8));
    }

    #[test]
    fn gates_heed_privilege_and_lead_to_64_bit_code_only() {
        let mut stage = with_pointer(Stage::user(), 0, selector::FREE);
        set_gate(&mut stage, selector::CODE, 0);
        assert_eq!(stage.trial.fault(&CALL), protection(0x60), "DPL");
        let mut stage = with_pointer(Stage::new(), 0, selector::FREE | 1);
        set_gate(&mut stage, selector::CODE, 0);
        assert_eq!(stage.trial.fault(&CALL), protection(0x60), "RPL");
        for (code, expected) in [
            (selector::COMPATIBILITY, protection(0x18)),
            (selector::DATA, protection(0x10)),
            (selector::USER_CODE, protection(0x30)),
            (0, Exception::PROTECTION),
            (selector::ABSENT_CODE, Exception::with_code(vector::SEGMENT_NOT_PRESENT, 0x78)),
        ] {
            let mut stage = with_pointer(Stage::new(), 0, selector::FREE);
            set_gate(&mut stage, code, 0);
            assert_eq!(stage.trial.fault(&CALL), expected, "{code:#x}");
        }
        let mut stage = with_pointer(Stage::user(), 0, selector::FREE);
        set_gate(&mut stage, selector::CODE, 3);
        assert_eq!(stage.trial.fault(&JMP), protection(0x08), "a jump cannot go inward");
        let mut stage = with_pointer(Stage::new(), 0, selector::FREE);
        set_gate(&mut stage, selector::CODE, 0);
        assert_eq!(stage.trial.execute(&JMP), Ok(Step::Jump));
        assert_eq!(stage.trial.cpu.rip, TARGET);
    }

    #[test]
    fn returns_inward_are_refused() {
        let mut stage = Stage::user();
        stage.trial.write(USER_STACK, &TARGET.to_le_bytes());
        stage.trial.write(USER_STACK + 8, &8u64.to_le_bytes());
        assert_eq!(stage.trial.fault(&RETFQ), protection(8));
        assert_eq!(stage.trial.cpu.register(number::RSP), USER_STACK);
    }
}
