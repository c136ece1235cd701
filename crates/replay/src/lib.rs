//! Recorder and replayer: what ties a machine to an event log.
//!
//! A machine is a function of its initial state and of what its [`World`](outlive_machine::world::World) tells
//! it. So recording is a world that writes down what a live world tells ([`Recorder`]), and replaying is a world
//! that tells what was written down ([`Replayer`]). The machine, its loop and its devices are the same.
//!
//! **Landmarks.** An input must come at the very point of the guest's execution at which it came before. What names
//! that point depends on the engine that recorded ([`Counting`](outlive_log::header::Counting)). One that counts
//! steps can be stopped between any two of them, so inputs land anywhere; a replay runs the guest exactly to the next
//! landmark. One that does not can name two kinds of places: behind a numbered exit, and where the guest can take
//! an interrupt that it could not take before, a *window*. Inputs land only there, and a replay comes by of itself.
//!
//! **Checks.** A replay that has gone wrong must not go on. At each interrupt and each output both sides hash all
//! registers, and what goes out, into a *running digest* that also covers everything before; sixteen bits of it
//! are in the log. Whatever differs once makes all later ones differ, so a difference slips by one check in 65,536
//! times, and by the next one never. At longer distances the whole state is hashed: registers, memory, devices, and
//! all requests to disks. When something differs, the replay ends with a [`Divergence`] that says what was
//! expected, what was found, and which registers or pages they were.
//!
//! **Going live.** A log need not be a file. Where it comes over a channel ([`EntrySource`]) the replayer runs the guest
//! to the last entry that there is and waits for the next. When there will be none, for whoever made them is dead, the
//! machine stands between two turns, as whole as at power-on, and [`go_live`] gives it a recorder for a world.
//!
//! **What is not checked.** Equal digests mean equal machines but for what no digest covers: translations that a
//! processor keeps. The engine in software keeps and forgets them by rules that depend on the guest only.

mod checks;
mod conversion;
mod divergence;
mod entries;
mod event_log;
mod live;
mod options;
mod pages;
mod place;
mod progress;
mod record;
mod recorder;
mod registers;
mod replay;
mod replayer;
mod source;
mod summary;
mod whole_state;

pub use divergence::{Divergence, PageDifference, RegisterDifference};
pub use event_log::EventLog;
pub use live::go_live;
pub use options::{CheckLevel, Outputs, ReplayOptions};
pub use place::{Goal, GoalError, counting};
pub use progress::Progress;
pub use record::{Recorded, record};
pub use recorder::{RecordError, RecordOptions, Recorder};
pub use replay::{ReplayEnd, Replayed, replay};
pub use replayer::{ReplayError, Replayer};
pub use source::EntrySource;
pub use summary::{Digests, Summary};
