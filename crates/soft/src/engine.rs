//! [`SoftEngine`]: the trait's words in terms of this processor.

use std::sync::atomic::Ordering;

use outlive_engine::{
    Activity, Answer, Capabilities, Engine, EngineError, EngineKind, Exit, GuestPhysical, GuestRam,
    InstructionCount, Kicker, Landing, PendingEvent, Position, RunLimit, TimeReads, VcpuState,
};

use crate::cpu::{Cpu, number};
use crate::native::NativeCode;
use crate::run::Runner;
use crate::state;

/// What this engine can promise.
pub const CAPABILITIES: Capabilities = Capabilities {
    engine: EngineKind::Soft,
    landing: Landing::AnyInstruction,
    time_reads: TimeReads::Trapped,
};

/// An x86-64 processor in software.
///
/// Inputs can land between any two instructions, and within REP strings between any two iterations; every
/// read of the time-stamp counter is seen. Deterministic: what it does follows from its state, its memory and
/// the answers that it gets.
#[derive(Debug)]
pub struct SoftEngine {
    runner: Runner,
}

impl SoftEngine {
    /// A processor on `memory`, whose regions must be made of whole pages. Its state must be set before it
    /// runs.
    pub fn new(memory: &GuestRam) -> Self {
        Self::with_native_code(memory, NativeCode::default())
    }

    /// Like [`new`](Self::new), with a choice of what is executed by machine code of the host.
    pub fn with_native_code(memory: &GuestRam, native_code: NativeCode) -> Self {
        Self { runner: Runner::new(Cpu::new(memory), native_code) }
    }

    /// Finishes an instruction that waited for an answer. Whether the processor stands between two now: an
    /// instruction that makes several exits may have another one to tell first, such as OUTS, which reads and then
    /// tells what it read.
    fn complete(&mut self) -> bool {
        self.assert_answered();
        let mmio = &self.runner.cpu.memory.mmio;
        if mmio.is_answered() && !mmio.is_waiting() {
            self.runner.step_with_answer();
        }
        let cpu = &self.runner.cpu;
        cpu.exit.is_none() && !cpu.memory.mmio.is_waiting() && !cpu.memory.mmio.has_writes()
    }

    /// As [`complete`](Self::complete), where nothing else will do.
    fn must_complete(&mut self) -> Result<(), EngineError> {
        match self.complete() {
            true => Ok(()),
            false => Err(unsupported("stop within an instruction that makes several exits")),
        }
    }

    /// An exit that was told must have its answer. One that was not told yet waits, too.
    fn assert_answered(&self) {
        let cpu = &self.runner.cpu;
        let was_told = cpu.exit.is_none();
        assert!(!(cpu.memory.mmio.is_waiting() && was_told), "an exit that wants an answer gets one first");
    }
}

fn unsupported(operation: &'static str) -> EngineError {
    EngineError::Unsupported { engine: EngineKind::Soft, operation }
}

impl Engine for SoftEngine {
    fn capabilities(&self) -> Capabilities {
        CAPABILITIES
    }

    fn run(&mut self, limit: RunLimit) -> Result<Exit, EngineError> {
        assert_eq!(self.activity(), Activity::Running, "a halted processor is not run");
        self.assert_answered();
        Ok(self.runner.run(match limit {
            RunLimit::Unlimited => u64::MAX,
            RunLimit::Instructions(count) => count,
        }))
    }

    fn answer(&mut self, answer: Answer) -> Result<(), EngineError> {
        self.runner.cpu.memory.mmio.answer(answer);
        // At once, so that nothing that happens before the next run comes between the two.
        self.complete();
        Ok(())
    }

    fn can_take_interrupt(&mut self) -> Result<bool, EngineError> {
        Ok(self.complete() && self.runner.can_take_interrupt())
    }

    fn inject_interrupt(&mut self, vector: u8) -> Result<(), EngineError> {
        assert!(self.can_take_interrupt()?, "an interrupt is injected where it can be taken");
        self.runner.cpu.pending = Some(PendingEvent::Interrupt { vector });
        self.runner.cpu.activity = Activity::Running;
        self.runner.cpu.attend();
        Ok(())
    }

    fn set_interrupt_window(&mut self, wanted: bool) {
        self.runner.want_window(wanted);
    }

    fn activity(&self) -> Activity {
        self.runner.cpu.activity
    }

    fn retired(&self) -> InstructionCount {
        InstructionCount(self.runner.cpu.retired)
    }

    fn position(&mut self) -> Result<Position, EngineError> {
        self.must_complete()?;
        let cpu = &self.runner.cpu;
        Ok(Position { rip: cpu.rip, rcx: cpu.register(number::RCX) })
    }

    fn state(&mut self) -> Result<VcpuState, EngineError> {
        self.must_complete()?;
        Ok(state::get(&self.runner.cpu))
    }

    fn set_state(&mut self, state: &VcpuState) -> Result<(), EngineError> {
        self.runner.forget();
        state::set(&mut self.runner.cpu, state).map_err(|error| EngineError::Host {
            engine: EngineKind::Soft,
            operation: "take over a state of the processor",
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, error),
        })
    }

    fn translate(&mut self, linear: u64) -> Option<GuestPhysical> {
        self.runner.cpu.memory.peek(linear)
    }

    fn kicker(&self) -> Kicker {
        let kicked = std::sync::Arc::clone(&self.runner.kicked);
        Kicker::new(move || kicked.store(true, Ordering::Release))
    }
}

#[cfg(test)]
mod tests {
    use outlive_engine::InterruptShadow;

    use super::*;
    use crate::testing::{CODE, Trial};

    /// An engine that stands on these bytes, with RAX outside of RAM and interrupts on.
    fn engine(code: &[u8]) -> (SoftEngine, Trial) {
        engine_with(code, NativeCode::Always)
    }

    fn engine_with(code: &[u8], native_code: NativeCode) -> (SoftEngine, Trial) {
        let mut trial = Trial::new();
        trial.write(CODE, code);
        let mut engine = SoftEngine::with_native_code(&trial.ram, native_code);
        let mut state = crate::testing::state();
        state.general.rax = 0x18_0000;
        state.rflags |= 1 << 9;
        engine.set_state(&state).unwrap();
        (engine, trial)
    }

    fn run(engine: &mut SoftEngine) -> Exit {
        engine.run(RunLimit::Unlimited).unwrap()
    }

    #[test]
    fn between_the_exits_of_one_instruction_nothing_lands_and_nothing_is_lost() {
        // movups xmm0, [rax]; hlt
        let (mut engine, _trial) = engine(&[0x0f, 0x10, 0x00, 0xf4]);
        for (address, answer) in [(0x18_0000, 1), (0x18_0008, 2)] {
            let exit = Exit::MmioRead { address: GuestPhysical(address), bytes: 8 };
            assert_eq!(run(&mut engine), exit);
            engine.answer(Answer::Value(answer)).unwrap();
            let is_last = address == 0x18_0008;
            assert_eq!(engine.can_take_interrupt().unwrap(), is_last);
            assert_eq!(engine.position().is_ok(), is_last);
            assert_eq!(engine.retired(), InstructionCount(is_last.into()));
        }
        assert_eq!(engine.state().unwrap().floating_point.xmm[0], 2 << 64 | 1);
        assert_eq!(run(&mut engine), Exit::Halt);
    }

    #[test]
    fn an_instruction_that_asks_and_then_tells_cannot_be_saved_in_between() {
        // mov esi, eax; outsb; hlt
        let (mut engine, _trial) = engine(&[0x89, 0xc6, 0x6e, 0xf4]);
        assert_eq!(run(&mut engine), Exit::MmioRead { address: GuestPhysical(0x18_0000), bytes: 1 });
        engine.answer(Answer::Value(7)).unwrap();
        assert!(engine.state().is_err());
        assert!(!engine.can_take_interrupt().unwrap());
        let size = outlive_engine::AccessSize::Byte;
        assert_eq!(run(&mut engine), Exit::PortWrite { port: 0, size, value: 7 });
        assert!(engine.state().is_ok());
        assert_eq!(run(&mut engine), Exit::Halt);
    }

    #[test]
    fn a_kick_stops_a_loop_and_the_next_run_goes_on() {
        // inc rcx; jmp back
        let (mut engine, _trial) = engine(&[0x48, 0xff, 0xc1, 0xeb, 0xfb]);
        engine.kicker().kick();
        assert_eq!(run(&mut engine), Exit::Kicked);
        assert_eq!(engine.retired(), InstructionCount(0));
        assert_eq!(engine.run(RunLimit::Instructions(1001)).unwrap(), Exit::LimitReached);
        assert_eq!((engine.retired(), engine.position().unwrap().rcx), (InstructionCount(1001), 501));
    }

    #[test]
    fn a_wanted_window_opens_behind_the_shadow_of_sti() {
        // cli; sti; nop; nop
        let (mut engine, _trial) = engine(&[0xfa, 0xfb, 0x90, 0x90]);
        assert_eq!(engine.run(RunLimit::Instructions(2)).unwrap(), Exit::LimitReached);
        assert_eq!(engine.state().unwrap().shadow, InterruptShadow::Sti);
        assert!(!engine.can_take_interrupt().unwrap());
        engine.set_interrupt_window(true);
        assert_eq!(run(&mut engine), Exit::InterruptWindow);
        assert_eq!(engine.position().unwrap().rip, CODE + 3);
    }

    #[test]
    fn no_stop_is_passed_by_native_code_or_long_strings() {
        // mov edi, DATA; mov ecx, 30000; rep stosb; jmp back
        let code = [0xbf, 0, 0, 2, 0, 0xb9, 0x30, 0x75, 0, 0, 0xf3, 0xaa, 0xeb, 0xf2];
        let (mut interpreted, _trial) = engine_with(&code, NativeCode::Never);
        let (mut native, _trial) = engine_with(&code, NativeCode::Always);
        for steps in [1, 40_000, 29_999, 3, 123_457, 20_000, 300_000] {
            for engine in [&mut interpreted, &mut native] {
                let before = engine.retired().0;
                assert_eq!(engine.run(RunLimit::Instructions(steps)).unwrap(), Exit::LimitReached);
                assert_eq!(engine.retired().0, before + steps);
            }
            assert_eq!(native.state().unwrap(), interpreted.state().unwrap());
        }
    }

    #[test]
    fn a_state_that_is_not_long_mode_is_refused() {
        let (mut engine, _trial) = engine(&[]);
        let mut state = crate::testing::state();
        state.control.efer = 0;
        let error = engine.set_state(&state).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("not in long mode"), "{cause}");
    }
}
