//! Linux with redis, on each engine that runs it here.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::harness::{Engine, Guest, Linux, Running, linux, on_each_engine, output, redis, shell};

fn start(guest: &Guest) -> Running {
    let mut machine = guest.start();
    machine.wait_for("outlive: ready");
    machine
}

on_each_engine! {
    fn redis_answers_and_the_disk_keeps_files_over_a_restart(engine: Engine) {
        if !engine.runs_linux() {
            return;
        }
        let Linux { guest, address, .. } = linux(engine, 1);
        let begun = Instant::now();
        let mut machine = start(&guest);
        assert_eq!(redis(&address, &["ping"]), "PONG");
        // Told, not asserted: how fast the host is proves nothing.
        eprintln!("from the start of the guest to the first answer of redis: {:.1?}", begun.elapsed());
        assert_eq!(redis(&address, &["set", "key", "value"]), "OK");
        assert_eq!(redis(&address, &["get", "key"]), "value");
        let ping = output("ping", &["-c", "10", "-i", "0.2", &address]);
        assert!(ping.contains(" 0% packet loss"), "{ping}");
        shell(&mut machine, "echo kept > /data/file", "WRITTEN");
        machine.type_line("poweroff");
        assert_eq!(machine.end(), Some(0), "{}", machine.console());

        let mut machine = start(&guest);
        assert_eq!(redis(&address, &["get", "key"]), "value", "redis keeps its data on the disk");
        shell(&mut machine, "grep -q kept /data/file", "KEPT");
        machine.type_line("reboot");
        assert_eq!(machine.end(), Some(0), "{}", machine.console());
    }

    fn the_guest_takes_its_time_from_the_clock_that_exits(engine: Engine) {
        if !engine.runs_linux() {
            return;
        }
        let Linux { guest, .. } = linux(engine, 2);
        let mut machine = start(&guest);
        let clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
        shell(&mut machine, &format!("grep -q acpi_pm {clock}"), "ACPI_PM");
        // The kernel found the time of day that the configuration gave it.
        let year = output("date", &["-u", "+%Y"]);
        shell(&mut machine, &format!("test $(date -u +%Y) = {year}"), "THIS_YEAR");
        machine.type_line("poweroff");
        assert_eq!(machine.end(), Some(0), "{}", machine.console());
    }

    fn sigterm_ends_a_running_guest_and_leaves_no_tap_behind(engine: Engine) {
        if !engine.runs_linux() {
            return;
        }
        let Linux { guest, tap, .. } = linux(engine, 3);
        let mut machine = start(&guest);
        output("kill", &["-TERM", &machine.child.id().to_string()]);
        assert_eq!(machine.end(), Some(128 + 15));
        assert!(!Path::new("/sys/class/net").join(tap).exists());
    }
}

#[test]
fn redis_serves_twenty_clients_at_once_on_soft_without_an_error() {
    let Linux { guest, address, .. } = linux(Engine::Soft, 4);
    let _machine = start(&guest);
    let arguments = ["-h", &address, "-n", "20000", "-c", "20", "-t", "set,get", "-q"];
    let output = Command::new("redis-benchmark").args(arguments).output().unwrap();
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && errors.is_empty(), "{output:?}");
    // A line is written over and over; its last form is the result.
    let results: Vec<_> =
        told.lines().filter_map(|line| line.rsplit('\r').find(|text| !text.is_empty())).collect();
    for command in ["SET: ", "GET: "] {
        let is_done = |line: &&str| line.starts_with(command) && line.contains("requests per second");
        assert_eq!(results.iter().copied().filter(is_done).count(), 1, "{told}");
    }
    assert_eq!(results.iter().filter(|line| !line.is_empty()).count(), 2, "nothing but the results: {told}");
    // Told, not asserted: how fast the host is proves nothing.
    eprintln!("{}", results.join("\n"));
}
