//! Linux with redis, on a KVM that runs it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::harness::{Guest, Running, image, kvm_runs_linux};

/// The address of the guest, and of the host on its TAP.
const ADDRESS: &str = "10.77.0.15";
const HOST_ADDRESS: &str = "10.77.0.1/24";

/// A Linux guest with a disk and a network of its own, and the disk's image.
fn linux(tap: &str) -> (Guest, PathBuf) {
    let words = fs::read_to_string(image("linux/cmdline")).unwrap();
    let words: Vec<_> =
        words.split_whitespace().filter(|word| !word.starts_with("outlive.address=")).collect();
    let words = format!("{} outlive.address={ADDRESS}/24", words.join(" "));
    let guest = Guest::new(&image("linux/vmlinux"), "256M")
        .command_line(&words)
        .with(&format!("initramfs = \"{}\"", image("linux/initramfs.cpio.gz").display()));
    let disk = guest.folder().join("disk.img");
    fs::copy(image("linux/disk.img"), &disk).unwrap();
    (guest.disk(&disk, false).network(tap, HOST_ADDRESS), disk)
}

fn start(guest: &Guest) -> Running {
    let mut machine = guest.start();
    machine.wait_for("outlive: ready");
    machine
}

/// What a command prints; it must succeed.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn redis(arguments: &[&str]) -> String {
    output("redis-cli", &[&["-h", ADDRESS], arguments].concat())
}

/// Gives the console a command and waits for it to be done.
fn shell(machine: &mut Running, command: &str, marker: &str) {
    // The echo of what is typed must not look like the answer.
    machine.type_line(&format!("{command} && echo {}''{}", &marker[..1], &marker[1..]));
    machine.wait_for(&format!("\n{marker}"));
}

#[test]
fn redis_answers_and_the_disk_keeps_files_over_a_restart() {
    if !kvm_runs_linux() {
        return;
    }
    let (guest, _) = linux("outlivetest0");
    let begun = Instant::now();
    let mut machine = start(&guest);
    assert_eq!(redis(&["ping"]), "PONG");
    // Told, not asserted: how fast the host is proves nothing.
    eprintln!("from the start of the guest to the first answer of redis: {:.1?}", begun.elapsed());
    assert_eq!(redis(&["set", "key", "value"]), "OK");
    assert_eq!(redis(&["get", "key"]), "value");
    let ping = output("ping", &["-c", "10", "-i", "0.2", ADDRESS]);
    assert!(ping.contains(" 0% packet loss"), "{ping}");
    shell(&mut machine, "echo kept > /data/file", "WRITTEN");
    machine.type_line("poweroff");
    assert_eq!(machine.end(), Some(0), "{}", machine.console());

    let mut machine = start(&guest);
    assert_eq!(redis(&["get", "key"]), "value", "redis keeps its data on the disk");
    shell(&mut machine, "grep -q kept /data/file", "KEPT");
    machine.type_line("reboot");
    assert_eq!(machine.end(), Some(0), "{}", machine.console());
}

#[test]
fn the_guest_takes_its_time_from_the_clock_that_exits() {
    if !kvm_runs_linux() {
        return;
    }
    let (guest, _) = linux("outlivetest0");
    let mut machine = start(&guest);
    let clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    shell(&mut machine, &format!("grep -q acpi_pm {clock}"), "ACPI_PM");
    // The kernel found the time of day that the configuration gave it.
    let year = output("date", &["-u", "+%Y"]);
    shell(&mut machine, &format!("test $(date -u +%Y) = {year}"), "THIS_YEAR");
    machine.type_line("poweroff");
    assert_eq!(machine.end(), Some(0), "{}", machine.console());
}

#[test]
fn sigterm_ends_a_running_guest_and_leaves_no_tap_behind() {
    if !kvm_runs_linux() {
        return;
    }
    let (guest, _) = linux("outlivetest0");
    let mut machine = start(&guest);
    output("kill", &["-TERM", &machine.child.id().to_string()]);
    assert_eq!(machine.end(), Some(128 + 15));
    assert!(!PathBuf::from("/sys/class/net/outlivetest0").exists());
}
