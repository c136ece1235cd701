//! A driver runs before other threads.
//!
//! Each output waits until two threads have been awake in turn, the backup's driver and the primary's. On a host that is
//! busy, not least with the guest itself, each of them would stand in line for a good part of a millisecond, and a driver
//! that stands in line for longer sends no heartbeat: the other side would take over for nothing. So a driver asks for a
//! real-time priority, the lowest there is (sched(7), `SCHED_RR`). What it does between two waits takes some tens of
//! microseconds. Threads that it starts, for claims, have the priority too, and do little but wait.
//!
//! The host grants that to root, to who has CAP_SYS_NICE, and up to the resource limit on real-time priorities. Without it a
//! driver works all the same.

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// Lets the calling thread run before others, if the host allows it.
pub(super) fn take() {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy) {
        tracing::info!(
            target: crate::TARGET,
            ?error,
            "the host gives the driver no real-time priority (CAP_SYS_NICE, or a limit on rtprio): on a busy host \
             outputs will wait for longer, and a side may be suspected too early"
        );
    }
}
