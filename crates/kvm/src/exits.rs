//! What KVM says when a guest stops, in words of this crate.
//!
//! Every reason that kvm-ioctls knows is matched by name: those that the table of non-determinism
//! ([`outlive_engine::determinism::KVM_EXITS`]) lets through become a [`Seen`], all others a report that
//! stops the guest.

use std::io;

use kvm_bindings::{
    KVM_INTERNAL_ERROR_DELIVERY_EV, KVM_INTERNAL_ERROR_EMULATION, KVM_INTERNAL_ERROR_SIMUL_EX,
    KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON,
};
use kvm_ioctls::{VcpuExit, VcpuFd};
use outlive_engine::determinism::{Treatment, kvm_exit};
use outlive_engine::{GuestPhysical, UnhandledExit};

use crate::debug::DebugStop;
use crate::error::io_error;
use crate::run_page::{PortAccess, RunPage};

/// Why the vCPU stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// One or more accesses to one port.
    Port(PortAccess),
    MmioRead {
        address: GuestPhysical,
        bytes: u8,
    },
    MmioWrite {
        address: GuestPhysical,
        bytes: u8,
        value: u64,
    },
    MsrRead {
        index: u32,
    },
    MsrWrite {
        index: u32,
        value: u64,
    },
    Halt,
    Shutdown,
    InterruptWindow,
    /// A signal, or nothing that concerns the guest.
    Interrupted,
    /// What [`crate::DebugControl`] asked for.
    Debug(DebugStop),
    /// Something that must not happen.
    Refused(UnhandledExit),
}

/// Enters the guest and waits until it stops.
pub(crate) fn enter(vcpu: &mut VcpuFd, run_size: usize) -> io::Result<Seen> {
    let told = match vcpu.run() {
        Ok(exit) => tell(&exit),
        Err(error) if error.errno() == libc::EINTR => return Ok(Seen::Interrupted),
        Err(error) => return Err(io_error(error)),
    };
    let page = RunPage::new(vcpu.get_kvm_run(), run_size);
    Ok(match told {
        Told::Seen(seen) => seen,
        Told::Port => page.port_access().map_or_else(|| refused(&page, String::new()), Seen::Port),
        Told::Refused(detail) => refused(&page, detail),
    })
}

/// What can be said without a second look at the page.
enum Told {
    Seen(Seen),
    Port,
    Refused(String),
}

fn tell(exit: &VcpuExit<'_>) -> Told {
    match exit {
        VcpuExit::IoOut(..) | VcpuExit::IoIn(..) => Told::Port,
        VcpuExit::MmioRead(address, data) => Told::Seen(Seen::MmioRead {
            address: GuestPhysical(*address),
            bytes: data.len() as u8,
        }),
        VcpuExit::MmioWrite(address, data) => Told::Seen(Seen::MmioWrite {
            address: GuestPhysical(*address),
            bytes: data.len() as u8,
            value: little_endian(data),
        }),
        VcpuExit::X86Rdmsr(msr) => Told::Seen(Seen::MsrRead { index: msr.index }),
        VcpuExit::X86Wrmsr(msr) => Told::Seen(Seen::MsrWrite { index: msr.index, value: msr.data }),
        VcpuExit::Hlt => Told::Seen(Seen::Halt),
        VcpuExit::Shutdown => Told::Seen(Seen::Shutdown),
        VcpuExit::IrqWindowOpen => Told::Seen(Seen::InterruptWindow),
        VcpuExit::Intr => Told::Seen(Seen::Interrupted),
        VcpuExit::Debug(debug) => Told::Seen(Seen::Debug(DebugStop { rip: debug.pc, dr6: debug.dr6 })),
        VcpuExit::FailEntry(reason, cpu) => {
            Told::Refused(format!("hardware entry failure reason {reason:#x} on host CPU {cpu}"))
        }
        VcpuExit::MemoryFault { flags, gpa, size } => {
            Told::Refused(format!("guest memory {gpa:#x}, {size:#x} bytes, flags {flags:#x}"))
        }
        VcpuExit::SystemEvent(kind, data) => Told::Refused(format!("event {kind}, data {data:x?}")),
        VcpuExit::Hypercall(call) => Told::Refused(format!("hypercall {}, {:x?}", call.nr, call.args)),
        VcpuExit::Unknown
        | VcpuExit::Exception
        | VcpuExit::SetTpr
        | VcpuExit::TprAccess
        | VcpuExit::Nmi
        | VcpuExit::InternalError
        | VcpuExit::Watchdog
        | VcpuExit::IoapicEoi(_)
        | VcpuExit::Hyperv
        | VcpuExit::Unsupported(_)
        // Those of other architectures.
        | VcpuExit::S390Sieic
        | VcpuExit::S390Reset
        | VcpuExit::Dcr
        | VcpuExit::Osi
        | VcpuExit::PaprHcall
        | VcpuExit::S390Ucontrol
        | VcpuExit::S390Tsch
        | VcpuExit::Epr
        | VcpuExit::S390Stsi => Told::Refused(String::new()),
    }
}

fn refused(page: &RunPage<'_>, mut detail: String) -> Seen {
    let number = page.exit_reason();
    let name = match kvm_exit(number) {
        Some(row) => format!("KVM_EXIT_{}", row.name),
        None => format!("KVM exit {number}, which is not in the table"),
    };
    match number {
        kvm_bindings::KVM_EXIT_UNKNOWN => {
            detail = format!("hardware exit reason {:#x}", page.hardware_exit_reason());
        }
        kvm_bindings::KVM_EXIT_INTERNAL_ERROR => detail = internal_error(page),
        kvm_bindings::KVM_EXIT_IO => detail = "a port access of no or of impossible elements".to_owned(),
        _ => {}
    }
    Seen::Refused(UnhandledExit { name, detail })
}

fn internal_error(page: &RunPage<'_>) -> String {
    let (code, data) = page.internal_error();
    let what = match code {
        KVM_INTERNAL_ERROR_EMULATION => "KVM cannot emulate an instruction",
        KVM_INTERNAL_ERROR_SIMUL_EX => "two exceptions at once",
        KVM_INTERNAL_ERROR_DELIVERY_EV => "an exit while an event was delivered",
        KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON => "an exit of the hardware that KVM does not know",
        _ => "of an unknown kind",
    };
    match page.instruction_bytes() {
        Some(bytes) => format!("suberror {code} ({what}), instruction bytes {bytes:02x?}"),
        None => format!("suberror {code} ({what}), data {data:x?}"),
    }
}

fn little_endian(data: &[u8]) -> u64 {
    data.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A stop for debugging that nobody asked for.
pub(crate) fn unexpected_debug(stop: DebugStop) -> UnhandledExit {
    let row = kvm_exit(kvm_bindings::KVM_EXIT_DEBUG);
    debug_assert!(row.is_some_and(|row| row.treatment == Treatment::Refused));
    let detail = format!("at {:#x}, DR6 {:#x}", stop.rip, stop.dr6);
    UnhandledExit { name: "KVM_EXIT_DEBUG".to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlive_engine::determinism::KVM_EXITS;

    /// What is said about an exit of reason `number`, with nothing but zeros known about it.
    fn report(number: u32) -> UnhandledExit {
        let mut run = kvm_bindings::kvm_run { exit_reason: number, ..Default::default() };
        let page = RunPage::new(&mut run, 4096);
        match refused(&page, String::new()) {
            Seen::Refused(report) => report,
            seen => panic!("{seen:?}"),
        }
    }

    #[test]
    fn a_refused_exit_has_the_kernels_name() {
        assert_eq!(report(9).name, "KVM_EXIT_FAIL_ENTRY");
        assert_eq!(report(0).detail, "hardware exit reason 0x0");
        assert_eq!(report(17).detail, "suberror 0 (of an unknown kind), data []");
        assert_eq!(report(2).detail, "a port access of no or of impossible elements");
    }

    #[test]
    fn a_reason_that_the_table_lacks_is_told_by_its_number() {
        assert_eq!(report(999).name, "KVM exit 999, which is not in the table");
    }

    #[test]
    fn values_are_little_endian_and_zero_extended() {
        assert_eq!(little_endian(&[]), 0);
        assert_eq!(little_endian(&[0x34, 0x12]), 0x1234);
        assert_eq!(little_endian(&[0xff; 8]), u64::MAX);
    }

    /// The exits that [`tell`] turns into something other than a refusal.
    #[test]
    fn exactly_what_the_table_lets_through_is_seen() {
        let seen = ["IO", "HLT", "MMIO", "IRQ_WINDOW_OPEN", "SHUTDOWN", "INTR", "X86_RDMSR", "X86_WRMSR"];
        for row in KVM_EXITS {
            assert_eq!(row.treatment != Treatment::Refused, seen.contains(&row.name), "{}", row.name);
        }
    }
}
