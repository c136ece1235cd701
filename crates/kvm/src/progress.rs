//! What an exit leaves to be done before the vCPU stands between two instructions again.
//!
//! KVM stops in the middle of an instruction for a port access, an MMIO access or an access to a
//! model-specific register, and finishes it at the next entry (api.rst part 5, the note on pending
//! operations). Until then its registers and events say nothing. Here it is kept where the vCPU stands,
//! string accesses are split into their elements, and instructions are finished without executing the next.

use kvm_ioctls::VcpuFd;
use outlive_engine::ports::TIME_READ_PORT;
use outlive_engine::{AccessSize, Answer, EngineError, Exit};

use crate::error::host_io;
use crate::exits::{Seen, enter};
use crate::run_page::{PortAccess, RunPage};
use crate::state;

/// Where the vCPU stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Position {
    /// Between two instructions.
    #[default]
    Boundary,
    /// In an instruction that waits for an answer.
    Unanswered(Wanted),
    /// In a string instruction whose element `next` has not been presented yet.
    Elements { access: PortAccess, next: u32 },
    /// In an instruction that KVM will finish at the next entry.
    Unfinished,
}

/// What was asked of the monitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    PortElement { access: PortAccess, index: u32 },
    Time(PortAccess),
    Mmio,
    MsrRead,
    MsrWrite,
}

/// A vCPU and where it stands.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) vcpu: VcpuFd,
    run_size: usize,
    position: Position,
    /// What came up while an instruction was being finished, to be presented next.
    ahead: Option<Seen>,
    /// Whether the page tells the truth about interrupts: not after the vCPU was changed from outside.
    page_is_fresh: bool,
}

impl Progress {
    pub(crate) fn new(vcpu: VcpuFd, run_size: usize) -> Self {
        Self { vcpu, run_size, position: Position::Boundary, ahead: None, page_is_fresh: false }
    }

    pub(crate) fn page(&mut self) -> RunPage<'_> {
        RunPage::new(self.vcpu.get_kvm_run(), self.run_size)
    }

    /// The page as it describes the vCPU now.
    pub(crate) fn fresh_page(&mut self) -> Result<RunPage<'_>, EngineError> {
        if !self.page_is_fresh {
            self.settle()?;
        }
        Ok(self.page())
    }

    /// The vCPU was changed by an ioctl.
    pub(crate) fn changed(&mut self) {
        self.page_is_fresh = false;
    }

    pub(crate) fn waits_for_answer(&self) -> bool {
        matches!(self.position, Position::Unanswered(_))
    }

    /// Whether something is known that the guest did and that was not presented yet.
    pub(crate) fn is_ahead(&self) -> bool {
        self.ahead.is_some() || matches!(self.position, Position::Elements { .. })
    }

    /// What the guest did next: from what is known already, else by letting it run.
    pub(crate) fn advance(&mut self) -> Result<Seen, EngineError> {
        assert!(!self.waits_for_answer(), "an exit was not answered");
        if let Some(seen) = self.ahead.take() {
            return Ok(seen);
        }
        self.position = Position::Boundary;
        self.page_is_fresh = true;
        enter(&mut self.vcpu, self.run_size).map_err(host_io("run the guest"))
    }

    /// Tries to bring the vCPU between two instructions without executing another one. `false` if the
    /// instruction makes further exits first.
    ///
    /// # Errors
    /// When the host refuses.
    pub(crate) fn finish_instruction(&mut self) -> Result<bool, EngineError> {
        assert!(!self.waits_for_answer(), "an exit was not answered");
        if self.position == Position::Unfinished {
            self.settle()?;
        }
        Ok(!self.is_ahead())
    }

    /// Enters with `immediate_exit`: KVM finishes the pending instruction, brings the page up to date and
    /// comes back with EINTR, unless that instruction makes another exit.
    fn settle(&mut self) -> Result<(), EngineError> {
        self.vcpu.set_kvm_immediate_exit(1);
        let seen = enter(&mut self.vcpu, self.run_size);
        self.vcpu.set_kvm_immediate_exit(0);
        self.position = Position::Boundary;
        self.page_is_fresh = true;
        let seen = seen.map_err(host_io("finish an instruction"))?;
        assert!(self.ahead.is_none(), "what came up is presented before the guest goes on");
        self.ahead = (seen != Seen::Interrupted).then_some(seen);
        Ok(())
    }

    /// The element of a string access that comes next, if the vCPU stands in one.
    pub(crate) fn next_element(&mut self) -> Option<Exit> {
        match self.position {
            Position::Elements { access, next } => Some(self.present_port(access, next)),
            _ => None,
        }
    }

    /// Presents element `index` of a port access.
    pub(crate) fn present_port(&mut self, access: PortAccess, index: u32) -> Exit {
        let PortAccess { port, size, .. } = access;
        if is_time_read(&access) {
            self.position = Position::Unanswered(Wanted::Time(access));
            Exit::TimeRead
        } else if access.reads {
            self.position = Position::Unanswered(Wanted::PortElement { access, index });
            Exit::PortRead { port, size }
        } else {
            self.position = after_element(access, index);
            Exit::PortWrite { port, size, value: dword(self.page().port_element(&access, index)) }
        }
    }

    /// The guest stopped in an instruction for which the monitor has to do something.
    pub(crate) fn wait_for(&mut self, wanted: Wanted) {
        self.position = Position::Unanswered(wanted);
    }

    /// The guest stopped in an instruction that needs nothing more from the monitor.
    pub(crate) fn leave_unfinished(&mut self) {
        self.position = Position::Unfinished;
    }

    /// Answers what was asked last.
    pub(crate) fn answer(&mut self, answer: Answer) -> Result<(), EngineError> {
        let Position::Unanswered(wanted) = self.position else { panic!("no exit waits for an answer") };
        self.position = Position::Unfinished;
        match (wanted, answer) {
            (Wanted::PortElement { access, index }, Answer::Value(value)) => {
                self.position = after_element(access, index);
                self.write_element(&access, index, value);
            }
            (Wanted::Time(access), Answer::Value(time)) => return self.answer_time(&access, time),
            (Wanted::Mmio, Answer::Value(value)) => self.page().answer_mmio(value),
            (Wanted::MsrRead, Answer::Value(value)) => self.page().answer_msr(value),
            (Wanted::MsrWrite, Answer::Done) => self.page().accept_msr(),
            (Wanted::MsrRead | Wanted::MsrWrite, Answer::GeneralProtection) => self.page().refuse_msr(),
            (wanted, answer) => panic!("{answer:?} is no answer to {wanted:?}"),
        }
        Ok(())
    }

    /// IN sets EAX only, a time read sets EDX too. RDX cannot be set while the IN is pending: where KVM
    /// emulates it, that would make it forget EAX. So the IN is finished first.
    fn answer_time(&mut self, access: &PortAccess, time: u64) -> Result<(), EngineError> {
        self.write_element(access, 0, time);
        self.settle()?;
        self.changed();
        state::set_rdx(&self.vcpu, time >> 32)
    }

    fn write_element(&mut self, access: &PortAccess, index: u32, value: u64) {
        let bytes = value.to_le_bytes();
        self.page().port_element(access, index).copy_from_slice(&bytes[..access.size.bytes()]);
    }
}

/// Also true of INSD with a count of one, which KVM does not tell apart. No guest has a reason to do that.
fn is_time_read(access: &PortAccess) -> bool {
    access.reads && access.port == TIME_READ_PORT && access.size == AccessSize::Dword && access.count == 1
}

fn after_element(access: PortAccess, index: u32) -> Position {
    let next = index + 1;
    if next < access.count { Position::Elements { access, next } } else { Position::Unfinished }
}

fn dword(data: &[u8]) -> u32 {
    data.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::guest::{DATA, Guest, OUTSIDE, RFLAGS_TF, VECTOR_PORT};
    use crate::testing::{guest, run};
    use outlive_engine::{Engine, GuestPhysical, PendingEvent, msr};

    fn answer(guest: &mut Guest, value: u64) {
        guest.engine.answer(Answer::Value(value)).unwrap();
    }

    #[test]
    fn in_reads_what_is_answered_and_out_tells_what_is_written() {
        // mov eax, -1; in al, 0x21; out 0x22, eax; hlt
        let code = [0xb8, 0xff, 0xff, 0xff, 0xff, 0xe4, 0x21, 0xe7, 0x22, 0xf4];
        let Some(mut guest) = guest(&code) else { return };
        assert_eq!(run(&mut guest), Exit::PortRead { port: 0x21, size: AccessSize::Byte });
        answer(&mut guest, 0x1234_5678);
        let written = Exit::PortWrite { port: 0x22, size: AccessSize::Dword, value: 0xffff_ff78 };
        assert_eq!(run(&mut guest), written);
        assert_eq!(run(&mut guest), Exit::Halt);
    }

    #[test]
    fn rep_outs_comes_as_one_exit_per_element() {
        // mov esi, DATA; mov ecx, 3; mov edx, 0x30; rep outsw; hlt
        let code = [0xbe, 0, 0, 4, 0, 0xb9, 3, 0, 0, 0, 0xba, 0x30, 0, 0, 0, 0xf3, 0x66, 0x6f, 0xf4];
        let Some(mut guest) = guest(&code) else { return };
        guest.put(DATA, &[0x11, 0x11, 0x22, 0x22, 0x33, 0x33]);
        for value in [0x1111, 0x2222, 0x3333] {
            let element = Exit::PortWrite { port: 0x30, size: AccessSize::Word, value };
            assert_eq!(run(&mut guest), element);
        }
        assert_eq!(run(&mut guest), Exit::Halt);
        assert_eq!(guest.engine.state().unwrap().general.rcx, 0);
    }

    #[test]
    fn rep_ins_comes_as_one_exit_per_element_and_has_no_state_in_between() {
        // mov edi, DATA; mov ecx, 4; mov edx, 0x30; rep insb; hlt
        let code = [0xbf, 0, 0, 4, 0, 0xb9, 4, 0, 0, 0, 0xba, 0x30, 0, 0, 0, 0xf3, 0x6c, 0xf4];
        let Some(mut guest) = guest(&code) else { return };
        for value in [0xa1, 0xa2, 0xa3, 0xa4] {
            assert_eq!(run(&mut guest), Exit::PortRead { port: 0x30, size: AccessSize::Byte });
            answer(&mut guest, value);
            let between = guest.engine.state();
            assert_eq!(between.is_ok(), value == 0xa4, "{between:?}");
            assert_eq!(guest.engine.can_take_interrupt().ok(), Some(false));
        }
        assert_eq!(run(&mut guest), Exit::Halt);
        assert_eq!(guest.word(DATA), 0xa4a3_a2a1);
    }

    #[test]
    fn mmio_is_read_and_written_in_every_width() {
        // mov ebx, OUTSIDE; mov rax, [rbx]; mov [rbx+8], rax; movzx eax, byte [rbx+1]; mov [rbx+2], ax; hlt
        let code = [
            0xbb, 0, 0, 0, 0x10, 0x48, 0x8b, 0x03, 0x48, 0x89, 0x43, 0x08, 0x0f, 0xb6, 0x43, 0x01, 0x66,
            0x89, 0x43, 0x02, 0xf4,
        ];
        let Some(mut guest) = guest(&code) else { return };
        let at = |offset| GuestPhysical(OUTSIDE + offset);
        assert_eq!(run(&mut guest), Exit::MmioRead { address: at(0), bytes: 8 });
        answer(&mut guest, 0x1122_3344_5566_7788);
        let written = Exit::MmioWrite { address: at(8), bytes: 8, value: 0x1122_3344_5566_7788 };
        assert_eq!(run(&mut guest), written);
        assert_eq!(run(&mut guest), Exit::MmioRead { address: at(1), bytes: 1 });
        answer(&mut guest, 0xffff_ff99);
        assert_eq!(run(&mut guest), Exit::MmioWrite { address: at(2), bytes: 2, value: 0x99 });
        assert_eq!(run(&mut guest), Exit::Halt);
    }

    #[test]
    fn an_instruction_with_two_mmio_accesses_has_no_state_in_between() {
        // mov ebx, OUTSIDE; add dword [rbx], 5; hlt
        let Some(mut guest) = guest(&[0xbb, 0, 0, 0, 0x10, 0x83, 0x03, 0x05, 0xf4]) else { return };
        assert_eq!(run(&mut guest), Exit::MmioRead { address: GuestPhysical(OUTSIDE), bytes: 4 });
        answer(&mut guest, 37);
        assert!(guest.engine.state().is_err());
        let written = Exit::MmioWrite { address: GuestPhysical(OUTSIDE), bytes: 4, value: 42 };
        assert_eq!(run(&mut guest), written);
        assert_eq!(guest.engine.state().unwrap().rip, crate::probe::guest::KERNEL + 8);
    }

    #[test]
    fn a_register_that_is_not_kept_exits_and_reads_what_is_answered() {
        // mov ecx, 0x1a0; rdmsr; wrmsr; hlt
        let Some(mut guest) = guest(&[0xb9, 0xa0, 1, 0, 0, 0x0f, 0x32, 0x0f, 0x30, 0xf4]) else { return };
        assert_eq!(run(&mut guest), Exit::MsrRead { index: 0x1a0 });
        answer(&mut guest, 0x1_0000_0002);
        assert_eq!(run(&mut guest), Exit::MsrWrite { index: 0x1a0, value: 0x1_0000_0002 });
        guest.engine.answer(Answer::Done).unwrap();
        assert_eq!(run(&mut guest), Exit::Halt);
    }

    #[test]
    fn a_register_that_is_refused_raises_general_protection() {
        for opcode in [0x32, 0x30] {
            // mov ecx, 0x10; rdmsr or wrmsr
            let code = [0xb9, 0x10, 0, 0, 0, 0x0f, opcode];
            let Some(mut guest) = guest(&code) else { return };
            let exit = run(&mut guest);
            let index = msr::TIME_STAMP_COUNTER;
            assert!(
                [Exit::MsrRead { index }, Exit::MsrWrite { index, value: 0 }].contains(&exit),
                "{exit:?}"
            );
            guest.engine.answer(Answer::GeneralProtection).unwrap();
            let told = Exit::PortWrite { port: VECTOR_PORT, size: AccessSize::Byte, value: 13 };
            assert_eq!(run(&mut guest), told);
        }
    }

    #[test]
    fn a_kept_register_does_not_exit() {
        // mov ecx, KERNEL_GS_BASE; mov eax, 0x1234; xor edx, edx; wrmsr; hlt
        let code = [0xb9, 0x02, 0x01, 0x00, 0xc0, 0xb8, 0x34, 0x12, 0, 0, 0x31, 0xd2, 0x0f, 0x30, 0xf4];
        let Some(mut guest) = guest(&code) else { return };
        assert_eq!(run(&mut guest), Exit::Halt);
        assert_eq!(guest.engine.state().unwrap().msrs.kernel_gs_base, 0x1234);
    }

    #[test]
    fn a_time_read_sets_edx_and_eax_and_nothing_else() {
        // in eax, TIME_READ_PORT; hlt
        let Some(mut guest) = guest(&[0xe5, TIME_READ_PORT as u8, 0xf4]) else { return };
        guest
            .change(|state| {
                state.general.rax = u64::MAX;
                state.general.rdx = u64::MAX;
            })
            .unwrap();
        let mut expected = guest.engine.state().unwrap();
        assert_eq!(run(&mut guest), Exit::TimeRead);
        answer(&mut guest, 0x1122_3344_5566_7788);
        expected.general.rax = 0x5566_7788;
        expected.general.rdx = 0x1122_3344;
        expected.rip += 2;
        assert_eq!(guest.engine.state().unwrap(), expected);
        assert_eq!(run(&mut guest), Exit::Halt);
    }

    #[test]
    fn a_single_step_of_the_guest_itself_over_a_time_read_is_not_lost() {
        // in eax, TIME_READ_PORT; hlt
        let Some(mut guest) = guest(&[0xe5, TIME_READ_PORT as u8, 0xf4]) else { return };
        guest.change(|state| state.rflags |= RFLAGS_TF).unwrap();
        assert_eq!(run(&mut guest), Exit::TimeRead);
        answer(&mut guest, 0x1122_3344_5566_7788);
        let state = guest.engine.state().unwrap();
        assert_eq!(state.pending, Some(PendingEvent::Exception { vector: 1, error_code: None }));
        assert_eq!((state.general.rax, state.general.rdx), (0x5566_7788, 0x1122_3344));
        let told = Exit::PortWrite { port: VECTOR_PORT, size: AccessSize::Byte, value: 1 };
        assert_eq!(run(&mut guest), told);
    }

    #[test]
    fn narrower_reads_of_the_time_port_are_ordinary() {
        // in al, TIME_READ_PORT
        let Some(mut guest) = guest(&[0xe4, TIME_READ_PORT as u8]) else { return };
        assert_eq!(run(&mut guest), Exit::PortRead { port: TIME_READ_PORT, size: AccessSize::Byte });
    }

    #[test]
    #[should_panic(expected = "was not answered")]
    fn an_exit_without_its_answer_is_a_bug() {
        let Some(mut guest) = guest(&[0xe4, 0x21]) else { panic!("no KVM: was not answered") };
        run(&mut guest);
        run(&mut guest);
    }
}
