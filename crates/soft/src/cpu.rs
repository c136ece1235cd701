//! The processor's registers, in the form in which instructions work on them.

use outlive_engine::{
    Activity, Answer, ControlRegisters, DebugRegisters, DescriptorTable, Exit, GuestRam, InterruptShadow,
    ModelSpecificRegisters, PendingEvent, Segment, Segments,
};

use crate::fault::{Abort, Exception, Reason};
use crate::flags::{Flags, bit};
use crate::memory::circumstances::CodeSize;
use crate::memory::{Kind, Memory};
use crate::op::{Op, Step, address, property, segment};
use crate::vector::Vectors;
use crate::width::Width;
use crate::x87::X87;

/// Numbers of the general registers, as instructions encode them.
pub(crate) mod number {
    pub(crate) const RAX: u8 = 0;
    pub(crate) const RCX: u8 = 1;
    pub(crate) const RDX: u8 = 2;
    pub(crate) const RBX: u8 = 3;
    pub(crate) const RSP: u8 = 4;
    pub(crate) const RBP: u8 = 5;
    pub(crate) const RSI: u8 = 6;
    pub(crate) const RDI: u8 = 7;
    pub(crate) const R11: u8 = 11;
    /// Always zero: the base or index of an address that has none.
    pub(crate) const ZERO: u8 = 16;
    /// The address of the block that is executed: the base of RIP-relative addresses.
    pub(crate) const BLOCK: u8 = 17;
    /// How many there are, rounded up so that an index needs no more than a mask.
    pub(crate) const COUNT: usize = 32;
}

/// What ops work on.
#[derive(Debug)]
pub(crate) struct Cpu {
    /// RAX to R15, and the two that only addresses use: see [`number`].
    pub(crate) registers: [u64; number::COUNT],
    pub(crate) flags: Flags,
    /// The next instruction. Exact between blocks; within one, see [`Cpu::rip_of`] and [`Cpu::rip_after`].
    pub(crate) rip: u64,
    /// Steps since power-on: instructions retired (each iteration of a REP string counts) and exceptions
    /// and interrupts delivered. Exact between blocks.
    pub(crate) retired: u64,
    /// Where to stop: [`retired`](Self::retired) never passes it.
    pub(crate) stop_at: u64,
    /// Where native code is to come back at the latest. Not beyond [`stop_at`](Self::stop_at).
    pub(crate) native_until: u64,
    pub(crate) memory: Memory,
    pub(crate) segments: Segments,
    /// Base and limit of the code segment when compatibility mode was entered last.
    code_segment: (u64, u32),
    pub(crate) gdt: DescriptorTable,
    pub(crate) idt: DescriptorTable,
    pub(crate) control: ControlRegisters,
    pub(crate) debug: DebugRegisters,
    pub(crate) msrs: ModelSpecificRegisters,
    pub(crate) x87: X87,
    pub(crate) vectors: Vectors,
    /// An event to deliver before the next instruction.
    pub(crate) pending: Option<PendingEvent>,
    pub(crate) shadow: InterruptShadow,
    pub(crate) activity: Activity,
    /// Whether an op has decided itself about the single-step trap behind it: see
    /// [`debug`](crate::system::debug).
    pub(crate) trap_is_decided: bool,
    /// What an op that completed wants to tell the monitor. Such an op returns [`Step::Leave`] or
    /// [`Step::Again`].
    pub(crate) exit: Option<Exit>,
}

impl Cpu {
    /// A processor whose state is yet to be set.
    pub(crate) fn new(ram: &GuestRam) -> Self {
        Self {
            registers: [0; number::COUNT],
            flags: Flags::from_bits(0),
            rip: 0,
            retired: 0,
            stop_at: 0,
            native_until: 0,
            memory: Memory::new(ram),
            segments: Segments::default(),
            code_segment: (0, 0),
            gdt: DescriptorTable::default(),
            idt: DescriptorTable::default(),
            control: ControlRegisters::default(),
            debug: DebugRegisters::default(),
            msrs: ModelSpecificRegisters::default(),
            x87: X87::default(),
            vectors: Vectors::default(),
            pending: None,
            shadow: InterruptShadow::None,
            activity: Activity::Running,
            trap_is_decided: false,
            exit: None,
        }
    }

    /// The privilege level: DPL of the stack segment (Intel SDM volume 3, 6.5).
    #[inline]
    pub(crate) fn privilege(&self) -> u8 {
        (self.segments.ss.attributes >> 5 & 3) as u8
    }

    /// Whether code runs in 64-bit mode, rather than in compatibility mode: CS.L.
    #[inline]
    pub(crate) fn is_long(&self) -> bool {
        self.segments.cs.attributes & 1 << 13 != 0
    }

    /// How code is decoded.
    pub(crate) fn code_size(&self) -> CodeSize {
        if self.is_long() { CodeSize::Long } else { CodeSize::Compatibility }
    }

    /// The linear address of the next instruction. #GP(0) if it lies beyond the code segment's limit, which
    /// matters in compatibility mode only.
    pub(crate) fn code_address(&mut self) -> Result<u64, Abort> {
        match self.is_long() {
            true => Ok(self.rip),
            false => self.linear(segment::CS, self.rip & 0xffff_ffff, 1, Kind::Fetch, true),
        }
    }

    /// The address of the instruction of `op`.
    #[inline]
    pub(crate) fn rip_of(&self, op: &Op) -> u64 {
        self.at_offset(op, op.start)
    }

    /// The address of the instruction behind `op`.
    #[inline]
    pub(crate) fn rip_after(&self, op: &Op) -> u64 {
        self.at_offset(op, op.end)
    }

    #[inline]
    fn at_offset(&self, op: &Op, offset: u16) -> u64 {
        let rip = self.registers[usize::from(number::BLOCK)].wrapping_add(u64::from(offset));
        if op.is(property::COMPATIBILITY) { rip & 0xffff_ffff } else { rip }
    }

    /// All 64 bits of a general register.
    #[inline]
    pub(crate) fn register(&self, register: u8) -> u64 {
        self.registers[usize::from(register) % number::COUNT]
    }

    /// All 64 bits of a general register, to change them.
    #[inline]
    pub(crate) fn register_mut(&mut self, register: u8) -> &mut u64 {
        &mut self.registers[usize::from(register) % number::COUNT]
    }

    /// Reads a register operand. Byte registers are numbered 2 * register, plus 1 for AH to BH; all others
    /// as instructions encode them.
    #[inline]
    pub(crate) fn get<W: Width>(&self, register: u8) -> u64 {
        if W::BITS == 8 {
            self.register(register >> 1) >> (8 * (register & 1)) & 0xff
        } else {
            self.register(register) & W::MASK
        }
    }

    /// Writes a register operand: 32-bit results clear the upper half, narrower ones leave the rest.
    #[inline]
    pub(crate) fn set<W: Width>(&mut self, register: u8, value: u64) {
        match W::BITS {
            8 => {
                let shift = 8 * (register & 1);
                let place = self.register_mut(register >> 1);
                *place = *place & !(0xff << shift) | (value & 0xff) << shift;
            }
            16 => {
                let place = self.register_mut(register);
                *place = *place & !0xffff | value & 0xffff;
            }
            _ => *self.register_mut(register) = value & W::MASK,
        }
    }

    /// The segment register with this [number](segment).
    pub(crate) fn segment(&self, number: u8) -> &Segment {
        match number {
            segment::ES => &self.segments.es,
            segment::CS => &self.segments.cs,
            segment::SS => &self.segments.ss,
            segment::DS => &self.segments.ds,
            segment::FS => &self.segments.fs,
            _ => &self.segments.gs,
        }
    }

    /// The offset of an op's memory operand within its segment: what LEA computes.
    #[inline]
    pub(crate) fn offset(&self, op: &Op) -> u64 {
        let sum = self.plain_offset(op);
        if op.segment == 0 { sum } else { unusual_offset(op, sum) }
    }

    #[inline]
    fn plain_offset(&self, op: &Op) -> u64 {
        let base = self.register(op.base);
        let index = self.register(op.index) << (op.scale & 3);
        base.wrapping_add(index).wrapping_add(i64::from(op.displacement) as u64)
    }

    /// The linear address of an op's memory operand of `bytes` bytes.
    #[inline]
    pub(crate) fn address(&mut self, op: &Op, bytes: usize, kind: Kind) -> Result<u64, Abort> {
        let sum = self.plain_offset(op);
        if op.segment == 0 { Ok(sum) } else { self.unusual_address(op, sum, bytes, kind) }
    }

    /// Addresses with a segment base, of less than 64 bits, or in compatibility mode.
    #[inline(never)]
    fn unusual_address(&mut self, op: &Op, sum: u64, bytes: usize, kind: Kind) -> Result<u64, Abort> {
        let offset = unusual_offset(op, sum);
        match op.segment & address::SEGMENT {
            0 => Ok(offset),
            number => self.linear(number - 1, offset, bytes, kind, op.segment & address::CHECKED != 0),
        }
    }

    /// The linear address of an offset into a segment. If `checked` (in compatibility mode), the segment must
    /// allow the access: else #GP(0), or #SS(0) for the stack segment (Intel SDM volume 3, 6.3 and 6.4).
    pub(crate) fn linear(
        &mut self,
        number: u8,
        offset: u64,
        bytes: usize,
        kind: Kind,
        checked: bool,
    ) -> Result<u64, Abort> {
        let segment = *self.segment(number);
        if !checked {
            return Ok(segment.base.wrapping_add(offset));
        }
        if segment_allows(&segment, offset, bytes, kind) {
            return Ok(segment.base.wrapping_add(offset) & 0xffff_ffff);
        }
        self.raise(if number == segment::SS { Exception::STACK } else { Exception::PROTECTION })
    }

    /// Reads an op's memory operand.
    #[inline]
    pub(crate) fn load_operand<W: Width>(&mut self, op: &Op) -> Result<u64, Abort> {
        let linear = self.address(op, W::BYTES, Kind::Read)?;
        self.load::<W>(linear)
    }

    /// Writes an op's memory operand.
    #[inline]
    pub(crate) fn store_operand<W: Width>(&mut self, op: &Op, value: u64) -> Result<Step, Abort> {
        let linear = self.address(op, W::BYTES, Kind::Write)?;
        self.store::<W>(linear, value)
    }

    /// Reads memory.
    #[inline]
    pub(crate) fn load<W: Width>(&mut self, linear: u64) -> Result<u64, Abort> {
        Ok(match W::BYTES {
            1 => self.memory.read::<1>(linear)?[0].into(),
            2 => u16::from_le_bytes(self.memory.read(linear)?).into(),
            4 => u32::from_le_bytes(self.memory.read(linear)?).into(),
            _ => u64::from_le_bytes(self.memory.read(linear)?),
        })
    }

    /// Writes memory. [`Step::Next`], unless something must be looked at before the next instruction.
    #[inline]
    pub(crate) fn store<W: Width>(&mut self, linear: u64, value: u64) -> Result<Step, Abort> {
        match W::BYTES {
            1 => self.memory.write(linear, [value as u8]),
            2 => self.memory.write(linear, (value as u16).to_le_bytes()),
            4 => self.memory.write(linear, (value as u32).to_le_bytes()),
            _ => self.memory.write(linear, value.to_le_bytes()),
        }
    }

    /// Gives the instruction up with an exception.
    #[cold]
    pub(crate) fn raise<T>(&mut self, exception: Exception) -> Result<T, Abort> {
        self.memory.abort(Reason::Exception(exception))
    }

    /// Asks the monitor for a value: gives the instruction up the first time, and has the answer when it is
    /// executed again. To be called with the same arguments and in the same order each time.
    pub(crate) fn ask(&mut self, exit: Exit) -> Result<Answer, Abort> {
        match self.memory.mmio.next_answer() {
            Some(answer) => Ok(answer),
            None => self.memory.abort(Reason::Exit(exit)),
        }
    }

    /// As [`ask`](Self::ask), for what cannot fault.
    pub(crate) fn ask_value(&mut self, exit: Exit) -> Result<u64, Abort> {
        match self.ask(exit)? {
            Answer::Value(value) => Ok(value),
            Answer::Done => Ok(0),
            Answer::GeneralProtection => self.raise(Exception::PROTECTION),
        }
    }

    /// To be called whenever what governs translation or privilege may have changed: CR0, CR3, CR4, EFER, CS,
    /// SS or RFLAGS.AC. Does not forget translations.
    pub(crate) fn privilege_changed(&mut self) {
        let aligned = self.control.cr0 & 1 << 18 != 0 && self.flags.has(bit::AC);
        self.memory.set_mode(self.privilege() == 3, aligned, self.code_size());
        // In compatibility mode an offset leads to code by the segment's base and limit, too.
        let cs = &self.segments.cs;
        if !self.is_long() && self.code_segment != (cs.base, cs.limit) {
            self.code_segment = (cs.base, cs.limit);
            self.memory.forget_links();
        }
    }

    /// To be called when CR0, CR3, CR4 or EFER were set: takes over what they say of translation, and forgets
    /// all translations.
    pub(crate) fn paging_changed(&mut self) {
        self.memory.set_paging(&self.control);
        self.privilege_changed();
        self.attend();
    }

    /// Makes the run loop look at everything before the next block. To be called by whatever changes
    /// something that the loop does not look at before each block: RFLAGS.IF and TF, DR7, the shadow, a pending
    /// event.
    #[inline]
    pub(crate) fn attend(&mut self) {
        self.memory.attention = true;
    }
}

fn unusual_offset(op: &Op, sum: u64) -> u64 {
    let sum = if op.segment & address::WRAPPED != 0 { sum.wrapping_add(1 << 32) } else { sum };
    match op.segment & (address::DWORD | address::WORD) {
        0 => sum,
        address::DWORD => sum & 0xffff_ffff,
        _ => sum & 0xffff,
    }
}

/// Whether a segment's type and limit allow an access in compatibility mode.
fn segment_allows(segment: &Segment, offset: u64, bytes: usize, kind: Kind) -> bool {
    let is_code = segment.attributes & 1 << 3 != 0;
    // For data, "writable"; for code, "readable".
    let allows_more = segment.attributes & 1 << 1 != 0;
    let kind_is_allowed = match kind {
        Kind::Read => !is_code || allows_more,
        Kind::Write => !is_code && allows_more,
        Kind::Fetch => is_code,
    };
    let last = offset.wrapping_add(bytes as u64).wrapping_sub(1);
    let limit = u64::from(segment.limit);
    let expands_down = !is_code && segment.attributes & 1 << 2 != 0;
    let is_within = if expands_down {
        let top = if segment.attributes & 1 << 14 != 0 { 0xffff_ffff } else { 0xffff };
        offset > limit && last <= top && last >= offset
    } else {
        last <= limit && last >= offset
    };
    !segment.unusable && kind_is_allowed && is_within
}

/// Which exception a bad address of an op's memory operand raises.
pub(crate) fn not_canonical(op: Option<&Op>) -> Exception {
    if op.is_some_and(|op| op.is(property::STACK)) { Exception::STACK } else { Exception::PROTECTION }
}
