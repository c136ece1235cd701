//! Debian's own kernel, not a byte of it changed, with its own virtio modules.

use std::fs;
use std::process::Command;

use crate::harness::{Guest, Running, image, kvm_at_hand};

const ADDRESS: &str = "10.81.7.15";
const HOST_ADDRESS: &str = "10.81.7.1/24";

/// The guest with these words on its command line besides its own.
fn debian(words: &str) -> Guest {
    let own = fs::read_to_string(image("debian/cmdline")).unwrap();
    let own: Vec<_> = own.split_whitespace().filter(|word| !word.starts_with("outlive.address=")).collect();
    let initramfs = image("debian/initramfs.cpio.gz");
    Guest::new(&image("debian/vmlinuz"), "256M")
        .with(&format!("initramfs = \"{}\"", initramfs.display()))
        .with(&format!("command-line = '{} {words}'", own.join(" ")))
}

/// Gives the console a command and waits until it has succeeded.
fn shell(machine: &mut Running, command: &str, marker: &str) {
    // The echo of what is typed must not look like the answer.
    machine.type_line(&format!("{command} && echo {}''{}", &marker[..1], &marker[1..]));
    machine.wait_for(&format!("\n{marker}"));
}

#[test]
fn a_stock_kernel_boots_to_a_shell_with_its_disk_and_its_network() {
    let guest = debian(&format!("outlive.address={ADDRESS}/24"));
    let disk = guest.folder().join("disk.img");
    let mut content = vec![0; 1 << 20];
    content[4096..4112].copy_from_slice(b"written outside\n");
    fs::write(&disk, &content).unwrap();
    let guest = guest.disk(&disk, false).network("outlivetest7", HOST_ADDRESS);

    let mut machine = guest.start();
    machine.wait_for("outlive: ready");
    machine.type_line("uname -a");
    machine.wait_for("Debian");
    shell(&mut machine, "test $(grep -c virtio /proc/interrupts) = 2", "DEVICES");
    shell(&mut machine, "dd if=/dev/vda bs=4096 skip=1 count=1 | grep -a 'written outside'", "READ");
    shell(&mut machine, "printf 'written inside' | dd of=/dev/vda bs=4096 seek=2 conv=fsync", "WRITTEN");
    let ping = Command::new("ping").args(["-c", "3", "-i", "0.2", ADDRESS]).output().unwrap();
    assert!(ping.status.success(), "{ping:?}");
    machine.type_line("poweroff");
    assert_eq!(machine.end(), Some(0), "{}", machine.console());
    assert_eq!(&fs::read(&disk).unwrap()[8192..8206], b"written inside");
}

#[test]
fn a_stock_kernel_takes_its_clock_from_the_tables() {
    let clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let finished = debian(&format!("outlive.run=\"cat {clock}; false\"")).run();
    assert_eq!(finished.status, Some(0), "{finished:#?}");
    assert!(finished.console.contains("acpi_pm"), "{finished:#?}");
    assert!(finished.console.contains("the command ended with status 1"), "{finished:#?}");
}

#[test]
fn a_stock_kernel_resets_the_machine_as_the_tables_say() {
    let finished = debian("outlive.run=\"reboot -f\"").run();
    assert_eq!(finished.status, Some(0), "{finished:#?}");
    assert!(!finished.console.contains("the command ended"), "{finished:#?}");
}

#[test]
fn kvm_refuses_a_compressed_kernel_and_names_two_ways_out() {
    if !kvm_at_hand() {
        return;
    }
    let finished = debian("").engine("kvm").run();
    assert_eq!(finished.status, Some(2), "{finished:#?}");
    for words in ["bzImage", "RDTSC", "vmlinux", "engine = \"soft\""] {
        assert!(finished.errors.contains(words), "no {words:?} in {finished:#?}");
    }
}
