//! Frames in few words: who talks to whom, as far as a glance at the headers tells.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

const ETHERNET_BYTES: usize = 14;

/// A frame in words; `None` if it is too short to be one.
pub(super) fn describe(frame: &[u8]) -> Option<String> {
    let (header, payload) = frame.split_at_checked(ETHERNET_BYTES)?;
    let protocol = number(header, 12)?;
    let known = match protocol {
        0x0800 => ipv4(payload),
        0x0806 => arp(payload),
        0x86dd => ipv6(payload),
        _ => None,
    };
    Some(known.unwrap_or_else(|| format!("Ethernet type {protocol:#06x}")))
}

/// A 16-bit number in network order.
fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn ipv4_address(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let address: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(address.into())
}

fn ipv6_address(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let address: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(address.into())
}

/// RFC 826, for Ethernet and IPv4.
fn arp(packet: &[u8]) -> Option<String> {
    let (from, to) = (ipv4_address(packet, 14)?, ipv4_address(packet, 24)?);
    match number(packet, 6)? {
        1 => Some(format!("ARP {from} asks for {to}")),
        2 => Some(format!("ARP {from} answers {to}")),
        _ => None,
    }
}

/// RFC 791.
fn ipv4(packet: &[u8]) -> Option<String> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    // Ethernet pads short packets, and a frame may have been cut.
    let total = usize::from(number(packet, 2)?).min(packet.len());
    let (from, to) = (ipv4_address(packet, 12)?, ipv4_address(packet, 16)?);
    // The bits of the fragment's offset.
    let is_first = number(packet, 6)? & 0x1fff == 0;
    let content = packet.get(header..total).filter(|_| is_first).unwrap_or_default();
    Some(transport(*packet.get(9)?, from.to_string(), to.to_string(), content))
}

/// RFC 8200.
fn ipv6(packet: &[u8]) -> Option<String> {
    let (from, to) = (ipv6_address(packet, 8)?, ipv6_address(packet, 24)?);
    let end = (40 + usize::from(number(packet, 4)?)).min(packet.len());
    let content = packet.get(40..end)?;
    Some(transport(*packet.get(6)?, format!("[{from}]"), format!("[{to}]"), content))
}

/// What an IP packet carries.
fn transport(protocol: u8, from: String, to: String, content: &[u8]) -> String {
    let known = match protocol {
        1 | 58 => content.first().map(|kind| format!("ICMP {from} > {to} type {kind}")),
        6 => tcp(&from, &to, content),
        17 => udp(&from, &to, content),
        _ => None,
    };
    known.unwrap_or_else(|| format!("IP {from} > {to} protocol {protocol}, {} bytes", content.len()))
}

/// RFC 9293.
fn tcp(from: &str, to: &str, segment: &[u8]) -> Option<String> {
    let data = usize::from(segment.get(12)? >> 4) * 4;
    let data = segment.len().saturating_sub(data);
    let mut text = format!(
        "TCP {from}:{} > {to}:{} {}",
        number(segment, 0)?,
        number(segment, 2)?,
        flags(*segment.get(13)?)
    );
    if data > 0 {
        // A string takes everything.
        let _ = write!(text, " {data} bytes");
    }
    Some(text)
}

fn flags(bits: u8) -> String {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
    let set = names.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 != 0).map(|(_, name)| *name);
    set.collect::<Vec<_>>().join("+")
}

/// RFC 768.
fn udp(from: &str, to: &str, datagram: &[u8]) -> Option<String> {
    let data = datagram.len().saturating_sub(8);
    Some(format!("UDP {from}:{} > {to}:{} {data} bytes", number(datagram, 0)?, number(datagram, 2)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame whose Ethernet header has this type.
    fn frame(protocol: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x52; 12];
        frame.extend(protocol.to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn ipv4_packet(protocol: u8, fragment: u16, content: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0];
        packet.extend((20 + content.len() as u16).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, protocol, 0, 0, 10, 0, 2, 1, 10, 0, 2, 15]);
        packet.extend(content);
        packet
    }

    fn tcp_segment(flags: u8, data: &[u8]) -> Vec<u8> {
        let mut segment = vec![0xd4, 0x31, 0x18, 0xeb, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0];
        segment.extend(data);
        segment
    }

    #[test]
    fn a_segment_of_tcp_is_told_with_its_flags_and_length() {
        let syn = frame(0x0800, &ipv4_packet(6, 0, &tcp_segment(0x02, b"")));
        assert_eq!(describe(&syn).unwrap(), "TCP 10.0.2.1:54321 > 10.0.2.15:6379 SYN");
        let mut ping = frame(0x0800, &ipv4_packet(6, 0x4000, &tcp_segment(0x18, b"PING\r\n")));
        ping.extend([0; 20]);
        assert_eq!(
            describe(&ping).unwrap(),
            "TCP 10.0.2.1:54321 > 10.0.2.15:6379 PSH+ACK 6 bytes",
            "padding is no data"
        );
    }

    #[test]
    fn other_protocols_are_told_by_name_or_number() {
        let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
        arp.extend([[0; 6].as_slice(), &[10, 0, 2, 1], &[0; 6], &[10, 0, 2, 15]].concat());
        assert_eq!(describe(&frame(0x0806, &arp)).unwrap(), "ARP 10.0.2.1 asks for 10.0.2.15");
        let ping = ipv4_packet(1, 0, &[8, 0, 0, 0]);
        assert_eq!(describe(&frame(0x0800, &ping)).unwrap(), "ICMP 10.0.2.1 > 10.0.2.15 type 8");
        let udp = ipv4_packet(17, 0, &[0, 53, 0, 54, 0, 10, 0, 0, 1, 2]);
        assert_eq!(describe(&frame(0x0800, &udp)).unwrap(), "UDP 10.0.2.1:53 > 10.0.2.15:54 2 bytes");
        let fragment = ipv4_packet(17, 3, &[0; 8]);
        assert_eq!(
            describe(&frame(0x0800, &fragment)).unwrap(),
            "IP 10.0.2.1 > 10.0.2.15 protocol 17, 0 bytes"
        );
        assert_eq!(describe(&frame(0x88cc, b"")).unwrap(), "Ethernet type 0x88cc");
        assert_eq!(describe(&[0; 13]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_described_without_harm(
            protocol in prop::sample::select(vec![0x0800u16, 0x0806, 0x86dd]),
            payload in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            prop_assert!(describe(&frame(protocol, &payload)).is_some());
        }
    }
}
