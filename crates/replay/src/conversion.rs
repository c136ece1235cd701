//! Between what a machine says and what a log holds.

use outlive_log::entry::{self, EndReason, OutputMarker};
use outlive_machine::machine::Stop;
use outlive_machine::world::{
    DiskIndex, DiskOperation, DiskRequestId, DiskStatus, Input, NetworkIndex, Output,
};

/// An input of a machine as a log holds it.
pub(crate) fn logged(input: &Input) -> entry::Input {
    match input {
        Input::ClockTick(time) => entry::Input::ClockTick(*time),
        Input::Console(bytes) => entry::Input::Console(bytes.clone()),
        Input::Frame { network, bytes } => entry::Input::Frame { network: network.0, bytes: bytes.clone() },
        Input::DiskCompletion { disk, request, status, data } => entry::Input::DiskCompletion {
            disk: disk.0,
            request: request.0,
            failed: *status == DiskStatus::Failed,
            data: data.clone(),
        },
    }
}

/// An input from a log as a machine takes it.
pub(crate) fn replayed(input: entry::Input) -> Input {
    match input {
        entry::Input::ClockTick(time) => Input::ClockTick(time),
        entry::Input::Console(bytes) => Input::Console(bytes),
        entry::Input::Frame { network, bytes } => Input::Frame { network: NetworkIndex(network), bytes },
        entry::Input::DiskCompletion { disk, request, failed, data } => Input::DiskCompletion {
            disk: DiskIndex(disk),
            request: DiskRequestId(request),
            status: if failed { DiskStatus::Failed } else { DiskStatus::Done },
            data,
        },
    }
}

/// What a log holds of an output.
pub(crate) fn marker(output: &Output) -> OutputMarker {
    match output {
        Output::Console(_) => OutputMarker::Console,
        Output::Frame { network, bytes } => {
            OutputMarker::Frame { network: network.0, bytes: length(bytes.len()) }
        }
        Output::Disk { disk, operation, .. } => {
            let (operation, bytes) = match operation {
                DiskOperation::Read { bytes, .. } => (entry::DiskOperation::Read, *bytes),
                DiskOperation::Write { data, .. } => (entry::DiskOperation::Write, length(data.len())),
                DiskOperation::Flush => (entry::DiskOperation::Flush, 0),
            };
            OutputMarker::Disk { disk: disk.0, operation, bytes }
        }
    }
}

/// No output has 4 GiB: guests hand them out in descriptors of 32 bits.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Why a recording ends by what its machine did.
pub(crate) fn end_reason(stop: &Stop) -> EndReason {
    match stop {
        Stop::PowerOff => EndReason::PowerOff,
        Stop::Reset => EndReason::Reset,
        Stop::DebugExit(number) => EndReason::DebugExit(*number),
        Stop::Requested | Stop::Reached => EndReason::Requested,
        Stop::TripleFault(_) => EndReason::TripleFault,
        Stop::Refused { what, .. } => EndReason::Refused(what.clone()),
    }
}
