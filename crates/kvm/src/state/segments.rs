//! One segment register, with its hidden part.
//!
//! KVM spells the descriptor's bits out, [`Segment::attributes`] packs them as in the descriptor:
//!
//! | bits | 0-3 | 4 | 5-6 | 7 | 12 | 13 | 14 | 15 |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | KVM | `type` | `s` | `dpl` | `present` | `avl` | `l` | `db` | `g` |
//!
//! The hidden part of an unusable segment cannot be seen by a guest, except the base of FS and GS, which
//! is also a model-specific register. What is left there differs between Intel and AMD (APM volume 2,
//! 4.5.3), so it reads as zero. The privilege level, which KVM takes from SS, is then put back from CS.

use kvm_bindings::kvm_segment;
use outlive_engine::Segment;

/// Whether a segment's base means anything while the segment is unusable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    OnlyOfDescriptor,
    AlsoRegister,
}

pub(super) fn from_kvm(kvm: &kvm_segment, base: Base) -> Segment {
    if kvm.unusable != 0 || kvm.present == 0 {
        let base = if base == Base::AlsoRegister { kvm.base } else { 0 };
        return Segment { selector: kvm.selector, base, limit: 0, attributes: 0, unusable: true };
    }
    let flag = |bit: u8, position: u16| u16::from(bit & 1) << position;
    let attributes = u16::from(kvm.type_ & 0xf)
        | flag(kvm.s, 4)
        | u16::from(kvm.dpl & 3) << 5
        | flag(kvm.present, 7)
        | flag(kvm.avl, 12)
        | flag(kvm.l, 13)
        | flag(kvm.db, 14)
        | flag(kvm.g, 15);
    Segment { selector: kvm.selector, base: kvm.base, limit: kvm.limit, attributes, unusable: false }
}

pub(super) fn to_kvm(segment: &Segment) -> kvm_segment {
    let bits = |position: u16, mask: u16| (segment.attributes >> position & mask) as u8;
    kvm_segment {
        base: segment.base,
        limit: segment.limit,
        selector: segment.selector,
        type_: bits(0, 0xf),
        s: bits(4, 1),
        dpl: bits(5, 3),
        present: if segment.unusable { 0 } else { bits(7, 1) },
        avl: bits(12, 1),
        l: bits(13, 1),
        db: bits(14, 1),
        g: bits(15, 1),
        unusable: segment.unusable.into(),
        padding: 0,
    }
}

/// SS in long mode. A null selector makes it unusable; what IRETQ leaves in its hidden part then is up to the host,
/// which may show a flat segment (QEMU does).
pub(super) fn stack_from_kvm(kvm: &kvm_segment) -> Segment {
    let is_null = kvm.selector & !3 == 0;
    let unusable = u8::from(is_null || kvm.unusable != 0);
    from_kvm(&kvm_segment { unusable, ..*kvm }, Base::OnlyOfDescriptor)
}

/// SS, whose DPL is the privilege level to KVM, also with a null selector. CS's selector has it too (SDM
/// volume 3, 5.5).
pub(super) fn stack_to_kvm(stack: &Segment, code: &Segment) -> kvm_segment {
    let mut kvm = to_kvm(stack);
    if stack.unusable {
        kvm.dpl = (code.selector & 3) as u8;
    }
    kvm
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_usable_segment_survives(
            selector: u16, base: u64, limit: u32,
            attributes in any::<u16>().prop_map(|bits| bits & 0xf0ff | 0x80),
        ) {
            let segment = Segment { selector, base, limit, attributes, unusable: false };
            prop_assert_eq!(from_kvm(&to_kvm(&segment), Base::OnlyOfDescriptor), segment);
        }
    }

    #[test]
    fn of_an_unusable_segment_the_selector_survives_and_the_base_where_it_is_a_register() {
        let kvm =
            kvm_segment { selector: 3, base: 0x7000, limit: 9, unusable: 1, type_: 3, ..Default::default() };
        let unusable = Segment { selector: 3, unusable: true, ..Segment::default() };
        assert_eq!(from_kvm(&kvm, Base::OnlyOfDescriptor), unusable);
        assert_eq!(from_kvm(&kvm, Base::AlsoRegister), Segment { base: 0x7000, ..unusable });
    }

    #[test]
    fn a_null_stack_segment_is_unusable_whatever_the_host_has_left_in_it() {
        let flat = kvm_segment { limit: u32::MAX, present: 1, s: 1, type_: 3, ..Default::default() };
        assert_eq!(stack_from_kvm(&flat), Segment { unusable: true, ..Segment::default() });
        assert!(!stack_from_kvm(&kvm_segment { selector: 0x18, ..flat }).unusable);
    }

    #[test]
    fn a_null_stack_segment_has_the_privilege_level_of_the_code_segment() {
        let code = Segment { selector: 0x8 | 2, ..Segment::default() };
        let null = Segment { unusable: true, ..Segment::default() };
        assert_eq!(stack_to_kvm(&null, &code).dpl, 2);
    }
}
