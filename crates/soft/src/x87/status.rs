//! Bits of the control word and the status word (Intel SDM volume 1, 8.1.3 and 8.1.5).

/// Invalid operation.
pub(super) const IE: u16 = 1 << 0;
/// Denormal operand.
pub(super) const DE: u16 = 1 << 1;
/// Division by zero.
pub(super) const ZE: u16 = 1 << 2;
/// Overflow.
pub(super) const OE: u16 = 1 << 3;
/// Underflow.
pub(super) const UE: u16 = 1 << 4;
/// Precision: the result is rounded.
pub(super) const PE: u16 = 1 << 5;
/// All exceptions: in the status word that they occurred, in the control word that they are masked.
pub(super) const EXCEPTIONS: u16 = 0x3f;
/// Those found before anything is computed: unmasked, they withhold the result.
pub(super) const EARLY: u16 = IE | DE | ZE;
/// The invalid operation is a stack fault.
pub(super) const SF: u16 = 1 << 6;
/// An exception is not masked: B and ES, which are always alike.
pub(super) const SUMMARY: u16 = 1 << 15 | 1 << 7;
/// Condition codes.
pub(super) const C0: u16 = 1 << 8;
pub(super) const C1: u16 = 1 << 9;
pub(super) const C2: u16 = 1 << 10;
pub(super) const C3: u16 = 1 << 14;
/// All of them.
pub(super) const CONDITION: u16 = C0 | C1 | C2 | C3;
/// Where TOP is.
pub(super) const TOP_SHIFT: u32 = 11;
/// TOP.
pub(super) const TOP: u16 = 7 << TOP_SHIFT;

/// The bits of the control word that can be set; bit 6 is always 1, the other reserved ones are 0. Bit 12, the
/// infinity control of the 8087, does nothing and is kept.
pub(super) const CONTROL: u16 = 0x1f3f;
/// The bit of the control word that is always 1.
pub(super) const CONTROL_FIXED: u16 = 1 << 6;
/// The control word after FNINIT.
pub(super) const CONTROL_RESET: u16 = 0x37f;
