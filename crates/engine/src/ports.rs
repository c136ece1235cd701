//! The machine's I/O ports: one list. The bus decodes by it, so what is not in it reaches no device.

use crate::determinism::Treatment;

/// What answers at a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortDevice {
    /// The 8259 that the processor's interrupt pin hangs on.
    MasterPic,
    /// The 8259 behind the master's input 2.
    SlavePic,
    /// Edge/level control of the two 8259s.
    ElcrRegisters,
    /// The 8254 interval timer.
    Pit,
    /// System control port B: gate and output of the 8254's channel 2, the speaker.
    SystemControl,
    /// The keyboard controller, of which only the reset line is wired.
    KeyboardController,
    /// CMOS RAM and real-time clock.
    Rtc,
    /// Where firmware shows its progress; kernels write there to pass a microsecond.
    PowerOnSelfTest,
    /// Where a rewritten RDTSC reads the time.
    TimeRead,
    /// Where a test guest ends the machine with a number.
    DebugExit,
    /// The 16550 serial port.
    Serial,
    /// The ACPI power management timer, the guest's clock source.
    PmTimer,
}

/// A range of ports with one device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortRange {
    /// The first port.
    pub first: u16,
    /// The last port.
    pub last: u16,
    /// What answers.
    pub device: PortDevice,
    /// The treatment of design rule 3.
    pub treatment: Treatment,
    /// How the treatment works.
    pub how: &'static str,
}

/// Reads of this port by `IN EAX, imm8` are time reads: the engine also sets EDX. RDTSC and this IN are
/// two bytes long each, so that one can stand in for the other.
pub const TIME_READ_PORT: u16 = 0xe4;
/// An 8-bit write ends the machine; 0 means success.
pub const DEBUG_EXIT_PORT: u16 = 0xf4;
/// The ACPI power management timer, for `pmtmr=` on a kernel's command line.
pub const PM_TIMER_PORT: u16 = 0x608;
/// The base of the serial port.
pub const SERIAL_PORT: u16 = 0x3f8;

const fn range(
    first: u16,
    last: u16,
    device: PortDevice,
    treatment: Treatment,
    how: &'static str,
) -> PortRange {
    PortRange { first, last, device, treatment, how }
}

const STATE: &str = "a function of device state and earlier entries";
const TIME: &str = "the guest time that it shows is a time read";

/// All ports with a device, sorted. Every other port is open bus: reads all ones, ignores writes.
pub const TABLE: &[PortRange] = &[
    range(0x20, 0x21, PortDevice::MasterPic, Treatment::Eliminated, STATE),
    range(0x40, 0x43, PortDevice::Pit, Treatment::Recorded, TIME),
    range(0x61, 0x61, PortDevice::SystemControl, Treatment::Recorded, TIME),
    range(0x64, 0x64, PortDevice::KeyboardController, Treatment::Eliminated, STATE),
    range(0x70, 0x71, PortDevice::Rtc, Treatment::Recorded, TIME),
    range(0x80, 0x80, PortDevice::PowerOnSelfTest, Treatment::Eliminated, "no state: reads all ones"),
    range(0xa0, 0xa1, PortDevice::SlavePic, Treatment::Eliminated, STATE),
    range(TIME_READ_PORT, TIME_READ_PORT, PortDevice::TimeRead, Treatment::Recorded, TIME),
    range(DEBUG_EXIT_PORT, DEBUG_EXIT_PORT, PortDevice::DebugExit, Treatment::Eliminated, STATE),
    range(
        SERIAL_PORT,
        SERIAL_PORT + 7,
        PortDevice::Serial,
        Treatment::Eliminated,
        "a function of device state; what it receives is a recorded input",
    ),
    range(0x4d0, 0x4d1, PortDevice::ElcrRegisters, Treatment::Eliminated, STATE),
    range(PM_TIMER_PORT, PM_TIMER_PORT + 3, PortDevice::PmTimer, Treatment::Recorded, TIME),
];

/// The range that `port` belongs to; `None` for open bus.
pub fn lookup(port: u16) -> Option<&'static PortRange> {
    let after = TABLE.partition_point(|range| range.first <= port);
    let range = TABLE.get(after.checked_sub(1)?)?;
    (port <= range.last).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_sorted_and_do_not_overlap() {
        assert!(TABLE.iter().all(|range| range.first <= range.last));
        assert!(TABLE.is_sorted_by(|a, b| a.last < b.first));
    }

    #[test]
    fn lookup_agrees_with_a_search_over_all_ports() {
        for port in 0..=u16::MAX {
            let slow = TABLE.iter().find(|range| (range.first..=range.last).contains(&port));
            assert_eq!(lookup(port), slow, "port {port:#x}");
        }
    }
}
