//! The computer: memory, boot, buses and devices of one uniprocessor PC, generic over an engine.

pub mod world;
