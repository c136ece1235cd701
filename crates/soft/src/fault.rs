//! What keeps an instruction from completing.

use outlive_engine::{Exit, UnhandledExit};

/// An exception (Intel SDM volume 3, 7.15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Exception {
    /// 0 to 31.
    pub(crate) vector: u8,
    /// What it pushes, if it pushes something.
    pub(crate) error_code: Option<u32>,
    /// What CR2 becomes: page faults only.
    pub(crate) address: Option<u64>,
}

/// Vectors.
pub(crate) mod vector {
    pub(crate) const DIVIDE_ERROR: u8 = 0;
    pub(crate) const DEBUG: u8 = 1;
    pub(crate) const BREAKPOINT: u8 = 3;
    pub(crate) const BOUND_RANGE: u8 = 5;
    pub(crate) const OVERFLOW: u8 = 4;
    pub(crate) const INVALID_OPCODE: u8 = 6;
    pub(crate) const DEVICE_NOT_AVAILABLE: u8 = 7;
    pub(crate) const DOUBLE_FAULT: u8 = 8;
    pub(crate) const INVALID_TSS: u8 = 10;
    pub(crate) const SEGMENT_NOT_PRESENT: u8 = 11;
    pub(crate) const STACK_FAULT: u8 = 12;
    pub(crate) const GENERAL_PROTECTION: u8 = 13;
    pub(crate) const PAGE_FAULT: u8 = 14;
    pub(crate) const FLOATING_POINT: u8 = 16;
    pub(crate) const ALIGNMENT_CHECK: u8 = 17;
    pub(crate) const SIMD: u8 = 19;
}

impl Exception {
    /// One without an error code.
    pub(crate) const fn plain(vector: u8) -> Self {
        Self { vector, error_code: None, address: None }
    }

    /// One with an error code.
    pub(crate) const fn with_code(vector: u8, code: u32) -> Self {
        Self { vector, error_code: Some(code), address: None }
    }

    /// #UD.
    pub(crate) const UNDEFINED: Self = Self::plain(vector::INVALID_OPCODE);
    /// #GP(0).
    pub(crate) const PROTECTION: Self = Self::with_code(vector::GENERAL_PROTECTION, 0);
    /// #SS(0).
    pub(crate) const STACK: Self = Self::with_code(vector::STACK_FAULT, 0);
    /// #DE.
    pub(crate) const DIVIDE: Self = Self::plain(vector::DIVIDE_ERROR);

    /// #PF.
    pub(crate) const fn page_fault(address: u64, code: u32) -> Self {
        Self { vector: vector::PAGE_FAULT, error_code: Some(code), address: Some(address) }
    }
}

/// Why an instruction was given up: nothing that software can see has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    /// It raises an exception.
    Exception(Exception),
    /// It uses an address that is not canonical: #SS(0) through the stack segment, else #GP(0).
    NotCanonical,
    /// It asks the monitor for something, or cannot be executed at all. When the monitor has answered, the
    /// instruction is executed again from its beginning and finds the answer.
    Exit(Exit),
}

/// An instruction was given up. The [`Reason`] is kept by the processor: this is on the fast path of every
/// memory access, so it carries nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Abort;

/// The guest executes what is not memory.
pub(crate) fn code_outside_of_ram(rip: u64) -> Reason {
    unhandled("code outside of RAM", format!("instructions at {rip:#x} are not in RAM"))
}

/// Something that this processor does not do.
pub(crate) fn unhandled(name: &str, detail: String) -> Reason {
    Reason::Exit(Exit::Unhandled(UnhandledExit { name: name.to_owned(), detail }))
}
