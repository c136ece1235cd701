//! RFLAGS as a whole: PUSHF, POPF, CLI, STI (Intel SDM volume 2).

use iced_x86::{Code, Instruction};
use outlive_engine::InterruptShadow;

use crate::cpu::Cpu;
use crate::decode::Selection;
use crate::fault::{Abort, Exception};
use crate::flags::bit;
use crate::op::{Op, Step};
use crate::width::{Dword, Qword, Width, Word};

pub(super) fn select(instruction: &Instruction) -> Option<Selection> {
    Some(match instruction.code() {
        Code::Pushfw => Selection::plain(pushf::<Word>),
        Code::Pushfd => Selection::plain(pushf::<Dword>),
        Code::Pushfq => Selection::plain(pushf::<Qword>),
        Code::Popfw => Selection::plain(popf::<Word>),
        Code::Popfd => Selection::plain(popf::<Dword>),
        Code::Popfq => Selection::plain(popf::<Qword>),
        Code::Cli => Selection::plain(cli),
        Code::Sti => Selection::last(sti),
        _ => return None,
    })
}

/// RF is pushed as zero.
extern "sysv64-unwind" fn pushf<W: Width>(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    cpu.push::<W>(cpu.flags.bits() & !bit::RF & W::MASK)
}

extern "sysv64-unwind" fn popf<W: Width>(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    let settable = cpu.settable_flags::<W>();
    let flags = cpu.pop::<W>()?;
    let before = cpu.flags.control();
    cpu.replace_flags(flags & !bit::RF, settable | bit::RF);
    // Interrupts and traps are looked for between blocks, alignment checks are a mode of memory.
    let has_changed = (before ^ cpu.flags.control()) & (bit::IF | bit::TF | bit::AC) != 0;
    Ok(if has_changed { Step::Leave } else { Step::Next })
}

extern "sysv64-unwind" fn cli(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    if cpu.privilege() > cpu.io_privilege() {
        return cpu.raise(Exception::PROTECTION);
    }
    cpu.flags.set_control(bit::IF, false);
    Ok(Step::Next)
}

/// If interrupts were off, they stay off for one more instruction.
extern "sysv64-unwind" fn sti(cpu: &mut Cpu, _: &Op) -> Result<Step, Abort> {
    if cpu.privilege() > cpu.io_privilege() {
        return cpu.raise(Exception::PROTECTION);
    }
    if !cpu.flags.has(bit::IF) {
        cpu.flags.set_control(bit::IF, true);
        cpu.shadow = InterruptShadow::Sti;
        cpu.attend();
    }
    Ok(Step::Leave)
}

impl Cpu {
    /// IOPL.
    pub(super) fn io_privilege(&self) -> u8 {
        ((self.flags.control() & bit::IOPL) >> 12) as u8
    }

    /// The flags that POPF and IRET with operands of this width may set at the current privilege level; RF
    /// apart, which is another matter for each of them.
    pub(super) fn settable_flags<W: Width>(&self) -> u64 {
        let privilege = self.privilege();
        let always = bit::ARITHMETIC | bit::TF | bit::DF | bit::NT;
        let wide = if W::BITS == 16 { 0 } else { bit::AC | bit::ID };
        let interrupts = if privilege <= self.io_privilege() { bit::IF } else { 0 };
        let io_privilege = if privilege == 0 { bit::IOPL } else { 0 };
        always | wide | interrupts | io_privilege
    }

    /// Replaces those flags that are `settable`. To be called when the privilege level is the new one.
    pub(super) fn replace_flags(&mut self, flags: u64, settable: u64) {
        let kept = self.flags.bits() & !settable;
        self.flags.set_bits(kept | flags & settable);
        self.privilege_changed();
        if self.flags.has(bit::TF | bit::RF) {
            self.attend();
        }
    }
}

#[cfg(test)]
mod tests {
    use outlive_engine::{Answer, Exit};
    use proptest::prelude::*;

    use super::*;
    use crate::cpu::number;
    use crate::system::stage::Stage;
    use crate::testing::STACK;

    const POPFQ: [u8; 1] = [0x9d];

    fn popf(stage: &mut Stage, code: &[u8], value: u64) -> u64 {
        let at = stage.trial.cpu.register(number::RSP);
        stage.trial.write(at, &value.to_le_bytes());
        assert!(stage.trial.execute(code).is_ok());
        *stage.trial.cpu.register_mut(number::RSP) = at;
        stage.trial.cpu.flags.bits()
    }

    proptest! {
        #[test]
        fn popf_changes_what_the_privilege_level_allows(value: u64, before: u64, user: bool) {
            let mut stage = if user { Stage::user() } else { Stage::new() };
            stage.trial.cpu.flags.set_bits(before);
            let io_privilege = before >> 12 & 3;
            let mut settable = bit::ARITHMETIC | bit::TF | bit::DF | bit::NT | bit::AC | bit::ID;
            settable |= if user { 0 } else { bit::IOPL };
            settable |= if user && io_privilege < 3 { 0 } else { bit::IF };
            let kept = before & bit::ALL & !settable & !bit::RF;
            prop_assert_eq!(popf(&mut stage, &POPFQ, value), kept | value & settable | bit::FIXED);
        }

        #[test]
        fn narrow_popf_leaves_the_upper_flags(value: u64, before: u64) {
            let mut stage = Stage::new();
            stage.trial.cpu.flags.set_bits(before);
            let flags = popf(&mut stage, &[0x66, 0x9d], value);
            prop_assert_eq!(flags >> 16, (before & bit::ALL & !bit::RF) >> 16);
            prop_assert_eq!(flags & 0xffff, (value & bit::ALL | bit::FIXED) & 0xffff);
        }

        #[test]
        fn pushf_tells_all_but_the_resume_flag(flags: u64) {
            let mut stage = Stage::new();
            stage.trial.cpu.flags.set_bits(flags);
            prop_assert!(stage.trial.execute(&[0x9c]).is_ok());
            let expected = flags & bit::ALL & !bit::RF | bit::FIXED;
            prop_assert_eq!(stage.trial.read(STACK - 8), expected.to_le_bytes());
        }
    }

    #[test]
    fn popf_leaves_the_block_if_events_may_come_in() {
        let mut stage = Stage::new();
        stage.trial.write(STACK, &bit::IF.to_le_bytes());
        assert_eq!(stage.trial.execute(&POPFQ), Ok(Step::Leave));
        stage.trial.write(STACK + 8, &bit::IF.to_le_bytes());
        assert_eq!(stage.trial.execute(&POPFQ), Ok(Step::Next));
    }

    #[test]
    fn cli_and_sti_need_the_io_privilege() {
        let mut stage = Stage::user();
        assert_eq!(stage.trial.fault(&[0xfa]), Exception::PROTECTION);
        assert_eq!(stage.trial.fault(&[0xfb]), Exception::PROTECTION);
        stage.trial.cpu.flags.set_bits(bit::IOPL);
        assert!(stage.trial.execute(&[0xfb]).is_ok());
        assert!(stage.trial.cpu.flags.has(bit::IF));
        assert!(stage.trial.execute(&[0xfa]).is_ok());
        assert!(!stage.trial.cpu.flags.has(bit::IF));
    }

    #[test]
    fn sti_holds_interrupts_back_only_if_they_were_off() {
        let mut stage = Stage::new();
        assert!(stage.trial.execute(&[0xfb]).is_ok());
        assert_eq!(stage.trial.cpu.shadow, InterruptShadow::Sti);
        stage.trial.cpu.shadow = InterruptShadow::None;
        assert!(stage.trial.execute(&[0xfb]).is_ok());
        assert_eq!(stage.trial.cpu.shadow, InterruptShadow::None);
    }

    #[test]
    fn the_window_opens_behind_the_instruction_that_follows_sti() {
        let place = |code: &[u8]| {
            let mut stage = Stage::new();
            stage.trial.write(crate::testing::CODE, code);
            let mut runner = crate::run::Runner::new(stage.trial.cpu, crate::native::NativeCode::Always);
            runner.cpu.rip = crate::testing::CODE;
            runner.want_window(true);
            let exit = runner.run(100);
            (exit, runner.cpu.rip - crate::testing::CODE)
        };
        assert_eq!(place(&[0x90, 0xfb, 0x90, 0x90, 0xf4]), (Exit::InterruptWindow, 3));
        // STI; CLI; HLT: it never opens.
        assert_eq!(place(&[0xfb, 0xfa, 0xf4]), (Exit::Halt, 3));
        // STI; HLT: it opens behind HLT.
        assert_eq!(place(&[0xfb, 0xf4]), (Exit::Halt, 2));
        // STI; IN AL, 0x10: the answer comes within the shadow.
        assert_eq!(place(&[0xfb, 0xe4, 0x10, 0x90]).1, 1);
    }

    #[test]
    fn a_shadow_outlasts_an_instruction_that_waits_for_its_answer() {
        let mut stage = Stage::new();
        stage.answers = vec![Answer::Value(7)];
        assert_eq!(stage.run(&[0xfb, 0xe4, 0x10, 0xf4]), Exit::Halt);
        assert_eq!(stage.trial.cpu.register(number::RAX), 7);
        assert_eq!(stage.trial.cpu.shadow, InterruptShadow::None);
    }
}
