//! The fixed CPUID table in KVM's form.

use kvm_bindings::{CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};
use outlive_engine::cpuid::{CpuidEntry, TABLE};

/// All of [`outlive_engine::cpuid::TABLE`], for `KVM_SET_CPUID2` (api.rst 4.59).
pub(crate) fn table() -> CpuId {
    let entries: Vec<_> = TABLE.iter().map(convert).collect();
    CpuId::from_entries(&entries).expect("the table is shorter than KVM_MAX_CPUID_ENTRIES")
}

fn convert(entry: &CpuidEntry) -> kvm_cpuid_entry2 {
    kvm_cpuid_entry2 {
        function: entry.leaf,
        index: entry.subleaf.unwrap_or(0),
        flags: if entry.subleaf.is_some() { KVM_CPUID_FLAG_SIGNIFCANT_INDEX } else { 0 },
        eax: entry.result.eax,
        ebx: entry.result.ebx,
        ecx: entry.result.ecx,
        edx: entry.result.edx,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_handed_to_kvm() {
        assert_eq!(table().as_slice().len(), TABLE.len());
        assert!(TABLE.len() < kvm_bindings::KVM_MAX_CPUID_ENTRIES);
    }

    #[test]
    fn subleaves_count_only_where_the_table_has_them() {
        for entry in table().as_slice() {
            let has_subleaves = matches!(entry.function, 4 | 7);
            assert_eq!(entry.flags == KVM_CPUID_FLAG_SIGNIFCANT_INDEX, has_subleaves, "{entry:x?}");
        }
    }
}
