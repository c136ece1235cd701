//! Looking at descriptors without loading them: LAR, LSL, VERR, VERW; and ARPL (Intel SDM volume 2; volume 3,
//! 6.10).

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::descriptor::{Descriptor, Selector, kind};
use crate::cpu::Cpu;
use crate::decode::Selection;
use crate::fault::Abort;
use crate::op::{Execute, Op, Step};
use crate::width::{Dword, Qword, Width, Word};

/// What is asked of a descriptor: in [`Op::extra`].
const RIGHTS: u8 = 0;
const LIMIT: u8 = 1;
const READ: u8 = 2;
const WRITE: u8 = 3;

pub(super) fn select(instruction: &Instruction, op: &mut Op) -> Option<Selection> {
    let is_memory = instruction.op_kinds().any(|kind| kind == OpKind::Memory);
    op.extra = match instruction.mnemonic() {
        Mnemonic::Lar => RIGHTS,
        Mnemonic::Lsl => LIMIT,
        Mnemonic::Verr => READ,
        Mnemonic::Verw => WRITE,
        Mnemonic::Arpl if is_memory => return Some(Selection::plain(arpl::<true>)),
        Mnemonic::Arpl => return Some(Selection::plain(arpl::<false>)),
        _ => return None,
    };
    let verifies = matches!(op.extra, READ | WRITE);
    let execute: Execute = match (verifies, is_memory, instruction.op0_register().size()) {
        (true, true, _) => verify::<true>,
        (true, false, _) => verify::<false>,
        (false, true, 2) => query::<Word, true>,
        (false, true, 4) => query::<Dword, true>,
        (false, true, _) => query::<Qword, true>,
        (false, false, 2) => query::<Word, false>,
        (false, false, 4) => query::<Dword, false>,
        (false, false, _) => query::<Qword, false>,
    };
    Some(Selection::plain(execute))
}

/// LAR and LSL: ZF tells whether the descriptor may be looked at; only then the destination is written.
extern "sysv64-unwind" fn query<W: Width, const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let selector = if MEMORY { cpu.load_operand::<Word>(op)? } else { cpu.get::<Word>(op.b) };
    let found = visible(cpu, Selector(selector as u16), op.extra)?;
    cpu.flags.set_zero(found.is_some());
    if let Some(descriptor) = found {
        let value = match op.extra {
            // With the limit's bits, as processors have it; the manual calls them undefined.
            RIGHTS => descriptor.0 >> 32 & 0x00ff_ff00,
            _ => descriptor.limit().into(),
        };
        cpu.set::<W>(op.a, value & W::MASK);
    }
    Ok(Step::Next)
}

/// VERR and VERW: ZF tells whether the segment could be read or written.
extern "sysv64-unwind" fn verify<const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let selector = if MEMORY { cpu.load_operand::<Word>(op)? } else { cpu.get::<Word>(op.a) };
    let found = visible(cpu, Selector(selector as u16), op.extra)?;
    cpu.flags.set_zero(found.is_some());
    Ok(Step::Next)
}

/// The descriptor that a selector names, if the current privilege level and the selector's allow `question`.
fn visible(cpu: &mut Cpu, selector: Selector, question: u8) -> Result<Option<Descriptor>, Abort> {
    if selector.is_null() {
        return Ok(None);
    }
    let Some(descriptor) = cpu.descriptor(selector)? else { return Ok(None) };
    let has_answer = match question {
        READ => descriptor.is_readable(),
        WRITE => descriptor.is_writable_data(),
        _ => descriptor.is_segment() || has_answer(descriptor.kind(), question),
    };
    let privilege = descriptor.privilege();
    let is_allowed =
        descriptor.is_conforming_code() || cpu.privilege() <= privilege && selector.privilege() <= privilege;
    Ok((has_answer && is_allowed).then_some(descriptor))
}

/// Whether LAR or LSL know a system descriptor of long mode.
fn has_answer(descriptor: u8, question: u8) -> bool {
    match descriptor {
        kind::LDT | kind::TSS_AVAILABLE | kind::TSS_BUSY => true,
        kind::CALL_GATE => question == RIGHTS,
        _ => false,
    }
}

/// Raises the RPL of a selector to that of another one. Exists in compatibility mode only.
extern "sysv64-unwind" fn arpl<const MEMORY: bool>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let wanted = cpu.get::<Word>(if MEMORY { op.a } else { op.b }) & 3;
    let selector = if MEMORY { cpu.load_operand::<Word>(op)? } else { cpu.get::<Word>(op.a) };
    let is_raised = selector & 3 < wanted;
    let raised = selector & !3 | wanted;
    let mut step = Step::Next;
    if is_raised && MEMORY {
        step = cpu.store_operand::<Word>(op, raised)?;
    } else if is_raised {
        cpu.set::<Word>(op.a, raised);
    }
    cpu.flags.set_zero(is_raised);
    Ok(step)
}

#[cfg(test)]
mod tests {
    use crate::cpu::number;
    use crate::fault::Exception;
    use crate::flags::bit;
    use crate::system::stage::{Stage, selector};
    use crate::testing::DATA;

    /// What LAR or LSL of a selector in EBX writes to EAX, if anything.
    fn query(stage: &mut Stage, code: u8, selector: u16) -> Option<u64> {
        *stage.trial.cpu.register_mut(number::RBX) = selector.into();
        *stage.trial.cpu.register_mut(number::RAX) = 0xdead;
        assert!(stage.trial.execute(&[0x0f, code, 0xc3]).is_ok());
        let value = stage.trial.cpu.register(number::RAX);
        let found = stage.trial.cpu.flags.zero();
        assert!(found || value == 0xdead, "the destination is left alone");
        found.then_some(value)
    }

    #[test]
    fn lar_tells_rights_of_visible_descriptors() {
        let mut stage = Stage::new();
        stage.set_descriptor(selector::FREE, 0x0000_8c00_0008_0000);
        let lar = |stage: &mut Stage, selector| query(stage, 0x02, selector);
        assert_eq!(lar(&mut stage, selector::DATA), Some(0x00cf_9200));
        assert_eq!(lar(&mut stage, selector::TASK), Some(0x8900));
        assert_eq!(lar(&mut stage, selector::LOCAL), Some(0x8200));
        assert_eq!(lar(&mut stage, selector::FREE), Some(0x8c00), "a call gate");
        assert_eq!(lar(&mut stage, selector::DATA | 3), None);
        assert_eq!(lar(&mut stage, selector::CONFORMING | 3), Some(0x00af_9e00));
        assert_eq!((lar(&mut stage, 0), lar(&mut stage, selector::BEYOND)), (None, None));
        stage.set_descriptor(selector::FREE, 0x0000_8e00_0008_0000);
        assert_eq!(lar(&mut stage, selector::FREE), None, "an interrupt gate");
        assert_eq!(lar(&mut Stage::user(), selector::DATA), None);
    }

    #[test]
    fn lsl_tells_limits_in_bytes() {
        let mut stage = Stage::new();
        stage.set_descriptor(selector::FREE, 0x0000_8c00_0008_0000);
        let lsl = |stage: &mut Stage, selector| query(stage, 0x03, selector);
        assert_eq!(lsl(&mut stage, selector::USER_DATA), Some(0xffff_ffff));
        assert_eq!(lsl(&mut stage, selector::TASK), Some(0x2067));
        assert_eq!(lsl(&mut stage, selector::FREE), None, "a call gate has none");
    }

    #[test]
    fn verr_and_verw_tell_what_could_be_read_and_written() {
        let verify = |code: u8, selector: u16| {
            let mut stage = Stage::new();
            *stage.trial.cpu.register_mut(number::RBX) = selector.into();
            assert!(stage.trial.execute(&[0x0f, 0x00, code]).is_ok());
            stage.trial.cpu.flags.zero()
        };
        let both = |selector| (verify(0xe3, selector), verify(0xeb, selector));
        assert_eq!(both(selector::DATA), (true, true));
        assert_eq!(both(selector::READ_ONLY), (true, false));
        assert_eq!(both(selector::CODE), (true, false));
        assert_eq!(both(selector::EXECUTE_ONLY), (false, false));
        assert_eq!(both(selector::TASK), (false, false));
        assert_eq!(both(selector::DATA | 3), (false, false));
        assert_eq!(both(selector::BEYOND), (false, false));
    }

    #[test]
    fn only_zf_changes() {
        let mut stage = Stage::new();
        stage.trial.cpu.flags.set_bits(bit::ARITHMETIC);
        assert_eq!(query(&mut stage, 0x02, 0), None);
        assert_eq!(stage.trial.cpu.flags.bits(), bit::ARITHMETIC & !bit::ZF | bit::FIXED);
    }

    #[test]
    fn arpl_raises_the_requested_privilege_level() {
        let mut stage = Stage::compatibility(3);
        *stage.trial.cpu.register_mut(number::RAX) = 0xffff_fff9;
        *stage.trial.cpu.register_mut(number::RBX) = 2;
        // ARPL AX, BX
        assert!(stage.trial.execute(&[0x63, 0xd8]).is_ok());
        assert_eq!(
            (stage.trial.cpu.register(number::RAX), stage.trial.cpu.flags.zero()),
            (0xffff_fffa, true)
        );
        assert!(stage.trial.execute(&[0x63, 0xd8]).is_ok());
        assert!(!stage.trial.cpu.flags.zero());
        stage.trial.write(DATA, &[0x08, 0]);
        *stage.trial.cpu.register_mut(number::RCX) = DATA;
        // ARPL [ECX], BX
        assert!(stage.trial.execute(&[0x63, 0x19]).is_ok());
        assert_eq!(stage.trial.read::<2>(DATA), [0x0a, 0]);
    }

    #[test]
    fn a_bad_operand_faults() {
        let mut stage = Stage::new();
        *stage.trial.cpu.register_mut(number::RBX) = 1 << 63;
        // VERW [RBX]
        assert!(matches!(stage.trial.execute(&[0x0f, 0x00, 0x2b]), Err(crate::fault::Reason::NotCanonical)));
        *stage.trial.cpu.register_mut(number::RBX) = 0x20_0000;
        assert_eq!(stage.trial.fault(&[0x0f, 0x00, 0x2b]), Exception::page_fault(0x20_0000, 0));
    }
}
