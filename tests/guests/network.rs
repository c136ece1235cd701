//! The bare key-value guest on a TAP: it needs ring 0 only, so it runs on every engine.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Engine, Guest, Running, on_each_engine};

/// The guest of one test, on a network that no other test has at the same time, and its address.
fn kv(engine: Engine, test: u8) -> (Guest, String) {
    let network = 10 * test + engine as u8;
    let address = format!("10.78.{network}.15");
    let guest = Guest::bare("kv").engine(engine.name()).command_line(&format!("address={address}"));
    (guest.network(&format!("outlivekv{network}"), &format!("10.78.{network}.1/24")), address)
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

fn connect(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.connect((address, 7379)).unwrap();
    socket
}

fn start(guest: &Guest) -> Running {
    let mut machine = guest.start();
    machine.wait_for("kv: ready");
    machine
}

on_each_engine! {
    fn a_service_on_a_bare_guest_answers_pings_and_requests(engine: Engine) {
        if !engine.at_hand() {
            return;
        }
        let (guest, address) = kv(engine, 1);
        let mut machine = start(&guest);
        let ping = Command::new("ping").args(["-c", "5", "-i", "0.2", &address]).output().unwrap();
        assert!(String::from_utf8_lossy(&ping.stdout).contains(" 0% packet loss"), "{ping:?}");
        let socket = connect(&address);
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

    fn a_flood_of_malformed_frames_does_not_hurt(engine: Engine) {
        if !engine.at_hand() {
            return;
        }
        let (guest, address) = kv(engine, 2);
        let mut machine = start(&guest);
        let socket = connect(&address);
        for length in 0..1400 {
            // Refused or lost: either is right.
            let _ = socket.send(&vec![b'#'; length]);
        }
        assert_eq!(ask(&socket, "PING"), "PONG");
        socket.send(b"STOP").unwrap();
        assert_eq!(machine.end(), Some(0), "{}", machine.console());
    }
}
