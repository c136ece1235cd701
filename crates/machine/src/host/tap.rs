//! TAP interfaces: where the guest's network frames meet the host's network stack.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::str::FromStr;

use rustix::net::{AddressFamily, SocketType, socket};
use vmm_sys_util::ioctl::{ioctl_with_mut_ref, ioctl_with_ref};

use super::announcement::{MacAddress, frames};

/// The longest frame that a guest sends or takes: 1500 bytes of payload, header and VLAN tag.
pub const MAX_FRAME: usize = 1518;
/// Adds an interface to a bridge (`include/uapi/linux/sockios.h`).
const SIOCBRADDIF: libc::c_ulong = 0x89a2;

/// The name of a network interface: 1 to 15 bytes, no slash, no white space (Linux `dev_valid_name`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceName(String);

impl FromStr for InterfaceName {
    type Err = InvalidInterfaceName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let legal = |c: char| !c.is_whitespace() && c != '/' && c != ':' && c != '\0' && c != '%';
        let valid = (1..libc::IFNAMSIZ).contains(&name.len()) && name.chars().all(legal);
        if valid && name != "." && name != ".." {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidInterfaceName(name.to_owned()))
        }
    }
}

impl std::fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a name for a network interface.
#[derive(thiserror::Error, Debug)]
#[error("`{0}` is no name for a network interface: give 1 to 15 characters without spaces, `/`, `:` or `%`")]
pub struct InvalidInterfaceName(String);

/// What to attach a guest's network interface to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TapConfig {
    /// The TAP's name. One that exists (made by `ip tuntap add`) is attached; else it is created, and gone
    /// when the machine ends.
    pub name: InterfaceName,
    /// The host's own address on the TAP, with the length of the network's prefix.
    pub host_address: Option<(Ipv4Addr, u8)>,
    /// A bridge to put the TAP into.
    pub bridge: Option<InterfaceName>,
}

/// An attached TAP. Reads and writes are whole frames and never block.
#[derive(Debug)]
pub struct Tap {
    file: File,
}

impl Tap {
    /// Attaches a TAP and brings it up.
    ///
    /// # Errors
    /// When the host has no TAPs, or does not let us.
    pub fn open(config: &TapConfig) -> Result<Self, TapError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")
            .map_err(TapError::Device)?;
        let mut request = Request::new(&config.name);
        request.0.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
        request.receive(&file, libc::TUNSETIFF).map_err(|source| TapError::attach(&config.name, source))?;
        let tap = Self { file };
        let control = socket(AddressFamily::INET, SocketType::DGRAM, None)
            .map_err(|source| TapError::configure(&config.name, "open a control socket", source.into()))?;
        let control = File::from(control);
        if let Some((address, prefix)) = config.host_address {
            set_address(&control, &config.name, address, prefix)?;
        }
        if let Some(bridge) = &config.bridge {
            add_to_bridge(&control, &config.name, bridge)?;
        }
        bring_up(&control, &config.name)?;
        Ok(tap)
    }

    /// What reads and writes like a TAP.
    #[cfg(test)]
    pub(super) fn pretended(file: File) -> Self {
        Self { file }
    }

    /// Another handle to the same TAP.
    ///
    /// # Errors
    /// When the host has no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()? })
    }

    /// Reads the next frame; `None` when there is none. Of one that is longer than [`MAX_FRAME`] there is one
    /// byte too many, so that nobody takes what is left of it for a frame.
    ///
    /// # Errors
    /// When the TAP is gone.
    pub fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut frame = vec![0; MAX_FRAME + 1];
        match self.file.read(&mut frame) {
            Ok(length) => {
                frame.truncate(length);
                Ok(Some(frame))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a frame. A network may lose frames, so one that the host has no room for is lost.
    ///
    /// # Errors
    /// When the TAP is gone.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        match self.file.write(frame) {
            Ok(_) => Ok(()),
            // The interface was taken down (EIO), or its queue is full.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EIO | libc::EAGAIN | libc::ENOBUFS)) => {
                tracing::debug!(%error, "the TAP did not take a frame");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the networks around the host look for the guest here, by frames that go into the host as if the guest
    /// had sent them: see [`announcement`](super::announcement). To be called right after this host has taken the
    /// guest over. Since frames may get lost, some more times after that do no harm.
    ///
    /// # Errors
    /// When the TAP is gone.
    pub fn announce(&mut self, mac: MacAddress, address: Option<Ipv4Addr>) -> io::Result<()> {
        frames(mac, address).iter().try_for_each(|frame| self.send(frame))
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A `struct ifreq` for one interface.
struct Request(libc::ifreq);

impl Request {
    fn new(name: &InterfaceName) -> Self {
        // SAFETY: `ifreq` is a C structure of integers, arrays and a pointer; all zeros is a valid value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.0.bytes()) {
            *to = from as libc::c_char;
        }
        Self(request)
    }

    /// An operation that only reads an `ifreq`.
    fn send(&self, to: &File, operation: libc::c_ulong) -> io::Result<()> {
        // SAFETY: all operations used in this file read one `struct ifreq`, which outlives the call.
        check(unsafe { ioctl_with_ref(to, operation, &self.0) })
    }

    /// An operation that reads and fills an `ifreq`.
    fn receive(&mut self, from: &File, operation: libc::c_ulong) -> io::Result<()> {
        // SAFETY: as in `send`; the kernel writes within the structure.
        check(unsafe { ioctl_with_mut_ref(from, operation, &mut self.0) })
    }

    fn set_ipv4(&mut self, address: Ipv4Addr) {
        let bytes = address.octets();
        let socket_address = &mut self.0.ifr_ifru;
        // SAFETY: every bit pattern is valid for the integers of a `sockaddr`, so the union may be written
        // through this member.
        let socket_address = unsafe { &mut socket_address.ifru_addr };
        socket_address.sa_family = libc::AF_INET as libc::sa_family_t;
        // `sockaddr_in`: two bytes of port, four of address.
        for (to, from) in socket_address.sa_data[2..6].iter_mut().zip(bytes) {
            *to = from as libc::c_char;
        }
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set_address(control: &File, name: &InterfaceName, address: Ipv4Addr, prefix: u8) -> Result<(), TapError> {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
    let steps = [
        (libc::SIOCSIFADDR, address, "set its address"),
        (libc::SIOCSIFNETMASK, Ipv4Addr::from(mask), "set its network mask"),
    ];
    for (operation, value, step) in steps {
        let mut request = Request::new(name);
        request.set_ipv4(value);
        request.send(control, operation).map_err(|source| TapError::configure(name, step, source))?;
    }
    Ok(())
}

fn add_to_bridge(control: &File, name: &InterfaceName, bridge: &InterfaceName) -> Result<(), TapError> {
    let failed = |source| TapError::Bridge { name: name.clone(), bridge: bridge.clone(), source };
    let mut member = Request::new(name);
    member.receive(control, libc::SIOCGIFINDEX).map_err(failed)?;
    // SAFETY: SIOCGIFINDEX has just filled this member.
    let index = unsafe { member.0.ifr_ifru.ifru_ifindex };
    let mut request = Request::new(bridge);
    request.0.ifr_ifru.ifru_ifindex = index;
    match request.send(control, SIOCBRADDIF) {
        // It is in a bridge already: the operator put it there.
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(()),
        other => other.map_err(failed),
    }
}

fn bring_up(control: &File, name: &InterfaceName) -> Result<(), TapError> {
    let failed = |source| TapError::configure(name, "bring it up", source);
    let mut request = Request::new(name);
    request.receive(control, libc::SIOCGIFFLAGS).map_err(failed)?;
    // SAFETY: SIOCGIFFLAGS has just filled this member.
    let flags = unsafe { request.0.ifr_ifru.ifru_flags };
    let wanted = flags | (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    if flags == wanted {
        // An operator's TAP that is up already needs no further rights.
        return Ok(());
    }
    request.0.ifr_ifru.ifru_flags = wanted;
    request.send(control, libc::SIOCSIFFLAGS).map_err(failed)
}

/// Why a TAP could not be attached.
#[derive(thiserror::Error, Debug)]
pub enum TapError {
    /// No /dev/net/tun.
    #[error("cannot open /dev/net/tun, which networks need; load the kernel's `tun` module (`modprobe tun`)")]
    Device(#[source] io::Error),
    /// Somebody else has it.
    #[error("the TAP {name} is in use by another program")]
    Busy {
        /// The TAP.
        name: InterfaceName,
        /// What the host said.
        source: io::Error,
    },
    /// Not allowed.
    #[error(
        "not permitted to attach the TAP {name}; run as root, or have root make it for you: \
         `ip tuntap add dev {name} mode tap user $USER`"
    )]
    Permission {
        /// The TAP.
        name: InterfaceName,
        /// What the host said.
        source: io::Error,
    },
    /// Any other refusal.
    #[error("cannot attach the TAP {name}; is there an interface of another kind by that name?")]
    Attach {
        /// The TAP.
        name: InterfaceName,
        /// What the host said.
        source: io::Error,
    },
    /// The bridge.
    #[error(
        "cannot put the TAP {name} into the bridge {bridge}; does the bridge exist, and may you change it?"
    )]
    Bridge {
        /// The TAP.
        name: InterfaceName,
        /// The bridge.
        bridge: InterfaceName,
        /// What the host said.
        source: io::Error,
    },
    /// Address or state.
    #[error("cannot set up the TAP {name}: the host did not let us {step}")]
    Configure {
        /// The TAP.
        name: InterfaceName,
        /// What was tried.
        step: &'static str,
        /// What the host said.
        source: io::Error,
    },
}

impl TapError {
    fn attach(name: &InterfaceName, source: io::Error) -> Self {
        let name = name.clone();
        match source.raw_os_error() {
            Some(libc::EBUSY) => Self::Busy { name, source },
            Some(libc::EPERM | libc::EACCES) => Self::Permission { name, source },
            _ => Self::Attach { name, source },
        }
    }

    fn configure(name: &InterfaceName, step: &'static str, source: io::Error) -> Self {
        Self::Configure { name: name.clone(), step, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SocketFlags, socketpair};

    #[test]
    fn an_announcement_goes_into_the_host_frame_by_frame() {
        let (guest, mut host) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::NONBLOCK, None)
                .map(|(one, other)| (File::from(one), File::from(other)))
                .unwrap();
        let (mac, address) = (MacAddress([2, 0, 0, 0, 0, 1]), Some(Ipv4Addr::new(10, 0, 0, 1)));
        Tap::pretended(guest).announce(mac, address).unwrap();
        for expected in frames(mac, address) {
            let mut frame = [0; MAX_FRAME];
            let length = host.read(&mut frame).unwrap();
            assert_eq!(frame[..length], expected);
        }
        assert_eq!(host.read(&mut [0; MAX_FRAME]).unwrap(), 0, "that was all");
    }

    #[test]
    fn names_that_no_interface_can_have_are_refused() {
        for name in ["", "sixteen-bytes-xx", "a b", "a/b", "..", "tap%d", "a:1"] {
            assert!(InterfaceName::from_str(name).is_err(), "{name}");
        }
        assert!(InterfaceName::from_str("outlive0").is_ok());
    }
}
