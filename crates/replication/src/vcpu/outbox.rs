//! Where the outputs of a machine of a pair go.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use outlive_machine::host::announcement::AddressSnoop;
use outlive_machine::host::live::{LiveError, OutputSink};
use outlive_machine::world::{DiskIndex, DiskOperation, DiskRequestId, Output};
use outlive_replay::Outputs;

use super::{ToDriver, VcpuEvent};
use crate::clock;

/// Where the outputs of a live machine go: to the driver, who lets them out when they may leave.
#[derive(Clone, Debug)]
pub struct Outbox<S>(ToDriver<S>);

impl<S> Outbox<S> {
    /// To this driver.
    pub fn new(driver: ToDriver<S>) -> Self {
        Self(driver)
    }
}

impl<S> OutputSink for Outbox<S> {
    fn output(&mut self, output: Output) -> Result<(), LiveError> {
        // All others wait for the cut.
        let leaves_at_once = matches!(&output, Output::Disk { operation: DiskOperation::Read { .. }, .. });
        let event = VcpuEvent::Output { output, made: clock::now() };
        let is_taken = if leaves_at_once { self.0.bring(event) } else { self.0.put(event) };
        if is_taken { Ok(()) } else { Err(LiveError::OutputsGone) }
    }
}

/// Where the outputs of a machine go that follows: to the driver, who keeps those that the primary may not have let
/// out. Requests to disks are not among them: going live makes all of those again that the log does not tell as completed.
///
/// The frames that pass by tell under which addresses the guest is known.
#[derive(Debug)]
pub struct FollowerOutputs<S> {
    driver: ToDriver<S>,
    addresses: Arc<Mutex<AddressSnoop>>,
}

impl<S> FollowerOutputs<S> {
    /// To this driver. The addresses that the guest uses are noted in `addresses`.
    pub fn new(driver: ToDriver<S>, addresses: Arc<Mutex<AddressSnoop>>) -> Self {
        Self { driver, addresses }
    }
}

impl<S> Outputs for FollowerOutputs<S> {
    fn output(&mut self, output: &Output) -> io::Result<()> {
        if let Output::Frame { bytes, .. } = output {
            self.addresses.lock().unwrap_or_else(PoisonError::into_inner).see(bytes);
        }
        if !matches!(output, Output::Disk { .. }) {
            // Without a driver nobody goes live.
            self.driver.put(VcpuEvent::Output { output: output.clone(), made: clock::now() });
        }
        Ok(())
    }

    fn disk_completion(&mut self, _disk: DiskIndex, _request: DiskRequestId, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }
}
