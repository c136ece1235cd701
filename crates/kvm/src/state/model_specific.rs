//! The model-specific registers that hold state (api.rst 4.18 and 4.19). FS_BASE, GS_BASE and EFER come
//! with the special registers.

use std::io;

use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::VcpuFd;
use outlive_engine::{EngineError, ModelSpecificRegisters, msr};

use crate::error::{host, host_io};

const COUNT: usize = 8;

/// The registers in KVM's numbers, in the order of [`values`].
const INDICES: [u32; COUNT] = [
    msr::STAR,
    msr::LSTAR,
    msr::CSTAR,
    msr::SFMASK,
    msr::KERNEL_GS_BASE,
    msr::SYSENTER_CS,
    msr::SYSENTER_ESP,
    msr::SYSENTER_EIP,
];

fn values(msrs: &ModelSpecificRegisters) -> [u64; COUNT] {
    let ModelSpecificRegisters {
        star,
        lstar,
        cstar,
        sfmask,
        kernel_gs_base,
        sysenter_cs,
        sysenter_esp,
        sysenter_eip,
    } = *msrs;
    [star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip]
}

fn from_values(values: [u64; COUNT]) -> ModelSpecificRegisters {
    let [star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip] = values;
    ModelSpecificRegisters {
        star,
        lstar,
        cstar,
        sfmask,
        kernel_gs_base,
        sysenter_cs,
        sysenter_esp,
        sysenter_eip,
    }
}

pub(super) fn read(vcpu: &VcpuFd) -> Result<ModelSpecificRegisters, EngineError> {
    let mut msrs = list([0; COUNT]);
    let done = vcpu.get_msrs(&mut msrs).map_err(host("read model-specific registers"))?;
    all(done, "read model-specific registers")?;
    let mut values = [0; COUNT];
    for (value, entry) in values.iter_mut().zip(msrs.as_slice()) {
        *value = entry.data;
    }
    Ok(from_values(values))
}

pub(super) fn write(vcpu: &VcpuFd, msrs: &ModelSpecificRegisters) -> Result<(), EngineError> {
    let msrs = list(values(msrs));
    let done = vcpu.set_msrs(&msrs).map_err(host("write model-specific registers"))?;
    all(done, "write model-specific registers")
}

fn list(values: [u64; COUNT]) -> Msrs {
    let entry = |(index, data)| kvm_msr_entry { index, data, reserved: 0 };
    let entries: Vec<_> = INDICES.into_iter().zip(values).map(entry).collect();
    Msrs::from_entries(&entries).expect("eight are fewer than KVM_MAX_MSR_ENTRIES")
}

/// KVM stops at the first register that it does not have, or whose value it does not take.
fn all(done: usize, operation: &'static str) -> Result<(), EngineError> {
    match INDICES.get(done) {
        None => Ok(()),
        Some(index) => {
            let refused = format!("register {index:#x} was refused");
            Err(host_io(operation)(io::Error::new(io::ErrorKind::InvalidInput, refused)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_register_has_its_own_place() {
        let numbered = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(values(&from_values(numbered)), numbered);
        assert_eq!(from_values(numbered).star, 1);
        assert_eq!(from_values(numbered).sysenter_eip, 8);
    }

    #[test]
    fn every_kept_register_is_here_or_among_the_special_registers() {
        let special = [msr::EFER, msr::FS_BASE, msr::GS_BASE];
        for row in msr::TABLE.iter().filter(|row| row.behaviour == msr::MsrBehaviour::Kept) {
            let found = INDICES.contains(&row.index) != special.contains(&row.index);
            assert!(found, "{}", row.name);
        }
    }

    #[test]
    fn a_refused_register_is_told_by_its_number() {
        let error = all(3, "write model-specific registers").unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "register 0xc0000084 was refused");
        assert!(all(COUNT, "write").is_ok());
    }
}
