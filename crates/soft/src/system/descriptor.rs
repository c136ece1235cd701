//! Selectors, and the descriptors that they name (Intel SDM volume 3, 3.4.2, 3.4.5 and 6.8).
//!
//! Descriptor tables are read and marked as a supervisor whoever runs. Who loads a segment register does all
//! checks first, then marks the descriptor as accessed, and sets the register last.

use outlive_engine::Segment;

use crate::cpu::Cpu;
use crate::fault::{Abort, Exception, vector};

/// Types of system descriptors in long mode (Intel SDM volume 3, table 3-2).
pub(super) mod kind {
    pub(crate) const LDT: u8 = 2;
    pub(crate) const TSS_AVAILABLE: u8 = 9;
    pub(crate) const TSS_BUSY: u8 = 11;
    pub(crate) const CALL_GATE: u8 = 12;
    pub(crate) const INTERRUPT_GATE: u8 = 14;
    pub(crate) const TRAP_GATE: u8 = 15;
}

/// What a segment register is loaded from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Selector(pub(super) u16);

impl Selector {
    /// It names no segment: entry 0 of the global table, at any privilege level.
    pub(super) fn is_null(self) -> bool {
        self.0 & !3 == 0
    }

    /// RPL.
    pub(super) fn privilege(self) -> u8 {
        (self.0 & 3) as u8
    }

    /// The same segment, requested with another privilege level.
    pub(super) fn with_privilege(self, privilege: u8) -> Self {
        Self(self.0 & !3 | u16::from(privilege))
    }

    /// TI: it names a segment of the local table.
    pub(super) fn is_local(self) -> bool {
        self.0 & 4 != 0
    }

    /// The exception `vector` because of this selector (Intel SDM volume 3, 7.13).
    pub(super) fn fault(self, vector: u8) -> Exception {
        Exception::with_code(vector, u32::from(self.0 & !3))
    }
}

/// The first eight bytes of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Descriptor(pub(super) u64);

impl Descriptor {
    /// Type, S, DPL, P, AVL, L, D/B and G, as in [`Segment::attributes`].
    pub(super) fn attributes(self) -> u16 {
        (self.0 >> 40) as u16 & 0xf0ff
    }

    fn has(self, attribute: u16) -> bool {
        self.attributes() & attribute != 0
    }

    /// The type: four bits whose meaning depends on S.
    pub(super) fn kind(self) -> u8 {
        (self.attributes() & 0xf) as u8
    }

    /// S: a code or data segment, and not one of the system's descriptors.
    pub(super) fn is_segment(self) -> bool {
        self.has(1 << 4)
    }

    pub(super) fn is_code(self) -> bool {
        self.is_segment() && self.has(1 << 3)
    }

    pub(super) fn is_conforming_code(self) -> bool {
        self.is_code() && self.has(1 << 2)
    }

    pub(super) fn is_readable(self) -> bool {
        self.is_segment() && (!self.is_code() || self.has(1 << 1))
    }

    pub(super) fn is_writable_data(self) -> bool {
        self.is_segment() && !self.is_code() && self.has(1 << 1)
    }

    /// DPL.
    pub(super) fn privilege(self) -> u8 {
        (self.attributes() >> 5 & 3) as u8
    }

    pub(super) fn is_present(self) -> bool {
        self.has(1 << 7)
    }

    /// L: 64-bit code.
    pub(super) fn is_long(self) -> bool {
        self.has(1 << 13)
    }

    /// D or B: 32 bits are the default.
    pub(super) fn is_big(self) -> bool {
        self.has(1 << 14)
    }

    pub(super) fn base(self) -> u64 {
        self.0 >> 16 & 0xff_ffff | self.0 >> 56 << 24
    }

    /// The limit in bytes.
    pub(super) fn limit(self) -> u32 {
        let limit = (self.0 & 0xffff | self.0 >> 32 & 0xf_0000) as u32;
        if self.has(1 << 15) { limit << 12 | 0xfff } else { limit }
    }

    /// The register that was loaded with this descriptor: marked as accessed.
    pub(super) fn segment(self, selector: Selector) -> Segment {
        Segment {
            selector: selector.0,
            base: self.base(),
            limit: self.limit(),
            attributes: self.attributes() | 1,
            unusable: false,
        }
    }
}

/// A register that was loaded with a null selector. `privilege` counts for SS only, where it is the current
/// privilege level.
pub(super) fn null_segment(selector: Selector, privilege: u8) -> Segment {
    let attributes = u16::from(privilege) << 5;
    Segment { selector: selector.0, base: 0, limit: 0, attributes, unusable: true }
}

impl Cpu {
    /// Where the descriptor of `bytes` bytes is that a selector names, if its table is long enough.
    fn descriptor_address(&self, selector: Selector, bytes: u64) -> Option<u64> {
        let (base, limit) = if selector.is_local() {
            let table = &self.segments.ldt;
            (table.base, if table.unusable { None } else { Some(u64::from(table.limit)) })
        } else {
            (self.gdt.base, Some(u64::from(self.gdt.limit)))
        };
        let offset = u64::from(selector.0 & !7);
        (offset + bytes - 1 <= limit?).then(|| base.wrapping_add(offset))
    }

    /// The descriptor that a selector names; `None` beyond the end of its table.
    pub(super) fn descriptor(&mut self, selector: Selector) -> Result<Option<Descriptor>, Abort> {
        let Some(address) = self.descriptor_address(selector, 8) else { return Ok(None) };
        let bytes = self.memory.read_system(address)?;
        Ok(Some(Descriptor(u64::from_le_bytes(bytes))))
    }

    /// The descriptor that a selector names; #GP(selector) beyond the end of its table.
    pub(super) fn descriptor_or_fault(&mut self, selector: Selector) -> Result<Descriptor, Abort> {
        match self.descriptor(selector)? {
            Some(descriptor) => Ok(descriptor),
            None => self.raise(selector.fault(vector::GENERAL_PROTECTION)),
        }
    }

    /// A descriptor of 16 bytes, as those of LDT, TSS and call gates are in long mode; #GP(selector) beyond the
    /// end of its table.
    pub(super) fn wide_descriptor(&mut self, selector: Selector) -> Result<(Descriptor, u64), Abort> {
        let Some(address) = self.descriptor_address(selector, 16) else {
            return self.raise(selector.fault(vector::GENERAL_PROTECTION));
        };
        let low = u64::from_le_bytes(self.memory.read_system(address)?);
        let high = u64::from_le_bytes(self.memory.read_system(address.wrapping_add(8))?);
        Ok((Descriptor(low), high))
    }

    /// Sets bits in the type of a descriptor in memory, unless they are set.
    pub(super) fn mark_descriptor(
        &mut self,
        selector: Selector,
        descriptor: Descriptor,
        bits: u8,
    ) -> Result<(), Abort> {
        let access = (descriptor.0 >> 40) as u8;
        match self.descriptor_address(selector, 8) {
            Some(address) if access & bits != bits => {
                self.memory.write_system(address.wrapping_add(5), [access | bits])
            }
            _ => Ok(()),
        }
    }

    /// Marks the descriptor of a segment as accessed.
    pub(super) fn mark_accessed(&mut self, selector: Selector, descriptor: Descriptor) -> Result<(), Abort> {
        self.mark_descriptor(selector, descriptor, 1)
    }
}
