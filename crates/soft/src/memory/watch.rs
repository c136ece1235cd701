//! Data breakpoints: which linear addresses are watched, and which breakpoints were hit.
//!
//! Pages with a breakpoint are kept out of the translation buffer, so that the slow path sees every access to
//! them. Accesses by which the processor reads its own tables, or pushes the frame of an exception, are not
//! looked at.

use super::{Kind, PAGE_BITS};

/// One breakpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    /// 0 to 3.
    pub(crate) number: u8,
    /// The first address, aligned to the length: the points do not cross pages.
    pub(crate) address: u64,
    /// 1, 2, 4 or 8.
    pub(crate) bytes: u64,
    /// Reads hit it, too.
    pub(crate) reads: bool,
}

/// All breakpoints on data.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    points: Vec<Point>,
    /// Bit n: breakpoint n was hit by the instruction under way.
    pub(crate) hits: u8,
}

impl Watch {
    /// Replaces all breakpoints.
    pub(super) fn set(&mut self, points: Vec<Point>) {
        self.points = points;
        self.hits = 0;
    }

    /// An access was carried out.
    #[inline]
    pub(super) fn note(&mut self, kind: Kind, linear: u64, bytes: usize) {
        if !self.points.is_empty() {
            self.note_slowly(kind, linear, bytes as u64);
        }
    }

    fn note_slowly(&mut self, kind: Kind, linear: u64, bytes: u64) {
        for point in &self.points {
            let overlaps = point.address.wrapping_sub(linear) < bytes
                || linear.wrapping_sub(point.address) < point.bytes;
            if overlaps && (kind == Kind::Write || point.reads && kind == Kind::Read) {
                self.hits |= 1 << point.number;
            }
        }
    }

    /// Whether there is a breakpoint in the page of an address.
    #[inline]
    pub(super) fn is_in_page(&self, linear: u64) -> bool {
        self.points.iter().any(|point| point.address >> PAGE_BITS == linear >> PAGE_BITS)
    }
}
