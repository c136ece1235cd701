//! The arbiter of a pair: only one side goes on.
//!
//! # Split brain
//!
//! A primary and its backup watch each other over a network. When one hears nothing any more, it cannot know why:
//! the other host may be dead, the other process may be stopped, or the cable between them may be cut while both
//! are well. In the first case it must go on, or the guest is gone. In the last one it must not, unless the other
//! stops: two machines with one address and one disk answer the same clients in different ways, and what they write
//! to the disk destroys it. That is *split brain*. No message over a network that is cut, and no timeout, can tell
//! the cases apart.
//!
//! # Test and set
//!
//! So there is a third party, which both sides can reach and which does a single thing: it has a flag that is down,
//! and whoever raises it first has won. To look and to raise are one step, a *test-and-set*, so that of any number
//! of claimants exactly one wins, and all others learn who it was. A flag that is raised is never lowered. Who has
//! won goes on alone; who has lost stops without another output; who gets no answer does neither, it asks again.
//!
//! Each pairing of a primary and a backup has a number of its own, its [`Generation`], and each generation has a
//! flag of its own. The primary [opens](Arbiter::open_generation) a generation before it takes a backup, and tells the
//! backup its number. The backup [rehearses](Arbiter::rehearse) a claim while all is well, because what stands in the
//! way of it should not come to light when a host is dead. After a failure both [claim](Arbiter::claim).
//!
//! A claim can be repeated. Its answer may get lost, so the same [`Claimant`], which is told from all others by a
//! random number, wins again what it has won.
//!
//! # A directory as arbiter
//!
//! [`DirectoryArbiter`] keeps flags as files in a directory that both hosts mount. A person can read them:
//!
//! ```text
//! DIRECTORY/redis/generation-000001.opened     which primary has opened it, and when
//! DIRECTORY/redis/generation-000001.claimed    which side goes on alone, and since when
//! ```
//!
//! A flag is raised by `link`, which gives a file a second name and fails if that name is taken. The file has
//! been written under a temporary name before, and made durable. So a flag is there with all that it says or not at
//! all, whenever the claimant crashes. What is left over is a temporary file, which means nothing; whoever opens a
//! generation removes those that are older than an hour.
//!
//! A flag that cannot be understood was raised by nobody knows whom. It can be won by nobody, and each claim names
//! the file: see [`ArbiterError::Damaged`].
//!
//! ## What the storage must do
//!
//! * `link` must be atomic, also between hosts, and must refuse a name that is taken. POSIX demands it, and NFS (the
//!   server does it), OCFS2 and GFS2 do it. FAT has no hard links, nor have many servers of SMB: [`ArbiterError::NoHardLinks`].
//! * What was synced must survive a crash of the storage. For NFS: export it with `sync`, which is the default. A
//!   server that exports with `async` may forget a flag, and then let the other side win it.
//! * It must fail on its own. Storage on one of the two hosts dies with that host, and then nobody can go on.
//! * Both sides must be allowed to write: run them as users with the same number, and mind `root_squash`.
//! * Nobody may remove or copy files in it while a pair lives. To begin anew, stop both sides and remove the
//!   machine's folder.
//!
//! ## Three facts about NFS
//!
//! *An answer may get lost.* The client sends a `LINK` again whose answer did not come; the server, which has done
//! it, may answer that the name is taken. So the result of `link` is not the verdict. When it reports a failure the
//! flag is read, and whose it is counts. For the same reason an opened record has a random number for the
//! attempt.
//!
//! *A client remembers names.* It may believe for some time that a file is not there although the other host has made
//! it. So nobody wins because a file seems to be absent: `link` decides that at the server. And the record that a generation
//! was opened is looked for again after a file was created beside it, which makes the client look at the folder anew.
//!
//! *It waits.* On a `hard` mount, the default, a call blocks until the server is back, and its thread cannot be
//! stopped. Therefore callers have a thread for the arbiter and a timeout of their own. A `soft` mount gives up with
//! an error after a while. Both are safe.
//!
//! ## An unmounted share looks like an empty one
//!
//! Where nothing is mounted there is an empty directory, and in an empty directory every flag can be won, on both
//! hosts. There are three defences.
//!
//! * The arbiter's directory is never created. It should be a folder within the share and not the mount point
//!   itself: then it is missing while nothing is mounted.
//! * A flag can only be claimed where its generation has been opened. Else it is [`ArbiterError::NotOpened`], and no win.
//! * A directory that is not shared at all may have been used by both hosts in turn, and so have a generation of the
//!   same number on both. [`Arbiter::rehearse`] tells who opened the generation. A backup compares the
//!   [identity](Claimant::identity) with what the primary told it, and refuses the pairing if it is another. Later
//!   claims insist on the opening that was seen then: [`ArbiterError::OpenedByAnother`].
//!
//! ## When the storage is away
//!
//! While a pair is well, nothing: nobody asks the arbiter. When a side fails meanwhile, nobody can go on alone. The
//! other side goes on asking, and no output leaves until there is an answer. That is the price: a guest that stands
//! still for a time can be repaired, and a disk that two machines have written to cannot.

mod arbiter;
mod claimant;
mod date;
mod directory;
mod error;
mod generation;
mod identity;
mod name;
mod text;

pub use arbiter::{Arbiter, Claim};
pub use claimant::Claimant;
pub use date::Date;
pub use directory::{Damage, DirectoryArbiter, Listed, Recorded, machines};
pub use error::ArbiterError;
pub use generation::Generation;
pub use identity::Identity;
pub use name::{InvalidName, MachineName};
