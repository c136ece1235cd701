//! What is remembered of translations, and when it is forgotten.
//!
//! Three things remember translations: the translation buffer for data, [`Fetches`](super::fetches::Fetches) for
//! code, and whatever holds on to [`Circumstances`](super::circumstances::Circumstances): the jump cache and the
//! links of native code. They are forgotten together.

use outlive_engine::{ControlRegisters, GuestPhysical};

use super::circumstances::{CodeSize, Flush};
use super::tlb::Mode;
use super::walk::{self, Failure, Paging, Translation};
use super::{Kind, Memory, PAGE_BITS, is_canonical, is_in_upper_half, next_page};
use crate::fault::unhandled;
use crate::fault::{Abort, Exception, Reason};

impl Memory {
    /// The physical address of the instruction byte at `linear`.
    pub(crate) fn fetch(&mut self, linear: u64) -> Result<GuestPhysical, Abort> {
        match self.fetches.lookup(self.mode, linear) {
            Some((physical, _)) => Ok(GuestPhysical(physical)),
            None => Ok(self.translate(self.mode, Kind::Fetch, linear)?.physical),
        }
    }

    /// The number of the circumstances under which the code at `linear`, and that in the next page if it reaches
    /// there, stays where it is. It was fetched a moment ago.
    pub(crate) fn circumstances_of_code(&self, linear: u64, reaches_into_next_page: bool) -> u64 {
        let is_global = |linear| {
            let known = self.fetches.lookup(self.mode, linear);
            is_in_upper_half(linear) && known.is_some_and(|(_, is_global)| is_global)
        };
        let are_global = is_global(linear) && (!reaches_into_next_page || is_global(next_page(linear)));
        self.circumstances.number(are_global)
    }

    /// Forgets all translations.
    pub(crate) fn flush(&mut self) {
        self.tlb.flush();
        self.fetches.flush(Flush::All);
        self.large_pages.clear();
        self.note_flush(Flush::All);
    }

    /// Forgets all translations but those of global pages.
    fn flush_local(&mut self) {
        self.tlb.flush_local();
        self.fetches.flush(Flush::Local);
        self.note_flush(Flush::Local);
    }

    /// Forgets the translation of one page. If that is larger than 4 KiB, everything goes with it.
    pub(crate) fn flush_page(&mut self, linear: u64) {
        if self.large_pages.contain(linear) {
            return self.flush();
        }
        self.tlb.flush_page(linear);
        self.fetches.flush_page(linear);
        self.note_flush(if is_in_upper_half(linear) { Flush::All } else { Flush::Local });
    }

    fn note_flush(&mut self, flush: Flush) {
        self.circumstances.forget(flush);
        self.attention = true;
    }

    /// What remembers the way to code finds it anew from now on.
    pub(crate) fn forget_links(&mut self) {
        self.circumstances.forget(Flush::All);
    }

    /// Who accesses from now on (ring 3 or not, with alignment checks or without), and how code is decoded.
    pub(crate) fn set_mode(&mut self, is_user: bool, aligned: bool, size: CodeSize) {
        self.mode = match (is_user, aligned) {
            (false, _) => Mode::Supervisor,
            (true, false) => Mode::User,
            (true, true) => Mode::UserAligned,
        };
        self.circumstances.set(self.mode, size);
    }

    /// Another address space: all translations but those of global pages are forgotten.
    pub(crate) fn set_address_space(&mut self, root: u64) {
        self.paging.root = root;
        self.flush_local();
    }

    /// Takes over what control registers say of translation, and forgets all translations.
    pub(crate) fn set_paging(&mut self, control: &ControlRegisters) {
        self.paging = Paging::from_registers(control);
        self.flush();
    }

    /// Where a linear address is, for reports: marks nothing, remembers nothing, aborts nothing.
    pub(crate) fn peek(&self, linear: u64) -> Option<GuestPhysical> {
        is_canonical(linear).then(|| walk::peek(&self.ram, &self.paging, linear))?
    }

    /// Translates, and raises what a bad address raises.
    pub(super) fn translate(&mut self, mode: Mode, kind: Kind, linear: u64) -> Result<Translation, Abort> {
        if !is_canonical(linear) {
            return self.abort(Reason::NotCanonical);
        }
        match walk::walk(&self.ram, &self.paging, mode, kind, linear) {
            Ok(translation) => {
                self.remember(mode, kind, linear, &translation);
                Ok(translation)
            }
            Err(Failure::PageFault(code)) => {
                self.abort(Reason::Exception(Exception::page_fault(linear, code)))
            }
            Err(Failure::CodeAmongTables) => {
                let detail = format!("page tables for {linear:#x} are in a page whose bytes were executed");
                self.abort(unhandled("page tables among code", detail))
            }
        }
    }

    /// Puts a translation into the buffer, except one for writing to a page with decoded code.
    fn remember(&mut self, mode: Mode, kind: Kind, linear: u64, translation: &Translation) {
        let Some(page) = self.ram.page(translation.physical.0 >> PAGE_BITS) else { return };
        let is_special = mode == Mode::UserAligned || self.watch.is_in_page(linear);
        let (kind_of_page, physical) = (translation.page, translation.physical.0);
        // When something must be forgotten for want of room, everything is, so that nobody knows more than others.
        if self.fetches.are_full() || self.large_pages.are_full() {
            self.flush();
        }
        self.large_pages.note(linear, kind_of_page);
        if kind == Kind::Fetch {
            self.fetches.insert(mode, linear, physical, kind_of_page);
        } else if !is_special && (kind != Kind::Write || !page.has_code) {
            self.tlb.insert(mode, kind, linear, page.host, kind_of_page);
        }
    }
}
