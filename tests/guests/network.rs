//! The bare key-value guest on a TAP: it needs ring 0 only, so it runs on every engine.

use std::process::Command;

use crate::harness::{Guest, Running, ask, connect, kv, on_each_engine};

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
