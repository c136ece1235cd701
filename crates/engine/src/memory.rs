//! The guest's RAM as engines and devices share it.

use vm_memory::GuestMemoryMmap;

/// Guest RAM: regions of host memory, each mapped at a guest-physical address.
///
/// Cloning is cheap and yields another handle to the same bytes. Only the vCPU thread may touch them
/// (rule 1 of the design); the type does not enforce that, the one vCPU loop does.
pub type GuestRam = GuestMemoryMmap<()>;
