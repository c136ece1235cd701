//! When interrupts are taken.

use outlive_engine::{AccessSize, Engine, Exit, InterruptShadow};

use super::guest::{KERNEL, RFLAGS_IF, Ring};
use super::trial::{Trial, Trouble, unexpected};
use crate::host::Host;

pub(super) fn halt(host: &Host) -> Result<(), Trouble> {
    // sti; hlt
    let mut trial = Trial::new(host, Ring::Kernel, &[0xfb, 0xf4])?;
    trial.expect(&Exit::Halt)?;
    if !trial.guest.engine.can_take_interrupt()? {
        return Err(Trouble::failed("no interrupt can be taken after STI and HLT"));
    }
    trial.guest.engine.inject_interrupt(0x21)?;
    trial.expect_vector(0x21)
}

/// How often the window is opened: a host that is late is not always equally late.
const ATTEMPTS: usize = 8;
/// Instructions of one byte behind STI.
const BEHIND: usize = 40;

/// SDM volume 3, 7.8.3: interrupts come after the instruction that follows STI.
pub(super) fn window(host: &Host) -> Result<(), Trouble> {
    let seen: Vec<Option<u64>> = (0..ATTEMPTS).map(|_| one_window(host)).collect::<Result<_, _>>()?;
    if seen.iter().all(|behind| *behind == Some(1)) {
        return Ok(());
    }
    let word = |behind: &Option<u64>| behind.map_or("never".to_owned(), |count| count.to_string());
    let words: Vec<String> = seen.iter().map(word).collect();
    Err(Trouble::failed(format!("instructions behind STI, in {ATTEMPTS} attempts: {}", words.join(", "))))
}

/// How many instructions behind STI the window opens; `None` if the guest halts before.
fn one_window(host: &Host) -> Result<Option<u64>, Trouble> {
    let mut code = vec![0xe6, 0x80, 0xfb]; // out 0x80, al; sti
    let behind_sti = KERNEL + code.len() as u64;
    code.extend([0x90; BEHIND]); // nop
    code.push(0xf4); // hlt
    let mut trial = Trial::new(host, Ring::Kernel, &code)?;
    trial.expect(&Exit::PortWrite { port: 0x80, size: AccessSize::Byte, value: 0 })?;
    trial.guest.engine.set_interrupt_window(true);
    match trial.run()? {
        Exit::InterruptWindow => Ok(Some(trial.state()?.rip.wrapping_sub(behind_sti))),
        Exit::Halt => Ok(None),
        exit => Err(Trouble::Failed(unexpected(&exit, &Exit::InterruptWindow))),
    }
}

/// Whether a guest that is entered in the shadow of STI has lost it: see module `shadow`.
pub(super) fn forgets_shadow(host: &Host) -> Result<bool, Trouble> {
    // nop; nop; hlt
    let mut trial = Trial::new(host, Ring::Kernel, &[0x90, 0x90, 0xf4])?;
    trial.guest.change(|state| {
        state.rflags |= RFLAGS_IF;
        state.shadow = InterruptShadow::Sti;
    })?;
    trial.guest.engine.set_interrupt_window(true);
    let exit = trial.run()?;
    Ok(exit == Exit::InterruptWindow && trial.state()?.rip == KERNEL)
}
