//! Sections: the frame around batches, index and footer.
//!
//! Numbers are little-endian. The first checksum is there so that a wrong length is not taken for a right one: in an
//! open log, a batch that is longer than the rest of the file is no damage but a write that was cut off.

use crate::batch::Damage;

/// The length of a section without its content.
pub const FRAME_BYTES: usize = 13;

/// The longest content. An entry can hold what a disk read, several MiB, and a digest names every page that has
/// changed in three bytes or so: this is enough for 80 GiB of changed memory.
pub const MAXIMUM_BYTES: usize = 64 << 20;

/// What a section holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Batch = b'B' as isize,
    Index = b'I' as isize,
    Footer = b'F' as isize,
}

impl Kind {
    fn byte(self) -> u8 {
        self as u8
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Batch, Self::Index, Self::Footer].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// The frame of a section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    /// Of the content.
    pub(crate) length: usize,
    checksum: u32,
    /// Of what comes before the content.
    start: u32,
}

impl Frame {
    /// The frame that the bytes say.
    pub(crate) fn parse(bytes: &[u8; FRAME_BYTES]) -> Result<Self, Damage> {
        let (head, checksum) = (&bytes[..9], word(bytes, 9));
        if crc32c::crc32c(&head[..5]) != word(bytes, 5) {
            return Err(Damage::FrameChecksum);
        }
        let kind = Kind::of(bytes[0]).ok_or(Damage::SectionKind(bytes[0]))?;
        let length = word(bytes, 1) as usize;
        if length > MAXIMUM_BYTES {
            return Err(Damage::Length(length));
        }
        Ok(Self { kind, length, checksum, start: crc32c::crc32c(head) })
    }

    /// Checks the content.
    pub(crate) fn check(&self, content: &[u8]) -> Result<(), Damage> {
        if content.len() != self.length {
            return Err(Damage::Short);
        }
        if crc32c::crc32c_append(self.start, content) != self.checksum {
            return Err(Damage::Checksum);
        }
        Ok(())
    }
}

fn word(bytes: &[u8; FRAME_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Appends a section. Its content, at most [`MAXIMUM_BYTES`], comes in pieces.
pub(crate) fn put_section(kind: Kind, content: &[&[u8]], to: &mut Vec<u8>) {
    let start = to.len();
    let length: usize = content.iter().map(|piece| piece.len()).sum();
    debug_assert!(length <= MAXIMUM_BYTES, "a section of {length} bytes");
    to.push(kind.byte());
    to.extend_from_slice(&(length as u32).to_le_bytes());
    let frame_checksum = crc32c::crc32c(&to[start..]);
    to.extend_from_slice(&frame_checksum.to_le_bytes());
    let head = crc32c::crc32c(&to[start..]);
    let checksum = content.iter().fold(head, |crc, piece| crc32c::crc32c_append(crc, piece));
    to.extend_from_slice(&checksum.to_le_bytes());
    content.iter().for_each(|piece| to.extend_from_slice(piece));
}
