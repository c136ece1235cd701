//! Two hosts, a client and a switch, out of network namespaces.
//!
//! ```text
//!    host a                      switch                      host b
//!   [TAP]─guests─uplink ═══ port-a ┐  ┌ port-b ═══ uplink─guests─[TAP]
//!            │                     bridge                      │
//!         channel                  port-client              channel
//!        10.99.0.1                    ║                    10.99.0.2
//!            ║                      eth0  10.0.2.1             ║
//!            ║                     client                      ║
//!            ╚═════════════════ logging channel ═══════════════╝
//! ```
//!
//! `guests` is a bridge on each host, into which the monitor puts the guest's TAP; the guest is 10.0.2.15, wherever it
//! lives. IPv6 is off and bridges do not ask for group members, so a frame that comes through a host's uplink was sent
//! by the guest on that host.
//!
//! The logging channel is cut *silently*: the sender is told a wrong address of the receiver's interface, so its frames
//! arrive and are not for anybody there. No packet filter is needed for that, and no sender gets an error.

mod namespace;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use serde_json::Value;

use crate::checkout::run;
use crate::leftovers;
pub use namespace::Namespace;

/// The guest's address.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The name of the guest's TAP, on either host.
pub const TAP: &str = "guest0";
/// The bridge that the TAP goes into, on either host.
pub const BRIDGE: &str = "guests";

const CLIENT: &str = "10.0.2.1/24";

/// One of the two hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Host {
    /// Where the primary is started.
    A,
    /// Where the backup is started.
    B,
}

impl Host {
    /// Its address on the logging channel.
    pub fn address(self) -> Ipv4Addr {
        match self {
            Self::A => Ipv4Addr::new(10, 99, 0, 1),
            Self::B => Ipv4Addr::new(10, 99, 0, 2),
        }
    }

    /// The address of its interface on the logging channel.
    fn hardware_address(self) -> &'static str {
        match self {
            Self::A => "02:00:00:99:00:01",
            Self::B => "02:00:00:99:00:02",
        }
    }

    /// Its port of the switch.
    fn port(self) -> &'static str {
        match self {
            Self::A => "port-a",
            Self::B => "port-b",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What became of the logging channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// Nothing gets through, and nobody is told.
    Both,
    /// Nothing from the primary's host gets to the backup's.
    ToBackup,
    /// Nothing from the backup's host gets to the primary's.
    ToPrimary,
    /// The link is down, as when a cable is pulled.
    Unplugged,
}

impl Cut {
    /// The hosts whose frames are lost.
    fn silenced(self) -> &'static [Host] {
        match self {
            Self::Both => &[Host::A, Host::B],
            Self::ToBackup => &[Host::A],
            Self::ToPrimary => &[Host::B],
            Self::Unplugged => &[],
        }
    }
}

/// The namespaces of one rehearsal. They are gone when it is dropped.
#[derive(Debug)]
pub struct Topology {
    a: Namespace,
    b: Namespace,
    switch: Namespace,
    client: Namespace,
}

impl Topology {
    /// Makes the namespaces and all that connects them.
    ///
    /// # Errors
    /// When the host does not let us; root is needed.
    pub fn new() -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = |part| Namespace::new(&leftovers::name(number, part));
        let topology = Self {
            a: namespace("a")?,
            b: namespace("b")?,
            switch: namespace("switch")?,
            client: namespace("client")?,
        };
        topology.connect_guests().context("cannot connect the hosts and the client")?;
        topology.connect_hosts().context("cannot make the logging channel")?;
        Ok(topology)
    }

    /// The namespace of a host.
    pub fn host(&self, host: Host) -> &Namespace {
        match host {
            Host::A => &self.a,
            Host::B => &self.b,
        }
    }

    /// The namespace of the client.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// The network of guests and clients.
    fn connect_guests(&self) -> anyhow::Result<()> {
        self.switch.make_bridge("bridge")?;
        for host in [Host::A, Host::B] {
            let namespace = self.host(host);
            namespace.make_bridge(BRIDGE)?;
            let uplink = ("uplink", namespace.name());
            self.plug(uplink, host.port())?;
            namespace.ip(&["link", "set", "uplink", "master", BRIDGE])?;
        }
        self.plug(("eth0", self.client.name()), "port-client")?;
        self.client.ip(&["address", "add", CLIENT, "dev", "eth0"])
    }

    /// Connects an interface, by its name and its namespace, with a port of the switch.
    fn plug(&self, (interface, namespace): (&str, &str), port: &str) -> anyhow::Result<()> {
        let peer = ["type", "veth", "peer", "name", port, "netns", self.switch.name()];
        run("ip", &[&["link", "add", interface, "netns", namespace][..], &peer].concat())?;
        self.switch.ip(&["link", "set", port, "master", "bridge", "up"])?;
        run("ip", &["-n", namespace, "link", "set", interface, "up"]).map(drop)
    }

    /// The logging channel.
    fn connect_hosts(&self) -> anyhow::Result<()> {
        let side =
            |host: Host| ["channel", "address", host.hardware_address(), "netns", self.host(host).name()];
        let (a, b) = (side(Host::A), side(Host::B));
        run("ip", &[&["link", "add", "name"][..], &a, &["type", "veth", "peer", "name"], &b].concat())?;
        for host in [Host::A, Host::B] {
            let namespace = self.host(host);
            let address = format!("{}/24", host.address());
            namespace.ip(&["address", "add", &address, "dev", "channel"])?;
            namespace.ip(&["link", "set", "channel", "up"])?;
        }
        self.heal()
    }

    /// Cuts the logging channel.
    ///
    /// # Errors
    /// When the host does not let us.
    pub fn cut(&self, cut: Cut) -> anyhow::Result<()> {
        if cut == Cut::Unplugged {
            return self.a.ip(&["link", "set", "channel", "down"]);
        }
        cut.silenced().iter().try_for_each(|host| self.tell_neighbour(*host, "02:00:00:99:00:ff"))
    }

    /// Makes the logging channel whole again.
    ///
    /// # Errors
    /// When the host does not let us.
    pub fn heal(&self) -> anyhow::Result<()> {
        self.a.ip(&["link", "set", "channel", "up"])?;
        [Host::A, Host::B]
            .into_iter()
            .try_for_each(|host| self.tell_neighbour(host, host.other().hardware_address()))
    }

    /// Tells a host that the other one has this hardware address.
    fn tell_neighbour(&self, host: Host, address: &str) -> anyhow::Result<()> {
        let neighbour = host.other().address().to_string();
        let words = ["neighbour", "replace", &neighbour, "lladdr", address];
        self.host(host).ip(&[&words[..], &["dev", "channel", "nud", "permanent"]].concat())
    }

    /// How many frames the guest on this host has sent so far. Frames that it gets are not counted.
    ///
    /// # Errors
    /// When the host does not tell.
    pub fn frames_from(&self, host: Host) -> anyhow::Result<u64> {
        let words = ["-n", self.switch.name(), "-json", "-statistics", "link", "show", host.port()];
        let told: Value = serde_json::from_str(&run("ip", &words)?).context("ip tells no JSON")?;
        let frames = ["stats64", "stats"].iter().find_map(|key| told[0][key]["rx"]["packets"].as_u64());
        frames.with_context(|| format!("ip does not tell how many frames came through {}", host.port()))
    }
}
