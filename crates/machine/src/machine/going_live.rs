//! A machine that goes on in another world.
//!
//! *Going live* is this: a machine has replayed a log to its end and stands between two turns. It is put into the live
//! world, whose clock goes on from the machine's time; it asks its disks once more for what nobody has heard of; and it
//! runs on.

use outlive_engine::Engine;

use super::{Here, Machine, MachineError, Outcome};
use crate::world::World;

impl<E: Engine, W: World> Machine<E, W> {
    /// This machine in another world, which `change` makes of the one that it has lived in: a backup that goes live
    /// is a machine that stops replaying a log and goes on among TAPs and files. The machine does not notice.
    ///
    /// It must stand between two turns: it has been made or restored, or [`run`](Self::run) or
    /// [`run_until`](Self::run_until) has returned [`Stop::Requested`](super::Stop::Requested) or [`Stop::Reached`](super::Stop::Reached).
    ///
    /// The new world is told the deadline, and nothing else. What it must know besides is up to the caller: the
    /// [time](Self::time), from which it goes on and never back, and the disk requests that are under way, which it
    /// gets [again](Self::reissue_disk_requests).
    pub fn change_world<V: World>(self, change: impl FnOnce(W) -> V) -> Machine<E, V> {
        let Self { engine, world, board, progress, time, deadline: _, has_landmark } = self;
        let mut world = change(world);
        let deadline = board.deadline();
        world.set_deadline(deadline);
        Machine { engine, world, board, progress, time, deadline, has_landmark }
    }

    /// Hands the world all disk requests that wait for their completion. For a world that does not know of
    /// them: that of a machine which goes live from a state or from a log. Doing one twice is harmless, for
    /// nobody has heard of its completion.
    ///
    /// # Errors
    /// When the world does not take them.
    pub fn reissue_disk_requests(&mut self) -> Outcome<(), W> {
        let mut here = Here::of(&mut self.engine, self.progress);
        let mut requests = self.board.disk_requests().into_iter();
        requests.try_for_each(|request| self.world.output(&mut here, request).map_err(MachineError::World))
    }
}
