//! The protocol: what primary and backup do about each message, failure and passing moment.
//!
//! Two state machines, [`Primary`] and [`Backup`], take events and answer with actions. They have no clock, no socket
//! and no thread. Whoever drives them tells the time with each event, carries the actions out in their order, and
//! comes back with [`PrimaryEvent::Tick`] or [`BackupEvent::Tick`] at the moment they name. So a model checker can
//! take them through every order of events (`tests/model`), and it is this code that it checks.
//!
//! # The output rule
//!
//! The primary runs the guest and sends the log of everything that its machine could not know by itself. The backup
//! acknowledges what it has *received*, and executes it in its own time. An output leaves the primary only after the
//! backup has acknowledged the log up to the end of the output's batch. So whatever the world has seen, the backup
//! can get to. The guest does not wait, its outputs do, in the [gate](crate::gate).
//!
//! ```text
//!   guest    primary                              backup
//!     │ output  │                                    │
//!     ├────────►│ held                               │
//!     │         ├── Batch, end 7, released 4 ───────►│ in memory
//!     │ goes on │                                    │
//!     │         │◄── Ack received 7, executed 5 ─────┤ executes 6, 7
//!     │         │ outputs up to 7 leave              │
//!     │         ├── Heartbeat, released 7 ──────────►│ forgets its own outputs up to 7
//! ```
//!
//! *Released* means that outputs have left, all of them, up to there. The backup makes the same outputs by executing
//! the log. It keeps those that are not told as released, and repeats them when it goes live. A frame may so be seen
//! twice, which networks do anyway; nothing is lost.
//!
//! # Suspicion, and test-and-set
//!
//! A side that hears nothing for [`Timing::suspect_after`], or whose connection is lost, cannot know whether the other
//! side is dead or only out of reach. If both went on, two machines would answer for one. So a side that suspects the
//! other first *claims* the flag of their generation: an atomic test-and-set at a third place that both reach, the
//! arbiter. Who wins goes on alone, who loses stops without a further output. As long as the arbiter cannot be
//! reached, the side asks again and nothing leaves it. What the other side says meanwhile changes nothing: a flag that
//! was asked for may be set, so there is no way back to being a pair.
//!
//! ```text
//!             primary                                backup
//!    Protected                               Following
//!        │ silence, channel lost,                │ silence, channel lost,
//!        │ backup left or diverged               │ primary left
//!        ▼                                       ▼
//!    Claiming ◄─┐ unavailable                Claiming ◄─┐ unavailable
//!      │    └───┘                              │    └───┘
//!      ├─ lost ──► StoodDown                   ├─ lost ──► StoodDown
//!      ▼ won                                   ▼ won
//!    Alone                                   Waiting, for the lease's end
//!                                              ▼
//!                                            Live
//! ```
//!
//! A side can also have been frozen itself: then it wakes up late, hears nothing yet, and would blame the other. Who
//! comes much later to its deadline than it asked to therefore waits once more before it suspects.
//!
//! # The lease
//!
//! The flag stops a primary that asks for it. One that is frozen asks for nothing. When it thaws, it may find
//! acknowledgements in its socket that came before the backup went live, and let out what they allow: late writes to
//! a disk that another machine owns by now. So acknowledgements allow outputs for a time only.
//!
//! Each message of the primary tells the moment it was sent, by the primary's clock. An acknowledgement *echoes* the
//! latest such moment. The primary lets outputs out until [`Timing::lease`] after the latest echo. The backup heard
//! that message after it was sent, so if it goes live no earlier than a lease after it *last heard* anything, every
//! lease has run out:
//!
//! ```text
//!   primary    sent S ───────────┬ lease ┐ S + lease: nothing leaves any more
//!                 \             /│       │
//!   backup         ▼ heard H   / ▼       │
//!                  ├───────────── lease + lease/8 ──┤ may go live
//! ```
//!
//! No moment is compared between hosts: S stays with the primary's clock and H with the backup's. The clocks need only
//! run at about the same rate, and the eighth is what they may differ by. They must go on while a host sleeps, as
//! Linux' `CLOCK_BOOTTIME` does. Whoever lets an output out looks at the clock right before; what no program can rule
//! out is to be frozen between that look and the system call.
//!
//! When a lease runs out nothing is lost: outputs wait for the next acknowledgement. The primary needs no wait of its
//! own when it has won: the backup lets nothing out before it has won, and then it has not.
//!
//! # Going as planned
//!
//! A primary that is asked to leave holds outputs back for ever, then says `Leave` behind everything that it has sent.
//! The backup claims the flag as always, but needs no wait, because there is no lease any more. A backup that leaves
//! says so too and claims nothing. So does one that has diverged from the log: it must never go live.
//!
//! # The end of the guest
//!
//! The guest ends on both sides by the same entry of the log. The primary waits until all outputs have left and the
//! backup has executed the end; then both finish, and nobody claims anything. If one dies before the last outputs have
//! left, the other goes on as always, and lets them out.
//!
//! # Mistrust
//!
//! Each side checks what the other says. A position that goes back, an acknowledgement of what was never sent, an echo
//! from the future, a batch that does not follow the one before: such a peer is broken ([`PeerFault`]), and that is as
//! good as a lost connection.

mod backlog;
mod backup;
mod claim;
mod fault;
mod primary;
mod silence;
mod timing;

pub use backup::{Backup, BackupAction, BackupEvent, BackupPhase, BackupStatus};
pub use claim::{ClaimOutcome, StandDown, Suspicion};
pub use fault::PeerFault;
pub use primary::{Primary, PrimaryAction, PrimaryEvent, PrimaryPhase, PrimaryStatus, UNACKNOWLEDGED_LIMIT};
pub use timing::TimingError;

#[cfg(doc)]
use crate::message::Timing;
