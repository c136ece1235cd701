//! The computer: memory, boot, buses and devices of one uniprocessor PC, generic over an engine.

pub mod boot;
pub mod host;
pub mod memory;
pub mod world;
