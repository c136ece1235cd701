//! Hosts that forget the interrupt shadow of STI.
//!
//! A processor takes no interrupt between STI and the instruction behind it (SDM volume 3, 7.8.3). When the host
//! makes it leave the guest exactly there, the exit tells of the shadow, and the next entry gives it back (APM volume 2,
//! 15.21.5). An emulated processor may drop it on the way in: QEMU 7.2 does. Where KVM runs on that, a window that is
//! wanted opens one instruction early, whenever something of the host's came in the shadow. Nobody can repeat that.
//!
//! So on such a host a window that opens right behind an STI is not taken at once. The guest first executes the one
//! instruction that the shadow covers, by a single step. Then the window opens where the manual has it, and a
//! recording names places that every engine finds again.
//!
//! Two things must be known for that.
//!
//! - *Is this such a host?* It is asked once, when a window opens at such a place for the first time: a guest is entered
//!   with a shadow and a window that is wanted, and the place of the window tells.
//! - *Was it the STI that let interrupts in?* The byte before the guest's position is that of STI in other cases too: it may
//!   end a longer instruction, behind which an interrupt came from whose handler the guest now returns. IRET has
//!   left the frame below the stack pointer then, and that tells these cases from ours. Programs in ring 3 execute no
//!   STI. What lets interrupts in besides STI and IRET, POPF, ends in another byte.
//!
//! A load of SS makes a shadow too. No 64-bit kernel executes one with interrupts on, so it is left as it is.

use std::path::{Path, PathBuf};
use std::thread;

use outlive_engine::EngineError;
use vm_memory::{Bytes, GuestAddress};

use crate::debug::{DebugControl, debug_registers};
use crate::engine::KvmEngine;
use crate::error::{host, host_io};
use crate::exits::Seen;
use crate::probe;

/// The one byte of STI.
const STI: u8 = 0xfb;

/// Entering an interrupt handler aligns the stack to this (SDM volume 3, 6.14.2).
const STACK_ALIGNMENT: u64 = 16;
/// How far below the aligned stack the return address is: behind SS, RSP, RFLAGS and CS.
const FRAME_RIP: u64 = 40;

/// What is known of the host in this respect.
#[derive(Debug)]
pub(crate) struct ShadowKeeping {
    device: PathBuf,
    forgets: Option<bool>,
}

impl ShadowKeeping {
    /// Nothing yet, of the KVM at `device`.
    pub(crate) fn unknown(device: &Path) -> Self {
        Self { device: device.to_owned(), forgets: None }
    }

    /// Asks the host, the first time. On a thread of its own: the caller's may be kicked meanwhile.
    fn ask(&mut self) -> Result<bool, EngineError> {
        if let Some(known) = self.forgets {
            return Ok(known);
        }
        let device = &self.device;
        let answer = thread::scope(|scope| scope.spawn(|| probe::forgets_shadows(device)).join());
        let failed =
            |why: String| host_io("tell whether it keeps the shadow of STI")(std::io::Error::other(why));
        let forgets = answer.map_err(|_panic| failed("the probe panicked".to_owned()))?.map_err(failed)?;
        Ok(*self.forgets.insert(forgets))
    }
}

impl KvmEngine {
    /// Whether a window has opened in the shadow of an STI that the host has forgotten.
    pub(crate) fn lacks_its_shadow(&mut self) -> Result<bool, EngineError> {
        if self.shadows.forgets == Some(false) {
            return Ok(false);
        }
        let registers = self.progress.vcpu.get_regs().map_err(host("read registers"))?;
        if self.guest_bytes::<1>(registers.rip.wrapping_sub(1)) != Some([STI]) || !self.shadows.ask()? {
            return Ok(false);
        }
        let segments = self.progress.vcpu.get_sregs().map_err(host("read segments"))?;
        let frame = registers.rsp / STACK_ALIGNMENT * STACK_ALIGNMENT;
        let returned = self.guest_bytes(frame.wrapping_sub(FRAME_RIP)) == Some(registers.rip.to_le_bytes());
        Ok(segments.ss.dpl == 0 && !returned)
    }

    /// Executes the instruction that the shadow covers, and goes on to the window or whatever comes before it.
    pub(crate) fn go_on_behind_shadow(&mut self) -> Result<Seen, EngineError> {
        self.progress.page().request_interrupt_window(false);
        self.debug(&DebugControl { single_step: true, ..DebugControl::default() })?;
        let seen = self.progress.advance();
        let opens = self.progress.page().takes_interrupts();
        self.debug(&DebugControl::default())?;
        self.progress.page().request_interrupt_window(true);
        match seen? {
            Seen::Debug(_) if opens => Ok(Seen::InterruptWindow),
            Seen::Debug(_) => self.progress.advance(),
            seen => Ok(seen),
        }
    }

    fn debug(&mut self, control: &DebugControl) -> Result<(), EngineError> {
        self.progress.vcpu.set_guest_debug(&debug_registers(control)).map_err(host("control debugging"))
    }

    /// Bytes at a linear address, which must not cross a page. `None` if nothing is there.
    fn guest_bytes<const N: usize>(&self, linear: u64) -> Option<[u8; N]> {
        let translation = self.progress.vcpu.translate_gva(linear).ok()?;
        let mut bytes = [0; N];
        let address = GuestAddress(translation.physical_address);
        let is_there = translation.valid != 0 && self.vm.memory().read_slice(&mut bytes, address).is_ok();
        is_there.then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use outlive_engine::{Engine, Exit, InterruptShadow};

    use crate::probe::guest::{DATA, Guest, KERNEL, RFLAGS, RFLAGS_IF};
    use crate::testing::{guest, opens_windows, run};

    /// A guest that stands behind an STI and is about to execute `code`, with interrupts on, and what it does when a
    /// window is wanted. `None` where windows open elsewhere.
    fn window(code: &[u8], shadow: InterruptShadow) -> Option<(Exit, Guest)> {
        if !opens_windows() {
            return None;
        }
        let mut guest = guest(&[&[super::STI], code].concat())?;
        guest
            .change(|state| {
                state.rip = KERNEL + 1;
                state.rflags |= RFLAGS_IF;
                state.shadow = shadow;
            })
            .unwrap();
        guest.engine.set_interrupt_window(true);
        let exit = run(&mut guest);
        Some((exit, guest))
    }

    #[test]
    fn the_shadow_covers_one_instruction_even_if_the_host_forgets_it() {
        // nop; nop; nop; hlt
        let Some((exit, mut guest)) = window(&[0x90, 0x90, 0x90, 0xf4], InterruptShadow::Sti) else { return };
        assert_eq!(exit, Exit::InterruptWindow);
        let state = guest.engine.state().unwrap();
        assert_eq!((state.rip, state.rflags), (KERNEL + 2, RFLAGS | RFLAGS_IF));
        guest.engine.set_interrupt_window(false);
        assert_eq!(run(&mut guest), Exit::Halt, "the guest is not stepped any more");
    }

    #[test]
    fn an_instruction_in_the_shadow_that_exits_does_so_before_the_window() {
        // out 0x80, al; nop; hlt
        let Some((exit, mut guest)) = window(&[0xe6, 0x80, 0x90, 0xf4], InterruptShadow::Sti) else { return };
        assert!(matches!(exit, Exit::PortWrite { port: 0x80, .. }), "{exit:?}");
        let exit = run(&mut guest);
        assert_eq!(exit, Exit::InterruptWindow);
        assert_eq!(guest.engine.state().unwrap().rip, KERNEL + 3);
    }

    #[test]
    fn an_instruction_in_the_shadow_that_turns_interrupts_off_keeps_the_window_closed() {
        // cli; nop; hlt
        let Some((exit, mut guest)) = window(&[0xfa, 0x90, 0xf4], InterruptShadow::Sti) else { return };
        assert_eq!(exit, Exit::Halt);
        assert_eq!(guest.engine.state().unwrap().rip, KERNEL + 4);
    }

    #[test]
    fn a_return_to_a_place_behind_the_byte_of_sti_has_no_shadow() {
        if !opens_windows() {
            return;
        }
        // nop; nop; hlt, and elsewhere: iretq
        let Some(mut guest) = guest(&[super::STI, 0x90, 0x90, 0xf4]) else { return };
        guest.put(DATA, &[0x48, 0xcf]);
        let stack = DATA + 0x1000;
        let segments = guest.engine.state().unwrap().segments;
        let frame = [
            KERNEL + 1,
            segments.cs.selector.into(),
            RFLAGS | RFLAGS_IF,
            stack - 8,
            segments.ss.selector.into(),
        ];
        let pushed = stack - 16 - 40;
        for (number, word) in frame.into_iter().enumerate() {
            guest.put(pushed + 8 * number as u64, &u64::to_le_bytes(word));
        }
        guest
            .change(|state| {
                state.rip = DATA;
                state.general.rsp = pushed;
            })
            .unwrap();
        guest.engine.set_interrupt_window(true);
        let exit = run(&mut guest);
        assert_eq!(exit, Exit::InterruptWindow);
        assert_eq!(guest.engine.state().unwrap().rip, KERNEL + 1);
    }
}
