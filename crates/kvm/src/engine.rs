//! [`KvmEngine`]: the trait's words in terms of KVM.

use std::path::Path;
use std::sync::Arc;

use outlive_engine::{
    Activity, Answer, Capabilities, Engine, EngineError, EngineKind, Exit, GuestPhysical, GuestRam,
    InstructionCount, Kicker, Landing, Position, RunLimit, TimeReads, VcpuState,
};

use crate::debug::Stop;
use crate::error::{KvmError, host, host_io, unsupported};
use crate::exits::{Seen, unexpected_debug};
use crate::host::{DEVICE, Host};
use crate::kick::{Kick, Runner};
use crate::progress::{Progress, Wanted};
use crate::shadow::ShadowKeeping;
use crate::state;
use crate::vm::Vm;

/// What this engine can promise.
pub const CAPABILITIES: Capabilities = Capabilities {
    engine: EngineKind::Kvm,
    landing: Landing::AtExits,
    time_reads: TimeReads::MustBeRewritten,
};

/// A virtual machine in the host's KVM, and its one vCPU.
///
/// It may be created on one thread and run on another. Inputs can land at exits only, and RDTSC cannot be
/// seen: see [`Capabilities`].
#[derive(Debug)]
pub struct KvmEngine {
    pub(crate) progress: Progress,
    pub(crate) activity: Activity,
    kick: Arc<Kick>,
    /// The thread that ran the vCPU last.
    runner: Option<Runner>,
    pub(crate) shadows: ShadowKeeping,
    pub(crate) vm: Vm,
}

impl KvmEngine {
    /// A machine with `memory` on the host's usual KVM. The vCPU is as KVM makes it; its state must be set
    /// before it runs.
    ///
    /// # Errors
    /// When KVM cannot be used.
    pub fn new(memory: &GuestRam) -> Result<Self, KvmError> {
        Self::on(&Host::open(Path::new(DEVICE))?, memory)
    }

    /// Like [`new`](Self::new), on a KVM that is open already.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn on(host: &Host, memory: &GuestRam) -> Result<Self, KvmError> {
        let vm = Vm::new(host, memory)?;
        let progress = Progress::new(vm.vcpu()?, vm.run_size());
        let kick = Kick::new()
            .map_err(|source| KvmError::Process { operation: "set up a signal for kicks", source })?;
        let shadows = ShadowKeeping::unknown(&host.device);
        Ok(Self { progress, activity: Activity::Running, kick, runner: None, shadows, vm })
    }

    /// Starts or stops keeping the list of pages that the guest writes to (api.rst 4.8).
    ///
    /// # Errors
    /// When the host refuses.
    pub fn log_dirty_pages(&mut self, wanted: bool) -> Result<(), KvmError> {
        self.vm.log_dirty_pages(wanted)
    }

    /// The pages that the guest wrote to since the last call, as one bitmap per region of RAM, bit n for
    /// page n. Pages that the monitor wrote to are not among them. Only while the list is kept.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn take_dirty_pages(&mut self) -> Result<Vec<Vec<u64>>, KvmError> {
        self.vm.take_dirty_pages()
    }

    /// Lets the guest run until something happens.
    pub(crate) fn run_to_stop(&mut self) -> Result<Stop, EngineError> {
        assert_eq!(self.activity, Activity::Running, "a halted vCPU is not run");
        if self.progress.is_ahead() {
            if self.kick.take() {
                return Ok(Stop::Exit(Exit::Kicked));
            }
            return match self.progress.next_element() {
                Some(exit) => Ok(Stop::Exit(exit)),
                None => self.advance(),
            };
        }
        let runner = self.runner()?;
        if !self.kick.begin(runner) {
            return Ok(Stop::Exit(Exit::Kicked));
        }
        let stop = self.advance();
        self.kick.end();
        if matches!(stop, Ok(Stop::Exit(Exit::Kicked))) {
            self.kick.take();
        }
        stop
    }

    /// The calling thread, made ready to run the vCPU.
    fn runner(&mut self) -> Result<Runner, EngineError> {
        match self.runner {
            Some(runner) if runner.is_current() => Ok(runner),
            _ => {
                let runner = Runner::prepare(&self.progress.vcpu);
                Ok(*self.runner.insert(runner.map_err(host_io("prepare a thread for kicks"))?))
            }
        }
    }

    fn advance(&mut self) -> Result<Stop, EngineError> {
        let mut seen = self.progress.advance()?;
        if seen == Seen::InterruptWindow && self.lacks_its_shadow()? {
            seen = self.go_on_behind_shadow()?;
        }
        Ok(match seen {
            Seen::Debug(stop) => Stop::Debug(stop),
            Seen::Halt => {
                // The #DB of a guest that steps itself comes behind HLT and wakes the processor.
                let wakes = state::holds_exception(&self.progress.vcpu)?;
                self.activity = if wakes { Activity::Running } else { Activity::Halted };
                Stop::Exit(Exit::Halt)
            }
            seen => Stop::Exit(self.present(seen)),
        })
    }

    /// Says in the trait's words what the guest did, and keeps what that leaves to be done.
    fn present(&mut self, seen: Seen) -> Exit {
        match seen {
            Seen::Port(access) => self.progress.present_port(access, 0),
            Seen::MmioRead { address, bytes } => {
                self.progress.wait_for(Wanted::Mmio);
                Exit::MmioRead { address, bytes }
            }
            Seen::MmioWrite { address, bytes, value } => {
                self.progress.leave_unfinished();
                Exit::MmioWrite { address, bytes, value }
            }
            Seen::MsrRead { index } => {
                self.progress.wait_for(Wanted::MsrRead);
                Exit::MsrRead { index }
            }
            Seen::MsrWrite { index, value } => {
                self.progress.wait_for(Wanted::MsrWrite);
                Exit::MsrWrite { index, value }
            }
            Seen::Halt => Exit::Halt,
            Seen::Shutdown => Exit::Shutdown,
            Seen::InterruptWindow => Exit::InterruptWindow,
            Seen::Interrupted => Exit::Kicked,
            Seen::Debug(stop) => Exit::Unhandled(unexpected_debug(stop)),
            Seen::Refused(report) => Exit::Unhandled(report),
        }
    }
}

impl Engine for KvmEngine {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn run(&mut self, limit: RunLimit) -> Result<Exit, EngineError> {
        match limit {
            RunLimit::Unlimited => {}
            RunLimit::Instructions(_) => return Err(unsupported("stop after a number of instructions")),
        }
        Ok(match self.run_to_stop()? {
            Stop::Exit(exit) => exit,
            Stop::Debug(stop) => Exit::Unhandled(unexpected_debug(stop)),
        })
    }

    fn answer(&mut self, answer: Answer) -> Result<(), EngineError> {
        self.progress.answer(answer)
    }

    fn can_take_interrupt(&mut self) -> Result<bool, EngineError> {
        self.takes_interrupts()
    }

    fn inject_interrupt(&mut self, vector: u8) -> Result<(), EngineError> {
        self.queue_interrupt(vector)
    }

    /// Stays in force until it is taken back.
    fn set_interrupt_window(&mut self, wanted: bool) {
        self.progress.page().request_interrupt_window(wanted);
    }

    fn activity(&self) -> Activity {
        self.activity
    }

    fn retired(&self) -> InstructionCount {
        InstructionCount::default()
    }

    fn position(&mut self) -> Result<Position, EngineError> {
        if !self.progress.finish_instruction()? {
            return Err(unsupported("tell its position in the middle of an instruction"));
        }
        let registers = self.progress.vcpu.get_regs().map_err(host("read registers"))?;
        Ok(Position { rip: registers.rip, rcx: registers.rcx })
    }

    /// Fails in the middle of an instruction that makes several exits, such as REP INS: the state is one
    /// between two instructions.
    fn state(&mut self) -> Result<VcpuState, EngineError> {
        if !self.progress.finish_instruction()? {
            return Err(unsupported("tell its state in the middle of an instruction"));
        }
        state::read(&self.progress.vcpu, self.activity)
    }

    /// Fails in the middle of an instruction that makes several exits.
    fn set_state(&mut self, state: &VcpuState) -> Result<(), EngineError> {
        if !self.progress.finish_instruction()? {
            return Err(unsupported("replace its state in the middle of an instruction"));
        }
        state::write(&self.progress.vcpu, state)?;
        self.progress.page().set_cr8(state.control.cr8);
        self.progress.changed();
        self.activity = state.activity;
        Ok(())
    }

    fn translate(&mut self, linear: u64) -> Option<GuestPhysical> {
        let translation = self.progress.vcpu.translate_gva(linear).ok()?;
        (translation.valid != 0).then_some(GuestPhysical(translation.physical_address))
    }

    fn kicker(&self) -> Kicker {
        self.kick.kicker()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::guest::{DATA, Guest, KERNEL, RFLAGS_IF, RFLAGS_TF, Ring, VECTOR_PORT};
    use crate::testing;
    use crate::testing::{guest, run};
    use outlive_engine::AccessSize;
    use vm_memory::{Bytes, GuestAddress};

    #[test]
    fn a_limit_in_instructions_is_refused() {
        let Some(mut guest) = guest(&[0xf4]) else { return };
        let error = guest.engine.run(RunLimit::Instructions(1)).unwrap_err();
        assert!(matches!(error, EngineError::Unsupported { .. }), "{error:?}");
    }

    #[test]
    fn what_kvm_cannot_do_stops_the_guest_with_the_kernels_name() {
        // mov eax, OUTSIDE; jmp rax: there is no RAM to execute from
        let Some(mut guest) = guest(&[0xb8, 0, 0, 0, 0x10, 0xff, 0xe0]) else { return };
        let Exit::Unhandled(report) = run(&mut guest) else { panic!("handled") };
        assert_eq!(report.name, "KVM_EXIT_INTERNAL_ERROR");
        assert!(report.detail.starts_with("suberror 1 (KVM cannot emulate"), "{}", report.detail);
    }

    #[test]
    fn a_triple_fault_is_a_shutdown() {
        let Some(mut guest) = guest(&[0x0f, 0x0b]) else { return };
        guest.change(|state| state.idt.limit = 0).unwrap();
        assert_eq!(run(&mut guest), Exit::Shutdown);
    }

    #[test]
    #[should_panic(expected = "a halted vCPU is not run")]
    fn running_a_halted_processor_is_a_bug() {
        let Some(mut guest) = guest(&[0xf4]) else { panic!("no KVM: a halted vCPU is not run") };
        run(&mut guest);
        run(&mut guest);
    }

    #[test]
    fn a_halt_ends_at_once_for_a_guest_that_single_steps_itself() {
        for interrupts in [0, RFLAGS_IF] {
            // hlt
            let Some(mut guest) = guest(&[0xf4]) else { return };
            guest.change(|state| state.rflags |= RFLAGS_TF | interrupts).unwrap();
            assert_eq!(run(&mut guest), Exit::Halt);
            assert_eq!(guest.engine.activity(), Activity::Running);
            let told = Exit::PortWrite { port: VECTOR_PORT, size: AccessSize::Byte, value: 1 };
            assert_eq!(run(&mut guest), told);
        }
    }

    #[test]
    fn the_position_is_that_of_the_state() {
        // mov ecx, 7; out 0x80, al; hlt
        let Some(mut guest) = guest(&[0xb9, 7, 0, 0, 0, 0xe6, 0x80, 0xf4]) else { return };
        run(&mut guest);
        assert_eq!(guest.engine.position().unwrap(), Position { rip: KERNEL + 7, rcx: 7 });
        assert_eq!(guest.engine.state().unwrap().rip, KERNEL + 7);
    }

    #[test]
    fn addresses_are_translated_as_the_guest_would() {
        let Some(mut guest) = guest(&[0xf4]) else { return };
        assert_eq!(guest.engine.translate(KERNEL), Some(GuestPhysical(KERNEL)));
        assert_eq!(guest.engine.translate(1 << 40), None);
    }

    #[test]
    fn a_guest_goes_on_in_another_machine_as_if_nothing_had_happened() {
        // mov edi, DATA; again: imul eax, eax, 1103515245; add eax, 12345; out 0x80, eax; in ax, 0x40;
        // add [rdi], eax; add edi, 4; and edi, DATA + 0xfff; jmp again
        let code = [
            0xbf, 0, 0, 4, 0, 0x69, 0xc0, 0x6d, 0x4e, 0xc6, 0x41, 0x05, 0x39, 0x30, 0, 0, 0xe7, 0x80, 0x66,
            0xe5, 0x40, 0x01, 0x07, 0x83, 0xc7, 0x04, 0x81, 0xe7, 0xff, 0x0f, 0x04, 0x00, 0xeb, 0xe3,
        ];
        let (Some(mut first), Some(host)) = (guest(&code), testing::host()) else { return };
        steps(&mut first, 0..33);
        let state = first.engine.state().unwrap();
        let mut second = Guest::new(&host, Ring::Kernel, &[]).unwrap();
        second.put(0, &whole_memory(&first));
        second.engine.set_state(&state).unwrap();
        assert_eq!(steps(&mut second, 33..200), steps(&mut first, 33..200));
        assert_eq!(second.engine.state().unwrap(), first.engine.state().unwrap());
        assert_eq!(second.word(DATA), first.word(DATA));
        assert!(whole_memory(&second) == whole_memory(&first), "memory differs");
    }

    fn steps(guest: &mut Guest, numbers: std::ops::Range<u64>) -> Vec<Exit> {
        let step = |number| {
            let exit = run(guest);
            if matches!(exit, Exit::PortRead { .. }) {
                guest.engine.answer(Answer::Value(number)).unwrap();
            }
            exit
        };
        numbers.map(step).collect()
    }

    fn whole_memory(guest: &Guest) -> Vec<u8> {
        let mut bytes = vec![0; 2 << 20];
        guest.memory.read_slice(&mut bytes, GuestAddress(0)).unwrap();
        bytes
    }
}
