//! The rehearsals' network does what its faults say, and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use outlive_rehearsal::checkout::obstacle;
use outlive_rehearsal::proxy::{Direction, Proxy};
use outlive_rehearsal::topology::{Cut, Host, Topology};

/// How long what is lost is waited for.
const SILENCE: Duration = Duration::from_millis(100);

fn topology() -> Option<Topology> {
    if let Some(obstacle) = obstacle() {
        eprintln!("SKIPPED: {obstacle}");
        return None;
    }
    Some(Topology::new().unwrap())
}

/// A socket on the logging channel.
fn socket(topology: &Topology, host: Host) -> UdpSocket {
    let socket = topology.host(host).within(|| UdpSocket::bind((host.address(), 5000))).unwrap().unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    socket.connect((host.other().address(), 5000)).unwrap();
    socket
}

fn gets_through(from: &UdpSocket, to: &UdpSocket) -> bool {
    from.send(b"x").expect("the sender is told nothing");
    to.recv(&mut [0; 8]).is_ok()
}

#[test]
fn the_channel_is_cut_silently_in_the_direction_that_was_asked_for_and_heals() {
    let Some(topology) = topology() else { return };
    let (a, b) = (socket(&topology, Host::A), socket(&topology, Host::B));
    for (cut, to_backup, to_primary) in
        [(Cut::ToBackup, false, true), (Cut::ToPrimary, true, false), (Cut::Both, false, false)]
    {
        assert!(gets_through(&a, &b) && gets_through(&b, &a), "before {cut:?}");
        topology.cut(cut).unwrap();
        assert_eq!((gets_through(&a, &b), gets_through(&b, &a)), (to_backup, to_primary), "{cut:?}");
        topology.heal().unwrap();
    }
    topology.cut(Cut::Unplugged).unwrap();
    assert!(a.send(b"x").is_err() || b.recv(&mut [0; 8]).is_err());
    topology.heal().unwrap();
    assert!(gets_through(&a, &b) && gets_through(&b, &a));
}

#[test]
fn a_tcp_connection_over_a_cut_channel_waits_and_goes_on() {
    let Some(topology) = topology() else { return };
    let (mut a, mut b) = connected(&topology, None);
    topology.cut(Cut::Both).unwrap();
    a.write_all(b"late").unwrap();
    b.set_read_timeout(Some(SILENCE)).unwrap();
    let error = b.read(&mut [0; 8]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    topology.heal().unwrap();
    b.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    b.read_exact(&mut [0; 4]).unwrap();
}

#[test]
fn frames_of_one_host_are_counted_and_no_others() {
    let Some(topology) = topology() else { return };
    // A guest on host A: an address on its bridge.
    let guest = topology.host(Host::A);
    let words = ["-n", guest.name(), "address", "add", "10.0.2.15/24", "dev", "guests"];
    outlive_rehearsal::checkout::run("ip", &words).unwrap();
    let bind = |address: &'static str| move || UdpSocket::bind(address).unwrap();
    let client = topology.client().within(bind("10.0.2.1:5000")).unwrap();
    let guest = guest.within(bind("10.0.2.15:5000")).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    guest.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.send_to(b"question", "10.0.2.15:5000").unwrap();
    guest.recv(&mut [0; 16]).unwrap();
    // The answer to the client's ARP request.
    let (before, other) = (topology.frames_from(Host::A).unwrap(), topology.frames_from(Host::B).unwrap());
    for _ in 0..7 {
        client.send_to(b"question", "10.0.2.15:5000").unwrap();
        guest.recv(&mut [0; 16]).unwrap();
        guest.send_to(b"answer", "10.0.2.1:5000").unwrap();
        client.recv(&mut [0; 16]).unwrap();
    }
    // An ARP request of the guest's kernel may come in between.
    let sent = topology.frames_from(Host::A).unwrap() - before;
    assert!((7..=9).contains(&sent), "{sent} frames");
    assert_eq!(topology.frames_from(Host::B).unwrap(), other);
}

#[test]
fn nothing_is_left_of_a_topology_even_after_a_panic() {
    let Some(topology) = topology() else { return };
    let name = topology.client().name().to_owned();
    let exists = || Path::new("/run/netns").join(&name).exists();
    assert!(exists());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _topology = topology;
        panic!("on purpose");
    }));
    assert!(panicked.is_err() && !exists());
}

/// A connection from host B to host A, by a relay if there is one: the ends on A and on B.
fn connected(topology: &Topology, proxy: Option<&mut Option<Proxy>>) -> (TcpStream, TcpStream) {
    let listen = SocketAddr::from((Host::A.address(), 5001));
    let listener = topology.host(Host::A).within(|| TcpListener::bind(listen)).unwrap().unwrap();
    let mut to = listen;
    if let Some(proxy) = proxy {
        let relay = SocketAddr::from((Host::B.address(), 0));
        let started =
            Proxy::start((topology.host(Host::B), relay), (topology.host(Host::A), listen)).unwrap();
        to = started.address();
        *proxy = Some(started);
    }
    let b = topology.host(Host::B).within(|| TcpStream::connect(to)).unwrap().unwrap();
    (listener.accept().unwrap().0, b)
}

fn relayed(topology: &Topology) -> (Proxy, TcpStream, TcpStream) {
    let mut proxy = None;
    let (a, b) = connected(topology, Some(&mut proxy));
    for stream in [&a, &b] {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    }
    (proxy.unwrap(), a, b)
}

#[test]
fn what_a_relay_holds_back_in_one_direction_comes_in_order_when_it_is_released() {
    let Some(topology) = topology() else { return };
    let (proxy, mut a, mut b) = relayed(&topology);
    proxy.hold(Direction::ToPrimary);
    b.write_all(b"one ").unwrap();
    b.write_all(b"two").unwrap();
    // The other direction is free.
    a.write_all(b"free").unwrap();
    b.read_exact(&mut [0; 4]).unwrap();
    a.set_read_timeout(Some(SILENCE)).unwrap();
    assert!(a.read(&mut [0; 8]).is_err(), "nothing comes while it is held");
    a.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    proxy.release(Direction::ToPrimary);
    let mut got = [0; 7];
    a.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"one two");
}

#[test]
fn a_relay_delays_and_drops() {
    let Some(topology) = topology() else { return };
    let (proxy, mut a, mut b) = relayed(&topology);
    let delay = Duration::from_millis(50);
    proxy.delay(Direction::ToBackup, delay);
    let sent = Instant::now();
    a.write_all(b"slow").unwrap();
    b.read_exact(&mut [0; 4]).unwrap();
    assert!(sent.elapsed() >= delay);
    proxy.drop_connections();
    assert!(matches!(b.read(&mut [0; 8]), Ok(0) | Err(_)));
    assert!(matches!(a.read(&mut [0; 8]), Ok(0) | Err(_)));
}

#[test]
fn an_end_that_is_lost_on_one_side_of_a_relay_is_lost_on_the_other() {
    let Some(topology) = topology() else { return };
    let (_proxy, a, mut b) = relayed(&topology);
    drop(a);
    assert!(matches!(b.read(&mut [0; 8]), Ok(0) | Err(_)));
}
