//! The bare key-value guest on a TAP: it needs ring 0 only, so it runs on every KVM.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Guest, Running, kvm_at_hand};

const ADDRESS: &str = "10.78.0.15";

fn kv(tap: &str) -> Guest {
    Guest::bare("kv").command_line(&format!("address={ADDRESS}")).network(tap, "10.78.0.1/24")
}

/// Asks until there is an answer: UDP may lose either.
fn ask(socket: &UdpSocket, request: &str) -> String {
    let mut answer = [0; 1024];
    for attempt in 0..20 {
        let tagged = format!("#{attempt} {request}");
        socket.send(tagged.as_bytes()).unwrap();
        while let Ok(length) = socket.recv(&mut answer) {
            let text = String::from_utf8_lossy(&answer[..length]).trim_end().to_owned();
            if let Some(text) = text.strip_prefix(&format!("#{attempt} ")) {
                return text.to_owned();
            }
        }
    }
    panic!("no answer to {request:?}");
}

fn connect() -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.connect((ADDRESS, 7379)).unwrap();
    socket
}

fn start(guest: &Guest) -> Running {
    let mut machine = guest.start();
    machine.wait_for("kv: ready");
    machine
}

#[test]
fn a_service_on_a_bare_guest_answers_pings_and_requests() {
    if !kvm_at_hand() {
        return;
    }
    let guest = kv("outlivetest1");
    let mut machine = start(&guest);
    let ping = Command::new("ping").args(["-c", "5", "-i", "0.2", ADDRESS]).output().unwrap();
    assert!(String::from_utf8_lossy(&ping.stdout).contains(" 0% packet loss"), "{ping:?}");
    let socket = connect();
    assert_eq!(ask(&socket, "PING"), "PONG");
    for number in 0..100 {
        assert_eq!(ask(&socket, &format!("SET key{number} value{number}")), "OK");
    }
    for number in 0..100 {
        assert_eq!(ask(&socket, &format!("GET key{number}")), format!("VALUE value{number}"));
    }
    assert_eq!(ask(&socket, "DEL key7"), "OK");
    assert_eq!(ask(&socket, "GET key7"), "NONE");
    assert_eq!(ask(&socket, "COUNT"), "COUNT 99");
    socket.send(b"STOP").unwrap();
    assert_eq!(machine.end(), Some(0), "{}", machine.console());
}

#[test]
fn a_flood_of_malformed_frames_does_not_hurt() {
    if !kvm_at_hand() {
        return;
    }
    let guest = kv("outlivetest2");
    let mut machine = start(&guest);
    let socket = connect();
    for length in 0..1400 {
        // Refused or lost: either is right.
        let _ = socket.send(&vec![b'#'; length]);
    }
    assert_eq!(ask(&socket, "PING"), "PONG");
    socket.send(b"STOP").unwrap();
    assert_eq!(machine.end(), Some(0), "{}", machine.console());
}
