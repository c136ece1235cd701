//! Where the outputs of a side leave.
//!
//! Held by the [gate](crate::gate) until the protocol releases them, they leave one by one, each behind a look at the clock:
//! a side that was frozen meanwhile finds that its lease has run out. Writes to disks are looked at once more by the disks'
//! own threads, through the [`Fence`].
//!
//! **Reads need no release.** What a disk is asked to read changes nothing in the world, and the guest waits for the
//! answer. So reads leave at once, unless a write to the same disk is held that they must not overtake.

use outlive_machine::host::fence::Fence;
use outlive_machine::host::live::{LiveError, OutputSink};
use outlive_machine::world::{DiskIndex, DiskOperation, Output};

use super::status::Delays;
use crate::clock;
use crate::gate::OutputGate;
use crate::{LogPosition, Moment};

/// What may leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Permission {
    up_to: LogPosition,
    /// `None`: for ever.
    until: Option<Moment>,
}

/// An output that waits, and since when.
#[derive(Debug)]
struct Waiting {
    output: Output,
    since: Moment,
}

/// The gate, and what is behind it.
#[derive(Debug)]
pub(super) struct Exits<S> {
    gate: OutputGate<Waiting>,
    permission: Option<Permission>,
    fence: Fence,
    /// `None` when nothing leaves any more, ever.
    sink: Option<S>,
    /// Of each disk, how many requests wait that a read must not overtake.
    held_writes: Vec<usize>,
    delays: Delays,
}

impl<S: OutputSink> Exits<S> {
    /// Outputs leave through `sink`, whose disks obey `fence`. None may leave yet.
    pub(super) fn new(sink: S, fence: Fence) -> Self {
        let gate = OutputGate::default();
        let sink = Some(sink);
        Self { gate, permission: None, fence, sink, held_writes: Vec::new(), delays: Delays::default() }
    }

    /// Takes an output of the batch that is being made, which the guest made then.
    pub(super) fn hold(&mut self, output: Output, made: Moment) -> Result<(), LiveError> {
        if let Output::Disk { disk, operation, .. } = &output {
            if !changes_disk(operation) && self.held_writes(*disk) == 0 {
                return self.leave(output);
            }
            if changes_disk(operation) {
                self.count_write(*disk);
            }
        }
        let bytes = bytes(&output);
        self.gate.hold(Waiting { output, since: made }, bytes);
        Ok(())
    }

    /// The batch is cut.
    pub(super) fn seal(&mut self, end: LogPosition) {
        self.gate.seal(end);
    }

    /// Allows outputs to leave, and lets out what may. Whether all of them have left.
    pub(super) fn release(&mut self, up_to: LogPosition, until: Option<Moment>) -> Result<bool, LiveError> {
        self.permission = Some(Permission { up_to, until });
        match until {
            Some(until) => self.fence.open_until(clock::instant(until)),
            None => self.fence.open_for_ever(),
        }
        self.let_out()
    }

    /// Lets nothing out any more, until the next release.
    pub(super) fn hold_back(&mut self) {
        self.permission = None;
        self.fence.close();
    }

    /// Lets nothing out any more, ever. Waits for what is on its way: once this returns, nothing of this machine reaches
    /// the host. A write to storage that is away holds that up.
    pub(super) fn shut(&mut self) {
        self.permission = None;
        self.fence.end();
        self.sink = None;
    }

    /// Lets go of what everything has left through that was released, and waits for what is on its way.
    pub(super) fn finish(&mut self) {
        self.sink = None;
    }

    fn let_out(&mut self) -> Result<bool, LiveError> {
        let Some(Permission { up_to, until }) = self.permission else { return Ok(false) };
        loop {
            let now = clock::now();
            if until.is_some_and(|until| until <= now) {
                self.permission = None;
                return Ok(false);
            }
            let Some(Waiting { output, since }) = self.gate.pop(up_to) else { return Ok(true) };
            if let Output::Disk { disk, operation, .. } = &output
                && changes_disk(operation)
            {
                self.held_writes[usize::from(disk.0)] -= 1;
            }
            if matches!(output, Output::Frame { .. }) {
                self.delays.note(now.since(since));
            }
            self.leave(output)?;
        }
    }

    /// Lets an output out that needs no permission, or has it.
    pub(super) fn leave(&mut self, output: Output) -> Result<(), LiveError> {
        self.sink.as_mut().map_or(Ok(()), |sink| sink.output(output))
    }

    /// How long frames have waited in the gate.
    pub(super) fn delays(&self) -> &Delays {
        &self.delays
    }

    /// How many outputs wait, and how many bytes.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.gate.len(), self.gate.bytes())
    }

    fn held_writes(&self, disk: DiskIndex) -> usize {
        self.held_writes.get(usize::from(disk.0)).copied().unwrap_or(0)
    }

    fn count_write(&mut self, disk: DiskIndex) {
        let disk = usize::from(disk.0);
        if self.held_writes.len() <= disk {
            self.held_writes.resize(disk + 1, 0);
        }
        self.held_writes[disk] += 1;
    }
}

fn changes_disk(operation: &DiskOperation) -> bool {
    match operation {
        DiskOperation::Read { .. } => false,
        DiskOperation::Write { .. } | DiskOperation::Flush => true,
    }
}

fn bytes(output: &Output) -> usize {
    match output {
        Output::Console(_) => 1,
        Output::Frame { bytes, .. } => bytes.len(),
        Output::Disk { operation: DiskOperation::Write { data, .. }, .. } => data.len(),
        Output::Disk { .. } => 0,
    }
}

#[cfg(test)]
mod tests;
