//! What all far transfers of control share: the checks of code and stack segments, and the change of them.

use outlive_engine::Segment;

use super::descriptor::{Descriptor, Selector, null_segment};
use crate::cpu::{Cpu, number};
use crate::fault::unhandled;
use crate::fault::{Abort, Exception, vector};
use crate::memory::is_canonical;
use crate::op::segment;

/// A code segment that passed its checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    selector: Selector,
    descriptor: Descriptor,
}

impl Code {
    pub(super) fn is_long(&self) -> bool {
        self.descriptor.is_long()
    }
}

/// A stack segment that passed its checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack {
    selector: Selector,
    /// `None` for a null selector.
    descriptor: Option<Descriptor>,
}

impl Cpu {
    /// Checks the code segment that a far JMP or CALL names (Intel SDM volume 3, 6.8.1).
    pub(super) fn check_code(&mut self, selector: Selector, descriptor: Descriptor) -> Result<Code, Abort> {
        let (privilege, current) = (descriptor.privilege(), self.privilege());
        let is_allowed = if descriptor.is_conforming_code() {
            privilege <= current
        } else {
            selector.privilege() <= current && privilege == current
        };
        if !descriptor.is_code() || !is_allowed {
            return self.raise(selector.fault(vector::GENERAL_PROTECTION));
        }
        self.usable_code(selector.with_privilege(current), descriptor)
    }

    /// Checks the code segment that IRET or a far RET goes back to: of the same privilege level, or an outer
    /// one (Intel SDM volume 2, IRET).
    pub(super) fn check_return(&mut self, selector: Selector) -> Result<Code, Abort> {
        if selector.is_null() {
            return self.raise(Exception::PROTECTION);
        }
        let descriptor = self.descriptor_or_fault(selector)?;
        let (privilege, wanted) = (descriptor.privilege(), selector.privilege());
        let is_allowed =
            if descriptor.is_conforming_code() { privilege <= wanted } else { privilege == wanted };
        if !descriptor.is_code() || wanted < self.privilege() || !is_allowed {
            return self.raise(selector.fault(vector::GENERAL_PROTECTION));
        }
        self.usable_code(selector, descriptor)
    }

    /// The checks that every code segment goes through. The selector's RPL is the new privilege level.
    pub(super) fn usable_code(&mut self, selector: Selector, descriptor: Descriptor) -> Result<Code, Abort> {
        if descriptor.is_long() && descriptor.is_big() {
            return self.raise(selector.fault(vector::GENERAL_PROTECTION));
        }
        if !descriptor.is_present() {
            return self.raise(selector.fault(vector::SEGMENT_NOT_PRESENT));
        }
        if !descriptor.is_long() && !descriptor.is_big() {
            let detail = format!("a far transfer to selector {:#x}", selector.0);
            return self.memory.abort(unhandled("16-bit code segment", detail));
        }
        Ok(Code { selector, descriptor })
    }

    /// Checks the stack segment that comes with a return to `code`. Null selectors are allowed for 64-bit code
    /// that is not in ring 3.
    pub(super) fn check_stack(&mut self, selector: Selector, code: &Code) -> Result<Stack, Abort> {
        let privilege = code.selector.privilege();
        if selector.is_null() {
            if code.is_long() && privilege < 3 && selector.privilege() == privilege {
                return Ok(Stack { selector, descriptor: None });
            }
            return self.raise(Exception::PROTECTION);
        }
        let descriptor = self.descriptor_or_fault(selector)?;
        let is_allowed = selector.privilege() == privilege && descriptor.privilege() == privilege;
        if !descriptor.is_writable_data() || !is_allowed {
            return self.raise(selector.fault(vector::GENERAL_PROTECTION));
        }
        if !descriptor.is_present() {
            return self.raise(selector.fault(vector::STACK_FAULT));
        }
        Ok(Stack { selector, descriptor: Some(descriptor) })
    }

    /// The instruction pointer in a code segment: #GP(0) if it is not canonical, or beyond the limit.
    pub(super) fn check_rip(&mut self, code: &Code, rip: u64) -> Result<u64, Abort> {
        let rip = if code.is_long() { rip } else { rip & 0xffff_ffff };
        let is_within =
            if code.is_long() { is_canonical(rip) } else { rip <= code.descriptor.limit().into() };
        if is_within { Ok(rip) } else { self.raise(Exception::PROTECTION) }
    }

    /// Marks a code segment as accessed. Returns the register's new contents.
    pub(super) fn accessed_code(&mut self, code: &Code) -> Result<Segment, Abort> {
        self.mark_accessed(code.selector, code.descriptor)?;
        Ok(code.descriptor.segment(code.selector))
    }

    /// Marks a stack segment as accessed. Returns the register's new contents.
    pub(super) fn accessed_stack(&mut self, stack: &Stack) -> Result<Segment, Abort> {
        let Some(descriptor) = stack.descriptor else {
            return Ok(null_segment(stack.selector, stack.selector.privilege()));
        };
        self.mark_accessed(stack.selector, descriptor)?;
        Ok(descriptor.segment(stack.selector))
    }

    /// Goes on in another code segment of the same privilege level.
    pub(super) fn enter_code(&mut self, code: Segment, rip: u64) {
        self.segments.cs = code;
        self.rip = rip;
        self.privilege_changed();
    }

    /// Goes on in another code segment with another stack. An outer ring loses the data segments that it
    /// may not use.
    pub(super) fn enter_code_and_stack(&mut self, code: Segment, rip: u64, stack: Segment, pointer: u64) {
        let is_outward = (code.selector & 3) as u8 > self.privilege();
        self.segments.ss = stack;
        self.enter_code(code, rip);
        self.set_any_stack_pointer(pointer);
        if is_outward {
            self.drop_inner_segments();
        }
    }

    /// Sets as much of RSP as code and stack segment make its pointer.
    pub(super) fn set_any_stack_pointer(&mut self, pointer: u64) {
        let stack_is_big = self.segments.ss.attributes & 1 << 14 != 0;
        let mask = match (self.is_long(), stack_is_big) {
            (true, _) => u64::MAX,
            (false, true) => 0xffff_ffff,
            (false, false) => 0xffff,
        };
        let kept = if mask == 0xffff { self.register(number::RSP) & !mask } else { 0 };
        *self.register_mut(number::RSP) = kept | pointer & mask;
    }

    /// ES, DS, FS and GS become null if they hold data or non-conforming code of an inner ring (Intel SDM
    /// volume 2, IRET, "RETURN-TO-OUTER-PRIVILEGE-LEVEL"). The bases of FS and GS stay.
    fn drop_inner_segments(&mut self) {
        let privilege = self.privilege();
        for number in [segment::ES, segment::DS, segment::FS, segment::GS] {
            let register = self.segment_mut(number);
            let is_conforming = register.attributes & 0x1c == 0x1c;
            let is_inner = !register.unusable && ((register.attributes >> 5 & 3) as u8) < privilege;
            if is_inner && !is_conforming {
                let base = if number >= segment::FS { register.base } else { 0 };
                *register = Segment { base, ..null_segment(Selector(0), 0) };
            }
        }
    }

    /// The segment register with this number, to change it.
    pub(super) fn segment_mut(&mut self, number: u8) -> &mut Segment {
        match number {
            segment::ES => &mut self.segments.es,
            segment::CS => &mut self.segments.cs,
            segment::SS => &mut self.segments.ss,
            segment::DS => &mut self.segments.ds,
            segment::FS => &mut self.segments.fs,
            _ => &mut self.segments.gs,
        }
    }
}
