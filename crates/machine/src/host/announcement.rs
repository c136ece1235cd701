//! What tells a network that a guest is behind another host now.
//!
//! A guest that a backup has taken over keeps its MAC and IP addresses, so its peers need to learn nothing. But the
//! switches between them have learned by which port that MAC address is reached, and go on sending its frames to a dead
//! host until the guest says something by itself, which a server that waits for clients may not do for minutes. So the
//! new host speaks for it at once. Any frame with the guest's source address will do for a switch; these are the usual
//! ones:
//!
//! * A **RARP request** (RFC 903), broadcast: "who knows the IP address of this MAC address?", asked by the guest about
//!   itself. It needs no IP address, hardly anybody answers, and switches learn from it. Virtual machine monitors send
//!   it after a migration, for that reason.
//! * **Gratuitous ARP** (RFC 826, RFC 5227 section 3), if the guest's IPv4 address is known: a request and a reply whose
//!   sender and target are the guest. They refresh the caches of hosts and routers too. Some listen to the one form,
//!   some to the other.
//!
//! The address is learned from what the guest sends ([`AddressSnoop`]). A wrong one would draw somebody else's traffic
//! to the guest, so the sender of an ARP packet counts more than that of an IP packet, which a guest may have forwarded.

use std::fmt;
use std::net::Ipv4Addr;

mod snoop;

pub use snoop::AddressSnoop;

/// An Ethernet address (EUI-48).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// That of everybody.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether it names one interface and not a group of them: bit 0 of its first byte is clear (IEEE 802-2014,
    /// 8.2.2). A source address is one of these.
    pub fn is_individual(self) -> bool {
        self.0[0] & 1 == 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The type field of an Ethernet frame that carries IPv4.
const ETHERTYPE_IPV4: u16 = 0x0800;
/// ARP (RFC 826).
const ETHERTYPE_ARP: u16 = 0x0806;
/// RARP (RFC 903).
const ETHERTYPE_RARP: u16 = 0x8035;
/// What both begin with when they are about IPv4 over Ethernet: `ar$hrd` 1, `ar$pro` 0x0800, `ar$hln` 6, `ar$pln` 4.
const IPV4_OVER_ETHERNET: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// `ar$op` of a question.
const ARP_REQUEST: u16 = 1;
/// `ar$op` of an answer.
const ARP_REPLY: u16 = 2;
/// `ar$op` of a RARP question: "request reverse".
const RARP_REQUEST: u16 = 3;

/// Two addresses and a type.
const ETHERNET_HEADER: usize = 14;
/// The shortest frame on an Ethernet, without its checksum (IEEE 802.3-2018, 4.2.3.3). Virtual ones take shorter
/// ones, real ones do not.
const SHORTEST_FRAME: usize = 60;

/// The frames that announce a guest's interface.
pub(super) fn frames(mac: MacAddress, address: Option<Ipv4Addr>) -> Vec<Vec<u8>> {
    let mut frames = vec![rarp_request(mac)];
    frames.extend(address.into_iter().flat_map(|address| gratuitous_arp(mac, address)));
    frames
}

/// Asks for the guest's own address.
fn rarp_request(mac: MacAddress) -> Vec<u8> {
    let own = (mac, Ipv4Addr::UNSPECIFIED);
    broadcast(ETHERTYPE_RARP, RARP_REQUEST, own, own)
}

/// Request and reply. Where the request has nothing to say, the hardware address of its target, there are zeros; in
/// the reply, the guest is its own target.
fn gratuitous_arp(mac: MacAddress, address: Ipv4Addr) -> [Vec<u8>; 2] {
    let own = (mac, address);
    let unknown = (MacAddress([0; 6]), address);
    [broadcast(ETHERTYPE_ARP, ARP_REQUEST, own, unknown), broadcast(ETHERTYPE_ARP, ARP_REPLY, own, own)]
}

/// A broadcast frame with an ARP or RARP packet; both have the layout of RFC 826. Source of the frame is the sender.
fn broadcast(
    kind: u16,
    operation: u16,
    sender: (MacAddress, Ipv4Addr),
    target: (MacAddress, Ipv4Addr),
) -> Vec<u8> {
    let mut frame = Vec::with_capacity(SHORTEST_FRAME);
    frame.extend(MacAddress::BROADCAST.0);
    frame.extend(sender.0.0);
    frame.extend(kind.to_be_bytes());
    frame.extend(IPV4_OVER_ETHERNET);
    frame.extend(operation.to_be_bytes());
    for (mac, address) in [sender, target] {
        frame.extend(mac.0);
        frame.extend(address.octets());
    }
    frame.resize(SHORTEST_FRAME, 0);
    frame
}

#[cfg(test)]
mod tests;
