//! Ring 3, and what a kernel must rely on there.

use outlive_engine::cpuid::{CpuidResult, TABLE, lookup};
use outlive_engine::{AccessSize, Exit};

use super::basics::{ADD_PAIRS, check_sums, put_pairs};
use super::guest::{CR4_TSD, DATA, Ring, SYSCALL_ENTRY, USER};
use super::trial::{Trial, Trouble, same, unexpected};
use crate::host::Host;

/// The vector by which code says that it is done: of all instructions that enter a handler from ring 3, it
/// is the one that works on most hosts.
pub(super) const DONE: u8 = 3;
/// int3
pub(super) const SAY_DONE: [u8; 1] = [0xcc];

pub(super) fn ring_three(host: &Host) -> Result<(), Trouble> {
    let mut code = vec![0xb8, 0x2a, 0, 0, 0]; // mov eax, 42
    code.extend([0x89, 0x04, 0x25, 0, 0, 4, 0]); // mov [DATA], eax
    code.extend(SAY_DONE);
    let mut trial = Trial::new(host, Ring::User, &code)?;
    trial.expect_vector(DONE)?;
    same("a number in memory", trial.guest.word(DATA), 42)?;
    let state = trial.state()?;
    same("CS in the handler", state.segments.cs.selector, 0x08)?;
    same("CS in the interrupt's frame", trial.guest.word(state.general.rsp + 8), 0x2b)
}

pub(super) fn system_call(host: &Host) -> Result<(), Trouble> {
    const PORT: u16 = 0xf2;
    let handler = [
        0x8c, 0xc8, // mov eax, cs
        0x66, 0xe7, PORT as u8, // out PORT, ax
        0xf4,       // hlt
    ];
    let mut trial = Trial::new(host, Ring::User, &[0x0f, 0x05])?; // syscall
    trial.guest.put(SYSCALL_ENTRY, &handler);
    let exit = trial.run()?;
    let wanted = Exit::PortWrite { port: PORT, size: AccessSize::Word, value: 0x08 };
    if exit != wanted {
        let ring = trial.state()?.segments.cs.selector & 3;
        return Err(Trouble::failed(format!("{}, now in ring {ring}", unexpected(&exit, &wanted))));
    }
    let state = trial.state()?;
    same("the handler's stack level", state.segments.ss.attributes >> 5 & 3, 0)?;
    same("RCX", state.general.rcx, USER + 2)
}

pub(super) fn time_stamp_disable(host: &Host) -> Result<(), Trouble> {
    let mut code = vec![0x0f, 0x31]; // rdtsc
    code.extend(SAY_DONE);
    let mut trial = Trial::new(host, Ring::User, &code)?;
    trial.guest.change(|state| state.control.cr4 |= CR4_TSD)?;
    trial.expect_vector(13)
}

pub(super) fn floating_point(host: &Host) -> Result<(), Trouble> {
    let mut code = ADD_PAIRS.to_vec();
    code.extend([
        0xdd, 0x07, // fld qword [rdi]
        0xdc, 0x47, 0x08, // fadd qword [rdi + 8]
        0xdd, 0x5f, 0x30, // fstp qword [rdi + 48]
    ]);
    code.extend(SAY_DONE);
    let mut trial = Trial::new(host, Ring::User, &code)?;
    put_pairs(&trial);
    trial.expect_vector(DONE)?;
    check_sums(&trial)?;
    same("1.5 + 2.25", trial.guest.word(DATA + 48), 3.75_f64.to_bits())
}

pub(super) fn cpuid(host: &Host) -> Result<(), Trouble> {
    let listed = TABLE.iter().map(|entry| (entry.leaf, entry.subleaf.unwrap_or(0)));
    let absent = [(3, 0), (0xd, 0), (0xd, 1), (0x4000_0001, 0), (0x8000_0009, 0)];
    let questions: Vec<_> = listed.chain(absent).collect();
    ask_cpuid(host, Ring::Kernel, &questions)?;
    ask_cpuid(host, Ring::User, &questions)
}

/// hlt
const HALT: [u8; 1] = [0xf4];

fn ask_cpuid(host: &Host, ring: Ring, questions: &[(u32, u32)]) -> Result<(), Trouble> {
    let mut code = cpuid_code(questions);
    code.extend(if ring == Ring::Kernel { HALT } else { SAY_DONE });
    let mut trial = Trial::new(host, ring, &code)?;
    match ring {
        Ring::Kernel => trial.expect(&Exit::Halt)?,
        Ring::User => trial.expect_vector(DONE)?,
    }
    for (number, (leaf, subleaf)) in questions.iter().enumerate() {
        let address = DATA + 16 * number as u64;
        let (low, high) = (trial.guest.word(address), trial.guest.word(address + 8));
        let [eax, ebx] = [low as u32, (low >> 32) as u32];
        let [ecx, edx] = [high as u32, (high >> 32) as u32];
        let (found, wanted) = (CpuidResult { eax, ebx, ecx, edx }, lookup(*leaf, *subleaf));
        if found != wanted {
            return Err(Trouble::failed(format!(
                "in {ring}, leaf {leaf:#x}.{subleaf} is {found:x?} instead of {wanted:x?}"
            )));
        }
    }
    Ok(())
}

/// Writes what CPUID says to each question to DATA, 16 bytes each.
fn cpuid_code(questions: &[(u32, u32)]) -> Vec<u8> {
    let mut code = vec![0xbf, 0, 0, 4, 0]; // mov edi, DATA
    for (leaf, subleaf) in questions {
        code.push(0xb8); // mov eax, leaf
        code.extend(leaf.to_le_bytes());
        code.push(0xb9); // mov ecx, subleaf
        code.extend(subleaf.to_le_bytes());
        code.extend([
            0x0f, 0xa2, // cpuid
            0x89, 0x07, // mov [rdi], eax
            0x89, 0x5f, 0x04, // mov [rdi + 4], ebx
            0x89, 0x4f, 0x08, // mov [rdi + 8], ecx
            0x89, 0x57, 0x0c, // mov [rdi + 12], edx
            0x83, 0xc7, 0x10, // add edi, 16
        ]);
    }
    code
}
