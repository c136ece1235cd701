use proptest::prelude::*;

use super::*;

const GUEST: MacAddress = MacAddress([0x52, 0x54, 0, 0x6f, 0x6c, 7]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 3);

/// A frame from hexadecimal digits, filled up as an Ethernet wants it.
fn frame(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let mut frame: Vec<u8> = digits.chunks(2).map(byte).collect();
    frame.resize(60, 0);
    frame
}

#[test]
fn without_an_ip_address_a_guest_is_announced_by_a_rarp_request() {
    let expected = "ffffffffffff 5254006f6c07 8035  0001 0800 06 04 0003
        5254006f6c07 00000000  5254006f6c07 00000000";
    assert_eq!(frames(GUEST, None), [frame(expected)]);
}

#[test]
fn with_an_ip_address_a_guest_is_announced_by_both_forms_of_gratuitous_arp_too() {
    let request = "ffffffffffff 5254006f6c07 0806  0001 0800 06 04 0001
        5254006f6c07 0a010203  000000000000 0a010203";
    let reply = "ffffffffffff 5254006f6c07 0806  0001 0800 06 04 0002
        5254006f6c07 0a010203  5254006f6c07 0a010203";
    let frames = frames(GUEST, Some(ADDRESS));
    assert_eq!(frames[0], super::frames(GUEST, None)[0]);
    assert_eq!(frames[1..], [frame(request), frame(reply)]);
}

/// An IPv4 packet (an echo request's header) from that address.
fn packet(mac: MacAddress, source: Ipv4Addr) -> Vec<u8> {
    let mut bytes = frame("ffffffffffff 000000000000 0800  4500 001c 0000 4000 4001 0000 00000000 08080808");
    bytes[6..12].copy_from_slice(&mac.0);
    bytes[26..30].copy_from_slice(&source.octets());
    bytes
}

fn arp(mac: MacAddress, source: Ipv4Addr) -> Vec<u8> {
    gratuitous_arp(mac, source)[0].clone()
}

fn learned(seen: impl IntoIterator<Item = Vec<u8>>) -> Option<Ipv4Addr> {
    let mut snoop = AddressSnoop::default();
    seen.into_iter().for_each(|frame| snoop.see(&frame));
    snoop.address(GUEST)
}

#[test]
fn an_address_is_learned_from_arp_and_from_ipv4_and_the_last_one_counts() {
    let other = Ipv4Addr::new(192, 168, 0, 9);
    assert_eq!(learned([arp(GUEST, ADDRESS)]), Some(ADDRESS));
    assert_eq!(learned([packet(GUEST, ADDRESS)]), Some(ADDRESS));
    assert_eq!(learned([arp(GUEST, other), arp(GUEST, ADDRESS)]), Some(ADDRESS));
    assert_eq!(learned([packet(GUEST, other), packet(GUEST, ADDRESS)]), Some(ADDRESS));
}

#[test]
fn what_a_guest_forwards_for_others_is_not_taken_for_its_own_address() {
    let other = Ipv4Addr::new(192, 168, 0, 9);
    assert_eq!(learned([arp(GUEST, ADDRESS), packet(GUEST, other)]), Some(ADDRESS));
    assert_eq!(learned([packet(GUEST, other), arp(GUEST, ADDRESS)]), Some(ADDRESS));
    let mut proxied = arp(MacAddress([2, 0, 0, 0, 0, 1]), other);
    proxied[6..12].copy_from_slice(&GUEST.0);
    assert_eq!(learned([proxied]), None);
}

#[test]
fn a_guest_that_has_no_address_yet_teaches_none() {
    let nothing =
        [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)];
    for address in nothing {
        assert_eq!(learned([arp(GUEST, address), packet(GUEST, address)]), None, "{address}");
    }
    // IPv6.
    assert_eq!(learned([frame("333300000001 5254006f6c07 86dd 60")]), None);
}

#[test]
fn senders_that_no_interface_can_be_are_no_stations() {
    let mut snoop = AddressSnoop::default();
    for mac in [MacAddress([0; 6]), MacAddress::BROADCAST, MacAddress([1, 0, 0x5e, 0, 0, 1])] {
        snoop.see(&arp(mac, ADDRESS));
    }
    assert_eq!(snoop.stations().count(), 0);
}

#[test]
fn the_ones_that_have_been_silent_for_longest_are_forgotten() {
    let station = |number: u8| MacAddress([2, 0, 0, 0, 0, number]);
    let mut snoop = AddressSnoop::default();
    for number in 0..64 {
        snoop.see(&arp(station(number), ADDRESS));
    }
    // The first one speaks again, without telling its address.
    snoop.see(&packet(station(0), Ipv4Addr::UNSPECIFIED));
    snoop.see(&arp(station(64), ADDRESS));
    assert_eq!(snoop.stations().count(), 64);
    assert_eq!(snoop.address(station(0)), Some(ADDRESS));
    assert_eq!(snoop.address(station(1)), None, "it has been silent for longest");
    assert_eq!(snoop.stations().last(), Some((station(64), Some(ADDRESS))));
}

#[test]
fn an_address_is_written_as_everywhere() {
    assert_eq!(GUEST.to_string(), "52:54:00:6f:6c:07");
}

proptest! {
    #[test]
    fn no_frame_breaks_the_snoop_and_what_it_remembers_is_bounded(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..200),
        kinds in prop::collection::vec(prop::sample::select(vec![0x0800_u16, 0x0806, 0x86dd]), 200),
    ) {
        let mut snoop = AddressSnoop::default();
        for (mut frame, kind) in frames.into_iter().zip(kinds) {
            if let Some(place) = frame.get_mut(12..14) {
                place.copy_from_slice(&kind.to_be_bytes());
            }
            snoop.see(&frame);
            prop_assert!(snoop.stations().count() <= 64);
        }
    }

    #[test]
    fn what_is_announced_teaches_the_snoop_itself(mac: [u8; 6], address: [u8; 4]) {
        let mac = MacAddress([mac[0] & !1, mac[1], mac[2], mac[3], mac[4], mac[5] | 1]);
        let address = Ipv4Addr::from([1 + address[0] % 100, address[1], address[2], address[3]]);
        for frame in gratuitous_arp(mac, address) {
            let mut snoop = AddressSnoop::default();
            snoop.see(&frame);
            prop_assert_eq!(snoop.address(mac), Some(address));
        }
    }
}
