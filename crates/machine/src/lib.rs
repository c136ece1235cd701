//! The computer: memory, boot, board and devices of one uniprocessor PC, generic over an engine.
//!
//! A [`Machine`](machine::Machine) is an engine, a [`Board`](board::Board) and a [`World`](world::World).
//! Where to look for what:
//!
//! * [`machine`]: the one vCPU loop;
//! * [`world`]: the two gates through which inputs come and outputs go;
//! * [`board`]: ports, MMIO, interrupt wires; [`devices`] and [`virtio`]: what hangs on them;
//! * [`memory`] and [`boot`]: the address space, and how a guest gets to its first instruction;
//! * [`digest`] and [`encoding`]: saved forms as hashes and as bytes;
//! * [`host`]: the live world of terminals, TAPs and files;
//! * [`report`]: what a person sees when a guest had to be stopped.

pub mod board;
pub mod boot;
pub mod devices;
pub mod digest;
pub mod encoding;
pub mod host;
pub mod machine;
pub mod memory;
pub mod report;
pub mod virtio;
pub mod world;
