//! Everything that could make two runs of one guest differ: the exhaustive table of design rule 3.
//!
//! Each row is a source of non-determinism with one of three treatments. The rows about model-specific
//! registers, ports and CPUID are the very tables that the machine decodes by ([`msr`], [`ports`],
//! [`cpuid`](crate::cpuid)); the exits of KVM are matched against [`kvm_exit`] by the engine. So a source that is missing
//! here cannot work by accident: it is open bus, it faults, or the guest is stopped.

use std::fmt;

use crate::{msr, ports};

/// How a source of non-determinism is kept from making two runs differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Treatment {
    /// The same in every run: constant, or a function of the machine's state.
    Eliminated,
    /// Differs from run to run; the log holds what it was.
    Recorded,
    /// The guest gets a fault, or is stopped with a report.
    Refused,
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Eliminated => "eliminated",
            Self::Recorded => "recorded",
            Self::Refused => "refused",
        })
    }
}

/// What kind of thing a source is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SourceKind {
    /// A `KVM_EXIT_` reason.
    KvmExit,
    /// A model-specific register.
    Msr,
    /// Part of what CPUID returns.
    Cpuid,
    /// A range of I/O ports.
    Port,
    /// Guest-physical addresses outside of RAM.
    Mmio,
    /// An instruction or a property of one.
    Instruction,
    /// Something that a device takes from the world.
    DeviceInput,
    /// The state that a run starts from.
    InitialState,
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KvmExit => "KVM exit",
            Self::Msr => "MSR",
            Self::Cpuid => "CPUID",
            Self::Port => "port",
            Self::Mmio => "MMIO",
            Self::Instruction => "instruction",
            Self::DeviceInput => "device input",
            Self::InitialState => "initial state",
        })
    }
}

/// One row of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// What kind of thing.
    pub kind: SourceKind,
    /// Its name.
    pub name: String,
    /// What is done about it.
    pub treatment: Treatment,
    /// How.
    pub how: &'static str,
}

/// A KVM exit reason with its treatment. Numbers are those of the kernel's `include/uapi/linux/kvm.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KvmExitReason {
    /// The kernel's number.
    pub number: u32,
    /// The kernel's name without `KVM_EXIT_`.
    pub name: &'static str,
    /// What is done about it.
    pub treatment: Treatment,
    /// How.
    pub how: &'static str,
}

const fn exit(number: u32, name: &'static str, treatment: Treatment, how: &'static str) -> KvmExitReason {
    KvmExitReason { number, name, treatment, how }
}

const NUMBERED: &str = "an exit that the guest makes by itself: numbered, answered by the machine";
const OUTSIDE: &str = "says nothing about the guest: not numbered, no input lands by it alone";
const NEVER: &str = "not asked for, so it cannot happen; stops the guest";

/// The exit reasons of x86 KVM.
pub const KVM_EXITS: &[KvmExitReason] = &[
    exit(0, "UNKNOWN", Treatment::Refused, "stops the guest with the hardware's reason"),
    exit(1, "EXCEPTION", Treatment::Refused, NEVER),
    exit(2, "IO", Treatment::Eliminated, NUMBERED),
    exit(3, "HYPERCALL", Treatment::Refused, NEVER),
    exit(4, "DEBUG", Treatment::Refused, "only while doctor single-steps a test guest"),
    exit(5, "HLT", Treatment::Eliminated, NUMBERED),
    exit(6, "MMIO", Treatment::Eliminated, NUMBERED),
    exit(
        7,
        "IRQ_WINDOW_OPEN",
        Treatment::Eliminated,
        "follows from the guest's state at the exit that asked",
    ),
    exit(8, "SHUTDOWN", Treatment::Eliminated, "a triple fault: numbered, ends the machine"),
    exit(9, "FAIL_ENTRY", Treatment::Refused, "stops the guest with the hardware's reason"),
    exit(10, "INTR", Treatment::Eliminated, OUTSIDE),
    exit(
        11,
        "SET_TPR",
        Treatment::Refused,
        "MOV to CR8 that lowers the priority; without an APIC there is none",
    ),
    exit(12, "TPR_ACCESS", Treatment::Refused, NEVER),
    exit(16, "NMI", Treatment::Refused, NEVER),
    exit(
        17,
        "INTERNAL_ERROR",
        Treatment::Refused,
        "KVM cannot emulate an instruction; stops the guest with its bytes",
    ),
    exit(23, "WATCHDOG", Treatment::Refused, NEVER),
    exit(24, "SYSTEM_EVENT", Treatment::Refused, NEVER),
    exit(26, "IOAPIC_EOI", Treatment::Refused, NEVER),
    exit(27, "HYPERV", Treatment::Refused, NEVER),
    exit(29, "X86_RDMSR", Treatment::Eliminated, NUMBERED),
    exit(30, "X86_WRMSR", Treatment::Eliminated, NUMBERED),
    exit(31, "DIRTY_RING_FULL", Treatment::Refused, NEVER),
    exit(32, "AP_RESET_HOLD", Treatment::Refused, NEVER),
    exit(33, "X86_BUS_LOCK", Treatment::Refused, NEVER),
    exit(34, "XEN", Treatment::Refused, NEVER),
    exit(37, "NOTIFY", Treatment::Refused, NEVER),
    exit(39, "MEMORY_FAULT", Treatment::Refused, "the host lost guest memory; stops the guest"),
];

/// The row of KVM exit reason `number`; `None` for one that is not listed, which stops the guest.
pub fn kvm_exit(number: u32) -> Option<&'static KvmExitReason> {
    KVM_EXITS.iter().find(|reason| reason.number == number)
}

/// A row that is not decoded by a table of its own: kind, name, treatment, how.
type Row = (SourceKind, &'static str, Treatment, &'static str);

const ADDRESSES: &[Row] = &[
    (SourceKind::Cpuid, "all leaves", Treatment::Eliminated, "one fixed table, zeros beyond it"),
    (SourceKind::Mmio, "virtio-mmio registers", Treatment::Eliminated, STATE),
    (SourceKind::Mmio, "every other address outside of RAM", Treatment::Eliminated, OPEN_BUS),
    (SourceKind::Port, "every other port", Treatment::Eliminated, OPEN_BUS),
    (SourceKind::Msr, "every other register", Treatment::Refused, "#GP(0)"),
];

const STATE: &str = "a function of device state and earlier entries";
const OPEN_BUS: &str = "open bus: reads all ones, ignores writes";
const NOT_ADVERTISED: &str = "not advertised: #UD where the host's processor can be told so";

const INSTRUCTIONS: &[Row] = &[
    (
        SourceKind::Instruction,
        "RDTSC in ring 0",
        Treatment::Recorded,
        "a time read: trapped, or rewritten into a port read when the kernel is loaded",
    ),
    (
        SourceKind::Instruction,
        "RDTSC in rings 1 to 3",
        Treatment::Recorded,
        "a time read where the engine traps it; on kvm the host's counter is read (docs/design.md, 5)",
    ),
    (SourceKind::Instruction, "RDTSCP, RDPID", Treatment::Refused, NOT_ADVERTISED),
    (SourceKind::Instruction, "RDRAND, RDSEED", Treatment::Refused, NOT_ADVERTISED),
    (SourceKind::Instruction, "RDPMC", Treatment::Refused, "no counters: #GP(0)"),
    (
        SourceKind::Instruction,
        "XSAVE, everything in VEX encoding, XBEGIN, XTEST",
        Treatment::Refused,
        "not advertised: #UD",
    ),
    (
        SourceKind::Instruction,
        "MONITOR, MWAIT",
        Treatment::Refused,
        "not advertised: #UD, or no operation on kvm",
    ),
    (
        SourceKind::Instruction,
        "SSE3 to SSE4.2, POPCNT, BMI, ADX, AES",
        Treatment::Refused,
        "not advertised; the processor under kvm executes them all the same, with the same results",
    ),
    (
        SourceKind::Instruction,
        "BSF and BSR behind F3",
        Treatment::Eliminated,
        "TZCNT and LZCNT, as on every processor since 2013, whatever CPUID says",
    ),
    (
        SourceKind::Instruction,
        "VMCALL, VMMCALL",
        Treatment::Refused,
        "no hypercall is offered; on kvm number 9 of ring 0 tells the host's time, which no guest asks for \
         that does not see KVM's signature in CPUID",
    ),
    (
        SourceKind::Instruction,
        "flags that the manual leaves undefined, x87 instruction and data pointers, RCPPS and RSQRTPS, the x87's \
         transcendental functions",
        Treatment::Eliminated,
        "the same on every host under soft; under kvm a function of the processor's model, so that kvm logs and \
         states move between hosts of one model only",
    ),
    (
        SourceKind::Instruction,
        "page walks: which accesses use a translation that is still cached, and so set no accessed bit, or fault",
        Treatment::Eliminated,
        "under soft translations are forgotten for the guest's own reasons only; under kvm the processor keeps and \
         forgets them as it likes, so a guest that depends on a stale one can diverge, which digests tell",
    ),
    (SourceKind::Instruction, "HLT", Treatment::Recorded, "an exit; the input that ends it is recorded"),
    (
        SourceKind::Instruction,
        "PAUSE",
        Treatment::Eliminated,
        "not an exit that anybody counts; switched off on kvm where the host allows",
    ),
];

const INPUTS: &[Row] = &[
    (
        SourceKind::DeviceInput,
        "clock tick",
        Treatment::Recorded,
        "the guest time that device timers run up to",
    ),
    (
        SourceKind::DeviceInput,
        "console bytes",
        Treatment::Recorded,
        "what a person or a file types, with its landmark",
    ),
    (SourceKind::DeviceInput, "network frame", Treatment::Recorded, "the whole frame, with its landmark"),
    (
        SourceKind::DeviceInput,
        "disk completion",
        Treatment::Recorded,
        "status and the data that was read, with its landmark",
    ),
    (
        SourceKind::DeviceInput,
        "interrupt delivery",
        Treatment::Recorded,
        "vector and landmark, although they follow from the other entries",
    ),
    (
        SourceKind::DeviceInput,
        "NMI, SMI, INIT, machine check",
        Treatment::Refused,
        "never delivered to the guest",
    ),
    (SourceKind::InitialState, "RAM", Treatment::Eliminated, "zeros, then the images of the configuration"),
    (
        SourceKind::InitialState,
        "seed for the guest's random pool",
        Treatment::Recorded,
        "part of the machine's configuration",
    ),
    (
        SourceKind::InitialState,
        "wall clock at power-on",
        Treatment::Recorded,
        "part of the machine's configuration",
    ),
];

/// The whole table: every source that this project knows of.
pub fn sources() -> Vec<Source> {
    let exits = KVM_EXITS.iter().map(|reason| Source {
        kind: SourceKind::KvmExit,
        name: reason.name.to_owned(),
        treatment: reason.treatment,
        how: reason.how,
    });
    let msrs = msr::TABLE.iter().map(|msr| Source {
        kind: SourceKind::Msr,
        name: format!("{} ({:#x})", msr.name, msr.index),
        treatment: msr.treatment(),
        how: match msr.behaviour {
            msr::MsrBehaviour::Kept => "part of the vCPU's state",
            msr::MsrBehaviour::Constant(_) => "reads a constant, ignores writes",
            msr::MsrBehaviour::TimeStamp => "reads are time reads, writes are #GP(0)",
            msr::MsrBehaviour::Faults => "#GP(0)",
        },
    });
    let ports = ports::TABLE.iter().map(|range| Source {
        kind: SourceKind::Port,
        name: format!("{:?} ({:#x}-{:#x})", range.device, range.first, range.last),
        treatment: range.treatment,
        how: range.how,
    });
    let others = [ADDRESSES, INSTRUCTIONS, INPUTS]
        .concat()
        .into_iter()
        .map(|(kind, name, treatment, how)| Source { kind, name: name.to_owned(), treatment, how });
    exits.chain(msrs).chain(ports).chain(others).collect()
}

#[cfg(test)]
mod page;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_source_stands_in_the_table_twice() {
        let sources = sources();
        let names: BTreeSet<_> =
            sources.iter().map(|source| (source.kind.to_string(), &source.name)).collect();
        assert_eq!(names.len(), sources.len());
    }

    #[test]
    fn exit_reasons_are_sorted_by_number() {
        assert!(KVM_EXITS.is_sorted_by(|a, b| a.number < b.number));
    }
}
