//! When interrupts are taken.

use outlive_engine::{AccessSize, Engine, Exit};

use super::guest::{KERNEL, Ring};
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
///
/// The guest goes through its code twice, and the window is wanted the second time. An emulated host, such as
/// the lab's, takes long over code that it has not seen before. An interrupt of its own that comes meanwhile
/// makes it leave the guest in the shadow of STI, and it does not restore the shadow when it comes back.
fn one_window(host: &Host) -> Result<Option<u64>, Trouble> {
    let mut code = vec![0xb9, 2, 0, 0, 0]; // mov ecx, 2
    let again = code.len();
    code.extend([0xe6, 0x80, 0xfb]); // out 0x80, al; sti
    let behind_sti = KERNEL + code.len() as u64;
    code.extend([0x90; BEHIND]); // nop
    code.extend([0xfa, 0xff, 0xc9, 0x75]); // cli; dec ecx; jnz
    code.push((again as u8).wrapping_sub(code.len() as u8 + 1)); // to the OUT
    code.push(0xf4); // hlt
    let mut trial = Trial::new(host, Ring::Kernel, &code)?;
    for _ in 0..2 {
        trial.expect(&Exit::PortWrite { port: 0x80, size: AccessSize::Byte, value: 0 })?;
    }
    trial.guest.engine.set_interrupt_window(true);
    match trial.run()? {
        Exit::InterruptWindow => Ok(Some(trial.state()?.rip.wrapping_sub(behind_sti))),
        Exit::Halt => Ok(None),
        exit => Err(Trouble::Failed(unexpected(&exit, &Exit::InterruptWindow))),
    }
}
