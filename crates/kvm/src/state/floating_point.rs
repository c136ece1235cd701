//! x87, MMX and SSE registers (api.rst 4.42 and 4.43).
//!
//! `KVM_GET_FPU` and `KVM_SET_FPU` do not suffice. They copy the registers to and from KVM's XSAVE area
//! without its header, in which a bit per component says whether its contents count. A component that the
//! processor has found in its initial state has no bit, its registers in the area are stale, and what
//! `KVM_SET_FPU` puts there is lost at the next entry: after FNINIT, for example. `KVM_GET_XSAVE` and
//! `KVM_SET_XSAVE` handle the header. The guest itself has no XSAVE.
//!
//! The area begins with an image as FXSAVE64 writes it (SDM volume 1, 10.5.1 and 13.4).

use kvm_bindings::kvm_xsave;
use kvm_ioctls::VcpuFd;
use outlive_engine::{EngineError, FloatingPointState};

use crate::error::host;

/// The bits of x87 and SSE in the header's XSTATE_BV.
const X87_AND_SSE: u64 = 0b11;
/// The header's place.
const XSTATE_BV: usize = 512;
/// Bits of a register of 80 bits, which takes 128 bits of room.
const MASK_80: u128 = (1 << 80) - 1;

/// The image's layout.
mod at {
    pub(super) const CONTROL: usize = 0;
    pub(super) const STATUS: usize = 2;
    pub(super) const TAGS: usize = 4;
    pub(super) const OPCODE: usize = 6;
    pub(super) const INSTRUCTION: usize = 8;
    pub(super) const OPERAND: usize = 16;
    pub(super) const MXCSR: usize = 24;
    pub(super) const STACK: usize = 32;
    pub(super) const XMM: usize = 160;
}

/// The part of the area that matters here: the image and the header.
type Area = [u8; 576];

pub(super) fn read(vcpu: &VcpuFd) -> Result<FloatingPointState, EngineError> {
    let kvm = vcpu.get_xsave().map_err(host("read floating-point registers"))?;
    let mut area: Area = [0; 576];
    for (bytes, word) in area.chunks_exact_mut(4).zip(kvm.region) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Ok(unpack(&area))
}

pub(super) fn write(vcpu: &VcpuFd, state: &FloatingPointState) -> Result<(), EngineError> {
    let mut kvm = kvm_xsave::default();
    for (word, bytes) in kvm.region.iter_mut().zip(pack(state).chunks_exact(4)) {
        *word = u32::from_le_bytes(take(bytes, 0));
    }
    // SAFETY: KVM reads as much as KVM_CAP_XSAVE2 tells, which is more than `kvm` only if the process has
    // asked the kernel for components with large state; this crate does not.
    unsafe { vcpu.set_xsave(&kvm) }.map_err(host("write floating-point registers"))
}

fn unpack(area: &Area) -> FloatingPointState {
    let register = |base: usize, number: usize| u128::from_le_bytes(take(area, base + 16 * number));
    FloatingPointState {
        control: u16::from_le_bytes(take(area, at::CONTROL)),
        status: u16::from_le_bytes(take(area, at::STATUS)),
        tags: area[at::TAGS],
        opcode: u16::from_le_bytes(take(area, at::OPCODE)),
        instruction: u64::from_le_bytes(take(area, at::INSTRUCTION)),
        operand: u64::from_le_bytes(take(area, at::OPERAND)),
        stack: std::array::from_fn(|number| register(at::STACK, number) & MASK_80),
        xmm: std::array::from_fn(|number| register(at::XMM, number)),
        mxcsr: u32::from_le_bytes(take(area, at::MXCSR)),
    }
}

fn pack(state: &FloatingPointState) -> Area {
    let mut area: Area = [0; 576];
    let mut put = |at: usize, bytes: &[u8]| area[at..at + bytes.len()].copy_from_slice(bytes);
    put(at::CONTROL, &state.control.to_le_bytes());
    put(at::STATUS, &state.status.to_le_bytes());
    put(at::TAGS, &[state.tags]);
    put(at::OPCODE, &state.opcode.to_le_bytes());
    put(at::INSTRUCTION, &state.instruction.to_le_bytes());
    put(at::OPERAND, &state.operand.to_le_bytes());
    put(at::MXCSR, &state.mxcsr.to_le_bytes());
    for (number, register) in state.stack.iter().enumerate() {
        put(at::STACK + 16 * number, &(register & MASK_80).to_le_bytes());
    }
    for (number, register) in state.xmm.iter().enumerate() {
        put(at::XMM + 16 * number, &register.to_le_bytes());
    }
    put(XSTATE_BV, &X87_AND_SSE.to_le_bytes());
    area
}

/// The `N` bytes from `at` on.
fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn states()(
            numbers in any::<(u16, u16, u8, u16, u64, u64, u32)>(),
            stack in any::<[u128; 8]>(),
            xmm in any::<[u128; 16]>(),
        ) -> FloatingPointState {
            let (control, status, tags, opcode, instruction, operand, mxcsr) = numbers;
            let stack = stack.map(|register| register & MASK_80);
            FloatingPointState { control, status, tags, opcode, instruction, operand, stack, xmm, mxcsr }
        }
    }

    proptest! {
        #[test]
        fn every_field_has_its_own_place(state in states()) {
            prop_assert_eq!(unpack(&pack(&state)), state);
        }
    }

    #[test]
    fn the_image_is_laid_out_as_the_manual_has_it() {
        let area = pack(&FloatingPointState::default());
        assert_eq!(area[..2], [0x7f, 0x03], "FCW");
        assert_eq!(area[24..28], [0x80, 0x1f, 0, 0], "MXCSR");
        assert_eq!(area[512], 0b11, "x87 and SSE count");
    }
}
