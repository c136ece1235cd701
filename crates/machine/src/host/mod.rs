//! The live world: the host's clock, terminals, TAP interfaces and files.
//!
//! Threads here never touch the machine. The *I/O thread* reads TAPs and the console, one *disk thread* per
//! disk reads and writes its file, the *alarm thread* watches the next deadline. Each puts what happened
//! into one queue and kicks the vCPU, which takes it at its own pace ([`live::LiveWorld`]).

mod alarm;
mod clock;
pub mod console;
pub mod disk;
mod io_thread;
pub mod live;
pub mod sparse;
pub mod tap;
