//! What every guest needs: ring 0, ports, registers, kicks; and what is examined there besides.

use std::thread;
use std::time::{Duration, Instant};

use outlive_engine::ports::TIME_READ_PORT;
use outlive_engine::{AccessSize, Engine, Exit, RunLimit, msr};

use super::guest::{DATA, Guest, KERNEL, Ring};
use super::trial::{Trial, Trouble, same, unexpected};
use crate::host::Host;

pub(super) fn ring_zero(host: &Host) -> Result<(), Trouble> {
    let code = [
        0xb8, 0x28, 0, 0, 0, // mov eax, 40
        0x83, 0xc0, 0x02, // add eax, 2
        0x89, 0x04, 0x25, 0, 0, 4, 0,    // mov [DATA], eax
        0xf4, // hlt
    ];
    let mut trial = Trial::new(host, Ring::Kernel, &code)?;
    trial.expect(&Exit::Halt)?;
    same("a sum in memory", trial.guest.word(DATA), 42)?;
    same("RIP", trial.state()?.rip, KERNEL + code.len() as u64)
}

pub(super) fn ports(host: &Host) -> Result<(), Trouble> {
    let code = [
        0xe5, 0x21, // in eax, 0x21
        0xe7, 0x22, // out 0x22, eax
        0xf4, // hlt
    ];
    let mut trial = Trial::new(host, Ring::Kernel, &code)?;
    trial.expect(&Exit::PortRead { port: 0x21, size: AccessSize::Dword })?;
    trial.answer(0x1234_5678)?;
    trial.expect(&Exit::PortWrite { port: 0x22, size: AccessSize::Dword, value: 0x1234_5678 })?;
    trial.expect(&Exit::Halt)
}

pub(super) fn time_stamp_register(host: &Host) -> Result<(), Trouble> {
    let code = [
        0xb9, 0x10, 0, 0, 0, // mov ecx, IA32_TIME_STAMP_COUNTER
        0x0f, 0x32, // rdmsr
        0xf4, // hlt
    ];
    let mut trial = Trial::new(host, Ring::Kernel, &code)?;
    trial.expect(&Exit::MsrRead { index: msr::TIME_STAMP_COUNTER })?;
    trial.answer(0x1122_3344_5566_7788)?;
    trial.expect(&Exit::Halt)?;
    let general = trial.state()?.general;
    same("EDX:EAX", general.rdx << 32 | general.rax, 0x1122_3344_5566_7788)
}

pub(super) fn time_read(host: &Host) -> Result<(), Trouble> {
    // in eax, TIME_READ_PORT; hlt
    let mut trial = Trial::new(host, Ring::Kernel, &[0xe5, TIME_READ_PORT as u8, 0xf4])?;
    trial.expect(&Exit::TimeRead)?;
    trial.answer(0x1122_3344_5566_7788)?;
    trial.expect(&Exit::Halt)?;
    let general = trial.state()?.general;
    same("EDX:EAX", general.rdx << 32 | general.rax, 0x1122_3344_5566_7788)
}

/// Does without the watch of other probes: a kick is what is examined.
pub(super) fn kick(host: &Host) -> Result<(), Trouble> {
    // jmp to itself
    let mut guest = Guest::new(host, Ring::Kernel, &[0xeb, 0xfe])?;
    let kicker = guest.engine.kicker();
    let start = Instant::now();
    let after = Duration::from_millis(10);
    let other = thread::Builder::new().spawn(move || {
        thread::sleep(after);
        kicker.kick();
    });
    other.map_err(|error| Trouble::Unavailable(format!("no thread could be started: {error}")))?;
    let exit = guest.engine.run(RunLimit::Unlimited)?;
    let took = start.elapsed();
    if exit != Exit::Kicked {
        return Err(Trouble::Failed(unexpected(&exit, &Exit::Kicked)));
    }
    if took < after + Duration::from_secs(1) {
        Ok(())
    } else {
        Err(Trouble::failed(format!("the guest stopped only after {took:?}")))
    }
}

/// Adds 2.0 and 4.0 to 1.5 and 2.25 at DATA, into DATA + 32. RDI is DATA.
pub(super) const ADD_PAIRS: [u8; 19] = [
    0xbf, 0, 0, 4, 0, // mov edi, DATA
    0x66, 0x0f, 0x10, 0x07, // movupd xmm0, [rdi]
    0x66, 0x0f, 0x58, 0x47, 0x10, // addpd xmm0, [rdi + 16]
    0x66, 0x0f, 0x11, 0x47, 0x20, // movupd [rdi + 32], xmm0
];

pub(super) fn put_pairs(trial: &Trial) {
    for (number, value) in [1.5_f64, 2.25, 2.0, 4.0].into_iter().enumerate() {
        trial.guest.put(DATA + 8 * number as u64, &value.to_le_bytes());
    }
}

pub(super) fn check_sums(trial: &Trial) -> Result<(), Trouble> {
    same("1.5 + 2.0", trial.guest.word(DATA + 32), 3.5_f64.to_bits())?;
    same("2.25 + 4.0", trial.guest.word(DATA + 40), 6.25_f64.to_bits())
}

pub(super) fn vector_arithmetic(host: &Host) -> Result<(), Trouble> {
    let mut code = ADD_PAIRS.to_vec();
    code.push(0xf4); // hlt
    let mut trial = Trial::new(host, Ring::Kernel, &code)?;
    put_pairs(&trial);
    trial.expect(&Exit::Halt)?;
    check_sums(&trial)
}

pub(super) fn dirty_log(host: &Host) -> Result<(), Trouble> {
    let code = [
        0x89, 0x04, 0x25, 0, 0, 4, 0, // mov [DATA], eax
        0xe6, 0x80, // out 0x80, al
        0x89, 0x04, 0x25, 0, 0x30, 4, 0,    // mov [DATA + 0x3000], eax
        0xf4, // hlt
    ];
    let mut trial = Trial::new(host, Ring::Kernel, &code)?;
    trial.guest.engine.log_dirty_pages(true)?;
    trial.expect(&Exit::PortWrite { port: 0x80, size: AccessSize::Byte, value: 0 })?;
    expect_dirty(&mut trial, true, false)?;
    trial.expect(&Exit::Halt)?;
    expect_dirty(&mut trial, false, true)
}

/// Whether exactly these of the two pages that the guest writes are in the list.
fn expect_dirty(trial: &mut Trial, first: bool, second: bool) -> Result<(), Trouble> {
    let lists = trial.guest.engine.take_dirty_pages()?;
    let bits = lists.first().map_or(&[] as &[u64], Vec::as_slice);
    let listed = |address: u64| {
        let page = address / 4096;
        bits.get((page / 64) as usize).is_some_and(|word| word >> (page % 64) & 1 != 0)
    };
    for (address, written) in [(DATA, first), (DATA + 0x3000, second), (DATA + 0x1_0000, false)] {
        if listed(address) != written {
            let not = if written { " not" } else { "" };
            return Err(Trouble::failed(format!("page {address:#x} is{not} in the list")));
        }
    }
    Ok(())
}
