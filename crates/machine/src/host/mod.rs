//! The live world: the host's clock, terminals, TAP interfaces and files.
//!
//! Threads here never touch the machine. The *I/O thread* reads TAPs and the console, one *disk thread* per
//! disk reads and writes its file, the *alarm thread* watches the next deadline. Each puts what happened
//! into one queue and kicks the vCPU, which takes it at its own pace ([`live::LiveWorld`]).
//!
//! For a pair there are besides: the [`fence`] that keeps a machine from writing when it may not be live any more, the
//! ways to open a disk that both sides see ([`disk::Sharing`]), and what makes a network look for a guest at its new
//! host ([`announcement`]).

mod alarm;
pub mod announcement;
mod clock;
pub mod console;
pub mod disk;
pub mod fence;
mod io_thread;
pub mod live;
pub mod sparse;
pub mod tap;
