//! Performance counters that count in the guest only (perf_event_open(2), `exclude_host`).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::FromRawFd;

use outlive_engine::Exit;

use super::guest::Ring;
use super::trial::{Trial, Trouble};
use crate::host::Host;

/// Rounds of the guest's loop.
const ROUNDS: u64 = 10_000;
/// Each round has two conditional branches, one of which is taken every other time.
const BRANCHES: u64 = 2 * ROUNDS;
/// Each round has four instructions, and MOV comes before them. Whether the HLT at the end counts depends
/// on the processor.
const INSTRUCTIONS: [u64; 2] = [4 * ROUNDS + 1, 4 * ROUNDS + 2];

const LOOP: [u8; 15] = [
    0xb9, 0x10, 0x27, 0, 0, // mov ecx, ROUNDS
    0xf6, 0xc1, 0x01, // again: test cl, 1
    0x74, 0x00, // jz to the next instruction
    0xff, 0xc9, // dec ecx
    0x75, 0xf7, // jnz again
    0xf4, // hlt
];

const PERF_TYPE_HARDWARE: u32 = 0;
const PERF_TYPE_RAW: u32 = 4;
const PERF_COUNT_HW_INSTRUCTIONS: u64 = 1;

/// Retired conditional branches: Intel since Ice Lake, Intel before, AMD since Zen. An event that means
/// something else on this processor does not count exactly.
const CONDITIONAL_BRANCHES: [u64; 3] = [0x11c4, 0x01c4, 0x00d1];

pub(super) fn conditional_branches(host: &Host) -> Result<(), Trouble> {
    let mut trouble = None;
    for event in CONDITIONAL_BRANCHES {
        match counted_twice(host, PERF_TYPE_RAW, event) {
            Ok(counts) if counts == [BRANCHES; 2] => return Ok(()),
            Ok(counts) => {
                let seen = format!("event {event:#x} counted {counts:?} instead of {BRANCHES}");
                trouble = Some(Trouble::Failed(seen));
            }
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    Err(trouble.unwrap_or_else(|| Trouble::failed("no event to count")))
}

pub(super) fn instructions(host: &Host) -> Result<(), Trouble> {
    let counts = counted_twice(host, PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS)?;
    if counts[0] == counts[1] && INSTRUCTIONS.contains(&counts[0]) {
        return Ok(());
    }
    Err(Trouble::failed(format!("counted {counts:?} instead of {INSTRUCTIONS:?}")))
}

fn counted_twice(host: &Host, kind: u32, event: u64) -> Result<[u64; 2], Trouble> {
    Ok([counted(host, kind, event)?, counted(host, kind, event)?])
}

fn counted(host: &Host, kind: u32, event: u64) -> Result<u64, Trouble> {
    let mut counter = open(kind, event).map_err(explain)?;
    let mut trial = Trial::new(host, Ring::Kernel, &LOOP)?;
    trial.expect(&Exit::Halt)?;
    let mut count = [0; 8];
    // A pinned event that lost its counter reads as end of file.
    counter.read_exact(&mut count).map_err(explain)?;
    Ok(u64::from_le_bytes(count))
}

fn explain(error: io::Error) -> Trouble {
    Trouble::Unavailable(match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP) => {
            "this host has no such performance counter".to_owned()
        }
        Some(libc::EACCES | libc::EPERM) => {
            "not allowed: sysctl kernel.perf_event_paranoid=1, or CAP_PERFMON, would allow it".to_owned()
        }
        _ => format!("the counter cannot be used: {error}"),
    })
}

/// The first version of `struct perf_event_attr`, which the kernel still takes.
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    event: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint_type: u32,
    breakpoint_address: u64,
}

const PINNED: u64 = 1 << 2;
const EXCLUDE_HV: u64 = 1 << 6;
const EXCLUDE_HOST: u64 = 1 << 19;

/// Counts in guests that the calling thread runs.
fn open(kind: u32, event: u64) -> io::Result<File> {
    let attributes = Attributes {
        kind,
        size: size_of::<Attributes>() as u32,
        event,
        sample_period: 0,
        sample_type: 0,
        read_format: 0,
        flags: PINNED | EXCLUDE_HV | EXCLUDE_HOST,
        wakeup: 0,
        breakpoint_type: 0,
        breakpoint_address: 0,
    };
    let (this_thread, any_cpu, no_group, no_flags) = (0, -1, -1, 0);
    // SAFETY: the kernel reads as many bytes of `attributes` as its size says, and writes at most there.
    let number = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            this_thread,
            any_cpu,
            no_group,
            no_flags,
        )
    };
    match i32::try_from(number) {
        // SAFETY: the kernel just returned this descriptor, and nothing else owns it.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { File::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}
