//! The running digest that recording and replay compare at each interrupt and each output.

use blake3::{Hasher, derive_key, keyed_hash};
use outlive_engine::{ExitNumber, VcpuState};
use outlive_log::entry::{Check, Hash, Landmark};
use outlive_machine::encoding::encode_into;
use outlive_machine::world::{DiskOperation, Output};
use serde::Serialize;

/// Digests of everything that has gone on so far.
#[derive(Debug)]
pub(crate) struct Checks {
    key: [u8; 32],
    running: Hash,
    disks: Hasher,
    /// What is hashed next: kept, so that it is allocated once.
    buffer: Vec<u8>,
}

/// What a check is of, so that none can be taken for another.
#[derive(Serialize)]
enum Event<'a> {
    Interrupt { exit: u64, since_exit: u64, vector: u8 },
    Console { exit: u64, byte: u8 },
    Frame { exit: u64, network: u8, bytes: &'a [u8] },
    Disk { exit: u64, disk: u8, request: u64, operation: Operation<'a> },
}

#[derive(Serialize)]
enum Operation<'a> {
    Read { sector: u64, bytes: u32 },
    Write { sector: u64, data: &'a [u8] },
    Flush,
}

impl Checks {
    /// Nothing has gone on yet.
    pub(crate) fn from_power_on() -> Self {
        Self {
            key: derive_key("outlive running digest, version 1", &[]),
            running: [0; 32],
            disks: Hasher::new_derive_key("outlive digest of disk requests, version 1"),
            buffer: Vec::new(),
        }
    }

    /// An interrupt is delivered.
    pub(crate) fn interrupt(&mut self, at: &Landmark, vector: u8, registers: &VcpuState) -> Check {
        let event = Event::Interrupt { exit: at.exit.0, since_exit: at.since_exit, vector };
        self.note(&event, Some(registers))
    }

    /// Something goes out. Without registers where the guest stands within an instruction.
    pub(crate) fn output(
        &mut self,
        exit: ExitNumber,
        output: &Output,
        registers: Option<&VcpuState>,
    ) -> Check {
        let exit = exit.0;
        let event = match output {
            Output::Console(byte) => Event::Console { exit, byte: *byte },
            Output::Frame { network, bytes } => Event::Frame { exit, network: network.0, bytes },
            Output::Disk { disk, request, operation } => {
                let operation = match operation {
                    DiskOperation::Read { sector, bytes } => {
                        Operation::Read { sector: *sector, bytes: *bytes }
                    }
                    DiskOperation::Write { sector, data } => Operation::Write { sector: *sector, data },
                    DiskOperation::Flush => Operation::Flush,
                };
                let event = Event::Disk { exit, disk: disk.0, request: request.0, operation };
                encode_into(&event, &mut self.disks);
                event
            }
        };
        self.note(&event, registers)
    }

    fn note(&mut self, event: &Event<'_>, registers: Option<&VcpuState>) -> Check {
        self.buffer.clear();
        self.buffer.extend(self.running);
        encode_into(&(event, registers), &mut self.buffer);
        self.running = *keyed_hash(&self.key, &self.buffer).as_bytes();
        Check(u16::from_le_bytes([self.running[0], self.running[1]]))
    }

    /// The running digest.
    pub(crate) fn running(&self) -> Hash {
        self.running
    }

    /// The digest of all requests to disks.
    pub(crate) fn disks(&self) -> Hash {
        *self.disks.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlive_machine::world::NetworkIndex;

    fn frame(bytes: &[u8]) -> Output {
        Output::Frame { network: NetworkIndex(0), bytes: bytes.to_vec() }
    }

    #[test]
    fn a_check_covers_place_contents_registers_and_everything_before() {
        let state = VcpuState::default();
        let other = VcpuState { rip: 1, ..VcpuState::default() };
        let running = |exit, output: Output, state: &VcpuState| {
            let mut checks = Checks::from_power_on();
            checks.output(ExitNumber(exit), &output, Some(state));
            checks.output(ExitNumber(9), &Output::Console(b'x'), None);
            checks.running()
        };
        let reference = running(3, frame(&[1, 2]), &state);
        assert_eq!(running(3, frame(&[1, 2]), &state), reference);
        for different in [
            running(4, frame(&[1, 2]), &state),
            running(3, frame(&[1, 3]), &state),
            running(3, frame(&[1]), &state),
            running(3, Output::Console(1), &state),
            running(3, frame(&[1, 2]), &other),
        ] {
            assert_ne!(different, reference);
        }
    }

    #[test]
    fn the_digest_of_disks_covers_requests_to_disks_only() {
        let mut checks = Checks::from_power_on();
        let at_first = checks.disks();
        checks.output(ExitNumber(1), &frame(&[1]), None);
        assert_eq!(checks.disks(), at_first);
    }
}
