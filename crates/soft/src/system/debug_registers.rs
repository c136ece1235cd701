//! MOV to and from debug registers (Intel SDM volume 2; volume 3, 18.2).

use iced_x86::{Instruction, Mnemonic};

use super::debug::{self, DEBUG_EXTENSIONS, status};
use crate::cpu::Cpu;
use crate::decode::Selection;
use crate::fault::{Abort, Exception, vector};
use crate::op::{Op, Step};
use crate::width::{Dword, Qword, Width};

/// DR6: B0 to B3, BD, BS and BT can be written; the others read as ones, but for bit 12.
const STATUS_WRITABLE: u64 = 0xe00f;
const STATUS_FIXED: u64 = 0xffff_0ff0;
/// DR7: bit 10 reads as one; 11, 12, 14 and 15 as zeros.
const CONTROL_WRITABLE: u64 = 0xffff_23ff;
const CONTROL_FIXED: u64 = 1 << 10;
/// DR7.GD: every use of a debug register raises #DB.
const GENERAL_DETECT: u64 = 1 << 13;

/// [`Op::extra`] is the number of the debug register, [`Op::a`] the general one.
pub(super) fn select(instruction: &Instruction, op: &mut Op) -> Option<Selection> {
    let (first, second) = (instruction.op0_register(), instruction.op1_register());
    if instruction.mnemonic() != Mnemonic::Mov {
        return None;
    }
    if first.is_dr() {
        (op.extra, op.a) = (op.a, op.b);
        let is_wide = second.size() == 8;
        return Some(if is_wide { Selection::last(write::<Qword>) } else { Selection::last(write::<Dword>) });
    }
    second.is_dr().then(|| {
        op.extra = op.b;
        let is_wide = first.size() == 8;
        if is_wide { Selection::plain(read::<Qword>) } else { Selection::plain(read::<Dword>) }
    })
}

/// Checks an access. Returns the register's number: DR4 and DR5 are DR6 and DR7 by other names, unless CR4.DE
/// does away with them.
fn check(cpu: &mut Cpu, number: u8) -> Result<u8, Abort> {
    let is_alias = matches!(number, 4 | 5);
    if number > 7 || is_alias && cpu.control.cr4 & DEBUG_EXTENSIONS != 0 {
        return cpu.raise(Exception::UNDEFINED);
    }
    cpu.check_ring_0()?;
    if cpu.debug.control & GENERAL_DETECT != 0 {
        debug::set_status(cpu, status::DETECTED);
        return cpu.raise(Exception::plain(vector::DEBUG));
    }
    Ok(if is_alias { number + 2 } else { number })
}

extern "sysv64-unwind" fn read<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let value = match check(cpu, op.extra)? {
        6 => cpu.debug.status,
        7 => cpu.debug.control,
        number => cpu.debug.address[usize::from(number)],
    };
    cpu.set::<W>(op.a, value & W::MASK);
    Ok(Step::Next)
}

extern "sysv64-unwind" fn write<W: Width>(cpu: &mut Cpu, op: &Op) -> Result<Step, Abort> {
    let number = check(cpu, op.extra)?;
    let value = cpu.get::<W>(op.a);
    if number >= 6 && value >> 32 != 0 {
        return cpu.raise(Exception::PROTECTION);
    }
    match number {
        6 => cpu.debug.status = value & STATUS_WRITABLE | STATUS_FIXED,
        7 => cpu.debug.control = value & CONTROL_WRITABLE | CONTROL_FIXED,
        number => cpu.debug.address[usize::from(number)] = value,
    }
    debug::registers_changed(cpu);
    Ok(Step::Leave)
}
