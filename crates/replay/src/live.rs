//! From the log to the live world.

use outlive_engine::{Engine, GuestTime};
use outlive_machine::machine::Machine;
use outlive_machine::world::World;

use crate::event_log::EventLog;
use crate::recorder::{RecordOptions, Recorder};
use crate::replayer::Replayer;
use crate::source::EntrySource;

/// Takes a machine that has replayed all of its log to the live world: from here on it records what that tells into a log
/// which goes on where the replayed one ends. `connect` makes both; it is given the log's source, and the guest time from
/// which the live world must go on.
///
/// Disk requests that wait for their completion are to be [made again](Machine::reissue_disk_requests): the log has
/// them, and nobody may have carried them out.
pub fn go_live<E: Engine, S: EntrySource, W: World, L: EventLog>(
    machine: Machine<E, Replayer<S>>,
    options: RecordOptions,
    connect: impl FnOnce(S, GuestTime) -> (W, L),
) -> Machine<E, Recorder<W, L>> {
    let ram = machine.board().ram().clone();
    let time = machine.time();
    machine.change_world(|replayer| {
        let (source, beginning) = replayer.into_parts(ram, time);
        let (live, log) = connect(source, time);
        Recorder::going_on(live, log, beginning, options)
    })
}
