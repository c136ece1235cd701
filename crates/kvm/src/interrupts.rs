//! Delivery of external interrupts without an interrupt controller inside KVM (api.rst 4.16 and part 5).
//!
//! KVM says at every return whether an interrupt would be taken (`ready_for_interrupt_injection`): RFLAGS.IF
//! is set, no shadow is open, no other event waits. That is only true of the vCPU between two
//! instructions. An exit in the middle of one is finished first, for its last steps count: an IN behind
//! STI ends the shadow, and with RFLAGS.TF set it raises #DB.

use outlive_engine::{Activity, EngineError};

use crate::engine::KvmEngine;
use crate::error::host_io;
use crate::ioctl;

impl KvmEngine {
    pub(crate) fn takes_interrupts(&mut self) -> Result<bool, EngineError> {
        if !self.progress.finish_instruction()? {
            return Ok(false);
        }
        Ok(self.progress.fresh_page()?.takes_interrupts())
    }

    pub(crate) fn queue_interrupt(&mut self, vector: u8) -> Result<(), EngineError> {
        assert!(self.takes_interrupts()?, "an interrupt is injected only where it can be taken");
        ioctl::interrupt(&self.progress.vcpu, vector).map_err(host_io("inject an interrupt"))?;
        self.progress.changed();
        self.activity = Activity::Running;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::guest::{Guest, KERNEL, RFLAGS_IF, VECTOR_PORT};
    use crate::testing::{guest, opens_windows, run};
    use outlive_engine::{AccessSize, Answer, Engine, Exit, PendingEvent};

    fn told(vector: u8) -> Exit {
        Exit::PortWrite { port: VECTOR_PORT, size: AccessSize::Byte, value: vector.into() }
    }

    fn enable_interrupts(guest: &mut Guest) {
        guest.change(|state| state.rflags |= RFLAGS_IF).unwrap();
    }

    #[test]
    fn an_interrupt_ends_a_halt() {
        // sti; hlt
        let Some(mut guest) = guest(&[0xfb, 0xf4]) else { return };
        assert_eq!(run(&mut guest), Exit::Halt);
        assert_eq!(guest.engine.activity(), Activity::Halted);
        assert!(guest.engine.can_take_interrupt().unwrap());
        guest.engine.inject_interrupt(0x21).unwrap();
        assert_eq!(guest.engine.activity(), Activity::Running);
        assert_eq!(run(&mut guest), told(0x21));
    }

    #[test]
    fn no_interrupt_is_taken_while_they_are_off() {
        // out 0x80, al; hlt
        let Some(mut guest) = guest(&[0xe6, 0x80, 0xf4]) else { return };
        assert!(!guest.engine.can_take_interrupt().unwrap());
        run(&mut guest);
        assert!(!guest.engine.can_take_interrupt().unwrap());
        assert_eq!(run(&mut guest), Exit::Halt);
        assert!(!guest.engine.can_take_interrupt().unwrap());
    }

    #[test]
    fn an_interrupt_decided_at_a_port_read_comes_behind_it() {
        // in al, 0x21; hlt
        let Some(mut guest) = guest(&[0xe4, 0x21, 0xf4]) else { return };
        enable_interrupts(&mut guest);
        run(&mut guest);
        guest.engine.answer(Answer::Value(0x77)).unwrap();
        assert!(guest.engine.can_take_interrupt().unwrap());
        guest.engine.inject_interrupt(0x30).unwrap();
        assert!(!guest.engine.can_take_interrupt().unwrap(), "one is pending");
        let state = guest.engine.state().unwrap();
        assert_eq!(state.pending, Some(PendingEvent::Interrupt { vector: 0x30 }));
        assert_eq!((state.rip, state.general.rax), (KERNEL + 2, 0x77));
        assert_eq!(run(&mut guest), told(0x30));
        let frame = guest.engine.state().unwrap().general.rsp;
        assert_eq!(guest.word(frame), KERNEL + 2, "the frame returns to the instruction behind IN");
    }

    #[test]
    fn a_port_access_behind_sti_still_has_the_shadow_before_and_not_after_it() {
        // sti; out 0x80, al; nop; hlt
        let Some(mut guest) = guest(&[0xfb, 0xe6, 0x80, 0x90, 0xf4]) else { return };
        run(&mut guest);
        assert!(guest.engine.can_take_interrupt().unwrap(), "OUT was the one instruction in the shadow");
    }

    #[test]
    fn a_fault_that_an_answer_raises_comes_before_any_interrupt() {
        // mov ecx, 0x10; rdmsr
        let Some(mut guest) = guest(&[0xb9, 0x10, 0, 0, 0, 0x0f, 0x32]) else { return };
        enable_interrupts(&mut guest);
        run(&mut guest);
        guest.engine.answer(Answer::GeneralProtection).unwrap();
        assert!(!guest.engine.can_take_interrupt().unwrap());
        let pending = guest.engine.state().unwrap().pending;
        assert_eq!(pending, Some(PendingEvent::Exception { vector: 13, error_code: Some(0) }));
        assert_eq!(run(&mut guest), told(13));
    }

    #[test]
    fn a_window_opens_at_once_where_interrupts_are_on() {
        if !opens_windows() {
            return;
        }
        // out 0x80, al; nop; hlt
        let Some(mut guest) = guest(&[0xe6, 0x80, 0x90, 0xf4]) else { return };
        enable_interrupts(&mut guest);
        run(&mut guest);
        guest.engine.set_interrupt_window(true);
        let exit = run(&mut guest);
        assert_eq!(exit, Exit::InterruptWindow);
        assert_eq!(guest.engine.state().unwrap().rip, KERNEL + 2);
        guest.engine.set_interrupt_window(false);
        assert_eq!(run(&mut guest), Exit::Halt);
    }

    #[test]
    fn a_window_opens_after_interrupts_come_on() {
        if !opens_windows() {
            return;
        }
        // out 0x80, al; sti; then NOPs; hlt
        let mut code = vec![0xe6, 0x80, 0xfb];
        code.extend([0x90; 100]);
        code.push(0xf4);
        let Some(mut guest) = guest(&code) else { return };
        run(&mut guest);
        guest.engine.set_interrupt_window(true);
        let exit = run(&mut guest);
        assert_eq!(exit, Exit::InterruptWindow);
        assert!(guest.engine.can_take_interrupt().unwrap());
        assert_eq!(guest.engine.state().unwrap().rip, KERNEL + 4, "one NOP is in the shadow of STI");
        guest.engine.set_interrupt_window(false);
        guest.engine.inject_interrupt(0x40).unwrap();
        assert_eq!(run(&mut guest), told(0x40));
    }

    #[test]
    #[should_panic(expected = "only where it can be taken")]
    fn an_interrupt_where_none_is_taken_is_a_bug() {
        let Some(mut guest) = guest(&[0xf4]) else { panic!("no KVM: only where it can be taken") };
        guest.engine.inject_interrupt(0x20).unwrap();
    }
}
