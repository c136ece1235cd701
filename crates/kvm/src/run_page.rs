//! The page that a vCPU shares with KVM (`struct kvm_run`, api.rst part 5), read and written safely.

use std::mem::size_of;

use kvm_bindings::{KVM_EXIT_IO_IN, KVM_INTERNAL_ERROR_EMULATION, kvm_run};
use outlive_engine::AccessSize;

/// The page, between two entries into the guest.
pub(crate) struct RunPage<'a> {
    run: &'a mut kvm_run,
    /// How much of it is mapped: `KVM_GET_VCPU_MMAP_SIZE`.
    mapped: usize,
}

/// A port access as KVM tells it: `count` elements of one size at one port, for REP INS and REP OUTS
/// more than one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PortAccess {
    pub(crate) reads: bool,
    pub(crate) port: u16,
    pub(crate) size: AccessSize,
    pub(crate) count: u32,
    /// Where the elements are, counted from the beginning of the page.
    data: usize,
}

impl<'a> RunPage<'a> {
    pub(crate) fn new(run: &'a mut kvm_run, mapped: usize) -> Self {
        Self { run, mapped }
    }

    /// The reason of the last exit, as the kernel numbers them.
    pub(crate) fn exit_reason(&self) -> u32 {
        self.run.exit_reason
    }

    /// Whether KVM would take an interrupt at the next entry. Brought up to date by every entry, also one
    /// with `immediate_exit`.
    pub(crate) fn takes_interrupts(&self) -> bool {
        self.run.ready_for_interrupt_injection != 0
    }

    /// The access of a `KVM_EXIT_IO`; `None` if it has no elements, some of an impossible size, or some
    /// outside of the page.
    pub(crate) fn port_access(&self) -> Option<PortAccess> {
        // SAFETY: every bit pattern is a valid `io`, and the numbers in it are checked here.
        let io = unsafe { self.run.__bindgen_anon_1.io };
        let size = AccessSize::from_bytes(io.size.into())?;
        let data = usize::try_from(io.data_offset).ok()?;
        let end = data.checked_add(size.bytes().checked_mul(io.count as usize)?)?;
        let inside = data >= size_of::<kvm_run>() && end <= self.mapped;
        let reads = u32::from(io.direction) == KVM_EXIT_IO_IN;
        let access = PortAccess { reads, port: io.port, size, count: io.count, data };
        (inside && io.count > 0).then_some(access)
    }

    /// Element `index` of a port access: what OUT wrote, or where to put what IN reads.
    pub(crate) fn port_element(&mut self, access: &PortAccess, index: u32) -> &mut [u8] {
        assert!(index < access.count, "an access has no elements beyond its count");
        let bytes = access.size.bytes();
        let page = std::ptr::from_mut(self.run).cast::<u8>();
        // SAFETY: `port_access` made sure that all elements lie inside the mapping of `mapped` bytes that
        // begins with `*self.run`, and behind the structure itself. The slice borrows `self`, so nothing
        // else refers to them meanwhile.
        unsafe { std::slice::from_raw_parts_mut(page.add(access.data + index as usize * bytes), bytes) }
    }

    /// Puts in what the guest reads by a `KVM_EXIT_MMIO`.
    pub(crate) fn answer_mmio(&mut self, value: u64) {
        self.run.__bindgen_anon_1.mmio.data = value.to_le_bytes();
    }

    /// Puts in what the guest reads by a `KVM_EXIT_X86_RDMSR`.
    pub(crate) fn answer_msr(&mut self, value: u64) {
        self.run.__bindgen_anon_1.msr.data = value;
        self.run.__bindgen_anon_1.msr.error = 0;
    }

    /// Says that a register took what the guest wrote by a `KVM_EXIT_X86_WRMSR`.
    pub(crate) fn accept_msr(&mut self) {
        self.run.__bindgen_anon_1.msr.error = 0;
    }

    /// Lets RDMSR or WRMSR fault.
    pub(crate) fn refuse_msr(&mut self) {
        self.run.__bindgen_anon_1.msr.error = 1;
    }

    /// Asks for `KVM_EXIT_IRQ_WINDOW_OPEN`, or takes that back.
    pub(crate) fn request_interrupt_window(&mut self, wanted: bool) {
        self.run.request_interrupt_window = wanted.into();
    }

    /// CR8, which KVM takes from here at every entry, as there is no APIC in it.
    pub(crate) fn set_cr8(&mut self, cr8: u64) {
        self.run.cr8 = cr8;
    }

    /// What KVM says to a `KVM_EXIT_UNKNOWN`.
    pub(crate) fn hardware_exit_reason(&self) -> u64 {
        // SAFETY: every bit pattern is a valid `hw`.
        unsafe { self.run.__bindgen_anon_1.hw }.hardware_exit_reason
    }

    /// What KVM says to a `KVM_EXIT_INTERNAL_ERROR`: its sub-code and the data that it gave along.
    pub(crate) fn internal_error(&self) -> (u32, Vec<u64>) {
        // SAFETY: every bit pattern is a valid `internal`.
        let error = unsafe { self.run.__bindgen_anon_1.internal };
        let given = (error.ndata as usize).min(error.data.len());
        (error.suberror, error.data[..given].to_vec())
    }

    /// The bytes of the instruction that KVM could not emulate, where it tells them.
    pub(crate) fn instruction_bytes(&self) -> Option<Vec<u8>> {
        // SAFETY: every bit pattern is a valid `emulation_failure`.
        let failure = unsafe { self.run.__bindgen_anon_1.emulation_failure };
        // SAFETY: every bit pattern is a valid instruction.
        let instruction = unsafe { failure.__bindgen_anon_1.__bindgen_anon_1 };
        let told =
            failure.suberror == KVM_INTERNAL_ERROR_EMULATION && failure.ndata >= 3 && failure.flags & 1 != 0;
        let length = usize::from(instruction.insn_size).min(instruction.insn_bytes.len());
        told.then(|| instruction.insn_bytes[..length].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFSET: u64 = 4096;
    const MAPPED: usize = 3 * 4096;

    /// Memory like the mapping of a vCPU, with an exit for `count` elements of four bytes at `offset`.
    fn with_page(count: u32, size: u8, offset: u64, test: impl FnOnce(RunPage<'_>)) {
        let mut memory = vec![0_u64; MAPPED / 8];
        // SAFETY: zeros are a valid kvm_run, the memory is large enough and aligned for it.
        let run = unsafe { &mut *memory.as_mut_ptr().cast::<kvm_run>() };
        run.__bindgen_anon_1.io.count = count;
        run.__bindgen_anon_1.io.size = size;
        run.__bindgen_anon_1.io.data_offset = offset;
        test(RunPage::new(run, MAPPED));
    }

    #[test]
    fn elements_lie_one_behind_the_other() {
        with_page(2, 4, OFFSET, |mut page| {
            let access = page.port_access().unwrap();
            page.port_element(&access, 0).copy_from_slice(&[1, 2, 3, 4]);
            page.port_element(&access, 1).copy_from_slice(&[5, 6, 7, 8]);
            assert_eq!(page.port_element(&access, 0), [1, 2, 3, 4]);
        });
    }

    #[test]
    fn an_access_that_reaches_outside_of_the_mapping_is_refused() {
        for offset in [0, 8, MAPPED as u64 - 7, MAPPED as u64, u64::MAX - 1, u64::MAX] {
            with_page(2, 4, offset, |page| assert_eq!(page.port_access(), None, "{offset:#x}"));
        }
        with_page(u32::MAX, 4, OFFSET, |page| assert_eq!(page.port_access(), None));
    }

    #[test]
    fn an_access_of_no_elements_or_of_an_odd_size_is_none() {
        for (count, size) in [(0, 4), (1, 0), (1, 3), (1, 8)] {
            with_page(count, size, OFFSET, |page| assert_eq!(page.port_access(), None));
        }
    }
}
