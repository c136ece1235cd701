//! What an instruction begins with and what it leaves behind, in a form that both sides can fill in.

use super::layout::IMAGE_BYTES;
use crate::memory::circumstances::CodeSize;

/// Where the first 416 bytes of FXSAVE's format hold what (Intel SDM volume 1, 10.5.1).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Floating {
    pub(super) control: u16,
    pub(super) status: u16,
    pub(super) tags: u8,
    pub(super) reserved: u8,
    pub(super) opcode: u16,
    pub(super) instruction: u64,
    pub(super) operand: u64,
    pub(super) mxcsr: u32,
    pub(super) mxcsr_mask: u32,
    pub(super) stack: [u128; 8],
    pub(super) xmm: [u128; 16],
}

const _: () = assert!(size_of::<Floating>() == 416);

/// Registers.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State {
    /// In the order of their numbers in instructions.
    pub(super) general: [u64; 16],
    pub(super) rip: u64,
    pub(super) flags: u64,
    pub(super) floating: Floating,
}

/// The mode that an instruction is executed in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Mode {
    Long,
    Compatibility,
}

impl Mode {
    /// As iced wants it.
    pub(super) fn bitness(self) -> u32 {
        match self {
            Self::Long => 64,
            Self::Compatibility => 32,
        }
    }

    /// As the decoder wants it.
    pub(super) fn size(self) -> CodeSize {
        match self {
            Self::Long => CodeSize::Long,
            Self::Compatibility => CodeSize::Compatibility,
        }
    }
}

/// Memory that instructions can write to: see [`layout`](super::layout).
pub(super) type Image = [u8; IMAGE_BYTES];

/// One instruction, and everything that it depends on.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) mode: Mode,
    pub(super) before: State,
    /// The instruction, at [`State::rip`]. Behind it is filler.
    pub(super) code: Vec<u8>,
    pub(super) image: Box<Image>,
}

/// How an instruction ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// It completed, or one iteration of it.
    Completed,
    /// It raised an exception.
    Fault {
        vector: u8,
        code: u32,
        /// CR2, if it is a page fault.
        address: Option<u64>,
    },
}

/// What an instruction leaves behind.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) end: End,
    pub(super) after: State,
    pub(super) image: Box<Image>,
}
