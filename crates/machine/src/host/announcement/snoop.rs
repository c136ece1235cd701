//! Learns a guest's addresses from what it sends.

use std::net::Ipv4Addr;

use super::{ETHERNET_HEADER, ETHERTYPE_ARP, ETHERTYPE_IPV4, IPV4_OVER_ETHERNET, MacAddress};

/// Most stations that are remembered of one network. An ordinary guest is one; one that bridges its containers is as
/// many as it has of these.
const MOST_STATIONS: usize = 64;

/// The end of the fixed part of an IPv4 header (RFC 791, 3.1).
const IPV4_HEADER: usize = 20;

/// How an address was learned; what is less than another gives way to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Evidence {
    /// It is the source of an IPv4 packet: the guest's, unless it is a router.
    Packet,
    /// It is the sender of an ARP packet: the guest claims it.
    Claim,
}

/// One that sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Station {
    mac: MacAddress,
    address: Option<(Evidence, Ipv4Addr)>,
}

/// Watches the frames that a guest sends into one network, and learns which MAC addresses it has there and which IPv4
/// address each of them was last seen with. What it remembers is bounded: where there are too many MAC addresses, the
/// ones that have been silent for longest are forgotten.
#[derive(Clone, Default, Debug)]
pub struct AddressSnoop {
    /// The one that has sent last is the last.
    stations: Vec<Station>,
}

impl AddressSnoop {
    /// Looks at a frame that the guest sends, from the destination address on. Frames that make no sense teach
    /// nothing.
    pub fn see(&mut self, frame: &[u8]) {
        let Some(mac) = frame.get(6..12).and_then(|source| source.try_into().ok()).map(MacAddress) else {
            return;
        };
        if !mac.is_individual() || mac.0 == [0; 6] {
            return;
        }
        let found = self.stations.iter().rposition(|station| station.mac == mac);
        let mut station = match found {
            Some(index) => self.stations.remove(index),
            None => Station { mac, address: None },
        };
        if found.is_none() && self.stations.len() == MOST_STATIONS {
            self.stations.remove(0);
        }
        if let Some(seen) =
            sender(frame, mac).filter(|seen| station.address.is_none_or(|known| known.0 <= seen.0))
        {
            station.address = Some(seen);
        }
        self.stations.push(station);
    }

    /// The IPv4 address that this MAC address was seen with, if there was one.
    pub fn address(&self, mac: MacAddress) -> Option<Ipv4Addr> {
        let station = self.stations.iter().find(|station| station.mac == mac)?;
        station.address.map(|(_, address)| address)
    }

    /// All that have sent something, the one that has been silent for longest first.
    pub fn stations(&self) -> impl Iterator<Item = (MacAddress, Option<Ipv4Addr>)> {
        self.stations.iter().map(|station| (station.mac, station.address.map(|(_, address)| address)))
    }
}

/// The IPv4 address of the one that sent this frame from `mac`.
fn sender(frame: &[u8], mac: MacAddress) -> Option<(Evidence, Ipv4Addr)> {
    let kind = u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?);
    let packet = &frame[ETHERNET_HEADER..];
    let found = match kind {
        ETHERTYPE_ARP => (Evidence::Claim, arp_sender(packet, mac)?),
        ETHERTYPE_IPV4 => (Evidence::Packet, ipv4_source(packet)?),
        _ => return None,
    };
    is_usable(found.1).then_some(found)
}

/// The sender of an ARP packet, if it is the one that sent the frame: a proxy may speak for others.
fn arp_sender(packet: &[u8], mac: MacAddress) -> Option<Ipv4Addr> {
    let is_own = packet.get(..6)? == IPV4_OVER_ETHERNET && packet.get(8..14)? == mac.0;
    is_own.then(|| ipv4(packet, 14))?
}

fn ipv4_source(packet: &[u8]) -> Option<Ipv4Addr> {
    let is_ipv4 = packet.len() >= IPV4_HEADER && packet[0] >> 4 == 4;
    is_ipv4.then(|| ipv4(packet, 12))?
}

fn ipv4(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(octets.into())
}

/// Whether a host can have this address for others. One that is still looking for its own has none (RFC 5227, 2.1.1).
fn is_usable(address: Ipv4Addr) -> bool {
    !address.is_unspecified() && !address.is_loopback() && !address.is_multicast() && !address.is_broadcast()
}
