//! The host's KVM: opening it, and what it says about itself.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use kvm_bindings::{
    KVM_API_VERSION, KVM_CAP_DEBUGREGS, KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_ENFORCE_PV_FEATURE_CPUID,
    KVM_CAP_EXIT_ON_EMULATION_FAILURE, KVM_CAP_EXT_CPUID, KVM_CAP_IMMEDIATE_EXIT, KVM_CAP_PMU_CAPABILITY,
    KVM_CAP_SET_GUEST_DEBUG, KVM_CAP_SET_TSS_ADDR, KVM_CAP_USER_MEMORY, KVM_CAP_VCPU_EVENTS,
    KVM_CAP_X86_DISABLE_EXITS, KVM_CAP_X86_MSR_FILTER, KVM_CAP_X86_USER_SPACE_MSR, KVM_CAP_XSAVE,
};
use kvm_ioctls::Kvm;

use crate::error::{KvmError, io_error};

/// Where KVM usually is.
pub const DEVICE: &str = "/dev/kvm";

/// A capability that matters here: the kernel's number and name, what it is for.
struct Capability {
    number: u32,
    name: &'static str,
    needed_for: &'static str,
    required: bool,
}

const fn required(number: u32, name: &'static str, needed_for: &'static str) -> Capability {
    Capability { number, name, needed_for, required: true }
}

const fn wished(number: u32, name: &'static str, needed_for: &'static str) -> Capability {
    Capability { number, name, needed_for, required: false }
}

/// What the engine needs of KVM, and what it uses where there is.
const CAPABILITIES: &[Capability] = &[
    required(KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY", "guest RAM"),
    required(KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR", "start-up on Intel processors"),
    required(KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID", "the fixed CPUID table"),
    required(
        KVM_CAP_VCPU_EVENTS,
        "KVM_CAP_VCPU_EVENTS",
        "the state of pending events and the interrupt shadow",
    ),
    required(KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS", "the state of the debug registers"),
    required(KVM_CAP_XSAVE, "KVM_CAP_XSAVE", "the state of the floating-point registers"),
    required(KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT", "finishing an instruction after its exit"),
    required(KVM_CAP_X86_USER_SPACE_MSR, "KVM_CAP_X86_USER_SPACE_MSR", "catching time reads by RDMSR"),
    required(KVM_CAP_X86_MSR_FILTER, "KVM_CAP_X86_MSR_FILTER", "hiding the host's registers"),
    wished(KVM_CAP_ENFORCE_PV_FEATURE_CPUID, "KVM_CAP_ENFORCE_PV_FEATURE_CPUID", "hiding host clocks"),
    wished(KVM_CAP_PMU_CAPABILITY, "KVM_CAP_PMU_CAPABILITY", "hiding the host's counters"),
    wished(KVM_CAP_X86_DISABLE_EXITS, "KVM_CAP_X86_DISABLE_EXITS", "exact instruction counts over PAUSE"),
    wished(KVM_CAP_DISABLE_QUIRKS2, "KVM_CAP_DISABLE_QUIRKS2", "instructions as the manual has them"),
    wished(
        KVM_CAP_EXIT_ON_EMULATION_FAILURE,
        "KVM_CAP_EXIT_ON_EMULATION_FAILURE",
        "reporting what KVM cannot emulate",
    ),
    wished(KVM_CAP_SET_GUEST_DEBUG, "KVM_CAP_SET_GUEST_DEBUG", "single-stepping"),
];

/// A capability and whether the host has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CapabilityReport {
    /// The kernel's name.
    pub name: &'static str,
    /// What it is for.
    pub needed_for: &'static str,
    /// Whether the engine cannot do without it.
    pub required: bool,
    /// What `KVM_CHECK_EXTENSION` returned: 0 means that it is missing, the rest depends on the capability.
    pub value: i32,
}

/// What the host's KVM says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostReport {
    /// The answer to `KVM_GET_API_VERSION`.
    pub api_version: i32,
    /// Everything that matters to this engine.
    pub capabilities: Vec<CapabilityReport>,
}

/// The host's KVM, opened, of the right version and with everything that the engine needs.
#[derive(Debug)]
pub struct Host {
    pub(crate) kvm: Kvm,
    /// Where it was opened.
    pub(crate) device: PathBuf,
}

impl Host {
    /// Opens KVM at `path` and checks that the engine can work with it.
    ///
    /// # Errors
    /// When KVM is not there, may not be opened, or lacks something that the engine needs.
    pub fn open(path: &Path) -> Result<Self, KvmError> {
        let kvm = open_device(path)?;
        check_version(&kvm)?;
        let host = Self { kvm, device: path.to_owned() };
        match host.report().capabilities.iter().find(|one| one.required && one.value <= 0) {
            None => Ok(host),
            Some(missing) => {
                Err(KvmError::MissingCapability { name: missing.name, needed_for: missing.needed_for })
            }
        }
    }

    /// What KVM at `path` says about itself, even if the engine could not work with it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn check(path: &Path) -> Result<HostReport, KvmError> {
        Ok(Self { kvm: open_device(path)?, device: path.to_owned() }.report())
    }

    fn report(&self) -> HostReport {
        let report = |capability: &Capability| CapabilityReport {
            name: capability.name,
            needed_for: capability.needed_for,
            required: capability.required,
            value: self.kvm.check_extension_raw(capability.number.into()),
        };
        HostReport {
            api_version: self.kvm.get_api_version(),
            capabilities: CAPABILITIES.iter().map(report).collect(),
        }
    }
}

fn open_device(path: &Path) -> Result<Kvm, KvmError> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| refused(path, error.into()))?;
    Kvm::new_with_path(name).map_err(|error| refused(path, io_error(error)))
}

/// Why the device does not open, told by what there is to do about it.
fn refused(path: &Path, source: io::Error) -> KvmError {
    let path = path.to_owned();
    match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => KvmError::MissingDevice { path },
        Some(libc::EACCES | libc::EPERM) => KvmError::NoPermission { path },
        _ => KvmError::Open { path, source },
    }
}

/// The version has been 12 since Linux 2.6.22; api.rst 4.1 tells to refuse any other.
fn check_version(kvm: &Kvm) -> Result<(), KvmError> {
    let wanted = KVM_API_VERSION.cast_signed();
    match kvm.get_api_version() {
        found if found == wanted => Ok(()),
        found => Err(KvmError::ApiVersion { found, wanted }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_is_told_by_its_path() {
        let error = Host::open(Path::new("/nonexistent/kvm")).unwrap_err();
        assert!(matches!(error, KvmError::MissingDevice { .. }), "{error:?}");
        assert!(error.to_string().starts_with("/nonexistent/kvm does not exist"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_kvm_is_refused_by_its_version() {
        let error = Host::open(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(error, KvmError::ApiVersion { .. }), "{error:?}");
    }

    #[test]
    fn each_refusal_says_what_there_is_to_do() {
        let told = |code| refused(Path::new(DEVICE), io::Error::from_raw_os_error(code));
        assert!(told(libc::ENODEV).to_string().contains("load kvm_intel or kvm_amd"));
        assert!(told(libc::EACCES).to_string().contains("add it to the group kvm"));
        let other = told(libc::EMFILE);
        assert_eq!(other.to_string(), "/dev/kvm cannot be opened");
        assert!(std::error::Error::source(&other).is_some(), "the cause is kept");
    }

    #[test]
    fn a_path_with_a_nul_in_it_is_an_error_and_no_panic() {
        let error = Host::open(Path::new("/dev/kvm\0")).unwrap_err();
        assert!(matches!(error, KvmError::Open { .. }), "{error:?}");
    }
}
