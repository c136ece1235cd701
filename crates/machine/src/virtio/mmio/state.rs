//! The saved form of a device with its registers.

use outlive_engine::GuestRam;
use serde::{Deserialize, Serialize};

use super::{Status, VirtioMmio, interrupt};
use crate::virtio::device::VirtioDevice;
use crate::virtio::fault::{DriverFault, RestoreError};
use crate::virtio::queue::{QueueState, Virtqueue};

/// The saved form of a [`VirtioMmio`]; `S` is that of its device.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MmioState<S> {
    /// `Status`.
    pub status: u32,
    /// `InterruptStatus`.
    pub interrupts: u32,
    /// `DeviceFeaturesSel`.
    pub device_features_select: u32,
    /// `DriverFeaturesSel`.
    pub driver_features_select: u32,
    /// What the driver has accepted.
    pub driver_features: u128,
    /// `QueueSel`.
    pub queue_select: u32,
    /// The queues.
    pub queues: Vec<QueueState>,
    /// The device.
    pub device: S,
}

impl<D: VirtioDevice> VirtioMmio<D> {
    /// The state that is not configuration.
    pub fn save(&self) -> MmioState<D::State> {
        MmioState {
            status: self.status.bits(),
            interrupts: self.interrupts,
            device_features_select: self.device_features_select,
            driver_features_select: self.driver_features_select,
            driver_features: self.driver_features,
            queue_select: self.queue_select,
            queues: self.queues.iter().map(Virtqueue::save).collect(),
            device: self.device.save(),
        }
    }

    /// This device with a saved state. Configuration stays as it is. `memory` already has the contents that
    /// belong to the state.
    ///
    /// # Errors
    /// When no device of this configuration could have saved that.
    pub fn restore(mut self, state: MmioState<D::State>, memory: &GuestRam) -> Result<Self, RestoreError> {
        self.status = Status::from_bits(state.status).ok_or(RestoreError::Impossible("status"))?;
        self.interrupts = state.interrupts;
        self.device_features_select = state.device_features_select;
        self.driver_features_select = state.driver_features_select;
        self.driver_features = state.driver_features;
        self.queue_select = state.queue_select;
        self.queues = restored_queues(&state.queues, memory)?;
        self.check_restored()?;
        self.device.restore(state.device, &self.queues, memory)?;
        Ok(self)
    }

    fn check_restored(&self) -> Result<(), RestoreError> {
        let known = interrupt::USED_BUFFER | interrupt::CONFIGURATION_CHANGE;
        let is_settled = self.status.may_set_up_queues();
        let in_use = self.queues.iter().any(Virtqueue::is_ready);
        let checks = [
            (self.interrupts & !known == 0, "interrupt status"),
            (self.queues.len() == D::QUEUES, "number of queues"),
            (!is_settled || self.are_features_acceptable(), "set of features"),
            (is_settled || !in_use, "queue in use"),
        ];
        let failed = checks.into_iter().find(|(holds, _)| !holds);
        failed.map_or(Ok(()), |(_, part)| Err(RestoreError::Impossible(part)))
    }
}

fn restored_queues(states: &[QueueState], memory: &GuestRam) -> Result<Vec<Virtqueue>, DriverFault> {
    states.iter().map(|state| Virtqueue::restored(state, memory)).collect()
}
